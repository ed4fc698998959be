"""U-Net (Ronneberger, Fischer and Brox, 2015): the published forms, and those that we train."""

from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from course_utils.models.blocks import (
    Padding,
    check_image,
    convolution,
    double_convolution,
    he_normal,
    init_prior_bias,
    standardize,
    up_convolution,
)
from course_utils.models.encoders import EncoderName, Weights, build_encoder
from course_utils.models.encoders.base import check_range

DEPTH = 4
"""How often the image is halved, unless told otherwise."""
DECODER = (6, 4, 3, 2, 1)
"""Channels of the way up behind an encoder, from coarse to fine, in multiples of `width`."""


class UNet(nn.Module):
    """Image in, logits of every pixel out, with details carried across by skip connections.

    Going down, each stage applies two 3x3 convolutions, halves the map and doubles the channels;
    going up, it doubles the map, halves the channels, joins what the same stage saw on the way
    down, and applies two more. The default is slim (1.9 million parameters), normalizes its
    batches and standardizes each image; `UNet.published()` and `UNet.original()` are the forms
    of the literature.

    With an `encoder`, its five scales are the way down, trained on other pictures and trained on
    here, and only a slim way up starts at random. It takes images in [0, 1] with sides that are
    multiples of 32.

    Args:
        in_channels: 1 (gray), 3 (RGB), or any other number; before an encoder, a 1x1 convolution
            brings others to three, at first their mean.
        num_classes: 1 for one defect logit per pixel, K + 1 for background and K classes.
        encoder: `"resnet18"`, `"efficientnet_lite0"`, or None for a network of its own.
        weights: of the encoder, see `ResNetEncoder` and `EfficientNetEncoder`.
        width: channels of the first stage; with an encoder, of the last.
        depth: how often the image is halved; 4, and 5 with an encoder.
        skips: whether the way up sees what the way down saw. False is for comparison only.
        padding: of the 3x3 convolutions. With `"valid"` each one takes a border of 1 pixel away,
            skips are cropped, and the output is smaller than the image.
        normalize: batch normalization after each 3x3 and 2x2 convolution.
        standardize_input: bring each image to mean 0 and std 1 first; an encoder has a
            normalization of its own.
        dropout: of the two deepest stages of the way down; skips are taken after it.
        bottleneck: channels of one more 3x3 convolution before the last layer; None leaves it out.
        prior: share of defect pixels that the untrained network starts from (Lin et al. 2017,
            section 4.1); None starts undecided.

    Example:
        >>> UNet(in_channels=3, num_classes=4)(torch.zeros(2, 3, 64, 48)).shape
        torch.Size([2, 4, 64, 48])
        >>> UNet(1, 2, encoder="efficientnet_lite0")(torch.zeros(2, 1, 64, 96)).shape
        torch.Size([2, 2, 64, 96])
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        *,
        encoder: EncoderName | None = None,
        weights: Weights | None = "imagenet",
        width: int = 16,
        depth: int | None = None,
        skips: bool = True,
        padding: Padding = "same",
        normalize: bool = True,
        standardize_input: bool = True,
        dropout: float = 0.0,
        bottleneck: int | None = None,
        prior: float | None = None,
    ) -> None:
        super().__init__()
        if encoder and (depth is not None or padding != "same" or dropout or bottleneck):
            raise ValueError(
                "depth, padding, dropout and bottleneck are of a network without an encoder, got "
                f"depth={depth}, padding={padding!r}, dropout={dropout}, bottleneck={bottleneck}"
            )
        if not encoder and weights not in ("imagenet", None):
            raise ValueError(
                f"weights are of an encoder, got {weights!r} and no encoder: leave out weights, or "
                "give encoder"
            )
        depth = (len(DECODER) if encoder else DEPTH) if depth is None else depth
        if min(in_channels, num_classes, width, depth) < 1:
            raise ValueError(
                "in_channels, num_classes, width and depth must be at least 1, got "
                f"{in_channels}, {num_classes}, {width}, {depth}"
            )
        if padding not in ("same", "valid"):
            raise ValueError(f'padding must be "same" or "valid", got {padding!r}')
        if bottleneck is not None and bottleneck < 1:
            raise ValueError(f"bottleneck must be at least 1, or None, got {bottleneck}")
        self.in_channels, self.depth, self.padding = in_channels, depth, padding
        self.bottleneck = bottleneck
        self.skips, self.standardize_input = skips, standardize_input and not encoder
        self.down = nn.ModuleList()
        pretrained = build_encoder(encoder, weights) if encoder else None
        if pretrained:
            widths = [width * times for times in reversed(DECODER)]
            seen = [0, *pretrained.channels]  # nothing is seen at full size
        else:
            widths = [width * 2**stage for stage in range(depth)]
            seen = [*widths, width * 2**depth]
            for stage, (inputs, outputs) in enumerate(
                zip([in_channels, *seen], seen, strict=False)
            ):
                block = double_convolution(inputs, outputs, padding=padding, normalize=normalize)
                if dropout and stage >= depth - 1:
                    block.append(nn.Dropout(dropout))
                self.down.append(block)
            self.pool = nn.MaxPool2d(2)

        self.upsample, self.up = nn.ModuleList(), nn.ModuleList()
        inputs = seen.pop()
        for outputs in reversed(widths):
            self.upsample.append(up_convolution(inputs, outputs, normalize=normalize))
            joined = outputs + seen.pop() if skips else outputs
            block = double_convolution(joined, outputs, padding=padding, normalize=normalize)
            self.up.append(block)
            inputs = outputs
        last = width
        if bottleneck is not None:
            block.extend(convolution(width, bottleneck, 3, padding=padding, normalize=normalize))
            last = bottleneck
        self.head = nn.Conv2d(last, num_classes, kernel_size=1)
        self.apply(he_normal)
        nn.init.xavier_uniform_(self.head.weight)
        if prior is not None:
            init_prior_bias(self.head, prior)
        self.encoder = pretrained  # after he_normal, which would draw it anew
        self.to_rgb = None
        if encoder and in_channels not in (1, 3):
            self.to_rgb = nn.Conv2d(in_channels, 3, kernel_size=1, bias=False)
            nn.init.constant_(self.to_rgb.weight, 1 / in_channels)

    @classmethod
    def published(cls, in_channels: int = 1, num_classes: int = 1) -> "UNet":
        """Return the Keras network that most tutorials copy (`zhixuhao/unet`), weight by weight.

        Its last but one layer has 2 channels with ReLU: when both are 0 everywhere, the network
        answers a constant and learns no more.

        Example:
            >>> with torch.device("meta"):  # shapes without numbers
            ...     sum(p.numel() for p in UNet.published().parameters())
            31031685
        """
        return cls(
            in_channels,
            num_classes,
            width=64,
            normalize=False,
            standardize_input=False,
            dropout=0.5,
            bottleneck=2,
        )

    @classmethod
    def original(cls, in_channels: int = 1, num_classes: int = 2) -> "UNet":
        """Return the network of the paper: no padding, so 572 pixels in are 388 out.

        Example:
            >>> with torch.device("meta"):
            ...     UNet.original().output_size(572, 572)
            (388, 388)
        """
        return cls(
            in_channels,
            num_classes,
            width=64,
            padding="valid",
            normalize=False,
            standardize_input=False,
            dropout=0.5,
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, num_classes, H, W) of (N, in_channels, H, W), less the border if valid.

        Raises `ValueError` for other shapes, for sides that 2**depth does not divide (same
        padding), for images too small for valid padding, and, with an encoder, for values outside
        [0, 1].
        """
        check_image(image, self.in_channels)
        self.output_size(*image.shape[2:])
        seen = self._seen(image)
        x = seen.pop()
        for upsample, block in zip(self.upsample, self.up, strict=True):
            x = upsample(x)
            if self.skips and seen:
                x = torch.cat([_cropped(seen.pop(), x), x], dim=1)
            x = block(x)
        return self.head(x)

    def _seen(self, image: Tensor) -> list[Tensor]:
        """Return what the way down sees, from fine to coarse."""
        if self.encoder is not None:
            check_range(image)
            x = image if self.to_rgb is None else self.to_rgb(image)
            seen = list(self.encoder.first_four(x))  # (N, channels[0], H / 2, W / 2), ...
            return [*seen, self.encoder.last(seen[-1])]
        x = standardize(image) if self.standardize_input else image
        seen = []
        for stage, block in enumerate(self.down):
            x = block(self.pool(x) if stage else x)  # (N, width * 2**stage, H / 2**stage, ...)
            seen.append(x)
        return seen

    def extra_repr(self) -> str:
        """Name what the layers do not show; a checkpoint of `fit` tells networks apart by it."""
        return f"skips={self.skips}, standardize_input={self.standardize_input}"

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the output for an image of this size.

        Raises:
            ValueError: for sizes that `forward` refuses.

        Example:
            >>> with torch.device("meta"):
            ...     UNet.original().output_size(512, 512)
            (324, 324)
        """
        return self._output_side(height), self._output_side(width)

    def _next(self, side: int) -> int:
        return max(1, -(-side // 2**self.depth)) * 2**self.depth

    def _output_side(self, side: int) -> int:
        if self.padding == "same":
            if side < 1 or side % 2**self.depth:
                raise ValueError(
                    f"sides must be multiples of {2**self.depth} (the image is halved "
                    f"{self.depth} times), got {side}: pad or resize to {self._next(side)}"
                )
            return side
        given = side
        for stage in range(self.depth + 1):
            side = (side if stage == 0 else side // 2) - 4
        for _ in range(self.depth):
            side = 2 * side - 4
        if self.bottleneck is not None:
            side -= 2
        if side < 1:
            raise ValueError(
                f"sides of {given} pixels are too few: without padding, nothing would be left "
                "after all convolutions"
            )
        return side


@dataclass(frozen=True)
class Stage:
    """One map inside a network: its channels and its size in pixels."""

    name: str
    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class UNetStages:
    """The maps of a U-Net, from image to output; `plots.unet_diagram` draws them."""

    image: Stage
    down: tuple[Stage, ...]
    """After the convolutions of each stage; the last is the bottom of the U."""
    upsampled: tuple[Stage, ...]
    """After each up-convolution: what a skip connection is cropped to, and joined with."""
    up: tuple[Stage, ...]
    """After the convolutions of each stage of the way up."""
    output: Stage
    skips: bool


def feature_shapes(model: UNet, height: int, width: int | None = None) -> UNetStages:
    """Return the size of each map for an image of this size; `width` defaults to `height`.

    An image runs through a copy of the network whose tensors have shapes and no values ("meta"):
    every layer reports what it makes, in no time even for the large published networks.

    Raises:
        ValueError: for sizes that the network refuses, and for a network with an encoder.

    Example:
        >>> stages = feature_shapes(UNet(), 128)
        >>> [(one.height, one.channels) for one in stages.down]
        [(128, 16), (64, 32), (32, 64), (16, 128), (8, 256)]
        >>> feature_shapes(UNet(padding="valid"), 572).output.height
        388
    """
    if model.encoder is not None:
        raise ValueError("feature_shapes knows the U-Nets without an encoder")
    copy = deepcopy(model).to("meta").eval()
    found: dict[str, Stage] = {}

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...], made: Tensor) -> None:
        found[name] = _stage(name, made)

    for part, blocks in (("down", copy.down), ("upsampled", copy.upsample), ("up", copy.up)):
        for number, block in enumerate(blocks, start=1):
            block.register_forward_hook(partial(note, f"{part} {number}"))
    width = height if width is None else width
    image = torch.zeros(1, model.in_channels, height, width, device="meta")
    with torch.no_grad():
        output = copy(image)

    def stages(part: str, count: int) -> tuple[Stage, ...]:
        return tuple(found[f"{part} {number}"] for number in range(1, count + 1))

    return UNetStages(
        image=_stage("image", image),
        down=stages("down", model.depth + 1),
        upsampled=stages("upsampled", model.depth),
        up=stages("up", model.depth),
        output=_stage("output", output),
        skips=model.skips,
    )


def _cropped(skip: Tensor, like: Tensor) -> Tensor:
    # With valid padding the skip is larger: its center is what `like` describes.
    top = (skip.shape[2] - like.shape[2]) // 2
    left = (skip.shape[3] - like.shape[3]) // 2
    return skip[:, :, top : top + like.shape[2], left : left + like.shape[3]]


def _stage(name: str, made: Tensor) -> Stage:
    return Stage(name, *made.shape[1:])
