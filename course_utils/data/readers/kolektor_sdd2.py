"""Kolektor surface defects 2, KolektorSDD2 (Božič et al., 2021): all shots in two parts."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from course_utils.data.dataset_info import DatasetInfo
from course_utils.data.image_files import list_by_suffix
from course_utils.data.image_mask_dataset import Entry, ImageSet
from course_utils.data.image_survey import survey_images
from course_utils.data.readers.nonzero_masks import nonzero_mask_classes, nonzero_mask_labels
from course_utils.data.readers.pairing import require_images, require_pairs

KOLEKTOR_SDD2 = DatasetInfo(
    name="kolektor_sdd2",
    title="Surface defects KolektorSDD2",
    class_names=("background", "defect"),
    licence="CC BY-NC-SA 4.0",
    page="https://www.vicos.si/resources/kolektorsdd2/",
    layout="train and test, each with images <id>.png and masks <id>_GT.png, one for every image",
    remark="The test part is the authors'. Which images show one piece they do not say. The "
    "published archive holds a stray copy, train/10301 (copy).png with 10301_GT (copy).png: both "
    "are left out.",
)

_PARTS = ("train", "test")
_MASK_ENDING = "_GT"
_STRAY = ("train", ("10301 (copy)", "10301_GT (copy)"))


def read_kolektor_sdd2(folder: Path) -> ImageSet:
    """Return the images of `train/` and `test/` below `folder`; those of `test/` are the test part.

    What is not 0 in a mask is defect, and an image with any such pixel has label 1. So every image
    and every mask is read once, the images to find those that look alike; this is remembered until
    a file changes. Images are RGB.

    Raises:
        FileNotFoundError: for a missing or empty part and a missing mask.
        ValueError: for a mask without an image, a damaged file, a mask in colors, and a file that
            is no PNG.
    """
    entries = list_kolektor_sdd2(folder)
    labels = nonzero_mask_labels([entry.mask for entry in entries if entry.mask is not None])
    return ImageSet(
        entries=[replace(e, label=label) for e, label in zip(entries, labels, strict=True)],
        groups=survey_images([entry.image for entry in entries]).look_alikes,
        grouping="near-identical images; the authors do not say which show one piece",
        class_names=KOLEKTOR_SDD2.class_names,
        channels=3,
        read_mask=nonzero_mask_classes,
        published_test=np.array([entry.name.startswith("test/") for entry in entries]),
    )


def list_kolektor_sdd2(folder: Path) -> list[Entry]:
    """Return all images below `folder`, opening none; the labels are not known yet (0)."""
    entries: list[Entry] = []
    for part in _PARTS:
        place = folder / part
        if not place.is_dir():
            raise FileNotFoundError(f"{place} is missing: {folder} wants {KOLEKTOR_SDD2.layout}")
        entries += _list_part(place)
    return entries


def _list_part(place: Path) -> list[Entry]:
    (files,) = list_by_suffix(place, (".png",))
    part, stray = _STRAY
    if place.name == part:
        files = {stem: path for stem, path in files.items() if stem not in stray}
    is_mask = {stem: stem.endswith(_MASK_ENDING) for stem in files}
    images = {stem: path for stem, path in files.items() if not is_mask[stem]}
    masks = {stem.removesuffix(_MASK_ENDING): path for stem, path in files.items() if is_mask[stem]}
    require_images(len(files), place, f"<id>.png and <id>{_MASK_ENDING}.png")
    require_pairs(images, masks, place, mask_ending=_MASK_ENDING)
    return [Entry(image, masks[stem], 0, f"{place.name}/{stem}") for stem, image in images.items()]
