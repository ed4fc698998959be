"""Train a U-Net to mark defects, and score it fairly: what lesson 03 does, without a notebook."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader

from course_utils.config import pick_device, seed_everything
from course_utils.data import (
    BinaryMasks,
    CachedDataset,
    DefectDataset,
    Sample,
    TransformedDataset,
    count_pixels,
    open_dataset,
)
from course_utils.data.splits import SplitBy
from course_utils.models import UNet
from course_utils.trainers.segmentation_losses import LOSS_NAMES, segmentation_loss
from course_utils.trainers.segmentation_scores import choose_threshold, score_segmentation
from course_utils.trainers.settings import (
    require_one_of,
    require_positive,
    require_rates_and_seeds,
    require_types,
)
from course_utils.training import History, fit, predict_probabilities

FIT_SETTINGS = ("steps", "learning_rate", "weight_decay")
"""What `fit` compares by itself when a training goes on."""


@dataclass(frozen=True)
class SegmentationRecipe:
    """All that decides a training, down to the last bit on one CPU with one number of threads.

    Raises:
        ValueError: for settings that cannot work.

    Example:
        >>> SegmentationRecipe(data="synthetic", loss="focal").steps
        1200
    """

    data: str = "synthetic"
    loss: str = "cross_entropy"
    """One of `LOSS_NAMES`."""
    classes: Literal["one", "all"] = "one"
    """`"one"`: defect or not. `"all"`: each class of defect for itself."""
    size: int = 128
    """Side of the images, in pixels; a multiple of 16."""
    width: int = 16
    steps: int = 1200
    batch_size: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    flips: bool = True
    seed: int = 0
    """Of the weights, the order of the images and their flips."""
    split_seed: int = 0
    split_by: SplitBy = "group"

    def __post_init__(self) -> None:
        require_types(self)
        require_one_of("loss", self.loss, tuple(LOSS_NAMES))
        if self.classes not in ("one", "all"):
            raise ValueError(f'classes must be "one" or "all", got {self.classes!r}')
        if self.split_by not in get_args(SplitBy):
            raise ValueError(f'split_by must be "group" or "image", got {self.split_by!r}')
        if self.size < 16 or self.size % 16:
            raise ValueError(
                f"size must be a multiple of 16 (U-Net halves it 4 times), got {self.size}"
            )
        require_positive(self, "width", "steps", "batch_size")
        require_rates_and_seeds(self)


@dataclass(frozen=True)
class Parts:
    """The three parts of a data set, in memory."""

    train: CachedDataset
    val: CachedDataset
    test: CachedDataset


@dataclass(frozen=True)
class Segmentation:
    """A trained network, and what it is worth."""

    model: UNet
    history: History
    threshold: float | None
    """Chosen on validation images; None where the most probable class is taken."""
    scores: dict[str, float]
    """Of the test images; see `score_segmentation`."""
    probabilities: Tensor
    """Of the test images, (N, K, H, W)."""


def open_parts(recipe: SegmentationRecipe, *, progress: bool = False) -> Parts:
    """Read the images of a recipe."""

    def part(name: str) -> CachedDataset:
        images = open_part(recipe, name)
        return CachedDataset(
            BinaryMasks(images) if recipe.classes == "one" else images, progress=progress
        )

    return Parts(part("train"), part("val"), part("test"))


def open_part(recipe: SegmentationRecipe, name: str) -> DefectDataset:
    """Open one part of the images of a recipe, with all classes of its data set."""
    return open_dataset(
        recipe.data,
        name,
        size=recipe.size,
        seed=recipe.split_seed,
        split_by=recipe.split_by,
    )


def train_segmentation(
    recipe: SegmentationRecipe,
    parts: Parts | None = None,
    *,
    model: UNet | None = None,
    device: str | torch.device = "auto",
    precision: str | None = None,
    fabric: Fabric | None = None,
    folder: str | Path | None = None,
    evaluate_every: int | None = None,
    watch: Callable[[History], None] | None = None,
    progress: bool = False,
    description: str = "training",
) -> Segmentation:
    """Train, choose the threshold on validation images, and score the test images once.

    Args:
        recipe: what to do.
        parts: the images, as `open_parts` reads them, to read them only once for many trainings.
        model: another network to train in the place of the U-Net; it must give logits of each
            class, of the size of the mask.
        device, precision, fabric: where to train; see `fit`.
        folder: where the checkpoint and the TensorBoard curves go; a training goes on from there.
        evaluate_every: steps between two looks at the validation images.
        watch: see `fit`.

    Raises what `open_dataset` and `fit` raise, and `ValueError` before any work if there are fewer
    training images than a batch takes, or no defect in the validation or in the test images.

    Example:
        >>> recipe = SegmentationRecipe(size=32, width=2, steps=2, batch_size=2)
        >>> few = CachedDataset(BinaryMasks(open_dataset("synthetic", size=32)), indices=range(6))
        >>> sorted(train_segmentation(recipe, Parts(few, few, few)).scores)
        ['ap', 'dice', 'iou']
    """
    parts = parts or open_parts(recipe, progress=progress)
    _require_usable(parts, recipe)
    class_names = parts.train.class_names
    seed_everything(recipe.seed)
    model = model or UNet(parts.train.channels, len(class_names), width=recipe.width)
    shown = TransformedDataset(parts.train) if recipe.flips else parts.train
    batches: DataLoader[Sample] = DataLoader(
        shown, batch_size=recipe.batch_size, shuffle=True, drop_last=True
    )
    place = fabric.device if fabric else pick_device(str(device))
    loss = segmentation_loss(recipe.loss, count_pixels(parts.train, len(class_names)))

    def look(network: torch.nn.Module) -> dict[str, float]:
        probabilities, masks = predict_probabilities(network, parts.val)
        threshold = choose_threshold(probabilities, masks)
        scores = score_segmentation(probabilities, masks, threshold, class_names)
        return {f"val/{name}": scores[name] for name in ("iou", "dice", "ap")}

    history = fit(
        model,
        batches,
        loss.to(place),
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        evaluate=look if evaluate_every else None,
        evaluate_every=evaluate_every,
        watch=watch,
        checkpoint=Path(folder) / "checkpoint.pt" if folder else None,
        log_folder=Path(folder) / "tensorboard" if folder else None,
        settings={
            name: value for name, value in asdict(recipe).items() if name not in FIT_SETTINGS
        },
        device=device,
        precision=precision,
        fabric=fabric,
        progress=progress,
        description=description,
    )
    val_probabilities, val_masks = predict_probabilities(model, parts.val)
    threshold = choose_threshold(val_probabilities, val_masks)
    probabilities, masks = predict_probabilities(model, parts.test)
    scores = score_segmentation(probabilities, masks, threshold, class_names)
    return Segmentation(model, history, threshold, scores, probabilities)


def _require_usable(parts: Parts, recipe: SegmentationRecipe) -> None:
    if len(parts.train) < recipe.batch_size:
        raise ValueError(
            f"a batch of {recipe.batch_size} images needs at least as many to train on, and "
            f"{recipe.data} has {len(parts.train)}: choose a smaller batch_size"
        )
    for name, images in (("validation", parts.val), ("test", parts.test)):
        if not any(bool(images[i].mask.any()) for i in range(len(images))):
            raise ValueError(
                f"none of the {len(images)} {name} images of {recipe.data} shows a defect: "
                "choose another split_seed or a larger data set"
            )
