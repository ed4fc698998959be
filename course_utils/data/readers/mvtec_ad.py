"""MVTec AD (Bergmann et al., CVPR 2019): good images to train on, and the authors' test part."""

from pathlib import Path

import numpy as np

from course_utils.data.dataset_info import DatasetInfo
from course_utils.data.image_files import list_images
from course_utils.data.image_mask_dataset import Entry, ImageSet
from course_utils.data.readers.pairing import require_images, require_pairs, soft_mask_classes

MVTEC_AD = DatasetInfo(
    name="mvtec_ad",
    title="Industrial parts and textures MVTec AD",
    class_names=("background",),
    licence="CC BY-NC-SA 4.0",
    page="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    layout="<category>/train/good, <category>/test/<kind> and <category>/ground_truth/<kind>",
    remark="Open one category, as mvtec_ad/bottle; its classes are the kinds of defect it shows. "
    "Only good images are for training: the test part is the authors'.",
)

MASK_ENDING = "_mask"


def read_mvtec_ad(folder: Path, category: str) -> ImageSet:
    """Return all images of `category` below `folder`; those of `test/` are the test part.

    Classes are the folders of `test/` other than `good`, in the order of the alphabet. Images are
    RGB, the gray ones of grid, screw and zipper too. Raises as `list_mvtec_ad`.
    """
    entries = list_mvtec_ad(folder, category)
    return ImageSet(
        entries=entries,
        groups=np.arange(len(entries)),
        grouping="each image by itself",
        class_names=("background", *_kinds(folder / category)),
        channels=3,
        read_mask=soft_mask_classes,
        published_test=np.array([entry.name.startswith("test/") for entry in entries]),
    )


def list_mvtec_ad(folder: Path, category: str) -> list[Entry]:
    """Return the images of `category` below `folder` with their masks, opening none.

    Raises:
        FileNotFoundError: for a missing folder, image or mask.
        ValueError: for a mask without an image.
    """
    folder = folder / category
    good = folder / "train" / "good"
    if not good.is_dir() or not (folder / "test").is_dir():
        raise FileNotFoundError(f"{folder} is not complete: want {MVTEC_AD.layout}")
    entries = [_good(path, "train") for path in list_images(good)]
    require_images(len(entries), good, "good images to train on")
    if (folder / "test" / "good").is_dir():
        entries += [_good(path, "test") for path in list_images(folder / "test" / "good")]
    for label, kind in enumerate(_kinds(folder), start=1):
        images = {path.stem: path for path in list_images(folder / "test" / kind)}
        place = folder / "ground_truth" / kind
        if not place.is_dir():
            raise FileNotFoundError(f"{place} is missing: it holds the masks of test/{kind}")
        masks = {path.stem.removesuffix(MASK_ENDING): path for path in list_images(place)}
        require_pairs(images, masks, place)
        entries += [
            Entry(image, masks[stem], label, f"test/{kind}/{stem}")
            for stem, image in images.items()
        ]
    return entries


def mvtec_ad_categories(folder: Path) -> list[str]:
    """Return the names of the categories that lie in `folder`, in the order of the alphabet."""
    return sorted(path.parent.name for path in folder.glob("*/train") if path.is_dir())


def _good(path: Path, part: str) -> Entry:
    return Entry(path, None, 0, f"{part}/good/{path.stem}")


def _kinds(folder: Path) -> list[str]:
    return sorted(
        path.name for path in (folder / "test").iterdir() if path.is_dir() and path.name != "good"
    )
