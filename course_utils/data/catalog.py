"""Open every data set of the course by its name."""

from collections.abc import Sequence
from inspect import signature
from operator import index as whole_number
from pathlib import Path
from typing import Any, Literal

import numpy as np

from course_utils.config import MAX_SEED, data_root
from course_utils.data.folds import split_by_fold
from course_utils.data.image_mask_dataset import ImageMaskDataset, ImageSet
from course_utils.data.known_datasets import DATASETS, ON_DISK, SYNTHETIC
from course_utils.data.readers.folder import read_folder
from course_utils.data.samples import DefectDataset
from course_utils.data.splits import SPLIT_NAMES, group_split
from course_utils.data.synthetic import SyntheticSurfaces
from course_utils.data.wrappers import Subset

_FOLDER_PREFIX = "folder:"
_SYNTHETIC_OPTIONS = [
    option
    for option in signature(SyntheticSurfaces).parameters
    if option not in ("split", "size", "seed")
]

SplitBy = Literal["group", "image"]


def open_dataset(
    name: str,
    split: str = "train",
    *,
    size: int | tuple[int, int] = 256,
    seed: int = 0,
    root: str | Path | None = None,
    split_by: SplitBy = "group",
    **options: Any,
) -> DefectDataset:
    """Return the part `split` ("train", "val", "test" or "all") of the data set `name`.

    `name` is one of `DATASETS`, `mvtec_ad/<category>`, `dagm/<1..10>`, or `folder:<path>` for a
    person's own images (see `read_folder`; a relative path starts at `root` if given, else at the
    working directory). Images come at `size`, one side or (height, width). Which image goes where
    depends on `seed` alone; images that show the same thing stay together. `split_by="image"` deals
    images out one by one, as is often done and **leaks**: it is here to measure what that pretends.
    Where the authors chose the test part, it is theirs whatever `split_by` says. `split_note` says
    how it was done.

    Options: `cache=True` keeps images on disk in memory once they were read. `fold=1`, 2 or 3, of
    `kolektor_sdd` only, makes that fold the test part and takes a fifth of the others for
    validation (see `split_by_fold`); "all" is all images nevertheless. `masks="boxes"`, of
    `kolektor_sdd` too, takes its box masks instead of the fine ones. Those of the synthetic set are
    the arguments of `SyntheticSurfaces`.

    Raises:
        ValueError: for an unknown name, split or option, a `seed` that is no whole number in 0 ..
            2**32 - 1, and files that do not fit the layout.
        FileNotFoundError: with the way to get it for a set that is not on disk, or the place of
            what is missing from it.

    Example:
        >>> open_dataset("synthetic", "val", size=64)[3].image.shape
        torch.Size([3, 64, 64])
    """
    if split not in (*SPLIT_NAMES, "all"):
        raise ValueError(f"split {split!r} is unknown: choose train, val, test or all")
    if split_by not in ("group", "image"):
        raise ValueError(f'split_by must be "group" or "image", got {split_by!r}')
    height_width = _checked_size(size)
    seed = _checked_seed(seed)
    known = _options(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"{name} has no option {unknown[0]!r}: it has {', '.join(known)}")
    if name == SYNTHETIC.name:
        return _open_synthetic(split, split_by, size=height_width, seed=seed, **options)
    fold = _checked_fold(name, options.pop("fold", None), split_by)
    told = {option: options.pop(option) for option in _reader_options(name) if option in options}
    image_set = read_image_set(name, root, **told)
    indices, note = _choose(image_set, split, seed, split_by, fold)
    return ImageMaskDataset(image_set, indices, size=height_width, split_note=note, **options)


def read_image_set(name: str, root: str | Path | None = None, **options: Any) -> ImageSet:
    """Return all images of the set `name`, before any split, opening as few as its reader can.

    `name`, `root` and errors as in `open_dataset`, but for the synthetic set, which has no files;
    `options` are those of the reader.
    """
    if name.startswith(_FOLDER_PREFIX):
        folder = Path(name.removeprefix(_FOLDER_PREFIX)).expanduser()
        return read_folder((Path(root) if root is not None else Path.cwd()) / folder)
    family, _, category = name.partition("/")
    if family not in ON_DISK or (category and not ON_DISK[family].categories):
        known = ", ".join(DATASETS)
        raise ValueError(f"data set {name!r} is unknown: choose one of {known}, or folder:<path>")
    known_set = ON_DISK[family]
    folder = known_set.info.require_folder(data_root(root))
    if known_set.categories is None:
        return known_set.read(folder, **options)
    here = known_set.categories(folder)
    if category not in here:
        lacks = f"no category {category!r}" if category else "categories, and none was named"
        raise FileNotFoundError(
            f"{folder} has {lacks}: choose {' or '.join(f'{family}/{one}' for one in here)}"
            if here
            else f"{folder} is empty: want {known_set.info.layout}"
        )
    return known_set.read(folder, category, **options)


