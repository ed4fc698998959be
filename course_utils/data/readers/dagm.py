"""DAGM 2007, generated textures with one weakly marked defect, in both of its original layouts."""

import re
from pathlib import Path

import numpy as np

from course_utils.data.dataset_info import DatasetInfo
from course_utils.data.image_files import read_gray
from course_utils.data.image_mask_dataset import Entry, ImageSet
from course_utils.data.readers.dagm_ellipses import ellipse_mask, read_ellipses
from course_utils.data.readers.nonzero_masks import nonzero_mask_classes
from course_utils.data.readers.pairing import require_images

DAGM = DatasetInfo(
    name="dagm",
    title="Generated textures DAGM 2007",
    class_names=("background", "defect"),
    licence="none stated; for research",
    page="https://conferences.mpi-inf.mpg.de/dagm/2007/prizes.html",
    layout="Class1 to Class10 as published: with Train and Test, each with images <number>.PNG and "
    "masks Label/<number>_label.PNG of the defects; or Class<i> with good images and Class<i>_def "
    "with defects and labels.txt",
    remark="Open one class, as dagm/1. Masks are weak labels: ellipses around the defect, which "
    "hold sound surface too. Where Train and Test are there, the test part is the authors'.",
)

LABELS_FILE = "labels.txt"
_PARTS = ("Train", "Test")
_MASK_FOLDER = "Label"
_MASK_ENDING = "_label"
_CLASS_FOLDER = re.compile(r"Class(\d+)(_def)?")
_NO_IMAGES = (_MASK_FOLDER, LABELS_FILE, "Labels.txt", "Thumbs.db", "desktop.ini")


def read_dagm(folder: Path, number: str) -> ImageSet:
    """Return the images of class `number` ("1" to "10") below `folder`, gray.

    Of the competition's layout, `Class1/Train` and `Class1/Test`, an image is defective if it has a
    mask, and `Test` is the test part. Of the development layout, `Class1` and `Class1_def`, the
    defective images are those of `Class1_def`; their masks are drawn from the ellipses in its
    labels.txt (see `ellipse_mask`), and there is no published test part.

    Raises as `list_dagm`. Reading a mask raises `ValueError` if it marks no pixel.
    """
    entries = list_dagm(folder, number)
    parts = [entry.name.partition("/")[0] for entry in entries]
    return ImageSet(
        entries=entries,
        groups=np.arange(len(entries)),
        grouping="each image by itself",
        class_names=DAGM.class_names,
        channels=1,
        read_mask=_mask_classes,
        published_test=np.array(parts) == "Test" if "Test" in parts else None,
    )


def list_dagm(folder: Path, number: str) -> list[Entry]:
    """Return the images of class `number` below `folder` with their masks, opening none.

    Raises:
        FileNotFoundError: for a class that is not there or not complete and a defective image
            without an ellipse.
        ValueError: if both layouts are there at once, for a mask or an ellipse without an image, a
            line of labels.txt that is no ellipse, and a file that is no image.
    """
    if number not in dagm_classes(folder):
        raise FileNotFoundError(f"{folder} holds no Class{number}: {_choice(folder)}")
    place, defects = folder / f"Class{number}", folder / f"Class{number}_def"
    competition = [place / part for part in _PARTS if (place / part).is_dir()]
    if not competition:
        return _list_development(place, defects)
    if defects.is_dir() or any(path.suffix.lower() == ".png" for path in place.iterdir()):
        raise ValueError(
            f"{place} holds both the competition's Train and Test and the development images: keep "
            f"one of the two"
        )
    if len(competition) < len(_PARTS):
        raise FileNotFoundError(f"{place} is not complete: want Train and Test")
    return [entry for part in competition for entry in _list_part(part)]


def dagm_classes(folder: Path) -> list[str]:
    """Return the numbers of the classes that lie in `folder`, in their order: `["1", "10"]`."""
    paths = [path for path in folder.glob("Class*") if path.is_dir()]
    found = {match[1] for path in paths if (match := _CLASS_FOLDER.fullmatch(path.name))}
    return sorted(found, key=int)


def _list_part(part: Path) -> list[Entry]:
    images, place = _by_number(part), part / _MASK_FOLDER
    require_images(len(images), part, "<number>.PNG")
    if not place.is_dir():
        raise FileNotFoundError(f"{place} is missing: it holds the masks of the defective images")
    masks = _by_number(place, _MASK_ENDING)
    for number, mask in masks.items():
        if number not in images:
            raise ValueError(f"{mask} is a mask without an image: add the image or take it away")
    return [
        Entry(image, masks.get(number), int(number in masks), f"{part.name}/{image.stem}")
        for number, image in images.items()
    ]


def _list_development(place: Path, defects: Path) -> list[Entry]:
    for wanted in (place, defects):
        if not wanted.is_dir():
            raise FileNotFoundError(f"{wanted} is missing: want {DAGM.layout}")
    good, bad = _by_number(place), _by_number(defects)
    require_images(len(good), place, "good images <number>.png")
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
        *(Entry(image, None, 0, f"{place.name}/{image.stem}") for image in good.values()),
        *(Entry(image, labels_file, 1, f"{defects.name}/{image.stem}") for image in bad.values()),
    ]


def _by_number(place: Path, ending: str = "") -> dict[int, Path]:
    """Return the files `<number><ending>.png` of `place` by number, in the order of the numbers."""
    wanted = re.compile(rf"(\d+){ending}\.png", re.IGNORECASE)
    found: dict[int, Path] = {}
    for path in sorted(place.iterdir()):
        if path.name.startswith(".") or path.name in _NO_IMAGES:
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


def _choice(folder: Path) -> str:
    found = dagm_classes(folder)
    if not found:
        return f"want {DAGM.layout}"
    return "choose " + ", ".join(f"{DAGM.name}/{number}" for number in found)
