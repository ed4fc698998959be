"""MemSeg's layers: attention, multi-scale feature fusion, and the decoder.

Sources: Yang, Wu and Feng, "MemSeg", EAAI 2023 (arXiv 2205.00908); Hou, Zhou and Feng,
"Coordinate Attention for Efficient Mobile Network Design", CVPR 2021. Widths of the decoder's
blocks after each concatenation are from the code of `souxun2015/MemSeg`, which its author aligned
with the paper.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.models.blocks import convolution, double_convolution

SCALE_FLOOR = 1e-8  # far below the mean of a map, far above what rounding leaves of none


class CoordinateAttention(nn.Module):
    """Weigh each channel by row and by column: x * a_rows * a_columns.

    The map is averaged along its rows and along its columns; both averages pass one narrow 1x1
    convolution, batch normalization and h-swish; a 1x1 convolution and a sigmoid of its own turn
    each into weights in (0, 1).

    Args:
        channels: of input and output.
        reduction: the narrow convolution has max(8, channels / reduction) channels.

    Example:
        >>> CoordinateAttention(64)(torch.rand(2, 64, 16, 8)).shape
        torch.Size([2, 64, 16, 8])
    """

    def __init__(self, channels: int, *, reduction: int = 32) -> None:
        super().__init__()
        if min(channels, reduction) < 1:
            raise ValueError(
                f"channels and reduction must be at least 1, got {channels} and {reduction}"
            )
        narrow = max(8, channels // reduction)
        self.squeeze = nn.Sequential(
            nn.Conv2d(channels, narrow, 1), nn.BatchNorm2d(narrow), nn.Hardswish()
        )
        self.rows = nn.Conv2d(narrow, channels, 1)
        self.columns = nn.Conv2d(narrow, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (N, channels, H, W), weighed."""
        height, width = x.shape[2:]
        of_rows = x.mean(3, keepdim=True)  # (N, C, H, 1)
        of_columns = x.mean(2, keepdim=True).transpose(2, 3)  # (N, C, W, 1)
        both = self.squeeze(torch.cat([of_rows, of_columns], dim=2))  # (N, narrow, H + W, 1)
        of_rows, of_columns = both.split([height, width], dim=2)
        a_rows = self.rows(of_rows).sigmoid()  # (N, C, H, 1)
        a_columns = self.columns(of_columns).transpose(2, 3).sigmoid()  # (N, C, 1, W)
        return x * a_rows * a_columns


def spatial_attention(differences: Sequence[Tensor], *, scaled: bool = False) -> list[Tensor]:
    """Return one map (N, 1, H, W) per level that says where the image differs from the memory.

    The deepest map is the channel mean of its difference; each finer one is its own channel mean
    times the next deeper map, doubled in size (bilinear, corners aligned): M3 = mean(D3),
    M2 = mean(D2) * up(M3), M1 = mean(D1) * up(M2).

    Args:
        differences: D1, D2, D3, from fine to coarse; (N, C_i, H_i, W_i), each side half of the
            one before.
        scaled: divide each map of an image by its mean over rows and columns, which is not the
            paper's: a product of three differences spans several orders of magnitude, and this
            keeps its pattern at a scale of 1. A map that is 0 everywhere, or nearly, stays so.

    Example:
        >>> d1, d2, d3 = torch.ones(1, 2, 8, 8), torch.ones(1, 4, 4, 4), 3 * torch.ones(1, 8, 2, 2)
        >>> [tuple(m.shape) + (m.mean().item(),) for m in spatial_attention([d1, d2, d3])]
        [(1, 1, 8, 8, 3.0), (1, 1, 4, 4, 3.0), (1, 1, 2, 2, 3.0)]
        >>> [round(m.mean().item(), 4) for m in spatial_attention([d1, d2, d3], scaled=True)]
        [1.0, 1.0, 1.0]
    """
    maps: list[Tensor] = []
    for difference in reversed(differences):
        mean = difference.mean(1, keepdim=True)
        maps.append(mean * doubled(maps[-1]) if maps else mean)
    if scaled:
        maps = [one / (one.mean((2, 3), keepdim=True) + SCALE_FLOOR) for one in maps]
    return maps[::-1]


