"""MemSeg's layers against slow loops and plain functions, written from the facts of the paper."""

import math

import pytest
import torch
from network_facts import layers, parameters, unsettle
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.models import CoordinateAttention, MultiScaleFeatureFusion, spatial_attention
from course_utils.models.blocks import he_normal
from course_utils.models.memseg import MemSegDecoder
from course_utils.models.memseg.layers import doubled

SMALL = (16, 32, 64)


def unsettled(module: nn.Module) -> nn.Module:
    """Each layer keeps the std of its input, or the first ones would not show at the end."""
    torch.manual_seed(0)
    module.apply(he_normal)
    unsettle(module)
    return module.eval()


def levels() -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, c, s, 2 * s) for c, s in zip(SMALL, (8, 4, 2), strict=True)]


def convolved(x: Tensor, block: nn.Module, *, linear: bool = False) -> Tensor:
    """Every 3x3 convolution of `block` in turn, with normalization and ReLU unless linear."""
    convolutions, norms = layers(block), layers(block, nn.BatchNorm2d)
    assert len(norms) == (0 if linear else len(convolutions))
    for number, layer in enumerate(convolutions):
        windows = F.unfold(x, 3, padding=1)  # (N, C * 9, H * W)
        x = (layer.weight.flatten(1) @ windows).unflatten(2, x.shape[2:])
        if layer.bias is not None:
            x = x + layer.bias.view(-1, 1, 1)
        if norms:
            norm = norms[number]
            scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).view(-1, 1, 1)
            x = (x - norm.running_mean.view(-1, 1, 1)) * scale + norm.bias.view(-1, 1, 1)
            x = x.clamp_min(0)
    return x


def up(x: Tensor) -> Tensor:
    return nn.UpsamplingBilinear2d(scale_factor=2)(x)  # corners on corners


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"attention": False}, {"published_code": True}])
def test_fusion_is_convolution_attention_two_convolutions_and_a_way_down(options):
    net = unsettled(MultiScaleFeatureFusion(SMALL, **options))
    published = "published_code" in options  # linear but for features times the input's attention
    c1, c2, c3 = levels()

    def fused(x, block):
        features = convolved(x, block.convolve, linear=published)
        if published:
            features = features * block.attention(x)
        elif "attention" not in options:
            features = block.attention(features)
        return convolved(features, block.narrow, linear=published)

    three = fused(c3, net.fuse3)
    two = fused(c2, net.fuse2) + convolved(up(three), net.up32, linear=published)
    one = fused(c1, net.fuse1) + convolved(up(two), net.up21, linear=published)
    for found, wanted in zip(net([c1, c2, c3]), (one, two, three), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_published_fusion_has_the_parameters_of_the_facts():
    with torch.device("meta"):
        count = parameters(MultiScaleFeatureFusion(published_code=True))
    linear = sum(
        9 * (c * c + c * (c // 2) + (c // 2) ** 2) + c + 2 * (c // 2) for c in (128, 256, 512)
    )
    attention = sum(c * b + b + 2 * b + 2 * (b * c + c) for c, b in ((128, 8), (256, 8), (512, 16)))
    down = 9 * (256 * 128 + 128 * 64) + 128 + 64
    assert count == linear + attention + down == 5_825_312


@torch.no_grad()
@pytest.mark.parametrize("channels", [(64, 64, 128, 256, 512), (16, 24, 40, 112, 320)])
def test_the_decoder_doubles_joins_and_convolves_twice(channels):
    net = unsettled(MemSegDecoder(channels=channels))
    torch.manual_seed(2)
    f0, *fused, f4 = (
        torch.randn(1, c, s, 2 * s) for c, s in zip(channels, (16, 8, 4, 2, 1), strict=True)
    )
    x = torch.cat([convolved(up(f4), net.up3), fused[2]], 1)
    x = convolved(x, net.join3)
    x = torch.cat([convolved(up(x), net.up2), fused[1]], 1)
    x = convolved(x, net.join2)
    x = torch.cat([convolved(up(x), net.up1), fused[0]], 1)
    x = convolved(x, net.join1)
    x = torch.cat([convolved(up(x), net.up0), convolved(f0, net.stem, linear=True)], 1)
    x = convolved(x, net.join0)
    x = convolved(convolved(up(x), net.to_size[0]), net.to_size[1])
    x = convolved(convolved(x, net.head[0]), net.head[1], linear=True)
    assert x.shape == (1, 2, 32, 64)
    torch.testing.assert_close(net(f4, fused, f0), x, rtol=1e-4, atol=1e-4)


def widths(block: nn.Module) -> list[tuple[int, int]]:
    return [(layer.in_channels, layer.out_channels) for layer in layers(block)]


def test_the_decoder_has_the_widths_of_the_facts():
    with torch.device("meta"):
        net = MemSegDecoder()
    joins = [widths(join) for join in (net.join3, net.join2, net.join1, net.join0)]
    assert joins == [[(2 * c, c), (c, c)] for c in (256, 128, 64, 48)]
    assert widths(net.to_size) == [(48, 48), (48, 24), (24, 24)]
    assert widths(net.head) == [(24, 24), (24, 2)]


def test_the_published_decoder_has_no_double_convolutions():
    with torch.device("meta"):
        net = MemSegDecoder(published_code=True)
        fused = [torch.zeros(1, c, s, s) for c, s in ((64, 8), (128, 4), (256, 2))]
        out = net(torch.zeros(1, 512, 1, 1), fused, torch.zeros(1, 64, 16, 16))
    assert out.shape == (1, 2, 32, 32)
    stages = (net.up3, net.up2, net.up1, net.up0, net.to_size)
    found = [widths(stage) for stage in stages]
    assert found == [[(512, 256)], [(512, 128)], [(256, 64)], [(128, 48)], [(96, 48)]]
    assert [widths(net.stem), widths(net.head)] == [[(64, 48)], [(48, 2)]]
    assert len(list(net.parameters())) == 5 * 3 + 2 + 2


# Attention


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


@pytest.mark.parametrize(("channels", "narrow"), [(64, 8), (128, 8), (256, 8), (512, 16)])
def test_the_bottleneck_is_a_32nd_and_at_least_8(channels, narrow):
    with torch.device("meta"):
        net = CoordinateAttention(channels)
    assert net.squeeze[0].out_channels == narrow
    count = channels * narrow + narrow + 2 * narrow + 2 * (narrow * channels + channels)
    assert parameters(net) == count


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


def test_scaled_maps_keep_the_pattern_at_a_mean_of_1_and_nothing_stays_nothing():
    differences = [10.0**e * torch.rand(3, 4, s, 2 * s) for e, s in ((2, 8), (0, 4), (-1, 2))]
    differences = [d * torch.tensor([1, 1e-2, 0]).view(3, 1, 1, 1) for d in differences]
    plain = spatial_attention(differences)
    for found, one in zip(spatial_attention(differences, scaled=True), plain, strict=True):
        for image in (0, 1):
            torch.testing.assert_close(
                found[image], one[image] / one[image].mean(), rtol=1e-2, atol=0
            )
        assert not found[2].any()
