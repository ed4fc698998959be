"""Where to look: coordinate attention within a level, spatial maps across the levels.

Sources: Hou, Zhou and Feng, "Coordinate Attention for Efficient Mobile Network Design", CVPR 2021;
Yang, Wu and Feng, "MemSeg", EAAI 2023 (arXiv 2205.00908), spatial attention maps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CoordinateAttention(nn.Module):
    """Weigh each channel by row and by column: x * a_rows * a_columns.

    The map is averaged along its rows and along its columns; both averages pass one narrow 1x1
    convolution, batch normalization and h-swish; a 1x1 convolution and a sigmoid of its own turn
    each into weights in (0, 1).

    Args:
        channels: of input and output.
        reduction: the narrow convolution has max(8, channels / reduction) channels.

    `forward` takes and returns (N, channels, H, W).

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
        height, width = x.shape[2:]
        of_rows = x.mean(3, keepdim=True)  # (N, C, H, 1)
        of_columns = x.mean(2, keepdim=True).transpose(2, 3)  # (N, C, W, 1)
        both = self.squeeze(torch.cat([of_rows, of_columns], dim=2))  # (N, narrow, H + W, 1)
        of_rows, of_columns = both.split([height, width], dim=2)
        a_rows = self.rows(of_rows).sigmoid()  # (N, C, H, 1)
        a_columns = self.columns(of_columns).transpose(2, 3).sigmoid()  # (N, C, 1, W)
        return x * a_rows * a_columns


def spatial_attention(differences: Sequence[Tensor]) -> list[Tensor]:
    """Return one map (N, 1, H, W) per level that says where the image differs from the memory.

    The deepest map is the channel mean of its difference; each finer one is its own channel mean
    times the next deeper map, doubled in size (bilinear, corners aligned): M3 = mean(D3),
    M2 = mean(D2) * up(M3), M1 = mean(D1) * up(M2).

    Args:
        differences: D1, D2, D3, from fine to coarse; (N, C_i, H_i, W_i), each side half of the
            one before.

    Example:
        >>> d1, d2, d3 = torch.ones(1, 2, 8, 8), torch.ones(1, 4, 4, 4), 3 * torch.ones(1, 8, 2, 2)
        >>> [tuple(m.shape) + (m.mean().item(),) for m in spatial_attention([d1, d2, d3])]
        [(1, 1, 8, 8, 3.0), (1, 1, 4, 4, 3.0), (1, 1, 2, 2, 3.0)]
    """
    maps: list[Tensor] = []
    for difference in reversed(differences):
        mean = difference.mean(1, keepdim=True)
        maps.append(mean * doubled(maps[-1]) if maps else mean)
    return maps[::-1]


def doubled(x: Tensor) -> Tensor:
    """Return (N, C, 2H, 2W): bilinear, corners aligned, as everywhere in MemSeg."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
