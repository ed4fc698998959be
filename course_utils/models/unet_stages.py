"""The sizes of the maps inside a U-Net, as they are, not as a figure says."""

from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from course_utils.models.unet import UNet


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
    grown: tuple[Stage, ...]
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
        ValueError: for sizes that the network refuses.

    Example:
        >>> stages = feature_shapes(UNet(), 128)
        >>> [(one.height, one.channels) for one in stages.down]
        [(128, 16), (64, 32), (32, 64), (16, 128), (8, 256)]
        >>> feature_shapes(UNet(padding="valid"), 572).output.height
        388
    """
    copy = deepcopy(model).to("meta").eval()
    found: dict[str, Stage] = {}

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...], made: Tensor) -> None:
        found[name] = _stage(name, made)

    for part, blocks in (("down", copy.down), ("grown", copy.grow), ("up", copy.up)):
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
        grown=stages("grown", model.depth),
        up=stages("up", model.depth),
        output=_stage("output", output),
        skips=model.skips,
    )


def _stage(name: str, made: Tensor) -> Stage:
    return Stage(name, *made.shape[1:])
