"""Images with one class each, from folders: what an encoder is pretrained on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from course_utils.data.image_files import list_folder
from course_utils.io import is_junk

HELD_OUT = 0.1
"""Share of each class that is held out where there is no validation part."""

PART_NAMES = ("train", "training", "val", "valid", "validation", "test", "testing")

Files = list[tuple[str, int]]
"""Paths, each with the index of its class."""


@dataclass(frozen=True)
class LabeledFiles:
    """The images of a folder, in two parts."""

    class_names: list[str]
    train: Files
    val: Files
    val_source: str
    """Where the validation images come from, in words."""


class LabeledImage(NamedTuple):
    """An image and its class, or a batch of them, under the names that `fit` asks for."""

    image: Tensor
    mask: int
    """The index of the class: `fit` hands it to the loss as it is."""


class LabeledImages(Dataset[LabeledImage]):
    """Reads `files` as RGB and passes each through `transform`, a PIL image in, a tensor out.

    An image that cannot be read raises `ValueError` with its path.
    """

    def __init__(self, files: Files, transform: Callable[[Image.Image], Tensor]) -> None:
        self.files = files
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> LabeledImage:
        path, label = self.files[index]
        return LabeledImage(self.transform(_read(path)), label)


def find_labeled_images(folder: str | Path, *, seed: int = 0) -> LabeledFiles:
    """Find the images of each class, and which of them are for validation.

    Three layouts are known; files may lie deeper within the folder of their class:

    - Tiny-ImageNet's: `train/<class>/images/*.JPEG`, `val/images/*.JPEG` and
      `val/val_annotations.txt`, whose lines begin with a file's name and its class;
    - `train/<class>/*` and `val/<class>/*`;
    - `<class>/*`, or `train/<class>/*` alone: 10 % of each class, drawn by `seed`, and at least
      one image, are held out.

    Raises:
        NotADirectoryError: if there is no such folder.
        ValueError: for another layout, fewer than two classes, a class without images, and one with
            too few to hold one out.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("dots/1.png", "dots/2.png", "lines/1.png", "lines/2.png"):
        ...         path = Path(folder, name)
        ...         path.parent.mkdir(exist_ok=True)
        ...         path.touch()
        ...     files = find_labeled_images(folder)
        >>> files.class_names, len(files.train), [label for _, label in files.val]
        (['dots', 'lines'], 2, [0, 1])
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {folder}")
    has_train, val = (folder / "train").is_dir(), folder / "val"
    if val.is_dir() and not has_train:
        raise ValueError(f"{folder} has a folder val and no folder train: the data are incomplete")
    names, train = _find_classes(folder / "train" if has_train else folder)
    if has_train and (val / "val_annotations.txt").is_file():
        return LabeledFiles(names, train, _annotated(val, names), "val_annotations.txt")
    if val.is_dir():
        return LabeledFiles(names, train, _same_classes(val, names), "the folder val")
    train, held_out = _hold_out(train, names, seed)
    return LabeledFiles(names, train, held_out, f"{HELD_OUT:.0%} of each class, held out by seed")


def _read(path: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    # PIL raises all of these for damaged files, depending on the format.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"the image {path} cannot be read ({reason}): mend or remove it"
        ) from error


def _find_classes(folder: Path) -> tuple[list[str], Files]:
    try:
        names = [name for name in find_classes(str(folder))[0] if not is_junk(name)]
        numbers = {name: number for number, name in enumerate(names)}
    except FileNotFoundError:
        raise ValueError(
            f"{folder} has no folders in it: it must hold a folder of images for each class"
        ) from None
    files = make_dataset(str(folder), numbers, is_valid_file=_is_image, allow_empty=True)
    empty = sorted(set(names) - {names[label] for _, label in files})
    problem = ""
    if not files:
        endings = ", ".join(IMG_EXTENSIONS)
        problem = f"no images in the folders of {folder}: names must end in {endings}"
    elif empty:
        more = f" and {len(empty) - 3} more" if len(empty) > 3 else ""
        problem = (
            f"no images in {', '.join(empty[:3])}{more}, of {len(names)} folders in {folder}: each "
            "folder is a class, so remove or fill those"
        )
    elif parts := [name for name in names if name.lower() in PART_NAMES]:
        problem = (
            f"{folder} has a folder {parts[0]}, which is the name of a part and not of a class: "
            "call the parts train and val, or give the folder that holds the classes"
        )
    elif len(names) == 1:
        problem = (
            f"{folder} has only one class, {names[0]}: at least two are needed. If the classes are "
            f"the folders within, give {folder / names[0]}"
        )
    if problem:
        raise ValueError(problem)
    return names, files


def _is_image(path: str) -> bool:
    name = Path(path).name
    return name.lower().endswith(IMG_EXTENSIONS) and not is_junk(name)


def _annotated(val: Path, names: list[str]) -> Files:
    """Read Tiny-ImageNet's list: name, class and four numbers in each line, by tabs."""
    numbers = {name: label for label, name in enumerate(names)}
    table = val / "val_annotations.txt"
    files = []
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
        name, _, rest = line.partition("\t")
        label = rest.partition("\t")[0]
        path = val / "images" / name
        if label not in numbers:
            raise ValueError(
                f"{table}, line {number}: {label!r} is none of the {len(names)} classes of train"
            )
        if not path.is_file():
            raise ValueError(f"{table}, line {number}: there is no image {path}")
        files.append((str(path), numbers[label]))
    if not files:
        raise ValueError(f"{table} is empty: remove {val} to hold out training images instead")
    return files


def _same_classes(val: Path, names: list[str]) -> Files:
    unknown = sorted({path.name for path in list_folder(val) if path.is_dir()} - set(names))
    if unknown:
        raise ValueError(
            f"{val} has the folder {unknown[0]}, which is no class of train. Tiny-ImageNet's "
            "layout needs val_annotations.txt there, any other the same classes as train"
        )
    numbers = {name: label for label, name in enumerate(names)}
    files: Files = make_dataset(str(val), numbers, is_valid_file=_is_image, allow_empty=True)
    if not files:
        raise ValueError(f"no images in {val}: remove it to hold out training images instead")
    return files


def _hold_out(files: Files, names: list[str], seed: int) -> tuple[Files, Files]:
    rng = np.random.default_rng(seed)
    train: Files = []
    held_out: Files = []
    for label, name in enumerate(names):
        own = [file for file in files if file[1] == label]
        if len(own) < 2:
            raise ValueError(
                f"the class {name} has 1 image: at least 2 are needed, one to be held out"
            )
        chosen = set(rng.permutation(len(own))[: max(1, round(HELD_OUT * len(own)))].tolist())
        held_out += [file for i, file in enumerate(own) if i in chosen]
        train += [file for i, file in enumerate(own) if i not in chosen]
    return train, held_out
