"""What `course_utils.trainers` offers, and where it is; `lazy_loader` reads this."""

from .anomalies import ChosenForeground, choose_foreground, simulator
from .configs import (
    CHANNELS,
    LOSS_NAMES,
    TWO_STAGE_VARIANTS,
    VARIANTS,
    WEIGHTS,
    MemSegConfig,
    NearestPatchesConfig,
    TrainingConfig,
    TwoStageConfig,
    UNetConfig,
    encoder_weights,
)
from .memseg import MemSegResult, MemSegTrainer
from .nearest_patches import NearestPatchesResult, NearestPatchesTrainer
from .run_folder import check_folder, collect_scores, read_scores
from .scores import (
    choose_threshold,
    decide,
    iou_by_kind,
    score_anomalies,
    score_detection,
    score_segmentation,
)
from .shapes import shape_remark, sides_for
from .splits import (
    Splits,
    labels_of,
    open_detection_splits,
    open_normal_splits,
    open_splits,
)
from .trainer import Trainer, TrainingResult
from .two_stage import TwoStageResult, TwoStageTrainer, predict_two_stage
from .unet import UNetResult, UNetTrainer, segmentation_loss

__all__ = [
    "CHANNELS",
    "LOSS_NAMES",
    "TWO_STAGE_VARIANTS",
    "VARIANTS",
    "WEIGHTS",
    "ChosenForeground",
    "MemSegConfig",
    "MemSegResult",
    "MemSegTrainer",
    "NearestPatchesConfig",
    "NearestPatchesResult",
    "NearestPatchesTrainer",
    "Splits",
    "Trainer",
    "TrainingConfig",
    "TrainingResult",
    "TwoStageConfig",
    "TwoStageResult",
    "TwoStageTrainer",
    "UNetConfig",
    "UNetResult",
    "UNetTrainer",
    "check_folder",
    "choose_foreground",
    "choose_threshold",
    "collect_scores",
    "decide",
    "encoder_weights",
    "iou_by_kind",
    "labels_of",
    "open_detection_splits",
    "open_normal_splits",
    "open_splits",
    "predict_two_stage",
    "read_scores",
    "score_anomalies",
    "score_detection",
    "score_segmentation",
    "segmentation_loss",
    "shape_remark",
    "sides_for",
    "simulator",
]
