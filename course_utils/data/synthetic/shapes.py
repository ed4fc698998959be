"""Outlines of defects: strokes along a path, and blobs with uneven edges."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from course_utils.data.synthetic.fields import Field, Shape, fractal

SMALLEST = 1.4
"""Radius in pixels: the mask of a smaller blob might miss every pixel's center."""

Path = NDArray[np.float64]
"""(N, 2): x, y along a line, in pixels."""


@dataclass(frozen=True)
class Box:
    """A part of the picture."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the part in an (H, W) array."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    @property
    def shape(self) -> Shape:
        """Height and width."""
        return self.height, self.width


def box_around(shape: Shape, low: tuple[float, float], high: tuple[float, float]) -> Box:
    """Return the part of a picture of `shape` between corners `(x, y)`, at least 2 pixels wide.

    Example:
        >>> box_around((10, 10), (2.5, -3), (7.2, 4))
        Box(top=0, left=2, height=5, width=7)
    """
    left = int(np.clip(math.floor(low[0]), 0, shape[1] - 2))
    top = int(np.clip(math.floor(low[1]), 0, shape[0] - 2))
    right = int(np.clip(math.ceil(high[0]) + 1, left + 2, shape[1]))
    bottom = int(np.clip(math.ceil(high[1]) + 1, top + 2, shape[0]))
    return Box(top, left, bottom - top, right - left)


def wander(
    rng: Generator,
    center: tuple[float, float],
    length: float,
    *,
    angle: float,
    step: float,
    bend: float,
    jag: float,
) -> Path:
    """Return a path of `length` pixels through `center` = (x, y).

    `bend` is the radians by which it turns steadily over its length, `jag` the standard
    deviation of the radians by which each step of `step` pixels strays.

    Example:
        >>> path = wander(np.random.default_rng(0), (5, 5), 10, angle=0, step=5, bend=0, jag=0)
        >>> path.round(1).tolist()
        [[0.0, 5.0], [5.0, 5.0], [10.0, 5.0]]
    """
    steps = max(2, round(length / step))
    heading = angle + np.linspace(-bend / 2, bend / 2, steps) + rng.normal(0, jag, steps)
    strides = np.stack([np.cos(heading), np.sin(heading)], axis=1) * (length / steps)
    path = np.vstack([np.zeros((1, 2)), np.cumsum(strides, axis=0)])
    return path - (path[0] + path[-1]) / 2 + np.array(center)


def stroke(box: Box, path: Path, half_widths: NDArray[np.float64]) -> Field:
    """Return the share of each pixel of `box` that a line along `path` covers, float32 0..1.

    `half_widths` (N,) is half the line's width in pixels at each point of the path.

    Example:
        >>> path = np.array([[0., 3.], [8., 3.]])
        >>> stroke(Box(0, 0, 6, 8), path, np.array([1., 1.]))[:, 4].round(1).tolist()
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    """
    fine = 4 if box.height * box.width < 250_000 else 2
    canvas = np.zeros((box.height * fine, box.width * fine), np.uint8)
    # fillConvexPoly also takes the pixels that its outline touches: half of one on each side.
    inner = np.maximum(half_widths - 0.5 / fine, 0)
    direction = np.gradient(path, axis=0)
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1) * inner[:, None]
    origin = np.array([box.left, box.top])
    sides = np.stack([path + normal - origin, path - normal - origin])
    # It counts from pixel centers, here in sixteenths of a pixel.
    sides = np.round((sides * fine - 0.5) * 16).astype(np.int32)
    for left, right in zip(
        np.stack([sides[0, :-1], sides[0, 1:]], 1),
        np.stack([sides[1, 1:], sides[1, :-1]], 1),
        strict=True,
    ):
        cv2.fillConvexPoly(canvas, np.vstack([left, right]), 255, shift=4)
    covered = cv2.resize(canvas, (box.width, box.height), interpolation=cv2.INTER_AREA)
    return covered.astype(np.float32) * np.float32(1 / 255)


def blob(
    rng: Generator,
    shape: Shape,
    center: tuple[float, float],
    radii: tuple[float, float],
    angle: float,
    ragged: float,
    finest: float = 1.0,
) -> tuple[Box, Field]:
    """Return an uneven ellipse as its box and its depth, float32: 1 amid, 0 at the edge, < 0 out.

    `radii` are in pixels, `ragged` is how far the edge strays, as a share of the radius, with
    detail down to `finest` pixels. A radius below `SMALLEST` is taken as `SMALLEST`.

    Example:
        >>> box, depth = blob(np.random.default_rng(0), (64, 64), (32, 32), (9, 9), 0, 0.2)
        >>> bool(depth.max() > .5), bool(depth.min() < 0)
        (True, True)
    """
    radii = (max(radii[0], SMALLEST), max(radii[1], SMALLEST))
    reach = max(radii) * (1.15 + 1.2 * ragged) + 2
    box = box_around(
        shape, (center[0] - reach, center[1] - reach), (center[0] + reach, center[1] + reach)
    )
    x = (np.arange(box.width, dtype=np.float32) + np.float32(box.left - center[0]))[None, :]
    y = (np.arange(box.height, dtype=np.float32) + np.float32(box.top - center[1]))[:, None]
    cosine, sine = math.cos(angle), math.sin(angle)
    along = (x * np.float32(cosine) + y * np.float32(sine)) * np.float32(1 / radii[0])
    beside = (y * np.float32(cosine) - x * np.float32(sine)) * np.float32(1 / radii[1])
    rho = np.sqrt(along * along + beside * beside)
    depth = 1 - rho
    if ragged > 0:
        noise = fractal(rng, box.shape, max(2.0, 0.9 * min(radii)), finest, 0.42)
        # The middle stays whole and nothing is torn off far outside.
        depth += np.float32(ragged) * noise * np.minimum(1, rho * 1.2) * (rho < 1.6)
    return box, depth
