"""DAGM 2007, generated textures with one weakly marked defect, in both of its original layouts."""

import re
from collections.abc import Mapping
from functools import lru_cache
from math import cos, isfinite, sin
from pathlib import Path
from typing import NamedTuple

import numpy as np

from course_utils.data.image_files import FileStamp, file_stamps, list_folder, read_gray
from course_utils.data.image_set import Entry, ImageSet, Parts
from course_utils.data.readers.masks import nonzero_mask_classes, require_folder, require_images
from course_utils.data.registry import DAGM

LABELS_FILE = "labels.txt"
_PARTS = ("Train", "Test")
_MASK_FOLDER = "Label"
_MASK_ENDING = "_label"
_CLASS_FOLDER = re.compile(r"Class(\d+)(_def)?")
_COLUMNS = "file number, semi-major axis, semi-minor axis, angle, x and y of the center"
_NO_IMAGES = (_MASK_FOLDER, LABELS_FILE, "Labels.txt")


def read(folder: Path, number: str) -> ImageSet:
    """Return the images of class `number` ("1" to "10") below `folder`, gray.

    Of the competition's layout, `Class1/Train` and `Class1/Test`, an image is defective if it has a
    mask, and `Test` is the test part. Of the development layout, `Class1` and `Class1_def`, the
    defective images are those of `Class1_def`; their masks are drawn from the ellipses in its
    labels.txt (see `ellipse_mask`), and there is no published test part.

    Raises as `list_entries`. Reading a mask raises `ValueError` if it marks no pixel.
    """
    entries = list_entries(folder, number)
    parts = [entry.name.partition("/")[0] for entry in entries]
    return ImageSet(
        entries=entries,
        groups=np.arange(len(entries)),
        grouping="each image by itself",
        class_names=DAGM.class_names,
        channels=1,
        read_mask=_mask_classes,
        parts=Parts.with_test(np.array(parts) == "Test") if "Test" in parts else None,
    )


def list_entries(folder: Path, number: str) -> list[Entry]:
    """Return the images of class `number` below `folder` with their masks, opening none.

    Raises:
        FileNotFoundError: for a class that is not there or not complete and a defective image
            without an ellipse.
        ValueError: if both layouts are there at once, for a mask or an ellipse without an image, a
            line of labels.txt that is no ellipse, and a file that is no image.
    """
    found = categories(folder)
    if number not in found:
        choice = ", ".join(f"{DAGM.name}/{one}" for one in found)
        cure = f"choose {choice}" if found else f"want {DAGM.layout}"
        raise FileNotFoundError(f"{folder} holds no Class{number}: {cure}")
    class_folder, defects = folder / f"Class{number}", folder / f"Class{number}_def"
    competition = [class_folder / part for part in _PARTS if (class_folder / part).is_dir()]
    if not competition:
        return _list_development(class_folder, defects)
    if defects.is_dir() or any(path.suffix.lower() == ".png" for path in list_folder(class_folder)):
        raise ValueError(
            f"{class_folder} holds both the competition's Train and Test and the development "
            f"images: keep one of the two"
        )
    if len(competition) < len(_PARTS):
        raise FileNotFoundError(f"{class_folder} is not complete: want Train and Test")
    return [entry for part in competition for entry in _list_part(part)]


def categories(folder: Path) -> list[str]:
    """Return the numbers of the classes that lie in `folder`, in their order: `["1", "10"]`."""
    paths = [path for path in folder.glob("Class*") if path.is_dir()]
    found = {match[1] for path in paths if (match := _CLASS_FOLDER.fullmatch(path.name))}
    return sorted(found, key=int)


class Ellipse(NamedTuple):
    """One line of labels.txt after the file number; lengths in pixels."""

    semi_major: float
    semi_minor: float
    angle: float
    """Radians, from the x axis to the major axis, turning towards y (down)."""
    x: float
    y: float


def read_ellipses(labels_file: Path) -> Mapping[int, Ellipse]:
    """Return the ellipse of each image by file number.

    Each line has six numbers, with tabs or blanks between them: file number, semi-major axis,
    semi-minor axis, angle in radians, x and y of the center. Remembered until the file changes.

    Raises:
        FileNotFoundError: without the file.
        ValueError: naming file and line, for a line that has anything else, an axis that is not
            above 0, and a file number that comes twice.
    """
    if not labels_file.is_file():
        raise FileNotFoundError(f"{labels_file} is missing: it holds the ellipse of each defect")
    return _read_ellipses(file_stamps([labels_file])[0])


