"""The way up: from the deepest features and three fused levels to logits of every pixel.

Source: MemSeg (arXiv 2205.00908), decoder; widths of the blocks after each concatenation from the
code of `souxun2015/MemSeg`, which its author aligned with the paper.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from course_utils.models.convolutions import convolution, double_convolution
from course_utils.models.memseg.attention import doubled


class MemSegDecoder(nn.Module):
    """Double, convolve, concatenate the next finer level, convolve twice; four times, then to size.

    Args:
        num_classes: channels of the output.
        published_code: leave out the two convolutions after each concatenation and before the
            last layer, as the public code does; the next doubling then takes all channels.

    `forward` takes f4 (N, 512, H/32, W/32), the fused levels c1 (N, 64, H/4, W/4),
    c2 (N, 128, H/8, W/8), c3 (N, 256, H/16, W/16) and the stem's f0 (N, 64, H/2, W/2), and returns
    (N, num_classes, H, W).

    Example:
        >>> f4, f0 = torch.rand(2, 512, 1, 1), torch.rand(2, 64, 16, 16)
        >>> fused = [torch.rand(2, 64, 8, 8), torch.rand(2, 128, 4, 4), torch.rand(2, 256, 2, 2)]
        >>> MemSegDecoder()(f4, fused, f0).shape
        torch.Size([2, 2, 32, 32])
    """

    def __init__(self, num_classes: int = 2, *, published_code: bool = False) -> None:
        super().__init__()
        self.up3, self.join3 = _up(512, 256), _join(512, 256, published_code)
        self.up2, self.join2 = (
            _up(512 if published_code else 256, 128),
            _join(256, 128, published_code),
        )
        self.up1, self.join1 = (
            _up(256 if published_code else 128, 64),
            _join(128, 64, published_code),
        )
        self.up0, self.join0 = _up(128 if published_code else 64, 48), _join(96, 48, published_code)
        self.stem = nn.Conv2d(64, 48, 3, padding=1)
        if published_code:
            self.to_size = _up(96, 48)
            self.head: nn.Module = nn.Conv2d(48, num_classes, 3, padding=1)
        else:
            self.to_size = nn.Sequential(_up(48, 48), double_convolution(48, 24))
            self.head = nn.Sequential(
                convolution(24, 24, 3), nn.Conv2d(24, num_classes, 3, padding=1)
            )

    def forward(self, f4: Tensor, fused: Sequence[Tensor], f0: Tensor) -> Tensor:
        c1, c2, c3 = fused
        x = self.join3(torch.cat([self.up3(f4), c3], dim=1))  # (N, 256, H/16, W/16)
        x = self.join2(torch.cat([self.up2(x), c2], dim=1))  # (N, 128, H/8, W/8)
        x = self.join1(torch.cat([self.up1(x), c1], dim=1))  # (N, 64, H/4, W/4)
        x = self.join0(torch.cat([self.up0(x), self.stem(f0)], dim=1))  # (N, 48, H/2, W/2)
        x = self.to_size(x)  # (N, 24, H, W)
        return self.head(x)  # (N, num_classes, H, W)


class _Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return doubled(x)


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_Doubled(), convolution(inputs, outputs, 3))


def _join(inputs: int, outputs: int, published_code: bool) -> nn.Module:
    return nn.Identity() if published_code else double_convolution(inputs, outputs)
