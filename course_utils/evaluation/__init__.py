"""Metrics, thresholds and per-image tables. Arrays or tensors in, plain numbers out."""

from course_utils.evaluation.overlap import (
    accuracy,
    confusion_matrix,
    dice,
    iou,
    mean_iou,
    per_class_dice,
    per_class_iou,
)
from course_utils.evaluation.per_image import ImageRow, image_score, per_image_table
from course_utils.evaluation.ranking import (
    PrecisionRecallCurve,
    RocCurve,
    average_precision,
    best_threshold,
    image_auroc,
    pixel_auroc,
    precision_recall_curve,
    roc_curve,
    trapezoid_average_precision,
)
from course_utils.evaluation.region_overlap import ProCurve, aupro, pro_curve

__all__ = [
    "ImageRow",
    "PrecisionRecallCurve",
    "ProCurve",
    "RocCurve",
    "accuracy",
    "aupro",
    "average_precision",
    "best_threshold",
    "confusion_matrix",
    "dice",
    "image_auroc",
    "image_score",
    "iou",
    "mean_iou",
    "per_class_dice",
    "per_class_iou",
    "per_image_table",
    "pixel_auroc",
    "precision_recall_curve",
    "pro_curve",
    "roc_curve",
    "trapezoid_average_precision",
]
