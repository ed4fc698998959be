"""Whole trainings, from the name of a data set to its scores: what notebooks and commands share."""

from course_utils.trainers.anomaly_scores import score_anomalies
from course_utils.trainers.detection_parts import labels_of, open_detection_parts
from course_utils.trainers.detection_scores import score_detection
from course_utils.trainers.memseg import (
    VARIANTS,
    WEIGHTS,
    MemSegRecipe,
    MemSegTraining,
    Variant,
    encoder_weights,
    train_memseg,
)
from course_utils.trainers.nearest_patches import score_nearest_patches
from course_utils.trainers.normal_images import NormalParts, open_normal_parts, simulator
from course_utils.trainers.run_folder import (
    Recipe,
    collect_scores,
    read_scores,
    require_place,
    run_in_folder,
)
from course_utils.trainers.segmentation import (
    Parts,
    Segmentation,
    SegmentationRecipe,
    open_parts,
    train_segmentation,
)
from course_utils.trainers.segmentation_losses import LOSS_NAMES, segmentation_loss
from course_utils.trainers.segmentation_scores import (
    choose_threshold,
    decide,
    iou_by_kind,
    score_segmentation,
)
from course_utils.trainers.two_stage import (
    TwoStageTraining,
    predict_two_stage,
    train_two_stage,
    two_stage_batches,
)
from course_utils.trainers.two_stage_settings import (
    CHANNELS,
    TWO_STAGE_VARIANTS,
    TwoStageRecipe,
    TwoStageVariant,
)

__all__ = [
    "CHANNELS",
    "LOSS_NAMES",
    "TWO_STAGE_VARIANTS",
    "VARIANTS",
    "WEIGHTS",
    "MemSegRecipe",
    "MemSegTraining",
    "NormalParts",
    "Parts",
    "Recipe",
    "Segmentation",
    "SegmentationRecipe",
    "TwoStageRecipe",
    "TwoStageTraining",
    "TwoStageVariant",
    "Variant",
    "choose_threshold",
    "collect_scores",
    "decide",
    "encoder_weights",
    "iou_by_kind",
    "labels_of",
    "open_detection_parts",
    "open_normal_parts",
    "open_parts",
    "predict_two_stage",
    "read_scores",
    "require_place",
    "run_in_folder",
    "score_anomalies",
    "score_detection",
    "score_nearest_patches",
    "score_segmentation",
    "segmentation_loss",
    "simulator",
    "train_memseg",
    "train_segmentation",
    "train_two_stage",
    "two_stage_batches",
]
