"""All that decides a training: typed once, for the command line, the check and the record.

Nothing here needs torch: `course train --help` reads these classes.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    TypeAlias,
    cast,
)

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from course_utils.config import MAX_SEED

LOSS_NAMES = {
    "cross_entropy": "cross entropy",
    "weighted": "weighted cross entropy",
    "focal": "focal loss",
    "dice": "cross entropy + Dice",
}
"""Each loss of the U-Net and how people write it; `segmentation_loss` has a case for each."""
ENCODERS = ("resnet18", "efficientnet_lite0")
"""Names that `build_encoder` takes."""
WEIGHTS = {"offline": "offline", "imagenet": "imagenet", "none": None}
"""Of an encoder, by the name that stands in a config; a path of a file may stand there, too."""
FOREGROUNDS = ("auto", "none", "dark", "bright")
"""Where anomalies may lie, by the name that stands in a config; a path of a mask may, too."""
MASK_SUFFIXES = (".png", ".bmp", ".webp")
CHANNELS = {"published": (32, 64, 64, 1024), "slim": (8, 16, 16, 64)}
"""Of the two-stage network, at the image's full side, at a half, at a quarter, and at the end."""


class Variant(NamedTuple):
    """MemSeg with one thing changed."""

    title: str
    model: Mapping[str, Any] = MappingProxyType({})
    """Arguments of `MemSeg`."""
    anomalies: Literal["both", "texture", "structure"] = "both"
    double_softmax: bool = False
    freeze: bool = False
    """Freeze what `MemSeg` itself would leave to drift."""


VARIANTS = {
    "memseg": Variant("MemSeg"),
    "per_level": Variant("a nearest image for each level", {"nearest": "per_level"}),
    "absolute": Variant("absolute differences", {"difference": "absolute"}),
    "no_memory": Variant("no memory", {"memory": False}),
    "no_attention": Variant("no attention", {"attention": False, "spatial_maps": None}),
    "no_coordinate_attention": Variant("no coordinate attention", {"attention": False}),
    "no_maps": Variant("no spatial maps", {"spatial_maps": None}),
    "scaled_maps": Variant("each spatial map divided by its mean", {"spatial_maps": "scaled"}),
    "texture_only": Variant("textures only", anomalies="texture"),
    "structure_only": Variant("structure only", anomalies="structure"),
    "double_softmax": Variant("softmax taken twice", double_softmax=True),
    "published_code": Variant("network of the public code", {"published_code": True}),
    "published_frozen": Variant(
        "the same, its frozen part still", {"published_code": True}, freeze=True
    ),
}
"""MemSeg, its ablations, and the mistakes of the public code, by name."""


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
    "no_schedule_no_stops": TwoStageVariant("neither of both", dynamic=False, model=_OPEN),
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
        "square root of the standard deviation", model={"normalization": "published"}
    ),
    "no_bias": TwoStageVariant("no bias in the map", model={"segmentation_bias": False}),
}
"""The method, its ablations, and the mistakes of the public code, by name."""

if TYPE_CHECKING:
    LossName: TypeAlias = str
    EncoderName: TypeAlias = Any
    VariantName: TypeAlias = str
    TwoStageVariantName: TypeAlias = str
    Channels: TypeAlias = str
else:  # the names stand once, in the tables above
    LossName = Literal[tuple(LOSS_NAMES)]
    EncoderName = Literal[ENCODERS]
    VariantName = Literal[tuple(VARIANTS)]
    TwoStageVariantName = Literal[tuple(TWO_STAGE_VARIANTS)]
    Channels = Literal[tuple(CHANNELS)]


def check_weights(name: str) -> str:
    """Return the name of an encoder's weights, or the path of a safetensors file, as it is.

    Raises:
        ValueError: for any other text.

    Example:
        >>> check_weights("runs/encoder.safetensors")
        'runs/encoder.safetensors'
    """
    if name not in WEIGHTS and not name.endswith(".safetensors"):
        raise ValueError(f"must be {', '.join(WEIGHTS)} or PATH.safetensors")
    return name


