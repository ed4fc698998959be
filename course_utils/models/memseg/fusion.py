"""Multi-scale feature fusion: what the image shows and how it differs, brought together.

Source: MemSeg (arXiv 2205.00908), section on the multi-scale feature fusion module.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from course_utils.models.convolutions import convolution
from course_utils.models.memseg.attention import CoordinateAttention, doubled


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

    `forward` takes levels (N, 128, H, W), (N, 256, H/2, W/2), (N, 512, H/4, W/4) and returns
    (N, 64, H, W), (N, 128, H/2, W/2), (N, 256, H/4, W/4).

    Example:
        >>> import torch
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
        c1, c2, c3 = levels
        c3 = self.fuse3(c3)  # (N, 256, H/4, W/4)
        c2 = self.fuse2(c2) + self.up32(doubled(c3))  # (N, 128, H/2, W/2)
        c1 = self.fuse1(c1) + self.up21(doubled(c2))  # (N, 64, H, W)
        return c1, c2, c3


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
