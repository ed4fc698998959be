"""Losses for rare defects, each as a function and as a module, all from logits."""

from course_utils.losses.focal import (
    BinaryFocalLoss,
    SoftmaxFocalLoss,
    binary_focal_loss,
    softmax_focal_loss,
)
from course_utils.losses.memseg import MemSegLoss, memseg_loss
from course_utils.losses.overlap import DiceLoss, dice_loss, tversky_loss
from course_utils.losses.two_stage import TwoStageLoss, TwoStageTarget, two_stage_loss
from course_utils.losses.weighted import WeightedCrossEntropy, weighted_cross_entropy

__all__ = [
    "BinaryFocalLoss",
    "DiceLoss",
    "MemSegLoss",
    "SoftmaxFocalLoss",
    "TwoStageLoss",
    "TwoStageTarget",
    "WeightedCrossEntropy",
    "binary_focal_loss",
    "dice_loss",
    "memseg_loss",
    "softmax_focal_loss",
    "tversky_loss",
    "two_stage_loss",
    "weighted_cross_entropy",
]
