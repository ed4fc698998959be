"""The ellipses that mark the defects of DAGM's development sets: from labels.txt to a mask."""

from collections.abc import Mapping
from functools import lru_cache
from math import cos, isfinite, sin
from pathlib import Path
from typing import NamedTuple

import numpy as np

from course_utils.data.image_survey import FileStamp, file_stamps

_COLUMNS = "file number, semi-major axis, semi-minor axis, angle, x and y of the center"


class Ellipse(NamedTuple):
    """One line of labels.txt after the file number; lengths in pixels."""

    semi_major: float
    semi_minor: float
    angle: float
    """Radians, from the x axis to the major axis, turning towards y (down)."""
    x: float
    y: float


def read_ellipses(labels_file: Path) -> Mapping[int, Ellipse]:
    """Return the ellipse of each image by file number.

    Each line has six numbers, with tabs or blanks between them: file number, semi-major axis,
    semi-minor axis, angle in radians, x and y of the center. Remembered until the file changes.

    Raises:
        FileNotFoundError: without the file.
        ValueError: naming file and line, for a line that has anything else, an axis that is not
            above 0, and a file number that comes twice.
    """
    if not labels_file.is_file():
        raise FileNotFoundError(f"{labels_file} is missing: it holds the ellipse of each defect")
    return _read(file_stamps([labels_file])[0])


def ellipse_mask(ellipse: Ellipse, size: tuple[int, int]) -> np.ndarray:
    """Return bool, `size` (height, width): whether a pixel's center lies in `ellipse`.

    Centres of pixels are whole numbers, x counts columns and y rows, both from 0, and a positive
    angle turns from x towards y, as in `cv2.ellipse`. This is how public code for these files
    draws them. One description of the files says that angles turn counter-clockwise; the files
    were not at hand to see which holds, so look at a few masks before you build on them.

    Example:
        >>> ellipse_mask(Ellipse(2, 1, 0, x=2, y=1), (3, 5)).astype(int).tolist()
        [[0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]]
    """
    y, x = np.ogrid[: size[0], : size[1]]
    right, down = x - ellipse.x, y - ellipse.y
    along = right * cos(ellipse.angle) + down * sin(ellipse.angle)
    across = down * cos(ellipse.angle) - right * sin(ellipse.angle)
    return (along / ellipse.semi_major) ** 2 + (across / ellipse.semi_minor) ** 2 <= 1


@lru_cache(maxsize=16)
def _read(stamp: FileStamp) -> Mapping[int, Ellipse]:
    path = stamp[0]
    ellipses: dict[int, Ellipse] = {}
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for count, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        number, ellipse = _parse(line, f"{path}, line {count}")
        if number in ellipses:
            raise ValueError(f"{path}, line {count} is a second ellipse for {number}: want one")
        ellipses[number] = ellipse
    return ellipses


def _parse(line: str, place: str) -> tuple[int, Ellipse]:
    try:
        values = [float(field) for field in line.split()]
    except ValueError:
        values = []
    if len(values) != 6 or not all(map(isfinite, values)) or not values[0].is_integer():
        raise ValueError(f"{place} is {line.strip()!r}: want 6 numbers ({_COLUMNS})")
    ellipse = Ellipse(*values[1:])
    if min(ellipse.semi_major, ellipse.semi_minor) <= 0:
        raise ValueError(f"{place} is {line.strip()!r}: want axes above 0 pixels")
    return int(values[0]), ellipse