def _choose(
    image_set: ImageSet, split: str, seed: int, split_by: SplitBy, fold: int | None
) -> tuple[np.ndarray, str]:
    """Return the indices of `split` and the sentence that says how it was made."""
    count = len(image_set.entries)
    if split == "all":
        return np.arange(count), f"All {count} images, no split."
    if fold is not None:
        parts, note = split_by_fold(image_set, fold, seed=seed)
        return parts[SPLIT_NAMES.index(split)], note + _missing_classes(image_set, parts)
    if image_set.published_test is not None:
        return _choose_published(image_set, image_set.published_test, split, seed)
    units = image_set.groups if split_by == "group" else np.arange(count)
    parts = group_split(units, image_set.labels, seed=seed)
    if split_by == "group":
        note = (
            f"{count} images in {len(np.unique(units))} groups ({image_set.grouping}) were split "
            f"60/20/20 by seed {seed}: no group is in two parts."
        )
    else:
        note = _leak_note(image_set.groups, parts, image_set.grouping)
    return parts[SPLIT_NAMES.index(split)], note + _missing_classes(image_set, parts)


def _choose_published(
    image_set: ImageSet, in_test: np.ndarray, split: str, seed: int
) -> tuple[np.ndarray, str]:
    rest = np.flatnonzero(~in_test)
    train, val = group_split(
        image_set.groups[rest], image_set.labels[rest], fractions=(0.8, 0.2), seed=seed
    )
    parts = {"train": rest[train], "val": rest[val], "test": np.flatnonzero(in_test)}
    note = (
        f"The test part of {in_test.sum()} images is the authors'; of the other {len(rest)} "
        f"images, {len(val)} were held out for validation by seed {seed}."
    )
    return parts[split], note


def _leak_note(groups: np.ndarray, parts: Sequence[np.ndarray], grouping: str) -> str:
    train, _, test = parts
    leaking = np.isin(groups[test], groups[train]).mean()
    return (
        f"Leaks on purpose: {len(groups)} images were dealt out one by one, so {leaking:.0%} of "
        f"the test images show something that is in train too ({grouping})."
    )


def _missing_classes(image_set: ImageSet, parts: Sequence[np.ndarray]) -> str:
    sentences = ""
    for part_name, indices in zip(SPLIT_NAMES, parts, strict=True):
        gone = np.setdiff1d(image_set.labels, image_set.labels[indices])
        if len(gone):
            names = ", ".join(image_set.class_names[label] if label else "good" for label in gone)
            sentences += f" Too rare to be in {part_name}: {names}."
    return sentences


def _open_synthetic(split: str, split_by: SplitBy, *, seed: int, **options: Any) -> DefectDataset:
    if split_by == "group" and split != "all":
        return SyntheticSurfaces(split, seed=seed, **options)
    parts = [SyntheticSurfaces(name, seed=seed, **options) for name in SPLIT_NAMES]
    lengths = [len(part) for part in parts]
    if split == "all":
        return Subset(parts, split_note=f"All {sum(lengths)} images, no split.")
    dealt = np.random.default_rng(seed).permutation(sum(lengths))
    chosen = np.split(dealt, np.cumsum(lengths)[:-1])  # the parts stay as large as they were
    groups = np.array([part.describe(index).group for part in parts for index in range(len(part))])
    note = _leak_note(groups, chosen, "all shots of one surface")
    return Subset(parts, np.sort(chosen[SPLIT_NAMES.index(split)]), split_note=note)


def _options(name: str) -> Sequence[str]:
    if name == SYNTHETIC.name:
        return _SYNTHETIC_OPTIONS
    folds = ("fold",) if name in DATASETS and DATASETS[name].folds else ()
    return ("cache", *folds, *_reader_options(name))


def _reader_options(name: str) -> Sequence[str]:
    family = name.partition("/")[0]
    return ON_DISK[family].options if family in ON_DISK else ()


def _checked_fold(name: str, fold: Any, split_by: SplitBy) -> int | None:
    if fold is None:
        return None
    count = DATASETS[name].folds
    wrong = isinstance(fold, bool) or not isinstance(fold, int | np.integer)
    if wrong or not 1 <= fold <= count:
        raise ValueError(f"fold of {name} must be a whole number in 1..{count}, got {fold!r}")
    if split_by != "group":
        raise ValueError(
            f"a fold of {name} holds whole groups: leave fold out, or split_by={split_by!r}"
        )
    return int(fold)


def _checked_seed(seed: int) -> int:
    wrong = isinstance(seed, bool) or not isinstance(seed, int | np.integer)
    if wrong or not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed must be a whole number in 0..{MAX_SEED}, got {seed!r}")
    return int(seed)


def _checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    try:
        height, width = (whole_number(side) for side in sides)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise ValueError(f"size must be a number of pixels or (height, width), got {size!r}")
    return height, width
