"""Which data sets lie on this disk."""

from dataclasses import dataclass
from pathlib import Path

from course_utils.config import data_root
from course_utils.data.dataset_info import DatasetInfo
from course_utils.data.known_datasets import ON_DISK, SetOnDisk


@dataclass(frozen=True)
class FoundDataset:
    """What lies in the folder of one data set."""

    info: DatasetInfo
    folder: Path
    """Of the whole set, whatever its categories."""
    images: int
    """0 if the set is not there or not complete."""
    problem: str
    """Why the set cannot be opened; empty if it can."""


def find_datasets(root: str | Path | None = None) -> dict[str, FoundDataset]:
    """Look for each data set that lives on disk, opening no image. By default in `data_root()`.

    Each set that can be opened stands under the name by which `open_dataset` opens it, so the
    categories of MVTec AD that are there stand one by one.

    Example:
        >>> find_datasets("/nowhere")["magnetic_tile"].images
        0
    """
    place = data_root(root)
    found = {}
    for name, known in ON_DISK.items():
        for category in _categories(known, place) or [""]:
            found["/".join(filter(None, (name, category)))] = _look(known, place, category)
    return found


def _categories(known: SetOnDisk, place: Path) -> list[str]:
    folder = known.info.folder(place)
    try:
        return known.categories(folder) if known.categories and folder.is_dir() else []
    except OSError:  # closed to us: what the set itself says of it is the finding
        return []


def _look(known: SetOnDisk, place: Path, category: str) -> FoundDataset:
    images, problem = 0, ""
    try:
        folder = known.info.require_folder(place)
        if known.categories and not category:
            raise FileNotFoundError(f"{folder} is empty: want {known.info.layout}")
        images = len(known.list_entries(folder, *filter(None, [category])))
    except (ValueError, OSError) as error:
        problem = str(error)
    return FoundDataset(known.info, known.info.folder(place), images, problem)
