"""MemSeg, block by block."""

from course_utils.models.memseg.layers import (
    CoordinateAttention,
    MemSegDecoder,
    MultiScaleFeatureFusion,
    spatial_attention,
)
from course_utils.models.memseg.memory import MemoryBank
from course_utils.models.memseg.network import MemSeg

__all__ = [
    "CoordinateAttention",
    "MemSeg",
    "MemSegDecoder",
    "MemoryBank",
    "MultiScaleFeatureFusion",
    "spatial_attention",
]
