"""Kolektor surface defects, KolektorSDD (Tabernik et al., 2019): small cracks, folds by item."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from course_utils.data.dataset_info import DatasetInfo
from course_utils.data.image_files import JPEG_SUFFIXES, list_by_suffix
from course_utils.data.image_mask_dataset import Entry, Folds, ImageSet
from course_utils.data.readers.kolektor_folds import deal_folds, read_folds
from course_utils.data.readers.nonzero_masks import nonzero_mask_classes, nonzero_mask_labels
from course_utils.data.readers.pairing import require_images, require_pairs

KOLEKTOR_SDD = DatasetInfo(
    name="kolektor_sdd",
    title="Surface cracks of commutators KolektorSDD",
    class_names=("background", "defect"),
    licence="CC BY-NC-SA 4.0",
    page="https://www.vicos.si/resources/kolektorsdd/",
    layout="kos01 to kos50, each with Part<i>.jpg and fine masks Part<i>_label.bmp; if you like, "
    "boxes with the box masks, as boxes/kos01/Part<i>_label.bmp, and split.pyb of "
    "KolektorSDD-training-splits.zip, the authors' folds",
    remark="Some items were taken twice: kos26 repeats kos01 and kos34 repeats kos27 to the pixel, "
    "with other masks (their IoU is two thirds: so much is up to who draws them), and kos39 shows "
    "kos38 again. Each pair stays together. Of kos21, Part7 repeats Part6 and is left out.",
    folds=3,
)

MaskStyle = Literal["fine", "boxes"]
"""Masks drawn around the crack, or boxes around it, as the papers on this set used them."""
SPLIT_FILE = "split.pyb"
BOXES_FOLDER = "boxes"
_ITEM_NAME = re.compile(r"kos\d+")
_MASK_ENDING = "_label"
_FIRST_TAKEN_AS = {"kos26": "kos01", "kos34": "kos27", "kos39": "kos38"}
"""Items that show an earlier one again.

Measured on all pairs of images: at 160 x 64, what is left after high-pass and after taking out the
median of each row and column was cross-correlated over all shifts, turned and mirrored too. The
parts of kos38 and kos39 (which start at another surface) reach .82 to .95, those of the other two
pairs 1, and no other two items more than .10.
"""
_STRAY = ("kos21", "Part7", "Part6")
"""Part7 is Part6 to the pixel. The official count of 399 images, 8 of each item, leaves it out."""


def read_kolektor_sdd(folder: Path, masks: MaskStyle = "fine") -> ImageSet:
    """Return the images below `folder`, grouped by item, with three folds of whole items.

    Masks are those beside the images, or with `masks="boxes"` those of the same names below
    `folder/boxes`, where only masks are looked at. What is not 0 in a mask is defect, and an image
    with any such pixel has label 1. So every mask is read once; this is remembered until a file
    changes. Folds are the authors' if `split.pyb` lies in `folder` (see `read_folds`), else those
    of `deal_folds`.

    Raises:
        FileNotFoundError: if there are no items, no images of an item, no box masks or no mask to
            an image.
        ValueError: for a mask without an image, a damaged mask, a split file that does not fit, and
            other `masks`.
    """
    entries = list_kolektor_sdd(folder, masks)
    labels = nonzero_mask_labels([entry.mask for entry in entries if entry.mask is not None])
    items = [_item(entry) for entry in entries]
    firsts = [_FIRST_TAKEN_AS.get(item, item) for item in items]
    return ImageSet(
        entries=[replace(e, label=label) for e, label in zip(entries, labels, strict=True)],
        groups=np.unique(firsts, return_inverse=True)[1],
        grouping="items, some of them taken twice",
        class_names=KOLEKTOR_SDD.class_names,
        channels=1,
        read_mask=nonzero_mask_classes,
        folds=_folds(folder / SPLIT_FILE, items, firsts),
    )


def list_kolektor_sdd(folder: Path, masks: MaskStyle = "fine") -> list[Entry]:
    """Return all images below `folder`, opening none; the labels are not known yet (0)."""
    if masks not in get_args(MaskStyle):
        raise ValueError(
            f"masks {masks!r} is unknown: choose one of {', '.join(get_args(MaskStyle))}"
        )
    places = _items_in(folder)
    require_images(len(places), folder, KOLEKTOR_SDD.layout)
    mask_root = folder
    if masks == "boxes":
        mask_root = folder / BOXES_FOLDER
        _require_box_items(places, mask_root)
    return [
        entry for name, place in places.items() for entry in _list_item(place, mask_root / name)
    ]


def _items_in(folder: Path) -> dict[str, Path]:
    paths = sorted(path for path in folder.iterdir() if _ITEM_NAME.fullmatch(path.name))
    return {path.name: path for path in paths}


def _require_box_items(places: dict[str, Path], boxes: Path) -> None:
    """Raise unless `boxes` holds a folder for each item and for nothing else."""
    found = _items_in(boxes) if boxes.is_dir() else {}
    for name in places:
        if name not in found:
            raise FileNotFoundError(
                f"{boxes / name} is missing: it holds the box masks of {name}. Get them with "
                f"`course data fetch {KOLEKTOR_SDD.name}/{BOXES_FOLDER}`"
            )
    for name, path in found.items():
        if name not in places:
            raise ValueError(f"{path} holds masks without images: add {name} or take it away")


def _list_item(place: Path, mask_place: Path) -> list[Entry]:
    images, labels = list_by_suffix(place, JPEG_SUFFIXES, (".bmp",))
    if mask_place != place:
        labels = list_by_suffix(mask_place, JPEG_SUFFIXES, (".bmp",))[1]
    for stem, path in labels.items():
        if not stem.endswith(_MASK_ENDING):
            raise ValueError(f"{path} is no mask: want Part<i>{_MASK_ENDING}.bmp for Part<i>.jpg")
    masks = {stem.removesuffix(_MASK_ENDING): path for stem, path in labels.items()}
    item, stray, kept = _STRAY
    if place.name == item and kept in images:
        images.pop(stray, None)
        masks.pop(stray, None)
    require_images(len(images) + len(masks), place, f"Part<i>.jpg and Part<i>{_MASK_ENDING}.bmp")
    require_pairs(images, masks, mask_place, mask_ending=_MASK_ENDING)
    return [Entry(image, masks[stem], 0, f"{place.name}/{stem}") for stem, image in images.items()]


def _item(entry: Entry) -> str:
    return entry.name.partition("/")[0]


def _folds(split_file: Path, items: list[str], firsts: list[str]) -> Folds:
    if not split_file.is_file():
        return Folds(deal_folds(firsts), "dealt out by this course, item after item")
    fold_of = read_folds(split_file, set(items))
    return Folds(np.array([fold_of[item] for item in items]), "the authors'")
