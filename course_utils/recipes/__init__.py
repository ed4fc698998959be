"""Whole trainings, from the name of a data set to its scores: what notebooks and commands share."""

from course_utils.recipes.run_folder import (
    collect_scores,
    read_scores,
    require_place,
    run_in_folder,
)
from course_utils.recipes.segmentation import (
    Parts,
    Segmentation,
    SegmentationRecipe,
    open_parts,
    train_segmentation,
)
from course_utils.recipes.segmentation_losses import LOSS_NAMES, segmentation_loss
from course_utils.recipes.segmentation_scores import (
    choose_threshold,
    decide,
    iou_by_kind,
    score_segmentation,
)

__all__ = [
    "LOSS_NAMES",
    "Parts",
    "Segmentation",
    "SegmentationRecipe",
    "choose_threshold",
    "collect_scores",
    "decide",
    "iou_by_kind",
    "open_parts",
    "read_scores",
    "require_place",
    "run_in_folder",
    "score_segmentation",
    "segmentation_loss",
    "train_segmentation",
]