def check_foreground(name: str) -> str:
    """Return the name of a foreground, or the path of a mask, as it is.

    Raises:
        ValueError: for any other text.

    Example:
        >>> check_foreground("product.png")
        'product.png'
    """
    if name not in FOREGROUNDS and not name.lower().endswith(MASK_SUFFIXES):
        raise ValueError(f"must be {', '.join(FOREGROUNDS)} or PATH of a mask ({MASK_SUFFIXES[0]})")
    return name


def encoder_weights(name: str) -> Literal["offline", "imagenet"] | Path | None:
    """Return what an encoder takes for the name that stands in a config.

    Raises:
        ValueError: for a name that is unknown and does not end in `.safetensors`.

    Example:
        >>> encoder_weights("none") is None, encoder_weights("runs/encoder.safetensors").name
        (True, 'encoder.safetensors')
    """
    if check_weights(name) not in WEIGHTS:
        return Path(name)
    return cast(Literal["offline", "imagenet"] | None, WEIGHTS[name])


Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
WeightsName = Annotated[str, AfterValidator(check_weights)]
ForegroundName = Annotated[str, AfterValidator(check_foreground)]


class TrainingConfig(BaseModel):
    """What all trainings have.

    A config decides its training down to the last bit, on one CPU with one number of threads. It
    is compared with one read from JSON, so 8 and 8.0, or 1 and True, must not both get in.

    Raises:
        ValueError: for settings that cannot work; each in one sentence.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )
    image_settings: ClassVar[tuple[str, ...]]
    """What decides the images; trainings that agree in these share them."""
    compared: ClassVar[str]
    """The setting by which trainings are compared, and whose value names a folder of them."""
    least: ClassVar[int] = 64
    """Pixels of a side, or more: fewer are too few for the network."""

    data: str = "synthetic"
    """Data set: a name that `course data list` shows, or folder:PATH."""
    height: Count = 128
    """Of the images, in pixels: they are stretched to it."""
    width: Count = 128
    """Of the images, in pixels; of wide or high ones, choose both so that they keep their shape."""
    tile: Annotated[int, Field(ge=0)] = 0
    """Side of square tiles to train on and to look at, for small defects on large images; 0: whole
    images."""
    seed: Seed = 0
    """Of the weights, the order of the images, and all that is drawn while training."""
    split_seed: Seed = 0
    """Deals the images out to training, validation and test."""
    split_by: Literal["group", "image"] = "group"
    """group, or image: leaks, to measure what that pretends."""

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ValueError("; ".join(map(_sentence, error.errors()))) from None

    @property
    def name(self) -> str:
        """What tells trainings of one data set apart, besides the seed."""
        return str(getattr(self, self.compared))

    @property
    def multiple(self) -> int:
        """What the sides are multiples of: the network halves them some times without a rest."""
        return 32

    def next_side(self, pixels: float) -> int:
        """Return the smallest side that the network takes and that has so many pixels or more.

        Example:
            >>> UNetConfig().next_side(100), MemSegConfig().next_side(16)
            (112, 64)
        """
        return math.ceil(max(pixels, self.least) / self.multiple) * self.multiple

    @property
    def shown(self) -> tuple[int, int]:
        """Height and width of what the network is shown: tiles, or whole images."""
        return (self.tile, self.tile) if self.tile else (self.height, self.width)

    @model_validator(mode="after")
    def _check_sides(self) -> Self:
        images = {"height": self.height, "width": self.width}
        shown = {"tile": self.tile} if self.tile else images
        problems = [
            f"{name} must be a multiple of {self.multiple} and at least {self.next_side(0)}, got "
            f"{side}: choose {self.next_side(side)}"
            for name, side in shown.items()
            if side != self.next_side(side)
        ]
        if self.tile and not problems:
            problems = [
                f"{name} must be a multiple of 8 and at least {self.tile}, the tile, got {side}: "
                f"choose {max(self.tile, math.ceil(side / 8) * 8)}"
                for name, side in images.items()
                if side < self.tile or side % 8
            ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def images_only(self) -> Self:
        """Return the config that is equal for all trainings with the same images."""
        return type(self)(**{name: getattr(self, name) for name in self.image_settings})


class UNetConfig(TrainingConfig):
    """A U-Net that marks defects.

    Example:
        >>> UNetConfig(loss="focal").steps
        1200
        >>> UNetConfig(height=20)
        Traceback (most recent call last):
            ...
        ValueError: height must be a multiple of 16 and at least 16, got 20: choose 32
    """

    image_settings = ("data", "classes", "height", "width", "tile", "split_seed", "split_by")
    compared = "loss"
    least = 16

    loss: LossName = "cross_entropy"
    """What is minimized."""
    classes: Literal["one", "all"] = "one"
    """one: defect or not; all: each class of defect for itself."""
    network: Literal["unet", "casae"] = "unet"
    """unet, or casae: two autoencoders, trained one after the other in 3/5 and 2/5 of the steps."""
    encoder: EncoderName | None = None
    """resnet18 or efficientnet_lite0, trained on other pictures; else a network from nothing."""
    weights: WeightsName = "offline"
    """Of the encoder: offline, imagenet, none (drawn at random) or a safetensors file."""
    channels: Count = 16
    """Of the network at full size; it doubles them where it halves the sides."""
    steps: Count = 1200
    """Batches to train on."""
    batch_size: Count = 8
    """Images in a batch."""
    learning_rate: Annotated[float | None, Field(gt=0)] = None
    """Highest learning rate; unless given, .001 with an encoder and .003 without."""
    weight_decay: NotNegative = 1e-2
    """Of AdamW."""
    flips: bool = True
    """Turn images over at random while training."""

    @model_validator(mode="before")
    @classmethod
    def _choose_rate(cls, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("learning_rate") is None:
            given = given | {"learning_rate": 1e-3 if given.get("encoder") else 3e-3}
        return given

    @property
    def multiple(self) -> int:
        """16: U-Net halves the sides 4 times; 32 with an encoder, which halves them 5 times."""
        return 32 if self.encoder else 16

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.encoder and self.network == "casae":
            raise ValueError(f"casae has encoders of its own, got {self.encoder}: leave it out")
        if not self.encoder and self.weights != "offline":
            raise ValueError(
                f"weights are of an encoder, got {self.weights!r} and no encoder: leave out "
                "weights, or give encoder"
            )
        if self.batch_size == 1 and self.shown == (self.multiple, self.multiple):
            raise ValueError(
                f"batch_size must be at least 2 for images of {self.multiple} x {self.multiple}, "
                "of which one cell is left to normalize, got 1: choose 2, or larger images"
            )
        return self


class MemSegConfig(TrainingConfig):
    """MemSeg, trained on good images alone.

    One thing is not in it: whether DTD is there to take textures from, see `simulator`. A training
    does not go on where that has changed.

    The description of the paper that we could read has a learning rate of .04, found by grid
    search, and names no optimizer. Ours is AdamW with one rise and fall of the rate (see `fit`),
    and the rate and the weight decay of the best known re-implementation, which uses AdamW, too.

    Example:
        >>> MemSegConfig(data="mvtec_ad/bottle").steps
        2700
    """

    image_settings = ("data", "height", "width", "tile", "split_seed", "split_by")
    compared = "variant"

    height: Count = 256
    """Of the images, in pixels: they are stretched to it."""
    width: Count = 256
    """Of the images, in pixels; of wide or high ones, choose both so that they keep their shape."""
    variant: VariantName = "memseg"
    """MemSeg, or with one thing changed."""
    encoder: EncoderName = "efficientnet_lite0"
    """efficientnet_lite0, the better one without a download, or resnet18, the paper's."""
    weights: WeightsName = "offline"
    """Of the encoder: offline, imagenet, none (drawn at random) or a safetensors file."""
    foreground: ForegroundName = "auto"
    """Where simulated anomalies lie: none (anywhere), on the dark or the bright part of each image,
    in a PATH of a mask, not 0 on the product; auto looks at the training images, and says it."""
    steps: Count = 2700
    """Batches to train on."""
    batch_size: Annotated[int, Field(ge=2, multiple_of=2)] = 8
    """Images in a batch: half of them good, half simulated."""
    learning_rate: Positive = 3e-3
    """Highest learning rate."""
    weight_decay: NotNegative = 5e-4
    """Of AdamW."""
    gamma: NotNegative = 4.0
    """Of the focal loss."""
    focal_weight: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Of the focal loss; L1 has the rest."""
    memory_size: Count = 30
    """Images in the memory."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that simulate anomalies; they change no bit of the result."""

    @model_validator(mode="after")
    def _check_foreground(self) -> Self:
        if self.tile and self.foreground not in ("auto", "none"):
            raise ValueError(
                f"foreground {self.foreground} goes with whole images, since many tiles show no "
                "object: leave out foreground or tile"
            )
        return self


