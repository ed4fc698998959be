"""The blocks that the networks are made of: convolutions, start values, what comes before them."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

Padding = Literal["same", "valid"]

_STD_OF_TRUNCATED = 0.87962566103423978  # of a standard normal truncated at -2 and 2


def double_convolution(
    inputs: int, outputs: int, *, padding: Padding = "same", normalize: bool = True
) -> nn.Sequential:
    """Return two 3x3 convolutions, each with ReLU: the block that U-Net is made of.

    Example:
        >>> double_convolution(1, 8)(torch.zeros(2, 1, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """
    return nn.Sequential(
        *convolution(inputs, outputs, 3, padding=padding, normalize=normalize),
        *convolution(outputs, outputs, 3, padding=padding, normalize=normalize),
    )


def up_convolution(inputs: int, outputs: int, *, normalize: bool = True) -> nn.Sequential:
    """Return what doubles a map: nearest, then a 2x2 convolution with ReLU to fewer channels.

    A 2x2 kernel has no center: `"same"` pads one row and one column, at the bottom and the right.

    Example:
        >>> up_convolution(8, 4)(torch.zeros(2, 8, 16, 16)).shape
        torch.Size([2, 4, 32, 32])
    """
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        *convolution(inputs, outputs, 2, normalize=normalize),
    )


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    padding: Padding = "same",
    dilation: int = 1,
    normalize: bool = True,
) -> nn.Sequential:
    """Return a convolution, batch normalization if wanted, and ReLU.

    `padding="same"` keeps the size, whatever the dilation; an even kernel, which has no center,
    is padded at the bottom and the right.

    Example:
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
        nn.Conv2d(inputs, outputs, kernel, padding=side, dilation=dilation, bias=not normalize)
    )
    if normalize:
        layers.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


def he_normal(module: nn.Module) -> None:
    """Start a convolution as Keras' `he_normal` does: a normal truncated at two deviations.

    Its std after truncation is sqrt(2 / fan-in) (He et al. 2015); biases start at 0.

    Example:
        >>> layer = nn.Conv2d(64, 64, 3)
        >>> he_normal(layer)
        >>> abs(layer.weight.std().item() / math.sqrt(2 / (64 * 9)) - 1) < 0.05
        True
    """
    if isinstance(module, nn.Conv2d):
        fan_in = module.weight[0].numel()
        std = math.sqrt(2 / fan_in) / _STD_OF_TRUNCATED
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def init_prior_bias(head: nn.Conv2d, prior: float) -> None:
    """Set the bias of a network's last layer so that it first gives defects probability `prior`.

    A network that starts undecided spends its first steps learning that nearly everything is
    background (Lin et al. 2017, section 4.1). With several classes, defects share `prior` in equal
    parts. The weights of the layer still scatter the first answers around it.

    Raises:
        ValueError: unless `prior` lies strictly between 0 and 1.

    Example:
        >>> head = nn.Conv2d(8, 1, 1)
        >>> init_prior_bias(head, 0.01)
        >>> round(head.bias.sigmoid().item(), 4)
        0.01
    """
    if not 0 < prior < 1:
        raise ValueError(f"prior must lie strictly between 0 and 1, got {prior!r}")
    defects = head.out_channels - 1 or 1
    bias = head.weight.new_zeros(head.out_channels)
    bias[-defects:] = math.log(prior / (1 - prior) / defects)
    head.bias = nn.Parameter(bias)


def standardize(image: Tensor) -> Tensor:
    """Return images (N, C, H, W) with mean 0 and std about 1, each image by itself.

    Exposure varies far more between photographs than a defect does within one, and a network that
    must first learn to ignore it learns little else in a few hundred steps.

    Example:
        >>> dark, bright = 0.1 * torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8)
        >>> both = standardize(torch.cat([dark, 0.5 + bright]))
        >>> bool((both.mean(dim=(1, 2, 3)).abs() < 1e-5).all())
        True
    """
    std, mean = torch.std_mean(image, dim=(1, 2, 3), keepdim=True)
    return (image - mean) / (std + 0.01)


def check_image(image: Tensor, channels: int) -> None:
    """Raise `ValueError` unless `image` is (N, channels, H, W)."""
    if image.ndim != 4 or image.shape[1] != channels:
        raise ValueError(f"image must be (N, {channels}, H, W), got {tuple(image.shape)}")
