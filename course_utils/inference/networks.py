"""Networks by name, and one reading of what each of them returns."""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from course_utils.data import upsample_map
from course_utils.models import (
    CascadedAutoencoder,
    MemSeg,
    NearestPatches,
    TwoStageNet,
    TwoStageOutput,
    UNet,
)

NETWORKS: dict[str, type[nn.Module]] = {
    network.__name__: network
    for network in (UNet, CascadedAutoencoder, MemSeg, NearestPatches, TwoStageNet)
}


class Answer(NamedTuple):
    """What a network says of some images."""

    maps: Tensor
    """How abnormal each pixel is, (N, h, w): a probability, or a distance without a unit."""
    classes: Tensor | None
    """The most probable class of each pixel, (N, h, w), where there are several of defects."""
    decisions: Tensor | None
    """A logit of each image, (N,), where the network has one."""


def build_network(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return a network of `NETWORKS` without weights, and without looking for any.

    Raises:
        ValueError: for another name or arguments that it does not take.

    Example:
        >>> build_network("UNet", {"in_channels": 1, "width": 2}).in_channels
        1
    """
    if name not in NETWORKS:
        raise ValueError(f"network {name!r} is unknown: one of {', '.join(NETWORKS)} is wanted")
    network = NETWORKS[name]
    drawn = {"weights": None} if "weights" in inspect.signature(network).parameters else {}
    try:
        return network(**{**arguments, **drawn})
    except TypeError as error:
        raise ValueError(f"{name} cannot be made of {dict(arguments)}: {error}") from error


def read_output(output: Tensor | TwoStageOutput) -> Answer:
    """Return what the output of a network says, in float32.

    - `TwoStageOutput`: the probability of a defect, linear between the cells, and the logit of
      the image.
    - Logits (N, 1, H, W): the sigmoid. Logits (N, K, H, W): all but the probability of the
      background; above two classes the most probable one, too.
    - Maps (N, H, W): as they are.

    Example:
        >>> import torch
        >>> read_output(torch.zeros(1, 4, 2, 2)).maps[0, 0, 0].item()
        0.75
    """
    if isinstance(output, TwoStageOutput):
        maps = upsample_map(output.segmentation[:, 0].float().sigmoid())
        return Answer(maps, None, output.decision.float())
    if output.ndim == 3:
        return Answer(output.float(), None, None)
    if output.shape[1] == 1:
        return Answer(output[:, 0].float().sigmoid(), None, None)
    probabilities = output.float().softmax(1)
    several = output.shape[1] > 2
    # With two classes p(defect) itself: 1 - p(background) would lose the small ones to rounding.
    maps = 1 - probabilities[:, 0] if several else probabilities[:, 1]
    return Answer(maps, probabilities.argmax(1) if several else None, None)
