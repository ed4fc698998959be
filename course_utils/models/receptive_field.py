"""Which pixels of the image an output pixel depends on, and how strongly."""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn


def effective_receptive_field(
    model: nn.Module, image: Tensor, pixel: tuple[int, int], *, output: int = 0
) -> Tensor:
    """Return how strongly each pixel of the image moves the logit of one output pixel, (H, W).

    That is |d logit / d input|, summed over the channels: what a *trained* network really looks
    at, usually the middle of its receptive field (Luo et al. 2016). Differentiated is what the
    first convolution reads. Networks of the course standardize each image before that, which
    lets every pixel reach every output by way of mean and std; this part is left out.

    Args:
        model: takes (1, C, H, W) and returns logits (1, K, H', W'). It is not changed.
        image: (C, H, W).
        pixel: row and column of the output; with valid padding, the output is smaller.
        output: which of the K logits.

    Raises:
        ValueError: for an image that is not (C, H, W), a pixel or a logit that the output does not
            have, and a network whose output can be reached past the first convolution.

    Example:
        >>> layer = nn.Conv2d(1, 1, kernel_size=3, padding=1)
        >>> (effective_receptive_field(layer, torch.rand(1, 7, 7), (2, 3)) > 0).sum(dim=1).tolist()
        [0, 3, 3, 3, 0, 0, 0]
    """
    if image.ndim != 3:
        raise ValueError(f"image must be (C, H, W), got {tuple(image.shape)}")
    copy = deepcopy(model).eval()
    logits, read, given = _run(copy, image[None], lambda seen: seen.detach().clone())
    _require_inside(logits, pixel, output)
    gradient, past = torch.autograd.grad(
        logits[0, output, *pixel], [read, given], allow_unused=True
    )
    if past is not None or read.shape[2:] != given.shape[2:]:
        raise ValueError(
            "the first convolution must read the whole image, and nothing else may: this network "
            "has another way from the image to its output"
        )
    return torch.zeros_like(given[0, 0]) if gradient is None else gradient[0].abs().sum(dim=0)


def receptive_field_side(
    model: nn.Module, *, height: int = 512, width: int = 32, neighbors: int = 16
) -> int:
    """Return the side, in pixels, of the box of the image that one output pixel can depend on.

    Measured, not computed from a formula: in a copy all weights become positive, all biases 0,
    max-pooling becomes mean-pooling (a maximum lets only one of its pixels through), and the rows
    with a gradient are counted. It thus belongs to the architecture, not to the training. Between
    image and first convolution nothing is counted, see `effective_receptive_field`.

    Pooling makes the box of some pixels larger than that of others: the largest of `neighbors`
    pixels is returned. A U-Net repeats itself after 2**depth.

    Args:
        model: takes (1, C, height, width) and has square kernels, so that rows suffice. Channels
            do not matter: for a wide network, measure a narrow one of the same depth.
        height: of the image, larger than the box.
        width: of the image; small is quick.
        neighbors: in how many rows of the output, from its middle on, a pixel is looked at.

    Raises:
        ValueError: when a box reaches the border of the image, and so may be cut, and for
            max-pooling with dilation, which mean-pooling does not have.

    Example:
        >>> receptive_field_side(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 1, 3)), height=64)
        5
    """
    copy = _all_positive(model)
    channels = next(m.in_channels for m in copy.modules() if isinstance(m, nn.Conv2d))
    image = torch.ones(1, channels, height, width, dtype=torch.float64)
    logits, read, _ = _run(copy, image, torch.ones_like)
    middle, column = logits.shape[2] // 2, logits.shape[3] // 2
    sides = []
    for row in range(middle, min(middle + neighbors, logits.shape[2])):
        (gradient,) = torch.autograd.grad(logits[0, 0, row, column], read, retain_graph=True)
        rows = gradient[0].ne(0).any(dim=2).any(dim=0).nonzero()
        first, last = int(rows.min()), int(rows.max())
        if first == 0 or last == height - 1:
            raise ValueError(
                f"the receptive field reaches the border of an image of {height} rows: "
                "measure with a larger height"
            )
        sides.append(last - first + 1)
    return max(sides)


def _run(
    model: nn.Module, image: Tensor, stand_in: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits, what the first convolution read in place of its input, and the image."""
    read: list[Tensor] = []

    def replace(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if read:
            return None
        read.append(stand_in(inputs[0]).requires_grad_())
        return (read[0],)

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(replace)
    given = image.detach().clone().requires_grad_()
    with torch.enable_grad():
        logits = model(given)
    if not read:
        raise ValueError(f"{type(model).__name__} has no convolution (nn.Conv2d)")
    return logits, read[0], given


def _all_positive(model: nn.Module) -> nn.Module:
    # In float64: the corner of a deep field has a share of 9**-20 and less.
    copy = deepcopy(model).cpu().double().eval()
    # Not all alike: a softmax inside the network would cancel equal logits.
    generator = torch.Generator().manual_seed(0)
    for parent in list(copy.modules()):
        if isinstance(parent, nn.Conv2d | nn.ConvTranspose2d):
            fan_in = parent.weight[0].numel()
            with torch.no_grad():
                parent.weight.uniform_(0.5 / fan_in, 1.5 / fan_in, generator=generator)
                if parent.bias is not None:
                    parent.bias.zero_()
        elif isinstance(parent, nn.BatchNorm2d):
            parent.reset_running_stats()
            parent.reset_parameters()
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool2d):
                if child.dilation not in (1, (1, 1)):
                    raise ValueError(
                        f"max-pooling with dilation cannot be measured, got {child}: use dilation 1"
                    )
                mean = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(parent, name, mean)
    return copy


def _require_inside(logits: Tensor, pixel: tuple[int, int], output: int) -> None:
    _, outputs, height, width = logits.shape
    row, column = pixel
    if not (0 <= row < height and 0 <= column < width and 0 <= output < outputs):
        raise ValueError(
            f"the output has {outputs} logits for each of {height} x {width} pixels, "
            f"got logit {output} of pixel {pixel}"
        )