def ellipse_mask(ellipse: Ellipse, size: tuple[int, int]) -> np.ndarray:
    """Return bool, `size` (height, width): whether a pixel's center lies in `ellipse`.

    Centers of pixels are whole numbers, x counts columns and y rows, both from 0, and a positive
    angle turns from x towards y, as in `cv2.ellipse`. This is how public code for these files
    draws them. One description of the files says that angles turn counter-clockwise; the files
    were not at hand to see which holds, so look at a few masks before you build on them.

    Example:
        >>> ellipse_mask(Ellipse(2, 1, 0, x=2, y=1), (3, 5)).astype(int).tolist()
        [[0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]]
    """
    y, x = np.ogrid[: size[0], : size[1]]
    right, down = x - ellipse.x, y - ellipse.y
    along = right * cos(ellipse.angle) + down * sin(ellipse.angle)
    across = down * cos(ellipse.angle) - right * sin(ellipse.angle)
    return (along / ellipse.semi_major) ** 2 + (across / ellipse.semi_minor) ** 2 <= 1


def _list_part(part: Path) -> list[Entry]:
    images, mask_folder = _by_number(part), part / _MASK_FOLDER
    require_images(len(images), part, "<number>.PNG")
    require_folder(mask_folder, "the masks of the defective images in it")
    masks = _by_number(mask_folder, _MASK_ENDING)
    for number, mask in masks.items():
        if number not in images:
            raise ValueError(f"{mask} is a mask without an image: add the image or take it away")
    return [
        Entry(image, masks.get(number), int(number in masks), f"{part.name}/{image.stem}")
        for number, image in images.items()
    ]


def _list_development(class_folder: Path, defects: Path) -> list[Entry]:
    for folder in (class_folder, defects):
        require_folder(folder, DAGM.layout)
    good, bad = _by_number(class_folder), _by_number(defects)
    require_images(len(good), class_folder, "good images <number>.png")
    require_images(len(bad), defects, "defective images <number>.png")
    labels_file = defects / LABELS_FILE
    ellipses = read_ellipses(labels_file)
    for number, image in bad.items():
        if number not in ellipses:
            raise FileNotFoundError(f"{image} has no mask: {labels_file} has no line for {number}")
    for number in ellipses:
        if number not in bad:
            raise ValueError(f"{labels_file} has an ellipse for {number}, which has no image")
    return [
        *(Entry(image, None, 0, f"{class_folder.name}/{image.stem}") for image in good.values()),
        *(Entry(image, labels_file, 1, f"{defects.name}/{image.stem}") for image in bad.values()),
    ]


def _by_number(folder: Path, ending: str = "") -> dict[int, Path]:
    """Return the files `<number><ending>.png` of `folder` by number, in order."""
    wanted = re.compile(rf"(\d+){ending}\.png", re.IGNORECASE)
    found: dict[int, Path] = {}
    for path in list_folder(folder):
        if path.name in _NO_IMAGES:
            continue
        match = wanted.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path} is not named <number>{ending}.png: take it out of the folder")
        number = int(match[1])
        if number in found:
            raise ValueError(f"{found[number]} and {path.name} have one number: rename one")
        found[number] = path
    return dict(sorted(found.items()))


def _mask_classes(entry: Entry) -> np.ndarray:
    """Return uint8 classes, (H, W): 1 inside the ellipse around the defect."""
    assert entry.mask is not None
    if entry.mask.name != LABELS_FILE:
        classes = nonzero_mask_classes(entry)
    else:
        ellipse = read_ellipses(entry.mask)[int(entry.image.stem)]
        height, width = read_gray(entry.image).shape
        classes = ellipse_mask(ellipse, (height, width)).astype(np.uint8)
    if not classes.any():
        raise ValueError(f"{entry.mask} marks no pixel of {entry.image}, which shows a defect")
    return classes


@lru_cache(maxsize=16)
def _read_ellipses(stamp: FileStamp) -> Mapping[int, Ellipse]:
    path = stamp[0]
    ellipses: dict[int, Ellipse] = {}
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for count, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        number, ellipse = _parse(line, f"{path}, line {count}")
        if number in ellipses:
            raise ValueError(f"{path}, line {count} is a second ellipse for {number}: want one")
        ellipses[number] = ellipse
    return ellipses


def _parse(line: str, where: str) -> tuple[int, Ellipse]:
    try:
        values = [float(field) for field in line.split()]
    except ValueError:
        values = []
    if len(values) != 6 or not all(map(isfinite, values)) or not values[0].is_integer():
        raise ValueError(f"{where} is {line.strip()!r}: want 6 numbers ({_COLUMNS})")
    ellipse = Ellipse(*values[1:])
    if min(ellipse.semi_major, ellipse.semi_minor) <= 0:
        raise ValueError(f"{where} is {line.strip()!r}: want axes above 0 pixels")
    return int(values[0]), ellipse
