"""Masks in which whatever is not 0 is defect: their classes, and what they tell of the image."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from course_utils.data.image_files import read_mask
from course_utils.data.image_mask_dataset import Entry
from course_utils.data.image_survey import FileStamp, file_stamps


def nonzero_mask_classes(entry: Entry) -> np.ndarray:
    """Return uint8 classes, (H, W): 1 where the mask of `entry` is not 0."""
    assert entry.mask is not None
    return (read_mask(entry.mask) > 0).astype(np.uint8)


def nonzero_mask_labels(masks: Sequence[Path]) -> tuple[int, ...]:
    """Return the label of each mask's image: 1 if any pixel of the mask is not 0, else 0.

    Each mask is read once; this is remembered until a file changes. Raises `FileNotFoundError` for
    a mask that is not there and `ValueError` for one that is damaged or in colors.
    """
    return _labels(file_stamps(masks))


@lru_cache(maxsize=8)
def _labels(stamps: tuple[FileStamp, ...]) -> tuple[int, ...]:
    return tuple(int(read_mask(mask).any()) for mask, *_ in stamps)
