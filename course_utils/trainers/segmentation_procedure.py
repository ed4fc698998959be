"""What a U-Net's training in a folder does: see `run_in_folder`."""

from typing import Any

import torch
from matplotlib.figure import Figure

from course_utils.data import DefectDataset
from course_utils.plots import errors, training_curves
from course_utils.trainers.segmentation import (
    Parts,
    Segmentation,
    SegmentationRecipe,
    open_part,
    open_parts,
)
from course_utils.trainers.segmentation import train_segmentation as train
from course_utils.trainers.segmentation_scores import decide, iou_by_kind

__all__ = [
    "name",
    "only_images",
    "open_parts",
    "pictures",
    "report",
    "steps",
    "train",
    "with_defects",
]

PICTURES = 8
IMAGE_SETTINGS = ("data", "classes", "size", "split_seed", "split_by")


def only_images(recipe: SegmentationRecipe) -> SegmentationRecipe:
    """Return a recipe that differs from the default in what decides the images alone."""
    return SegmentationRecipe(**{name: getattr(recipe, name) for name in IMAGE_SETTINGS})


def steps(recipe: SegmentationRecipe, parts: Parts) -> int:
    """Return how many batches the training takes."""
    return recipe.steps


def name(recipe: SegmentationRecipe) -> str:
    """Return what tells trainings of one data set apart."""
    return f"{recipe.loss}, seed {recipe.seed}"


def report(recipe: SegmentationRecipe, parts: Parts, result: Segmentation) -> dict[str, Any]:
    """Return the threshold, the split, how many images there are, and the IoU of each kind."""
    # Where all defects are one class, the pooled score hides which kinds were found.
    kinds = open_part(recipe, "test")
    labels = [kinds[i].label for i in range(len(kinds))]
    found = decide(result.probabilities, result.threshold)
    masks = torch.stack([sample.mask for sample in parts.test.samples])
    return {
        "threshold": result.threshold,
        "split": parts.test.split_note,
        "images": {name: len(getattr(parts, name)) for name in ("train", "val", "test")},
        "iou_by_kind": iou_by_kind(found, masks, labels, kinds.class_names),
    }


def pictures(parts: Parts, result: Segmentation) -> dict[str, Figure]:
    """Return the learning curves, and the errors on some test images with defects."""
    chosen = with_defects(parts.test)
    found = decide(result.probabilities[chosen], result.threshold)
    return {
        "learning.png": training_curves(
            {"training": result.history}, metrics=("val/iou", "val/ap")
        ),
        "predictions.png": errors(
            [parts.test[i].image for i in chosen],
            [parts.test[i].mask > 0 for i in chosen],
            list(found > 0),
            [parts.test[i].name for i in chosen],
        ),
    }


def with_defects(test: DefectDataset, count: int = PICTURES) -> list[int]:
    """Return `count` images with defects, or fewer, evenly spaced."""
    defects = [i for i in range(len(test)) if bool(test[i].mask.any())]
    shown = min(count, len(defects))
    return [defects[n * len(defects) // shown] for n in range(shown)]
