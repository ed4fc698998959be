"""The end-to-end network of two stages: where the defect is, then whether there is one."""

from course_utils.models.two_stage.feature_norm import FeatureNorm, Normalization
from course_utils.models.two_stage.network import TwoStageNet, TwoStageOutput

__all__ = ["FeatureNorm", "Normalization", "TwoStageNet", "TwoStageOutput"]
