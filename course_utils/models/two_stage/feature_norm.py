"""Feature normalization: every channel of every image gets mean 0 and spread 1 by itself.

Sources: Božič, Tabernik and Skočaj, "End-to-end training of a two-stage neural network for defect
detection", ICPR 2020 (arXiv 2007.07676), which trains on one image at a time; its code of 2021.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Normalization = Literal["std", "published"]

EPSILON = {"std": 1e-5, "published": 1e-3}
"""What is added below the root: to the variance, and to the standard deviation."""


class FeatureNorm(nn.Module):
    """Subtract a channel's mean over its map, divide by its spread, then scale and shift.

    The statistics are those of the image at hand, in training and in use alike, so an image's
    output does not depend on its batch (also known as instance normalization).

    Args:
        channels: of input and output; scale and shift are learned for each.
        kind: `"std"` divides by the standard deviation, sqrt(variance + 1e-5). `"published"`
            repeats the public code, which divides by sqrt(standard deviation + .001): a channel
            of spread 100 leaves with spread 10, one of spread .01 with .095.
        bias: whether there is a shift. Without one, every output map has mean 0.

    `forward` takes and returns (N, channels, H, W). It raises `ValueError` for other shapes and
    for maps of a single cell, which have no spread.

    Example:
        >>> x = 100 * torch.randn(2, 3, 40, 40) + 7
        >>> [FeatureNorm(3, kind=kind)(x).std().round().item() for kind in ("std", "published")]
        [1.0, 10.0]
    """

    bias: nn.Parameter | None

    def __init__(self, channels: int, *, kind: Normalization = "std", bias: bool = True) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be at least 1, got {channels}")
        if kind not in get_args(Normalization):
            raise ValueError(f"kind must be one of {get_args(Normalization)}, got {kind!r}")
        self.channels, self.kind, self.epsilon = channels, kind, EPSILON[kind]
        self.weight = nn.Parameter(torch.ones(channels))
        self.register_parameter("bias", nn.Parameter(torch.zeros(channels)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.channels or x.shape[2] * x.shape[3] < 2:
            raise ValueError(
                f"x must be (N, {self.channels}, H, W) with at least 2 cells per map, "
                f"got {tuple(x.shape)}"
            )
        if self.kind == "published":
            return self._published(x)
        # An image on its own is a batch. `F.instance_norm` would rearrange channels-last maps, and
        # `F.group_norm` loses digits there where the mean is far larger than the spread.
        each = [
            F.batch_norm(image, None, None, self.weight, self.bias, training=True, eps=self.epsilon)
            for image in x.split(1)
        ]
        return torch.cat(each) if len(each) > 1 else each[0]

    def extra_repr(self) -> str:
        return f"{self.channels}, kind={self.kind!r}, bias={self.bias is not None}"

    def _published(self, x: Tensor) -> Tensor:
        # Statistics in float32 at least: bf16 rounds a mean to three digits.
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        spread, mean = torch.std_mean(exact, dim=(2, 3), keepdim=True)
        scale = self.weight[:, None, None] * (spread + self.epsilon).rsqrt()  # (N, C, 1, 1)
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias[:, None, None]
        return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))
