"""From the name of a data set to its images.

Torch is imported only where a set is opened: finding sets on disk takes a fraction of a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from inspect import signature
from operator import index as whole_number
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from course_utils.config import check_seed, data_root
from course_utils.data.image_set import Entry, ImageSet
from course_utils.data.readers import Reader, find_reader
from course_utils.data.registry import (
    DATASETS,
    PRODUCT_NAMES,
    SYNTHETIC_PRODUCT,
    DatasetInfo,
    is_synthetic,
)
from course_utils.data.splits import SPLIT_NAMES, SplitBy, leak_note, split_images

if TYPE_CHECKING:
    from course_utils.data.samples import DefectDataset, Sample

FOLDER_PREFIX = "folder:"
_SET = ("split", "size", "seed")
"""Arguments of the synthetic sets that are no options: `open_dataset` has them."""


def open_dataset(
    name: str,
    split: str = "train",
    *,
    size: int | tuple[int, int] = 256,
    seed: int = 0,
    root: str | Path | None = None,
    split_by: SplitBy = "group",
    normal_only: bool = False,
    **options: Any,
) -> "DefectDataset":
    """Return the part `split` ("train", "val", "test" or "all") of the data set `name`.

    `name` is one of `DATASETS`, `synthetic_product/<plate, washer or cap>`, `mvtec_ad/<category>`,
    `dagm/<1..10>`, or `folder:<path>` for a person's own images: `images/` and `masks/`, `good/`,
    `defective/`, in parts or not (see `readers.folder`; a relative path starts at `root` if given,
    else at the working directory). Images come at `size`, one side or (height, width). Which image
    goes where depends on `seed` alone; images that show the same thing stay together.
    `split_by="image"` deals images out one by one, as is often done and **leaks**: it is here to
    measure what that pretends. Where parts are stated, by the authors or by the folders of a
    person, they stay so whatever `split_by` says. `split_note` says how it was done, and what was
    seen of the images on the way.

    `normal_only=True` is for methods that learn from good images: train and val hold no others, and
    where nobody has stated parts, all defective images are in test.

    Options: `fold=1`, 2 or 3, of `kolektor_sdd` only, makes that fold the test part and takes a
    fifth of the others for validation (see `split_images`); "all" is all images nevertheless.
    `masks="boxes"`, of `kolektor_sdd` too, takes its box masks instead of the fine ones. Those of
    the synthetic sets are the arguments of `SyntheticSurfaces` and `SyntheticProducts`.

    Raises:
        ValueError: for an unknown name, split or option, a `seed` that is no whole number in 0 ..
            2**32 - 1, and files that do not fit the layout: of a person's own, all of them.
        FileNotFoundError: with the way to get it for a set that is not on disk, or the path of
            what is missing from it.

    Example:
        >>> open_dataset("synthetic", "val", size=64)[3].image.shape
        torch.Size([3, 64, 64])
    """
    if split not in (*SPLIT_NAMES, "all"):
        raise ValueError(f"split {split!r} is unknown: choose train, val, test or all")
    if split_by not in ("group", "image"):
        raise ValueError(f'split_by must be "group" or "image", got {split_by!r}')
    height_width, seed = _checked_size(size), check_seed(seed)
    if is_synthetic(name):
        if normal_only and split != "test":
            options["frequency"] = 0.0
        return _open_synthetic(name, split, split_by, size=height_width, seed=seed, **options)
    from course_utils.data.image_mask_dataset import ImageMaskDataset

    info = None if name.startswith(FOLDER_PREFIX) else _find_info(name)
    own = [] if info is None else _reader_options(info)
    _check_options(name, options, [*(["fold"] if info and info.folds else []), *own])
    fold = _checked_fold(name, options.pop("fold", None), split_by)
    image_set = read_image_set(name, root, **options)
    indices, note = split_images(
        image_set, split, seed=seed, split_by=split_by, fold=fold, normal_only=normal_only
    )
    return ImageMaskDataset(image_set, indices, size=height_width, split_note=note)


def read_image_set(name: str, root: str | Path | None = None, **options: Any) -> ImageSet:
    """Return all images of the set `name`, before any split, opening as few as its reader can.

    `name`, `root` and errors as in `open_dataset`, but for the synthetic sets, which have no files;
    `options` are those of the reader.
    """
    reader, where = _locate(name, root)
    return reader.read(*where, **options)


def list_entries(name: str, root: str | Path | None = None) -> tuple[Path, list[Entry]]:
    """Return the folder of the set `name` and all its images with their masks, opening none.

    Arguments and errors as in `read_image_set`. Labels that only pixels show are 0.
    """
    reader, where = _locate(name, root)
    return where[0], reader.list_entries(*where)


@dataclass(frozen=True)
class FoundDataset:
    """What lies in the folder of one data set."""

    info: DatasetInfo
    folder: Path
    """Of the whole set, whatever its categories."""
    images: int
    """0 if the set is not there or not complete."""
    problem: str
    """Why the set cannot be opened; empty if it can."""


def find_datasets(root: str | Path | None = None) -> dict[str, FoundDataset]:
    """Find each data set that lives on disk, opening no image. By default in `data_root()`.

    Each set that can be opened stands under the name by which `open_dataset` opens it, so the
    categories of MVTec AD that are there stand one by one.

    Example:
        >>> find_datasets("/nowhere")["magnetic_tile"].images
        0
    """
    root = data_root(root)
    found = {}
    for info in DATASETS.values():
        if not info.needs_files:
            continue
        for name in [f"{info.name}/{one}" for one in _categories(info, root)] or [info.name]:
            images, problem = 0, ""
            try:
                images = len(list_entries(name, root)[1])
            except (ValueError, OSError) as error:
                problem = str(error)
            found[name] = FoundDataset(info, info.folder(root), images, problem)
    return found


def _locate(name: str, root: str | Path | None) -> tuple[Reader, list[Any]]:
    """Return what reads the set `name`, and its folder and category. Errors as `open_dataset`."""
    if name.startswith(FOLDER_PREFIX):
        folder = Path(name.removeprefix(FOLDER_PREFIX)).expanduser()
        start = Path(root) if root is not None else Path.cwd()
        return find_reader("folder"), [start / folder]
    info, category = _find_info(name), name.partition("/")[2]
    folder = info.require_folder(data_root(root))
    reader = find_reader(info.name)
    if not info.by_category:
        return reader, [folder]
    here = reader.categories(folder)
    if category in here:
        return reader, [folder, category]
    if not here:
        raise FileNotFoundError(f"{folder} is empty: want {info.layout}")
    lacks = f"no category {category!r}" if category else "categories, and none was named"
    raise FileNotFoundError(
        f"{folder} has {lacks}: choose {' or '.join(f'{info.name}/{one}' for one in here)}"
        + (f", or fetch it with: course data fetch {name}" if category else "")
    )


def _find_info(name: str) -> DatasetInfo:
    family, _, category = name.partition("/")
    info = DATASETS.get(family)
    if info is SYNTHETIC_PRODUCT:
        close = get_close_matches(name, PRODUCT_NAMES, n=1, cutoff=0.9)
        hint = f". Did you mean {close[0]}?" if close and category else ""
        raise ValueError(
            f"data set {name!r} is unknown: choose one of {', '.join(PRODUCT_NAMES)}{hint}"
        )
    if info is None or not info.needs_files or (category and not info.by_category):
        known = ", ".join(DATASETS)
        close = get_close_matches(name, [*DATASETS, *PRODUCT_NAMES], n=1, cutoff=0.8)
        meant = f"folder:{name}" if Path(name).is_dir() else "".join(close)
        hint = f". Did you mean {meant}?" if meant else ""
        raise ValueError(
            f"data set {name!r} is unknown: choose one of {known}, or folder:<path>{hint}"
        )
    return info


def _categories(info: DatasetInfo, root: Path) -> list[str]:
    folder = info.folder(root)
    try:
        if info.by_category and folder.is_dir():
            return find_reader(info.name).categories(folder)
    except OSError:  # closed to us: the finding is what the set itself says
        pass
    return []


def _reader_options(info: DatasetInfo) -> list[str]:
    positional = 2 if info.by_category else 1
    return list(signature(find_reader(info.name).read).parameters)[positional:]


def _check_options(name: str, options: dict[str, Any], known: Sequence[str]) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"{name} has no option {unknown[0]!r}: it has {', '.join(known) or 'none'}"
        )


def _open_synthetic(
    name: str, split: str, split_by: SplitBy, *, size: tuple[int, int], seed: int, **options: Any
) -> "DefectDataset":
    from torch.utils.data import ConcatDataset, Subset

    from course_utils.data.synthetic import SyntheticProducts, SyntheticSurfaces
    from course_utils.data.wrappers import MappedDataset

    product = name.partition("/")[2]
    make = partial(SyntheticProducts, product) if product else SyntheticSurfaces
    _check_options(name, options, [one for one in signature(make).parameters if one not in _SET])
    if split_by == "group" and split != "all":
        return make(split, size=size, seed=seed, **options)
    parts = [make(part, size=size, seed=seed, **options) for part in SPLIT_NAMES]
    lengths = [len(part) for part in parts]
    whole: ConcatDataset[Sample] = ConcatDataset(parts)
    if split == "all":
        return MappedDataset(whole, split_note=f"All {sum(lengths)} images, no split.")
    dealt = np.random.default_rng(seed).permutation(sum(lengths))
    chosen = np.split(dealt, np.cumsum(lengths)[:-1])  # the parts stay as large as they were
    groups = np.array([part.describe(index).group for part in parts for index in range(len(part))])
    note = leak_note(groups, chosen, f"all shots of one {parts[0].thing}")
    kept = Subset(whole, np.sort(chosen[SPLIT_NAMES.index(split)]).tolist())
    return MappedDataset(kept, split_note=note)


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


def _checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    try:
        height, width = (whole_number(side) for side in sides)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise ValueError(f"size must be a number of pixels or (height, width), got {size!r}")
    return height, width
