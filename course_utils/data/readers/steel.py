"""Hot-rolled steel strips, SD-saliency-900 (Song et al., 2020): four classes with background."""

from pathlib import Path

from course_utils.data.dataset_info import DatasetInfo
from course_utils.data.image_files import list_images
from course_utils.data.image_mask_dataset import Entry, ImageSet
from course_utils.data.image_survey import survey_images
from course_utils.data.near_duplicates import join_groups
from course_utils.data.readers.pairing import require_images, require_pairs, soft_mask_classes
from course_utils.data.readers.steel_overlaps import photograph_numbers

SD_SALIENCY_900 = DatasetInfo(
    name="sd_saliency_900",
    title="Steel-strip defects SD-saliency-900",
    class_names=("background", "inclusion", "patches", "scratches"),
    licence="no licence stated; for research",
    page="https://github.com/SongGuorong/MCITF",
    layout='"Source Images" and "Ground truth" (or images and masks), files of the same names',
    remark="Every image has a defect, of one class; the class is told by the name of the file. "
    "Two thirds of the images overlap with others: they are crops of one photograph.",
)

_PLACES = (("Source Images", "Ground truth"), ("images", "masks"))
_LABELS = {"In": 1, "Pa": 2, "Sc": 3}


def read_sd_saliency_900(folder: Path) -> ImageSet:
    """Return all images below `folder`, grouped by near-identical looks and known overlaps.

    Raises:
        FileNotFoundError: for a missing folder, class or mask.
        ValueError: for a mask without an image, a file that is no image, or a name without a class.
    """
    entries = list_sd_saliency_900(folder)
    looks = survey_images([entry.image for entry in entries]).look_alikes
    photographs = photograph_numbers([entry.name for entry in entries])
    return ImageSet(
        entries=entries,
        groups=join_groups(looks, photographs),
        grouping="near-identical images and crops known to overlap",
        class_names=SD_SALIENCY_900.class_names,
        channels=1,
        read_mask=soft_mask_classes,
    )


def list_sd_saliency_900(folder: Path) -> list[Entry]:
    """Return all images below `folder` with their masks, opening none. Errors as above."""
    image_place, mask_place = _find_places(folder)
    images = {path.stem: path for path in list_images(image_place)}
    masks = {path.stem: path for path in list_images(mask_place)}
    require_pairs(images, masks, mask_place)
    entries = [Entry(image, masks[stem], _label(image), stem) for stem, image in images.items()]
    for prefix, label in _LABELS.items():
        count = sum(entry.label == label for entry in entries)
        require_images(count, image_place, f"{prefix}_<i> for {SD_SALIENCY_900.class_names[label]}")
    return entries


def _find_places(folder: Path) -> tuple[Path, Path]:
    for images, masks in _PLACES:
        if (folder / images).is_dir() and (folder / masks).is_dir():
            return folder / images, folder / masks
    raise FileNotFoundError(f"{folder} is not complete: want {SD_SALIENCY_900.layout}")


def _label(path: Path) -> int:
    prefix = path.stem.partition("_")[0]
    if prefix not in _LABELS:
        raise ValueError(
            f"{path} names no class: want a name that starts with {', '.join(_LABELS)} and _"
        )
    return _LABELS[prefix]
