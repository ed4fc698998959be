"""Making defects: NumPy arrays in, NumPy arrays out."""

from course_utils.anomaly.augmenters import AUGMENTERS, augment, augment_at_random
from course_utils.anomaly.foreground import (
    MVTEC_FOREGROUNDS,
    FixedForeground,
    ForegroundRule,
    find_foreground,
    foreground_mask,
)
from course_utils.anomaly.masks import draw_mask, empty_mask_chance, perlin_mask
from course_utils.anomaly.perlin import gradient_noise, perlin_noise
from course_utils.anomaly.structure import (
    change_appearance,
    pitfall_structure_source,
    shuffle_tiles,
    structure_source,
)
from course_utils.anomaly.synthesis import (
    SOURCES,
    AnomalySynthesizer,
    Foreground,
    SimulatedAnomaly,
    Source,
    blend,
)
from course_utils.anomaly.textures import (
    PATTERNS,
    TextureFolder,
    TextureSource,
    procedural_source,
    procedural_texture,
)

__all__ = [
    "AUGMENTERS",
    "MVTEC_FOREGROUNDS",
    "PATTERNS",
    "SOURCES",
    "AnomalySynthesizer",
    "FixedForeground",
    "Foreground",
    "ForegroundRule",
    "SimulatedAnomaly",
    "Source",
    "TextureFolder",
    "TextureSource",
    "augment",
    "augment_at_random",
    "blend",
    "change_appearance",
    "draw_mask",
    "empty_mask_chance",
    "find_foreground",
    "foreground_mask",
    "gradient_noise",
    "perlin_mask",
    "perlin_noise",
    "pitfall_structure_source",
    "procedural_source",
    "procedural_texture",
    "shuffle_tiles",
    "structure_source",
]
