"""Whole trainings, from the name of a data set to its scores: what notebooks and commands share."""

from course_utils.recipes.anomaly_scores import score_anomalies
from course_utils.recipes.memseg import (
    VARIANTS,
    WEIGHTS,
    MemSegRecipe,
    MemSegTraining,
    Variant,
    encoder_weights,
    train_memseg,
)
from course_utils.recipes.nearest_patches import score_nearest_patches
from course_utils.recipes.normal_images import NormalParts, open_normal_parts, simulator
from course_utils.recipes.run_folder import (
    Recipe,
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
    "VARIANTS",
    "WEIGHTS",
    "MemSegRecipe",
    "MemSegTraining",
    "NormalParts",
    "Parts",
    "Recipe",
    "Segmentation",
    "SegmentationRecipe",
    "Variant",
    "choose_threshold",
    "collect_scores",
    "decide",
    "encoder_weights",
    "iou_by_kind",
    "open_normal_parts",
    "open_parts",
    "read_scores",
    "require_place",
    "run_in_folder",
    "score_anomalies",
    "score_nearest_patches",
    "score_segmentation",
    "segmentation_loss",
    "simulator",
    "train_memseg",
    "train_segmentation",
]
