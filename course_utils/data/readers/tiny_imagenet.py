"""Tiny-ImageNet: small pictures of things, for pretraining an encoder."""

from pathlib import Path

import numpy as np

from course_utils.data.image_set import Entry, ImageSet
from course_utils.data.readers.dtd import class_folders, defect_free_set, list_jpegs
from course_utils.data.registry import TINY_IMAGENET


def read(folder: Path) -> ImageSet:
    """Return the images of `train/` and `val/` as RGB with empty masks, each image by itself.

    The test part is `val/`, the only one that its authors held out and published the classes of. No
    image is opened, since looking for near-duplicates among 110 000 pictures would take minutes:
    some may be in two parts. Raises as `list_entries`.
    """
    entries = list_entries(folder)
    return defect_free_set(entries, np.array([entry.name.startswith("val/") for entry in entries]))


def list_entries(folder: Path) -> list[Entry]:
    """Return the images, named as "train/n01443537/images/n01443537_0", opening none.

    Raises:
        FileNotFoundError: for a missing folder, a missing val_annotations.txt, and a class without
            images.
        ValueError: for a file that is no JPEG.
    """
    layout, table = TINY_IMAGENET.layout, folder / "val" / "val_annotations.txt"
    image_folders = [one / "images" for one in class_folders(folder / "train", layout)]
    if not table.is_file():
        raise FileNotFoundError(f"{table} is missing: want {layout}")
    return [
        entry
        for image_folder in (*image_folders, folder / "val" / "images")
        for entry in list_jpegs(
            image_folder, f"{image_folder.relative_to(folder).as_posix()}/", layout
        )
    ]
