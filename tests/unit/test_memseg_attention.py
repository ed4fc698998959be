"""Coordinate attention and spatial maps against slow loops."""

import math

import pytest
import torch
from torch import Tensor, nn

from course_utils.models import CoordinateAttention, spatial_attention
from course_utils.models.memseg.layers import doubled


def unsettled(module: nn.Module) -> nn.Module:
    """Biases and statistics that are not 0 and 1, so that each one counts."""
    torch.manual_seed(0)
    for name, values in [*module.named_parameters(), *module.named_buffers()]:
        if name.endswith("bias") or "running_mean" in name:
            values.data.normal_(std=0.3)
        elif "running_var" in name:
            values.uniform_(0.5, 2)
    return module.eval()


def attended_by_loop(net: CoordinateAttention, x: Tensor) -> Tensor:
    first, norm, _ = net.squeeze
    n, channels, height, width = x.shape
    result = torch.zeros_like(x)

    def weights_of(vector: Tensor, last: nn.Conv2d) -> Tensor:
        narrow = first.weight[:, :, 0, 0] @ vector + first.bias
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        narrow = (narrow - norm.running_mean) * scale + norm.bias
        narrow = torch.stack([v * min(max(v + 3, 0), 6) / 6 for v in narrow])
        wide = last.weight[:, :, 0, 0] @ narrow + last.bias
        return torch.stack([torch.tensor(1 / (1 + math.exp(-float(v)))) for v in wide])

    for i in range(n):
        of_rows = [
            weights_of(sum(x[i, :, h, w] for w in range(width)) / width, net.rows)
            for h in range(height)
        ]
        of_columns = [
            weights_of(sum(x[i, :, h, w] for h in range(height)) / height, net.columns)
            for w in range(width)
        ]
        for h in range(height):
            for w in range(width):
                result[i, :, h, w] = x[i, :, h, w] * of_rows[h] * of_columns[w]
    assert channels == len(of_rows[0])
    return result


@torch.no_grad()
def test_coordinate_attention_is_what_a_loop_computes():
    net, x = unsettled(CoordinateAttention(16)), 2 * torch.randn(2, 16, 3, 5)
    torch.testing.assert_close(net(x), attended_by_loop(net, x))


@torch.no_grad()
def test_each_weight_lies_between_0_and_1_and_is_a_product_of_row_and_column():
    net, x = unsettled(CoordinateAttention(8)), 1 + torch.rand(1, 8, 4, 6)
    weight = (net(x) / x)[0]
    assert bool(((weight > 0) & (weight < 1)).all())
    rank_one = weight[:, :1] * weight[:, :, :1] / weight[:, :1, :1]
    torch.testing.assert_close(weight, rank_one)


@pytest.mark.parametrize(("channels", "narrow"), [(64, 8), (128, 8), (256, 8), (512, 16)])
def test_the_bottleneck_is_a_32nd_and_at_least_8(channels, narrow):
    with torch.device("meta"):
        net = CoordinateAttention(channels)
    assert net.squeeze[0].out_channels == narrow
    count = channels * narrow + narrow + 2 * narrow + 2 * (narrow * channels + channels)
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(("channels", "reduction"), [(0, 32), (64, 0)])
def test_sizes_that_cannot_be_are_refused(channels, reduction):
    with pytest.raises(ValueError, match="at least 1"):
        CoordinateAttention(channels, reduction=reduction)


def doubled_by_loop(x: Tensor) -> Tensor:
    n, channels, height, width = x.shape
    result = torch.zeros(n, channels, 2 * height, 2 * width)
    for i in range(2 * height):
        for j in range(2 * width):
            y, z = i * (height - 1) / (2 * height - 1), j * (width - 1) / (2 * width - 1)
            top, left = int(y), int(z)
            below, right = min(top + 1, height - 1), min(left + 1, width - 1)
            dy, dz = y - top, z - left
            result[:, :, i, j] = (1 - dy) * (
                (1 - dz) * x[:, :, top, left] + dz * x[:, :, top, right]
            ) + dy * ((1 - dz) * x[:, :, below, left] + dz * x[:, :, below, right])
    return result


def test_doubling_is_bilinear_with_corners_on_corners():
    x = torch.rand(2, 3, 3, 4)
    torch.testing.assert_close(doubled(x), doubled_by_loop(x))


def test_spatial_maps_are_what_the_formula_says():
    d1, d2, d3 = torch.rand(2, 4, 8, 12), torch.rand(2, 6, 4, 6), torch.rand(2, 8, 2, 3)
    m1, m2, m3 = spatial_attention([d1, d2, d3])
    mean = [sum(d[:, c : c + 1] for c in range(d.shape[1])) / d.shape[1] for d in (d1, d2, d3)]
    torch.testing.assert_close(m3, mean[2])
    torch.testing.assert_close(m2, mean[1] * doubled_by_loop(mean[2]))
    torch.testing.assert_close(m1, mean[0] * doubled_by_loop(mean[1] * doubled_by_loop(mean[2])))


def test_where_nothing_differs_the_finer_maps_are_0():
    d3 = torch.zeros(1, 8, 2, 2)
    maps = spatial_attention([torch.rand(1, 2, 8, 8), torch.rand(1, 4, 4, 4), d3])
    assert all(float(m.abs().max()) == 0 for m in maps)
