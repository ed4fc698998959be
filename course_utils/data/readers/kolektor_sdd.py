"""Kolektor surface defects, KolektorSDD (Tabernik et al., 2019): small cracks, folds by item."""

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from course_utils.data.image_files import JPEG_SUFFIXES, list_by_suffix
from course_utils.data.image_set import Entry, Folds, ImageSet
from course_utils.data.readers.masks import (
    label_by_masks,
    nonzero_mask_classes,
    require_images,
    require_pairs,
)
from course_utils.data.registry import KOLEKTOR_SDD

MaskStyle = Literal["fine", "boxes"]
"""Masks drawn around the crack, or boxes around it, as the papers on this set used them."""
SPLIT_FILE = "split.pyb"
BOXES_FOLDER = "boxes"
FOLDS = KOLEKTOR_SDD.folds
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


def read(folder: Path, masks: MaskStyle = "fine") -> ImageSet:
    """Return the images below `folder`, grouped by item, with three folds of whole items.

    Masks are those beside the images, or with `masks="boxes"` those of the same names below
    `folder/boxes`, where only masks are looked at. What is not 0 in a mask is defect, and an image
    with any such pixel has label 1. So every mask is read once, until a file changes. Folds are the
    authors' if `split.pyb` lies in `folder` (see `read_folds`), else those
    of `deal_folds`.

    Raises:
        FileNotFoundError: if there are no items, no images of an item, no box masks or no mask to
            an image.
        ValueError: for a mask without an image, a damaged mask, a split file that does not fit, and
            other `masks`.
    """
    entries = list_entries(folder, masks)
    items = [_item(entry) for entry in entries]
    firsts = [_FIRST_TAKEN_AS.get(item, item) for item in items]
    return ImageSet(
        entries=label_by_masks(entries),
        groups=np.unique(firsts, return_inverse=True)[1],
        grouping="items, some of them taken twice",
        class_names=KOLEKTOR_SDD.class_names,
        channels=1,
        read_mask=nonzero_mask_classes,
        folds=_folds(folder / SPLIT_FILE, items, firsts),
    )


def list_entries(folder: Path, masks: MaskStyle = "fine") -> list[Entry]:
    """Return all images below `folder`, opening none; the labels are not known yet (0)."""
    if masks not in get_args(MaskStyle):
        raise ValueError(
            f"masks {masks!r} is unknown: choose one of {', '.join(get_args(MaskStyle))}"
        )
    item_folders = _items_in(folder)
    require_images(len(item_folders), folder, KOLEKTOR_SDD.layout)
    mask_root = folder
    if masks == "boxes":
        mask_root = folder / BOXES_FOLDER
        _require_box_items(item_folders, mask_root)
    return [
        entry
        for name, item_folder in item_folders.items()
        for entry in _list_item(item_folder, mask_root / name)
    ]


def read_folds(split_file: Path, items: set[str]) -> dict[str, int]:
    """Return the fold, 1 to 3, in which each of `items` is tested, from the authors' split file.

    The file is a pickle of (items to train on, items to test on, all items), the first two with
    one list of names for each fold. Opening a pickle can run any code in it, so this one is opened
    by a reader that knows lists, tuples, dicts, sets, texts and numbers, and refuses all else.

    Raises:
        ValueError: naming the file, if it holds anything else or is damaged, if an item is tested
            in no fold or in two, is trained on where it is tested, or has no images here.
    """
    train, test = _read_lists(split_file)
    fold_of: dict[str, int] = {}
    for number, names in enumerate(test, start=1):
        for name in sorted(names):
            if name in fold_of:
                raise _wrong(split_file, f"tests {name} in folds {fold_of[name]} and {number}")
            if name in train[number - 1]:
                raise _wrong(split_file, f"both trains and tests on {name} in fold {number}")
            fold_of[name] = number
    for name in sorted(set(fold_of) ^ items):
        raise _wrong(
            split_file,
            f"tests {name} in no fold" if name in items else f"lists {name}, which is not here",
        )
    return fold_of


