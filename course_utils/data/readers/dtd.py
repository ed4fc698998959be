"""Describable textures, DTD: pictures without defects, for the textures of anomalies."""

from pathlib import Path

import numpy as np

from course_utils.data.image_files import JPEG_SUFFIXES, list_by_suffix, list_folder
from course_utils.data.image_set import Entry, ImageSet, Parts
from course_utils.data.readers.masks import require_folder, require_images, soft_mask_classes
from course_utils.data.registry import DTD


def read(folder: Path) -> ImageSet:
    """Return all images below `folder` as RGB with empty masks, each image by itself.

    No image is opened, so nothing is known of pictures that show the same thing. Raises as
    `list_entries`.
    """
    return defect_free_set(list_entries(folder))


def list_entries(folder: Path) -> list[Entry]:
    """Return the images of each class, named as "banded/banded_0002", opening none.

    Raises:
        FileNotFoundError: for a missing folder and a class without images.
        ValueError: for a file that is no JPEG.
    """
    return [
        entry
        for class_folder in class_folders(folder / "images", DTD.layout)
        for entry in list_jpegs(class_folder, f"{class_folder.name}/", DTD.layout)
    ]


def defect_free_set(entries: list[Entry], test: np.ndarray | None = None) -> ImageSet:
    """Return the set of `entries`, which have no masks; `test` says which the authors held out."""
    return ImageSet(
        entries=entries,
        groups=np.arange(len(entries)),
        grouping="each image by itself",
        class_names=("background",),
        channels=3,
        read_mask=soft_mask_classes,  # never called, since no entry has a mask
        parts=None if test is None else Parts.with_test(test),
    )


def class_folders(folder: Path, layout: str) -> list[Path]:
    """Return the folders in `folder`, one of each class; raise `FileNotFoundError` if none is."""
    require_folder(folder, layout)
    found = [path for path in list_folder(folder) if path.is_dir()]
    require_images(len(found), folder, layout)
    return found


def list_jpegs(folder: Path, prefix: str, layout: str) -> list[Entry]:
    """Return the images of `folder`, named `prefix` and stem. Errors as `list_entries`."""
    require_folder(folder, layout)
    images = list_by_suffix(folder, JPEG_SUFFIXES)[0]
    require_images(len(images), folder, layout)
    return [Entry(path, None, 0, prefix + stem) for stem, path in images.items()]
