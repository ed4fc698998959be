"""MemSeg, block by block."""

from course_utils.models.memseg.attention import CoordinateAttention, spatial_attention
from course_utils.models.memseg.decoder import MemSegDecoder
from course_utils.models.memseg.fusion import MultiScaleFeatureFusion
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
