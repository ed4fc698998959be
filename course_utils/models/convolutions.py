"""The blocks that U-Net and the cascaded autoencoder are made of."""

import math
from typing import Literal

from torch import nn

Padding = Literal["same", "valid"]

_SPREAD_AFTER_CUT = 0.87962566103423978  # standard deviation of a normal cut at -2 and 2


def double_convolution(
    inputs: int, outputs: int, *, padding: Padding = "same", normalise: bool = True
) -> nn.Sequential:
    """Two 3x3 convolutions, each with ReLU: the block that U-Net is made of.

    Example:
        >>> import torch
        >>> double_convolution(1, 8)(torch.zeros(2, 1, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """
    return nn.Sequential(
        *convolution(inputs, outputs, 3, padding=padding, normalise=normalise),
        *convolution(outputs, outputs, 3, padding=padding, normalise=normalise),
    )


def up_convolution(inputs: int, outputs: int, *, normalise: bool = True) -> nn.Sequential:
    """Double the map (nearest), then a 2x2 convolution with ReLU that brings the channels down.

    A 2x2 kernel has no center: `"same"` pads one row and one column, at the bottom and the right.

    Example:
        >>> import torch
        >>> up_convolution(8, 4)(torch.zeros(2, 8, 16, 16)).shape
        torch.Size([2, 4, 32, 32])
    """
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        *convolution(inputs, outputs, 2, normalise=normalise),
    )


def he_normal(module: nn.Module) -> None:
    """Start a convolution as Keras' `he_normal` does: a normal cut at two standard deviations.

    The spread after the cut is sqrt(2 / fan-in) (He et al. 2015); biases start at 0.

    Example:
        >>> layer = nn.Conv2d(64, 64, 3)
        >>> he_normal(layer)
        >>> abs(layer.weight.std().item() / math.sqrt(2 / (64 * 9)) - 1) < 0.05
        True
    """
    if isinstance(module, nn.Conv2d):
        fan_in = module.weight[0].numel()
        spread = math.sqrt(2 / fan_in) / _SPREAD_AFTER_CUT
        nn.init.trunc_normal_(module.weight, std=spread, a=-2 * spread, b=2 * spread)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    padding: Padding = "same",
    dilation: int = 1,
    normalise: bool = True,
) -> nn.Sequential:
    """A convolution, batch normalization if wanted, and ReLU.

    `padding="same"` keeps the size, whatever the dilation; an even kernel, which has no center,
    is padded at the bottom and the right.

    Example:
        >>> import torch
        >>> convolution(1, 8, 3, dilation=2)(torch.zeros(2, 1, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """
    layers: list[nn.Module] = []
    reach = (kernel - 1) * dilation
    if padding == "same" and reach % 2:
        layers.append(nn.ZeroPad2d((reach // 2, reach - reach // 2) * 2))
        reach = 0
    side = reach // 2 if padding == "same" else 0
    layers.append(
        nn.Conv2d(inputs, outputs, kernel, padding=side, dilation=dilation, bias=not normalise)
    )
    if normalise:
        layers.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*layers, nn.ReLU(inplace=True))
