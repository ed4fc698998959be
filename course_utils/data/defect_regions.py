"""The defects of a mask, each with the smallest rectangle around it.

Source: Tao et al., Applied Sciences 2018, 8, 1575: threshold, contours, minimum-area rectangles.
There 0 is the defect in labels and thresholded pictures; here, as everywhere in the course, 0 is
the background.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

THRESHOLD = 100 / 255
"""The paper's: 100 on a scale of 0..255."""


def find_regions(
    mask: npt.ArrayLike | Tensor, *, min_area: int = 16, threshold: float = THRESHOLD
) -> "list[Region]":
    """Return the defects of a mask with their minimum-area rectangles, from top to bottom.

    Args:
        mask: (H, W). Whole numbers or booleans are classes, 0 is background: touching pixels of
            one class (also at corners) make a region. Floats are defect probabilities in [0, 1].
        min_area: regions of fewer pixels are left out, as specks.
        threshold: probability above which a pixel is a defect; not used for classes.

    Raises:
        ValueError: for other shapes and values.

    Example:
        >>> mask = np.zeros((8, 8), int)
        >>> mask[2:5, 1:7] = 3
        >>> find_regions(mask)
        [Region(center=(3.5, 3.0), size=(6.0, 3.0), angle=0.0, area=18, label=3)]
    """
    if min_area < 1:
        raise ValueError(f"min_area must be at least 1 pixel, got {min_area}")
    classes = _classes(mask, threshold)
    regions = []
    for label in np.unique(classes[classes > 0]).tolist():
        of_class = (classes == label).astype(np.uint8)
        count, numbers, boxes, _ = cv2.connectedComponentsWithStats(of_class, connectivity=8)
        for number in range(1, count):
            left, top, width, height, area = boxes[number].tolist()
            if area >= min_area:
                box = slice(top, top + height), slice(left, left + width)
                rectangle = _rectangle((numbers[box] == number).astype(np.uint8), (left, top))
                regions.append(Region(*rectangle, area, label))
    return sorted(regions, key=lambda region: (region.center[1], region.center[0], region.label))


@dataclass(frozen=True)
class Region:
    """One connected defect and the smallest rectangle around all of its pixels.

    Pixel (row, column) is the square around the point x = column, y = row, so the rectangle of a
    single pixel is 1 x 1.
    """

    center: tuple[float, float]
    """(x, y) of the rectangle's center, in pixels."""
    size: tuple[float, float]
    """Long and short side of the rectangle, in pixels."""
    angle: float
    """Degrees from the x axis to the long side, clockwise as seen (y points down), in (-90, 90].

    A square is taken to be turned as little as can be, in (-45, 45].
    """
    area: int
    """Pixels of the defect; holes do not count."""
    label: int
    """Class of the defect, from 1; always 1 from a probability map."""

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the unit vectors (x, y) along the long and the short side.

        Example:
            >>> Region((0.0, 0.0), (2.0, 1.0), 90.0, 2, 1).axes()[0].round(3).tolist()
            [0.0, 1.0]
        """
        turn = math.radians(self.angle)
        along = np.array([math.cos(turn), math.sin(turn)])
        return along, np.array([-along[1], along[0]])

    def corners(self, margin: float = 0.0) -> np.ndarray:
        """Return the corners (x, y) of the rectangle, float64, (4, 2), `margin` pixels wider.

        In the order in which the crop shows them: top left, top right, bottom right, bottom left.

        Example:
            >>> Region((2.0, 1.0), (4.0, 2.0), 0.0, 8, 1).corners().tolist()
            [[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0]]
        """
        along, across = self.axes()
        long, short = (side / 2 + margin for side in self.size)
        signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        return np.array(
            [np.add(self.center, i * long * along + j * short * across) for i, j in signs]
        )


def _classes(mask: npt.ArrayLike | Tensor, threshold: float) -> np.ndarray:
    if isinstance(mask, Tensor):
        mask = mask.detach().cpu()
        mask = mask.float() if mask.is_floating_point() else mask  # NumPy has no bfloat16
    values = np.asarray(mask)
    if values.ndim != 2:
        raise ValueError(f"mask must be (H, W), got {values.shape}: pass one image at a time")
    if values.dtype.kind == "f":
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold must lie in [0, 1), got {threshold}: divide by 255")
        # NaN fails this comparison as well.
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(
                f"probabilities must lie in [0, 1], got {values.min():g}..{values.max():g}: "
                "apply the softmax, or pass classes as whole numbers"
            )
        return (values > threshold).astype(np.int64)
    if values.dtype.kind not in "iub":
        raise ValueError(f"mask must hold classes or probabilities, got {values.dtype}")
    if values.size and (values.min() < 0 or values.max() >= 255):
        raise ValueError(
            f"classes must lie in 0..254, got {values.min()}..{values.max()}: threshold an 8-bit "
            "picture first, as mask > 127"
        )
    return values.astype(np.int64)


def _rectangle(
    region: np.ndarray, offset: tuple[int, int]
) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return center, size and angle of the smallest rectangle, as `Region` states them."""
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = np.concatenate(contours).reshape(-1, 2)
    # Contours join the centers of pixels; the rectangle shall hold whole pixels.
    half = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    corners = (points[:, None] + half).reshape(-1, 2).astype(np.float32)
    (x, y), (width, height), angle = cv2.minAreaRect(corners)
    if height > width:
        width, height, angle = height, width, angle + 90
    # Rounded, so that a level rectangle is 0 degrees and not 1e-6 short of 180. A square has no
    # long side: it is turned as little as can be.
    square = width - height < 1e-3
    angle = 45 - (45 - round(angle, 4)) % 90 if square else 90 - (90 - round(angle, 4)) % 180
    return (x + offset[0], y + offset[1]), (width, height), angle
