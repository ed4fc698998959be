"""What the two-stage network's training in a folder does: see `run_in_folder`."""

from typing import Any

import torch
from matplotlib.figure import Figure

from course_utils.plots import heat_maps, training_curves
from course_utils.trainers.detection_parts import labels_of
from course_utils.trainers.detection_parts import open_detection_parts as open_parts
from course_utils.trainers.segmentation import Parts
from course_utils.trainers.two_stage import (
    TwoStageTraining,
    two_stage_batches,
)
from course_utils.trainers.two_stage import train_two_stage as train
from course_utils.trainers.two_stage_settings import TwoStageRecipe

__all__ = ["name", "only_images", "open_parts", "pictures", "report", "steps", "train"]

IMAGE_SETTINGS = ("data", "fold", "height", "width", "split_seed")
PICTURES = 6


def only_images(recipe: TwoStageRecipe) -> TwoStageRecipe:
    """Return a recipe that differs from the default in what decides the images alone."""
    return TwoStageRecipe(**{name: getattr(recipe, name) for name in IMAGE_SETTINGS})


def steps(recipe: TwoStageRecipe, parts: Parts) -> int:
    """Return how many batches the training takes: passes times batches in a pass."""
    return recipe.epochs * len(two_stage_batches(recipe, parts.train))


def name(recipe: TwoStageRecipe) -> str:
    """Return what tells trainings of one data set apart."""
    return f"{recipe.variant}, seed {recipe.seed}"


def report(recipe: TwoStageRecipe, parts: Parts, result: TwoStageTraining) -> dict[str, Any]:
    """Return the split, the threshold, and how many images of each kind there are."""
    kinds = {name: labels_of(getattr(parts, name)) for name in ("train", "val", "test")}
    return {
        "split": parts.test.split_note,
        "threshold": result.threshold,
        "images": {name: len(labels) for name, labels in kinds.items()},
        "defective": {name: int(labels.sum()) for name, labels in kinds.items()},
    }


def pictures(parts: Parts, result: TwoStageTraining) -> dict[str, Figure]:
    """Return the learning curves, and the test images whose decisions were hardest."""
    labels = labels_of(parts.test).bool()
    # Defects with the lowest scores and good images with the highest: what goes wrong first.
    order = torch.argsort(torch.where(labels, result.decisions, -result.decisions))
    shown = [i for kind in (True, False) for i in order.tolist() if bool(labels[i]) is kind]
    defects = [i for i in shown if labels[i]][: PICTURES // 2]
    good = [i for i in shown if not labels[i]][: PICTURES // 2]
    chosen = defects + good
    images = [parts.test[i] for i in chosen]
    height, width = images[0].mask.shape
    maps = torch.nn.functional.interpolate(
        result.maps[chosen].sigmoid()[:, None], (height, width), mode="bilinear"
    )[:, 0]
    return {
        "learning.png": training_curves({"training": result.history}, metrics=("val/ap",)),
        "hardest.png": heat_maps(
            [sample.image for sample in images],
            [sample.mask for sample in images],
            {"two stages": maps},
            limit=1.0,
        ),
    }
