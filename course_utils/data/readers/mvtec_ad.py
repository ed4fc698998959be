"""MVTec AD (Bergmann et al., CVPR 2019): good images to train on, and the authors' test part."""

from pathlib import Path

import numpy as np

from course_utils.data.image_files import list_folder, list_images
from course_utils.data.image_set import Entry, ImageSet, Parts
from course_utils.data.readers.masks import (
    require_folder,
    require_images,
    require_pairs,
    soft_mask_classes,
)
from course_utils.data.registry import MVTEC_AD

MASK_ENDING = "_mask"


def read(folder: Path, category: str) -> ImageSet:
    """Return all images of `category` below `folder`; those of `test/` are the test part.

    Classes are the folders of `test/` other than `good`, in the order of the alphabet. Images are
    RGB, the gray ones of grid, screw and zipper too. Raises as `list_entries`.
    """
    entries = list_entries(folder, category)
    return ImageSet(
        entries=entries,
        groups=np.arange(len(entries)),
        grouping="each image by itself",
        class_names=("background", *_kinds(folder / category)),
        channels=3,
        read_mask=soft_mask_classes,
        parts=Parts.with_test(np.array([entry.name.startswith("test/") for entry in entries])),
    )


def list_entries(folder: Path, category: str) -> list[Entry]:
    """Return the images of `category` below `folder` with their masks, opening none.

    Raises:
        FileNotFoundError: for a missing folder, image or mask.
        ValueError: for a mask without an image.
    """
    folder = folder / category
    good = folder / "train" / "good"
    if not good.is_dir() or not (folder / "test").is_dir():
        raise FileNotFoundError(f"{folder} is not complete: want {MVTEC_AD.layout}")
    entries = [
        Entry(path, None, 0, f"train/good/{stem}") for stem, path in list_images(good).items()
    ]
    require_images(len(entries), good, "good images to train on")
    if (good := folder / "test" / "good").is_dir():
        entries += [
            Entry(path, None, 0, f"test/good/{stem}") for stem, path in list_images(good).items()
        ]
    for label, kind in enumerate(_kinds(folder), start=1):
        images = list_images(folder / "test" / kind)
        truth = folder / "ground_truth" / kind
        require_folder(truth, f"the masks of test/{kind} in it")
        masks = {s.removesuffix(MASK_ENDING): path for s, path in list_images(truth).items()}
        require_pairs(images, masks, truth)
        entries += [
            Entry(image, masks[stem], label, f"test/{kind}/{stem}")
            for stem, image in images.items()
        ]
    return entries


def categories(folder: Path) -> list[str]:
    """Return the names of the categories that lie in `folder`, in the order of the alphabet."""
    return [path.name for path in list_folder(folder) if (path / "train").is_dir()]


def _good_entries(folder: Path, part: str) -> list[Entry]:
    images = list_images(folder)
    return [Entry(path, None, 0, f"{part}/good/{stem}") for stem, path in images.items()]


def _kinds(folder: Path) -> list[str]:
    found = list_folder(folder / "test")
    return [path.name for path in found if path.is_dir() and path.name != "good"]
