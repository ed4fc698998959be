"""Fusion and decoder against plain functions, written from the facts of the paper."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.models import MultiScaleFeatureFusion
from course_utils.models.blocks import he_normal
from course_utils.models.memseg import MemSegDecoder

SMALL = (16, 32, 64)


def unsettled(module: nn.Module) -> nn.Module:
    """Each layer keeps the spread of its input, or the first ones would not show at the end."""
    torch.manual_seed(0)
    module.apply(he_normal)
    for name, values in [*module.named_parameters(), *module.named_buffers()]:
        if name.endswith("bias") or "running_mean" in name:
            values.data.normal_(std=0.3)
        elif "running_var" in name:
            values.uniform_(0.5, 2)
    return module.eval()


def levels() -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, c, s, 2 * s) for c, s in zip(SMALL, (8, 4, 2), strict=True)]


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def convolved(x: Tensor, block: nn.Module, *, linear: bool = False) -> Tensor:
    """Every 3x3 convolution of `block` in turn, with normalization and ReLU unless linear."""
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
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
@pytest.mark.parametrize("attention", [True, False])
def test_fusion_is_convolution_attention_two_convolutions_and_a_way_down(attention):
    net = unsettled(MultiScaleFeatureFusion(SMALL, attention=attention))
    c1, c2, c3 = levels()

    def fused(x, block):
        x = convolved(x, block.convolve)
        x = block.attention(x) if attention else x
        return convolved(x, block.narrow)

    three = fused(c3, net.fuse3)
    two = fused(c2, net.fuse2) + convolved(up(three), net.up32)
    one = fused(c1, net.fuse1) + convolved(up(two), net.up21)
    for found, wanted in zip(net([c1, c2, c3]), (one, two, three), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_published_fusion_is_linear_but_for_the_product_of_features_with_features():
    net = unsettled(MultiScaleFeatureFusion(SMALL, published_code=True))
    c1, c2, c3 = levels()

    def fused(x, block):
        x = convolved(x, block.convolve, linear=True) * block.attention(x)
        return convolved(x, block.narrow, linear=True)

    three = fused(c3, net.fuse3)
    two = fused(c2, net.fuse2) + convolved(up(three), net.up32, linear=True)
    one = fused(c1, net.fuse1) + convolved(up(two), net.up21, linear=True)
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
def test_the_decoder_doubles_joins_and_convolves_twice():
    net = unsettled(MemSegDecoder())
    torch.manual_seed(2)
    f4, f0 = torch.randn(1, 512, 1, 2), torch.randn(1, 64, 16, 32)
    fused = [torch.randn(1, c, s, 2 * s) for c, s in ((64, 8), (128, 4), (256, 2))]
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
    return [(m.in_channels, m.out_channels) for m in block.modules() if isinstance(m, nn.Conv2d)]


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
