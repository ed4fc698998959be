"""Making defects: NumPy arrays in, NumPy arrays out."""

from course_utils.anomaly.augmenters import AUGMENTERS, augment, augment_at_random

__all__ = ["AUGMENTERS", "augment", "augment_at_random"]
