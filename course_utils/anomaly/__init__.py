"""Making defects: NumPy arrays in, NumPy arrays out."""

from course_utils.anomaly.augmenters import AUGMENTERS, augment, augment_at_random
from course_utils.anomaly.foreground import MVTEC_FOREGROUNDS, ForegroundRule, foreground_mask
from course_utils.anomaly.masks import draw_mask, empty_mask_chance, perlin_mask
from course_utils.anomaly.perlin import gradient_noise, perlin_noise
from course_utils.anomaly.procedural_texture import (
    PATTERNS,
    procedural_source,
    procedural_texture,
)
from course_utils.anomaly.structure_source import (
    change_appearance,
    pitfall_structure_source,
    shuffle_tiles,
    structure_source,
)
from course_utils.anomaly.synthesis import (
    SOURCES,
    AnomalySynthesizer,
    SimulatedAnomaly,
    Source,
    blend,
    simulate_anomaly,
)
from course_utils.anomaly.texture_source import TextureFolder, TextureSource

__all__ = [
    "AUGMENTERS",
    "MVTEC_FOREGROUNDS",
    "PATTERNS",
    "SOURCES",
    "AnomalySynthesizer",
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
    "foreground_mask",
    "gradient_noise",
    "perlin_mask",
    "perlin_noise",
    "pitfall_structure_source",
    "procedural_source",
    "procedural_texture",
    "shuffle_tiles",
    "simulate_anomaly",
    "structure_source",
]