def deal_folds(groups: Sequence[str]) -> np.ndarray:
    """Return the fold, (N,) in 1 to 3, of each item: groups are dealt out in turn, by name.

    Every item of the set has one or two defects, so folds with as many items are balanced, too.

    Example:
        >>> deal_folds(["kos01", "kos02", "kos03", "kos04", "kos01"]).tolist()
        [1, 2, 3, 1, 1]
    """
    return np.unique(groups, return_inverse=True)[1] % FOLDS + 1


def _items_in(folder: Path) -> dict[str, Path]:
    paths = sorted(path for path in folder.iterdir() if _ITEM_NAME.fullmatch(path.name))
    return {path.name: path for path in paths}


def _require_box_items(item_folders: dict[str, Path], boxes: Path) -> None:
    """Raise unless `boxes` holds a folder for each item and for nothing else."""
    found = _items_in(boxes) if boxes.is_dir() else {}
    for name in item_folders:
        if name not in found:
            raise FileNotFoundError(
                f"{boxes / name} is missing: it holds the box masks of {name}. Get them with "
                f"`course data fetch {KOLEKTOR_SDD.name}/{BOXES_FOLDER}`"
            )
    for name, path in found.items():
        if name not in item_folders:
            raise ValueError(f"{path} holds masks without images: add {name} or take it away")


def _list_item(item_folder: Path, mask_folder: Path) -> list[Entry]:
    images, labels = list_by_suffix(item_folder, JPEG_SUFFIXES, (".bmp",))
    if mask_folder != item_folder:
        labels = list_by_suffix(mask_folder, JPEG_SUFFIXES, (".bmp",))[1]
    for stem, path in labels.items():
        if not stem.endswith(_MASK_ENDING):
            raise ValueError(f"{path} is no mask: want Part<i>{_MASK_ENDING}.bmp for Part<i>.jpg")
    masks = {stem.removesuffix(_MASK_ENDING): path for stem, path in labels.items()}
    item, stray, kept = _STRAY
    if item_folder.name == item and kept in images:
        images.pop(stray, None)
        masks.pop(stray, None)
    require_images(
        len(images) + len(masks), item_folder, f"Part<i>.jpg and Part<i>{_MASK_ENDING}.bmp"
    )
    require_pairs(images, masks, mask_folder, mask_ending=_MASK_ENDING)
    return [
        Entry(image, masks[stem], 0, f"{item_folder.name}/{stem}") for stem, image in images.items()
    ]


def _item(entry: Entry) -> str:
    return entry.name.partition("/")[0]


def _folds(split_file: Path, items: list[str], firsts: list[str]) -> Folds:
    if not split_file.is_file():
        return Folds(deal_folds(firsts), "dealt out by this course, item after item")
    fold_of = read_folds(split_file, set(items))
    return Folds(np.array([fold_of[item] for item in items]), "the authors'")


_PLAIN = {"set": set, "frozenset": frozenset}  # containers that older pickles name as functions


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in ("builtins", "__builtin__") and name in _PLAIN:
            return _PLAIN[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _read_lists(split_file: Path) -> tuple[list[set[str]], list[set[str]]]:
    """Return the items to train on and those to test on, by fold."""
    try:
        with split_file.open("rb") as file:
            content = _PlainUnpickler(file).load()
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise almost anything
        raise _wrong(split_file, f"is no pickle of plain lists and names ({error})") from error
    if not isinstance(content, list | tuple) or len(content) != 3:
        raise _wrong(split_file, "does not hold (train, test, all)")
    if not all(_is_list_of_folds(part) for part in content[:2]):
        raise _wrong(split_file, f"does not hold {FOLDS} lists of item names for train and test")
    train, test = ([set(names) for names in part] for part in content[:2])
    return train, test


def _is_list_of_folds(part: Any) -> bool:
    return (
        isinstance(part, list | tuple)
        and len(part) == FOLDS
        and all(isinstance(names, list | tuple | set | frozenset) for names in part)
        and all(isinstance(name, str) for names in part for name in names)
    )


def _wrong(split_file: Path, what: str) -> ValueError:
    return ValueError(
        f"{split_file} {what}: take split.pyb of KolektorSDD-training-splits.zip as it was "
        f"published, or take it away for folds made by this course"
    )
