"""All that decides a training of the two-stage network, and the variants that it has.

Sources: Bozic et al., ICPR 2020 (arXiv 2007.07676) and Computers in Industry 2021 (2104.06064).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from course_utils.trainers.settings import (
    require_one_of,
    require_positive,
    require_rates_and_seeds,
    require_types,
)

CHANNELS = {"published": (32, 64, 64, 1024), "slim": (8, 16, 16, 64)}
"""Of the volume: in full, at half and at a quarter of the image's side, and at its end."""


class TwoStageVariant(NamedTuple):
    """The two-stage network with something changed."""

    title: str
    dynamic: bool = True
    weights: Literal["image", "component"] | None = "image"
    rule: Literal["least_used", "uniform"] = "least_used"
    pitfall_label: bool = False
    model: Mapping[str, Any] = MappingProxyType({})
    """Arguments of `TwoStageNet`."""


_OPEN = {"stop_shortcut": False, "stop_extractor": False}
TWO_STAGE_VARIANTS = {
    "two_stage": TwoStageVariant("all four extensions"),
    "no_schedule": TwoStageVariant("no schedule", dynamic=False),
    "no_stops": TwoStageVariant("no gradient stops", model=_OPEN),
    "no_weights": TwoStageVariant("no distance weights", weights=None),
    "uniform_sampling": TwoStageVariant("uniform sampling", rule="uniform"),
    "plain": TwoStageVariant(
        "none of the four", dynamic=False, weights=None, rule="uniform", model=_OPEN
    ),
    "no_shortcut_stop": TwoStageVariant("stop (b) alone", model={"stop_shortcut": False}),
    "no_extractor_stop": TwoStageVariant("stop (a) alone", model={"stop_extractor": False}),
    "component_weights": TwoStageVariant("distance weights by component", weights="component"),
    "pitfall_label": TwoStageVariant("label from the shrunk mask", pitfall_label=True),
    "published_norm": TwoStageVariant(
        "square root of the spread", model={"normalization": "published"}
    ),
    "no_bias": TwoStageVariant("no bias in the map", model={"segmentation_bias": False}),
}
"""The method, its ablations, and the mistakes of the public code, by name."""


@dataclass(frozen=True)
class TwoStageRecipe:
    """All that decides a training, down to the last bit on one CPU with one number of threads.

    The optimizer is the paper's: SGD without momentum or weight decay, at one rate. Its rates are
    for gradients *summed* over the images of a batch; here the loss is a mean, so that "batch 10,
    rate .1" is `batch_size=10, learning_rate=1.0`.

    Raises:
        ValueError: for settings that cannot work.

    Example:
        >>> TwoStageRecipe(data="kolektor_sdd", height=704, width=256, fold=1).epochs
        50
    """

    data: str = "synthetic"
    variant: str = "two_stage"
    """One of `TWO_STAGE_VARIANTS`."""
    fold: int = 0
    """1, 2 or 3: this fold of KolektorSDD is the test part; 0: parts as `open_dataset` makes."""
    height: int = 128
    width: int = 128
    """Of the images, in pixels; multiples of 8."""
    channels: str = "published"
    """One of `CHANNELS`."""
    epochs: int = 50
    batch_size: int = 1
    optimizer: str = "sgd"
    learning_rate: float = 1.0
    weight_decay: float = 0.0
    delta: float = 0.01
    """Weight of the decision's loss."""
    power: float = 2.0
    """Of the distance to the edge of a defect, in the weights of its pixels."""
    positive_weight: float = 1.0
    """Weight of the innermost pixel of a defect."""
    dilate: int = 1
    """Side of the square by which masks grow before training; 1 leaves them as they are."""
    masks: str = "exact"
    """What is learnt from: `"exact"`, or `"ellipse"` around each defect."""
    segmented: int = -1
    """So many defective images teach with their masks, the others with their label; -1: all."""
    seed: int = 0
    """Of the weights, the order of the images, and which masks teach."""
    split_seed: int = 0

    def __post_init__(self) -> None:
        require_types(self)
        require_one_of("variant", self.variant, tuple(TWO_STAGE_VARIANTS))
        require_one_of("channels", self.channels, tuple(CHANNELS))
        require_one_of("optimizer", self.optimizer, ("sgd", "adamw"))
        require_one_of("masks", self.masks, ("exact", "ellipse"))
        if not 0 <= self.fold <= 3:
            raise ValueError(f"fold must be 1, 2 or 3, or 0 for no folds, got {self.fold}")
        require_positive(self, "height", "width")
        if self.height % 8 or self.width % 8 or (self.height // 64) * (self.width // 64) < 2:
            raise ValueError(
                "height and width must be multiples of 8 that hold two cells of 64 x 64 pixels, "
                f"got {self.height} and {self.width}"
            )
        require_positive(self, "epochs", "batch_size", "dilate")
        if self.dilate % 2 == 0:
            raise ValueError(f"dilate must be odd, got {self.dilate}")
        if self.segmented < -1:
            raise ValueError(f"segmented must be at least 0, or -1 for all, got {self.segmented}")
        for name in ("delta", "power", "positive_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0 and finite, got {getattr(self, name)}")
        require_rates_and_seeds(self)
