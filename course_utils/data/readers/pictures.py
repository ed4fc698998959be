"""Pictures without defects, for textures of anomalies and for encoders: DTD and Tiny-ImageNet."""

from pathlib import Path

import numpy as np

from course_utils.data.dataset_info import DatasetInfo
from course_utils.data.image_files import JPEG_SUFFIXES, list_by_suffix
from course_utils.data.image_mask_dataset import Entry, ImageSet
from course_utils.data.readers.pairing import require_images, soft_mask_classes

DTD = DatasetInfo(
    name="dtd",
    title="Describable textures DTD",
    class_names=("background",),
    licence="for research purposes",
    page="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    layout="images/<class>/*.jpg",
    remark="No image has a defect. They are textures for anomalies: `TextureFolder` takes its "
    "folder. The 47 classes are not labels of defects, so every label is 0.",
)
TINY_IMAGENET = DatasetInfo(
    name="tiny_imagenet",
    title="Small pictures of things Tiny-ImageNet",
    class_names=("background",),
    licence="ImageNet's terms; for research",
    page="http://cs231n.stanford.edu/",
    layout="train/<class>/images/*.JPEG, val/images/*.JPEG and val/val_annotations.txt",
    remark="No image has a defect. They are for pretraining an encoder: "
    "data_scripts/pretrain_encoder.py reads the 200 classes itself; here every label is 0. The "
    "images of test have no classes and are not read.",
)


def read_dtd(folder: Path) -> ImageSet:
    """Return all images below `folder` as RGB with empty masks, each image by itself.

    No image is opened, so nothing is known of pictures that show the same thing. Raises as
    `list_dtd`.
    """
    return _pictures(list_dtd(folder))


def list_dtd(folder: Path) -> list[Entry]:
    """Return the images of each class, named as "banded/banded_0002", opening none.

    Raises:
        FileNotFoundError: for a missing folder and a class without images.
        ValueError: for a file that is no JPEG.
    """
    return [
        entry
        for place in _classes(folder / "images", DTD)
        for entry in _list(place, f"{place.name}/", DTD)
    ]


def read_tiny_imagenet(folder: Path) -> ImageSet:
    """Return the images of `train/` and `val/` as RGB with empty masks, each image by itself.

    The test part is `val/`, the only one that its authors held out and told the classes of. No
    image is opened, since looking for twins among 110 000 pictures would take minutes: some may
    be in two parts. Raises as `list_tiny_imagenet`.
    """
    return _pictures(list_tiny_imagenet(folder), test="val/")


def list_tiny_imagenet(folder: Path) -> list[Entry]:
    """Return the images, named as "train/n01443537/images/n01443537_0", opening none.

    Raises:
        FileNotFoundError: for a missing folder, a missing val_annotations.txt, and a class without
            images.
        ValueError: for a file that is no JPEG.
    """
    places = [place / "images" for place in _classes(folder / "train", TINY_IMAGENET)]
    if not (folder / "val" / "val_annotations.txt").is_file():
        raise FileNotFoundError(
            f"{folder / 'val' / 'val_annotations.txt'} is missing: {folder} wants "
            f"{TINY_IMAGENET.layout}"
        )
    return [
        entry
        for place in (*places, folder / "val" / "images")
        for entry in _list(place, f"{place.relative_to(folder).as_posix()}/", TINY_IMAGENET)
    ]


def _pictures(entries: list[Entry], test: str | None = None) -> ImageSet:
    in_test = None if test is None else np.array([entry.name.startswith(test) for entry in entries])
    return ImageSet(
        entries=entries,
        groups=np.arange(len(entries)),
        grouping="each image by itself",
        class_names=("background",),
        channels=3,
        read_mask=soft_mask_classes,  # never asked, since no entry has a mask
        published_test=in_test,
    )


def _classes(folder: Path, info: DatasetInfo) -> list[Path]:
    _require_folder(folder, info)
    places = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    require_images(len(places), folder, info.layout)
    return places


def _list(folder: Path, prefix: str, info: DatasetInfo) -> list[Entry]:
    _require_folder(folder, info)
    images = list_by_suffix(folder, JPEG_SUFFIXES)[0]
    require_images(len(images), folder, info.layout)
    return [Entry(path, None, 0, prefix + stem) for stem, path in images.items()]


def _require_folder(folder: Path, info: DatasetInfo) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: {info.name} wants {info.layout}")
