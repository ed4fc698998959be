"""Networks that find defects."""

from course_utils.models.casae import CascadedAutoencoder, SegmentationAutoencoder
from course_utils.models.compact_cnn import CompactDefectCNN
from course_utils.models.convolutions import double_convolution, up_convolution
from course_utils.models.memseg import (
    CoordinateAttention,
    MemoryBank,
    MemSeg,
    MultiScaleFeatureFusion,
    spatial_attention,
)
from course_utils.models.nearest_patches import NearestPatches
from course_utils.models.receptive_field import influence, receptive_field_side
from course_utils.models.resnet_encoder import ResNetEncoder
from course_utils.models.small import SmallSegmenter
from course_utils.models.two_stage import FeatureNorm, TwoStageNet, TwoStageOutput
from course_utils.models.unet import UNet
from course_utils.models.unet_stages import Stage, UNetStages, feature_shapes

__all__ = [
    "CascadedAutoencoder",
    "CompactDefectCNN",
    "CoordinateAttention",
    "FeatureNorm",
    "MemSeg",
    "MemoryBank",
    "MultiScaleFeatureFusion",
    "NearestPatches",
    "ResNetEncoder",
    "SegmentationAutoencoder",
    "SmallSegmenter",
    "Stage",
    "TwoStageNet",
    "TwoStageOutput",
    "UNet",
    "UNetStages",
    "double_convolution",
    "feature_shapes",
    "influence",
    "receptive_field_side",
    "spatial_attention",
    "up_convolution",
]
