"""What readers share: each image has its mask, and what the values of a mask mean."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from course_utils.data.image_files import FileStamp, file_stamps, read_mask
from course_utils.data.image_set import Entry

SOFT_MASK_THRESHOLD = 127
"""Published masks are often smoothed at their edges: what is brighter than half is defect."""


def require_folder(folder: Path, layout: str) -> None:
    """Raise `FileNotFoundError` if `folder`, a part of `layout`, is not there."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: want {layout}")


def require_images(count: int, folder: Path, layout: str) -> None:
    """Raise `FileNotFoundError` if a reader found no image of `layout` in `folder`."""
    if not count:
        raise FileNotFoundError(f"{folder} holds no images: want {layout}")


def require_pairs(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    mask_folder: Path,
    *,
    mask_ending: str = "",
) -> None:
    """Raise unless `images` and `masks`, files by stem, hold the same stems.

    `mask_ending` is what a mask's file name has after the stem, where it has anything.
    `FileNotFoundError` for an image without a mask, `ValueError` for a mask without an image.
    """
    for stem, image in images.items():
        if stem not in masks:
            raise FileNotFoundError(
                f"{image} has no mask: {mask_folder} holds no file called {stem}{mask_ending}.*"
            )
    for stem, mask in masks.items():
        if stem not in images:
            raise ValueError(f"{mask} is a mask without an image: add the image or take it away")


def soft_mask_classes(entry: Entry) -> np.ndarray:
    """Return uint8 classes, (H, W), of a mask with one defect class and smoothed edges.

    Thresholded before anything else is done with it: resizing or casting a smoothed mask first
    would move the edges of thin defects.
    """
    assert entry.mask is not None
    is_defect = read_mask(entry.mask) > SOFT_MASK_THRESHOLD
    if entry.label == 0 and is_defect.any():
        raise ValueError(f"{entry.mask} marks a defect but {entry.image.name} is filed as free")
    return is_defect.astype(np.uint8) * np.uint8(entry.label)


def nonzero_mask_classes(entry: Entry) -> np.ndarray:
    """Return uint8 classes, (H, W): 1 where the mask of `entry` is not 0."""
    assert entry.mask is not None
    return (read_mask(entry.mask) > 0).astype(np.uint8)


def label_by_masks(entries: Sequence[Entry]) -> list[Entry]:
    """Return `entries`, all with a mask, with label 1 where any pixel of the mask is not 0.

    Each mask is read once, until its file changes. Raises `FileNotFoundError` for a mask that is
    not there and `ValueError` for one that is damaged or in colors.
    """
    labels = _labels(file_stamps([entry.mask for entry in entries if entry.mask is not None]))
    return [replace(entry, label=label) for entry, label in zip(entries, labels, strict=True)]


@lru_cache(maxsize=8)
def _labels(stamps: tuple[FileStamp, ...]) -> tuple[int, ...]:
    return tuple(int(read_mask(mask).any()) for mask, *_ in stamps)