class MultiScaleFeatureFusion(nn.Module):
    """Three concatenated levels in, three fused levels of half the channels out.

    Each level passes a 3x3 convolution, coordinate attention, and two 3x3 convolutions that halve
    the channels. Then, from coarse to fine, each level adds the one below it, doubled in size and
    brought to its channels by a 3x3 convolution. Convolutions are followed by batch normalization
    and ReLU.

    Args:
        channels: of the three concatenated inputs, from fine to coarse.
        attention: whether coordinate attention is there; without it the weights are all 1.
        published_code: repeat two mistakes of the public code, for comparison: its convolutions
            are linear (no normalization, no ReLU, so that each pair could be one), and its
            attention multiplies conv(x) by the attended *input*, so that features are multiplied
            by features.

    Example:
        >>> levels = [torch.rand(2, 128, 8, 8), torch.rand(2, 256, 4, 4), torch.rand(2, 512, 2, 2)]
        >>> [tuple(level.shape) for level in MultiScaleFeatureFusion()(levels)]
        [(2, 64, 8, 8), (2, 128, 4, 4), (2, 256, 2, 2)]
    """

    def __init__(
        self,
        channels: tuple[int, int, int] = (128, 256, 512),
        *,
        attention: bool = True,
        published_code: bool = False,
    ) -> None:
        super().__init__()
        one, two, three = channels
        self.fuse1, self.fuse2, self.fuse3 = (
            _Fusion(width, attention=attention, published_code=published_code) for width in channels
        )
        self.up32 = _three_by_three(three // 2, two // 2, linear=published_code)
        self.up21 = _three_by_three(two // 2, one // 2, linear=published_code)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return three fused levels with half the channels.

        Takes levels (N, 128, H, W), (N, 256, H/2, W/2), (N, 512, H/4, W/4) and returns
        (N, 64, H, W), (N, 128, H/2, W/2), (N, 256, H/4, W/4).
        """
        c1, c2, c3 = levels
        c3 = self.fuse3(c3)  # (N, 256, H/4, W/4)
        c2 = self.fuse2(c2) + self.up32(doubled(c3))  # (N, 128, H/2, W/2)
        c1 = self.fuse1(c1) + self.up21(doubled(c2))  # (N, 64, H, W)
        return c1, c2, c3


class MemSegDecoder(nn.Module):
    """Double, convolve, concatenate the next finer level, convolve twice; four times, then to size.

    Args:
        num_classes: channels of the output.
        channels: of the encoder's f0 to f4; those of ResNet-18 are the paper's.
        published_code: leave out the two convolutions after each concatenation and before the
            last layer, as the public code does; the next doubling then takes all channels.

    Example:
        >>> f4, f0 = torch.rand(2, 512, 1, 1), torch.rand(2, 64, 16, 16)
        >>> fused = [torch.rand(2, 64, 8, 8), torch.rand(2, 128, 4, 4), torch.rand(2, 256, 2, 2)]
        >>> MemSegDecoder()(f4, fused, f0).shape
        torch.Size([2, 2, 32, 32])
    """

    def __init__(
        self,
        num_classes: int = 2,
        *,
        channels: Sequence[int] = (64, 64, 128, 256, 512),
        published_code: bool = False,
    ) -> None:
        super().__init__()
        c0, c1, c2, c3, c4 = channels
        # Without the convolutions of a join, the next one takes all that was concatenated.
        wide = 2 if published_code else 1
        self.up3, self.join3 = _up(c4, c3), _join(2 * c3, c3, published_code)
        self.up2, self.join2 = _up(c3 * wide, c2), _join(2 * c2, c2, published_code)
        self.up1, self.join1 = _up(c2 * wide, c1), _join(2 * c1, c1, published_code)
        self.up0, self.join0 = _up(c1 * wide, 48), _join(96, 48, published_code)
        self.stem = nn.Conv2d(c0, 48, 3, padding=1)
        if published_code:
            self.to_size = _up(96, 48)
            self.head: nn.Module = nn.Conv2d(48, num_classes, 3, padding=1)
        else:
            self.to_size = nn.Sequential(_up(48, 48), double_convolution(48, 24))
            self.head = nn.Sequential(
                convolution(24, 24, 3), nn.Conv2d(24, num_classes, 3, padding=1)
            )

    def forward(self, f4: Tensor, fused: Sequence[Tensor], f0: Tensor) -> Tensor:
        """Return logits (N, num_classes, H, W).

        Takes f4 (N, 512, H/32, W/32), the fused levels c1 (N, 64, H/4, W/4), c2 (N, 128, H/8, W/8),
        c3 (N, 256, H/16, W/16), and the stem's f0 (N, 64, H/2, W/2); the numbers of channels are
        those of ResNet-18.
        """
        c1, c2, c3 = fused
        x = self.join3(torch.cat([self.up3(f4), c3], dim=1))  # (N, 256, H/16, W/16)
        x = self.join2(torch.cat([self.up2(x), c2], dim=1))  # (N, 128, H/8, W/8)
        x = self.join1(torch.cat([self.up1(x), c1], dim=1))  # (N, 64, H/4, W/4)
        x = self.join0(torch.cat([self.up0(x), self.stem(f0)], dim=1))  # (N, 48, H/2, W/2)
        x = self.to_size(x)  # (N, 24, H, W)
        return self.head(x)  # (N, num_classes, H, W)


def doubled(x: Tensor) -> Tensor:
    """Return (N, C, 2H, 2W): bilinear, corners aligned, as everywhere in MemSeg."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class _Fusion(nn.Module):
    def __init__(self, channels: int, *, attention: bool, published_code: bool) -> None:
        super().__init__()
        self.published_code = published_code
        self.convolve = _three_by_three(channels, channels, linear=published_code)
        self.attention = CoordinateAttention(channels) if attention else nn.Identity()
        self.narrow = nn.Sequential(
            _three_by_three(channels, channels // 2, linear=published_code),
            _three_by_three(channels // 2, channels // 2, linear=published_code),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.published_code:
            return self.narrow(self.convolve(x) * self.attention(x))
        return self.narrow(self.attention(self.convolve(x)))


def _three_by_three(inputs: int, outputs: int, *, linear: bool) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, padding=1) if linear else convolution(inputs, outputs, 3)


class _Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return doubled(x)


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_Doubled(), convolution(inputs, outputs, 3))


def _join(inputs: int, outputs: int, published_code: bool) -> nn.Module:
    return nn.Identity() if published_code else double_convolution(inputs, outputs)
