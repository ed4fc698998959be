"""Which data sets lie on this disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from course_utils.config import data_root
from course_utils.data.dataset_info import DatasetInfo
from course_utils.data.image_mask_dataset import Entry
from course_utils.data.known_datasets import DATASETS, LISTS
from course_utils.data.readers.mvtec_ad import (
    MVTEC_AD,
    list_mvtec_ad_category,
    mvtec_ad_categories,
)


@dataclass(frozen=True)
class FoundDataset:
    """What lies in the folder of one data set."""

    info: DatasetInfo
    folder: Path
    images: int
    """0 if the set is not there or not complete."""
    problem: str
    """Why the set cannot be opened; empty if it can."""


def find_datasets(root: str | Path | None = None) -> dict[str, FoundDataset]:
    """Look for each data set that lives on disk, opening no image. By default in `data_root()`.

    Each set that can be opened stands under the name by which `open_dataset` opens it, so those
    categories of MVTec AD that are there stand one by one.

    >>> find_datasets("/nowhere")["magnetic_tile"].images
    0
    """
    place = data_root(root)
    found = {
        name: _look(DATASETS[name], place, "", list_entries) for name, list_entries in LISTS.items()
    }
    for category in mvtec_ad_categories(MVTEC_AD.folder(place)) or [""]:
        name = "/".join(filter(None, (MVTEC_AD.name, category)))
        found[name] = _look(MVTEC_AD, place, category, list_mvtec_ad_category)
    return found


def _look(
    info: DatasetInfo, place: Path, part: str, list_entries: Callable[[Path], list[Entry]]
) -> FoundDataset:
    images, problem = 0, ""
    try:
        images = len(list_entries(info.require_folder(place) / part))
    except (ValueError, FileNotFoundError) as error:
        problem = str(error)
    return FoundDataset(info, info.folder(place) / part, images, problem)
