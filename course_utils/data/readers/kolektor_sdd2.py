"""Kolektor surface defects 2, KolektorSDD2 (Božič et al., 2021): all shots in two parts."""

from pathlib import Path

import numpy as np

from course_utils.data.image_files import list_by_suffix
from course_utils.data.image_set import Entry, ImageSet, Parts
from course_utils.data.near_duplicates import survey_images
from course_utils.data.readers.masks import (
    label_by_masks,
    nonzero_mask_classes,
    require_folder,
    require_images,
    require_pairs,
)
from course_utils.data.registry import KOLEKTOR_SDD2

_PARTS = ("train", "test")
_MASK_ENDING = "_GT"
_STRAY = ("train", ("10301 (copy)", "10301_GT (copy)"))


def read(folder: Path) -> ImageSet:
    """Return the images of `train/` and `test/` below `folder`; those of `test/` are the test part.

    What is not 0 in a mask is defect, and an image with any such pixel has label 1. So every mask
    is read once, and every image to find near-duplicates, until a file changes. Images are RGB.

    Raises:
        FileNotFoundError: for a missing or empty part and a missing mask.
        ValueError: for a mask without an image, a damaged file, a mask in colors, and a file that
            is no PNG.
    """
    entries = list_entries(folder)
    return ImageSet(
        entries=label_by_masks(entries),
        groups=survey_images([entry.image for entry in entries]).groups,
        grouping="near-identical images; the authors do not say which show one piece",
        class_names=KOLEKTOR_SDD2.class_names,
        channels=3,
        read_mask=nonzero_mask_classes,
        parts=Parts.with_test(np.array([entry.name.startswith("test/") for entry in entries])),
    )


def list_entries(folder: Path) -> list[Entry]:
    """Return all images below `folder`, opening none; the labels are not known yet (0)."""
    entries: list[Entry] = []
    for part in _PARTS:
        require_folder(folder / part, KOLEKTOR_SDD2.layout)
        entries += _list_part(folder / part)
    return entries


def _list_part(folder: Path) -> list[Entry]:
    (files,) = list_by_suffix(folder, (".png",))
    part, stray = _STRAY
    if folder.name == part:
        files = {stem: path for stem, path in files.items() if stem not in stray}
    is_mask = {stem: stem.endswith(_MASK_ENDING) for stem in files}
    images = {stem: path for stem, path in files.items() if not is_mask[stem]}
    masks = {stem.removesuffix(_MASK_ENDING): path for stem, path in files.items() if is_mask[stem]}
    require_images(len(files), folder, f"<id>.png and <id>{_MASK_ENDING}.png")
    require_pairs(images, masks, folder, mask_ending=_MASK_ENDING)
    return [Entry(image, masks[stem], 0, f"{folder.name}/{stem}") for stem, image in images.items()]
