"""At which size defects survive: the question before any training."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SIDES = (128, 256, 512, 1024)
VISIBLE = 16
"""Pixels of a defect, below which a network hardly finds it. On magnetic tiles of 96 pixels, where
blowholes are that small, a pretrained U-Net has an IoU of .08 on them, and of .64 on fray."""
_MULTIPLE, _LEAST = 32, 64  # what every network of the course takes
_STRETCH = 1.25
_WHOLE = 512 * 640  # pixels of an image that a training takes as a whole
_LOST = 0.05  # share of defects that may become hardly visible
_TILE = 256


@dataclass
class Survival:
    """What becomes of the defects at one size."""

    size: tuple[int, int]
    """(height, width)."""
    gone: int = 0
    """Defects of which no pixel is left."""
    faint: int = 0
    """Defects of fewer pixels than `VISIBLE`."""
    kept: int = 0

    def add(self, numbers: np.ndarray, count: int) -> None:
        """Count the regions 1 .. `count` - 1 of `numbers` (H, W), shrunk as masks are."""
        rows, columns = (
            np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
            for new, old in zip(self.size, numbers.shape, strict=True)
        )
        areas = np.bincount(numbers[rows[:, None], columns].ravel(), minlength=count)[1:]
        self.gone += int((areas == 0).sum())
        self.faint += int(((areas > 0) & (areas < VISIBLE)).sum())
        self.kept += int((areas >= VISIBLE).sum())

    @property
    def total(self) -> int:
        """All defects."""
        return self.gone + self.faint + self.kept


@dataclass(frozen=True)
class Choice:
    """The size to train at."""

    size: tuple[int, int]
    """(height, width)."""
    tile: int = 0
    """Side of the tiles to cut the images into; 0: whole images."""
    reason: str = "there are no masks to choose by: a usual size"


def candidates(sizes: Mapping[tuple[int, int], int]) -> list[tuple[int, int]]:
    """Return the sizes (height, width) to compare, for images of `sizes` and how many have each.

    Those of `SIDES` pixels to a side; where images are no squares also ones of as many
    pixels that keep their shape; and their own.

    Example:
        >>> candidates({(400, 1600): 9})
        [(128, 128), (64, 256), (256, 256), (128, 512), (512, 512), (256, 1024), (416, 1600)]
    """
    height, width = Counter(sizes).most_common(1)[0][0]
    own = _side(height, up=True), _side(width, up=True)
    found = []
    for side in SIDES:
        stretch = math.sqrt(height / width)
        found += [(side, side), (_side(side * stretch), _side(side / stretch))]
    smaller = [
        size
        for size in dict.fromkeys(found)
        if size[0] * size[1] < own[0] * own[1]
        and (size[0] == size[1] or keeps_shape(size, (height, width)))
    ]
    return [*smaller, own]


def keeps_shape(size: tuple[int, int], image: tuple[int, int]) -> bool:
    """Whether an image may be stretched to `size`, both (height, width), without harm.

    Example:
        >>> keeps_shape((128, 128), (900, 1000)), keeps_shape((128, 128), (900, 1600))
        (True, False)
    """
    ratio = size[0] / size[1] * image[1] / image[0]
    return 1 / _STRETCH <= ratio <= _STRETCH


def choose(rows: Sequence[Survival], sizes: Mapping[tuple[int, int], int]) -> Choice:
    """Return the smallest size that keeps the shape of the images and their defects, or tiles."""
    image = Counter(sizes).most_common(1)[0][0]
    own = rows[-1]
    fitting = [row for row in rows[:-1] if keeps_shape(row.size, image)] + [own]
    if not own.total:
        usual = [row.size for row in fitting if row.size[0] * row.size[1] <= SIDES[1] ** 2]
        return Choice(usual[-1] if usual else own.size)
    enough = max(_LOST * own.total, own.faint)
    row = next((row for row in fitting if not row.gone and row.faint <= enough), own)
    if len(fitting) == 1:
        reason = "the only one of these that keeps the shape of the images"
    elif row is own:
        reason = "about their own size: the smaller ones lose defects"
    else:
        reason = "the smallest of these that keeps the shape of the images and their defects"
    if row.size[0] * row.size[1] <= _WHOLE:
        return Choice(row.size, reason=reason)
    return Choice(row.size, min(_TILE, *row.size), reason)


def _side(pixels: float, *, up: bool = False) -> int:
    """Return a side that every network takes."""
    steps = math.ceil(pixels / _MULTIPLE) if up else round(pixels / _MULTIPLE)
    return max(_LEAST, steps * _MULTIPLE)