class NearestPatchesConfig(TrainingConfig):
    """The baseline of MemSeg, which trains nothing: the distance to the nearest patches.

    Example:
        >>> NearestPatchesConfig(weights="imagenet").height
        256
    """

    image_settings = MemSegConfig.image_settings
    compared = "encoder"

    height: Count = 256
    """Of the images, in pixels: they are stretched to it."""
    width: Count = 256
    """Of the images, in pixels; of wide or high ones, choose both so that they keep their shape."""
    encoder: EncoderName = "efficientnet_lite0"
    """efficientnet_lite0 or resnet18."""
    weights: WeightsName = "offline"
    """Of the encoder: offline, imagenet, none (drawn at random) or a safetensors file."""


class TwoStageConfig(TrainingConfig):
    """The two-stage network, trained end to end.

    The optimizer is the paper's: SGD without momentum or weight decay, at one rate. Its rates are
    for gradients *summed* over the images of a batch; here the loss is a mean, so that "batch 10,
    rate .1" is `batch_size=10, learning_rate=1.0`.

    Sources: Bozic et al., ICPR 2020 (arXiv 2007.07676) and Computers in Industry 2021 (2104.06064).

    Example:
        >>> TwoStageConfig(data="kolektor_sdd", height=704, width=256, fold=1).epochs
        50
    """

    image_settings = ("data", "fold", "height", "width", "tile", "split_seed", "split_by")
    compared = "variant"

    variant: TwoStageVariantName = "two_stage"
    """The method, or with something changed."""
    fold: Annotated[int, Field(ge=0, le=3)] = 0
    """Of KolektorSDD: 1, 2 or 3 is the test part; 0: no folds."""
    channels: Channels = "published"
    """Of the network."""
    epochs: Count = 50
    """Passes: all defective images and as many good ones."""
    batch_size: Count = 1
    """Images in a batch."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """sgd, at one rate, or adamw, with a rise and fall."""
    learning_rate: Positive = 1.0
    """Highest learning rate."""
    weight_decay: NotNegative = 0.0
    """Of the optimizer."""
    delta: NotNegative = 0.01
    """Weight of the decision's loss."""
    power: NotNegative = 2.0
    """Of the distance to the edge of a defect, in the weights of its pixels."""
    positive_weight: NotNegative = 1.0
    """Weight of the innermost pixel of a defect."""
    dilate: Count = 1
    """Side of the square by which masks grow before training, odd; 1 leaves them as they are."""
    masks: Literal["exact", "ellipse"] = "exact"
    """What is learnt from: exact masks, or an ellipse around each defect."""
    segmented: Annotated[int, Field(ge=-1)] = -1
    """Defective images that teach with their masks, the others with their label; -1: all."""

    @property
    def multiple(self) -> int:
        """8: a cell of the map is 8 x 8 pixels."""
        return 8

    @model_validator(mode="after")
    def _check_cells(self) -> Self:
        if self.tile and (self.segmented >= 0 or self.masks != "exact"):
            raise ValueError(
                "tile needs exact masks of all defective images, which label the tiles: leave out "
                "tile, or segmented and masks"
            )
        height, width = self.shown
        if (height // 64) * (width // 64) < 2:
            raise ValueError(
                f"{'tile' if self.tile else 'height and width'} must hold two cells of 64 x 64 "
                f"pixels, got {height} and {width}: choose 128 for one of them"
            )
        if self.dilate % 2 == 0:
            raise ValueError(f"dilate must be odd, got {self.dilate}")
        return self


def _sentence(error: Mapping[str, Any]) -> str:
    name, message = ".".join(map(str, error["loc"])), error["msg"]
    if error["type"] == "extra_forbidden":
        return f"{name} is no setting of this training"
    if not name:  # several settings together, which say their values
        return str(error["ctx"]["error"])
    message = message.removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{name} {message}, got {error['input']!r}"
