"""Labels of a picture: exact masks, or the weak ellipses that hurried annotators draw."""

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.int64]


class Footprint(NamedTuple):
    """The pixels of one defect in the finished picture."""

    covered: NDArray[np.bool_]
    """(H, W)."""
    label: int
    """Class, 1 or more."""


def exact_mask(shape: tuple[int, int], footprints: list[Footprint]) -> Mask:
    """Return the classes of all pixels, int64 (H, W); where defects overlap, the last one.

    Example:
        >>> exact_mask((1, 3), [Footprint(np.array([[True, True, False]]), 2)]).tolist()
        [[2, 2, 0]]
    """
    mask = np.zeros(shape, np.int64)
    for covered, label in footprints:
        mask[covered] = label
    return mask


def ellipse_mask(shape: tuple[int, int], footprints: list[Footprint]) -> Mask:
    """Return one filled ellipse around each defect, int64 (H, W), as the DAGM 2007 set has.

    Every ellipse holds all pixels of its defect and most often many more. Where two meet, a
    pixel goes to the ellipse that is smaller, so that no defect disappears.

    Example:
        >>> corners = np.zeros((9, 9), bool)
        >>> corners[2, 2] = corners[6, 6] = True
        >>> int(ellipse_mask((9, 9), [Footprint(corners, 1)])[4, 4])
        1
    """
    drawn = [(_ellipse_around(covered), label) for covered, label in footprints]
    mask = np.zeros(shape, np.int64)
    for filled, label in sorted(drawn, key=lambda item: -int(item[0].sum())):
        mask[filled] = label
    return mask


def _ellipse_around(covered: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return an ellipse along the tightest rectangle of the pixels, just large enough."""
    y, x = np.nonzero(covered)
    if len(y) == 0:
        return covered
    points = np.stack([x, y], axis=1).astype(np.float32)
    (middle_x, middle_y), (width, height), degrees = cv2.minAreaRect(points)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # A single row of pixels has no extent for OpenCV: half a pixel on each side is its own.
    radii = (width / 2 + 1.0, height / 2 + 1.0)

    def distance(at_x: NDArray[Any], at_y: NDArray[Any]) -> NDArray[Any]:
        dx, dy = at_x - middle_x, at_y - middle_y
        return np.hypot((dx * cosine + dy * sine) / radii[0], (dy * cosine - dx * sine) / radii[1])

    reach = distance(x.astype(np.float64), y.astype(np.float64)).max() + 1e-9
    columns, rows = np.arange(covered.shape[1])[None, :], np.arange(covered.shape[0])[:, None]
    return distance(columns, rows) <= reach
