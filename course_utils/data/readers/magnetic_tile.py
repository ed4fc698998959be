"""Magnetic tiles under changing light (Huang, Qiu, Yuan, 2018), in their original layout."""

import re
from pathlib import Path

import numpy as np

from course_utils.data.image_files import JPEG_SUFFIXES, list_by_suffix
from course_utils.data.image_set import Entry, ImageSet
from course_utils.data.near_duplicates import join_groups, survey_images
from course_utils.data.readers.masks import (
    require_folder,
    require_images,
    require_pairs,
    soft_mask_classes,
)
from course_utils.data.registry import MAGNETIC_TILE

_FOLDERS = ("MT_Free", "MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Uneven")  # 0..5
_SHOT_NAME = re.compile(r"exp(\d+)_num_(\d+)")
_SAME_TILE_WITHIN = 100
"""Largest step in the running number between two shots of one tile.

Measured on all 1344 images sorted by number, as the median correlation of neighbors: .97 for
steps of 11 to 40, .93 for 61 to 80, .87 for 81 to 100, and .42 beyond 200, which is what unrelated
tiles have. With 100, 168 of 224 runs have exactly six shots: one for each exposure.
"""
_AGAIN_LATER = {
    10790: 9196,
    358102: 355669,
    13589: 5959,
    309443: 306622,
    283465: 283240,
    136716: 136351,
    249762: 249619,
    124787: 124236,
    242089: 241939,
    348888: 348696,
    98336: 98116,
}
"""Shots of a tile that was photographed a second time, by number, with one of its first shots.

Measured on all pairs of images as the correlation at 128 x 128 after log, high-pass and removal
of the grinding streaks, at the best shift of up to 4 pixels. The 40 highest beyond the two
groupings above were looked at: the first ten, .84 to .45, show the same marks; of the others, .36
and less, only 98336 does (.25). So a tile that came back very differently may be missing here.
"""


def read(folder: Path) -> ImageSet:
    """Return all images below `folder`, grouped by tile.

    Shots of one tile differ in exposure, so much that near-duplicates alone (correlation above
    .98) leave 691 groups. The running number in the file name says more: neighbors no more than
    100 apart are one tile. Eleven tiles came back later, under other numbers. All three together
    leave 199 groups. Whether each is one whole tile its authors do not say: what came back looking
    different is not found.

    Raises:
        FileNotFoundError: for a missing or empty class folder and a missing mask.
        ValueError: for a mask without an image, a file that is neither JPEG nor PNG, and a name
            without exposure and number.
    """
    entries = list_entries(folder)
    duplicates = survey_images([entry.image for entry in entries]).groups
    numbers = np.array([_shot_number(entry.image) for entry in entries])
    first_numbers = np.array([_AGAIN_LATER.get(number, number) for number in numbers.tolist()])
    return ImageSet(
        entries=entries,
        groups=join_groups(duplicates, _shot_runs(numbers), first_numbers),
        grouping="shots recognized as one tile by file number or as near-duplicates",
        class_names=MAGNETIC_TILE.class_names,
        channels=1,
        read_mask=soft_mask_classes,
    )


def list_entries(folder: Path) -> list[Entry]:
    """Return all images below `folder` with their masks, opening none. Errors as above."""
    entries: list[Entry] = []
    for label, name in enumerate(_FOLDERS):
        image_folder = folder / name / "Imgs"
        require_folder(image_folder, MAGNETIC_TILE.layout)
        images, masks = list_by_suffix(image_folder, JPEG_SUFFIXES, (".png",))
        require_images(
            len(images) + len(masks), image_folder, "exp<exposure>_num_<number>.jpg and .png"
        )
        require_pairs(images, masks, image_folder)
        entries += [
            Entry(image, masks[stem], label, f"{name}/{stem}") for stem, image in images.items()
        ]
    return entries


def _shot_runs(numbers: np.ndarray) -> np.ndarray:
    """Return the number of its run, (N,), of each shot: shots with neighboring numbers."""
    order = np.argsort(numbers, kind="stable")
    runs = np.zeros(len(numbers), np.int64)
    runs[order[1:]] = np.cumsum(np.diff(numbers[order]) > _SAME_TILE_WITHIN)
    return runs


def _shot_number(path: Path) -> int:
    match = _SHOT_NAME.fullmatch(path.stem)
    if match is None:
        raise ValueError(
            f"{path} is not named exp<exposure>_num_<number>, which says which tile it shows"
        )
    return int(match[2])
