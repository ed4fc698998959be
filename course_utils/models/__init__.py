"""Networks that find defects."""

from course_utils.models.blocks import double_convolution, up_convolution
from course_utils.models.casae import CascadedAutoencoder, SegmentationAutoencoder
from course_utils.models.compact_cnn import CompactDefectCNN
from course_utils.models.encoders import EfficientNetEncoder, Encoder, ResNetEncoder, build_encoder
from course_utils.models.memseg import (
    CoordinateAttention,
    MemoryBank,
    MemSeg,
    MultiScaleFeatureFusion,
    spatial_attention,
)
from course_utils.models.nearest_patches import NearestPatches
from course_utils.models.receptive_field import effective_receptive_field, receptive_field_side
from course_utils.models.small import SmallSegmenter
from course_utils.models.two_stage import FeatureNorm, TwoStageNet, TwoStageOutput
from course_utils.models.unet import Stage, UNet, UNetStages, feature_shapes

__all__ = [
    "CascadedAutoencoder",
    "CompactDefectCNN",
    "CoordinateAttention",
    "EfficientNetEncoder",
    "Encoder",
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
    "build_encoder",
    "double_convolution",
    "effective_receptive_field",
    "feature_shapes",
    "receptive_field_side",
    "spatial_attention",
    "up_convolution",
]
