"""What annotation tools say of an image, and the pixels that it stands for.

Points are (x, y) in pixels, from the upper left corner of the image: pixel (row, column) is the
square from (column, row) to (column + 1, row + 1), as LabelMe, CVAT and COCO count.

No library draws here. pycocotools 2.0.11 decodes run lengths that are too short to whatever lies
in memory, does not return from a polygon with a corner at 1e9, and leaves nothing of a polygon
thinner than a pixel; a file that a person made by a script may hold all three.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import numpy as np

from course_utils.data.faults import Faults

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""
_SUBPIXELS = 4
_HALF = 128  # of 255
_BAND = 512  # rows drawn at once: bounds the memory
_CORNERS = 128  # of the polygon that stands for an ellipse


@dataclass(frozen=True)
class Region:
    """One marked defect."""

    label: str
    draw: Callable[[Size], np.ndarray]
    """(height, width) in, bool (H, W) out; raises `ValueError` where the annotation is faulty."""
    kind: Literal["area", "box", "line"] = "area"
    """A box holds more than the defect, and a line has no width."""
    layer: int = 0
    """Regions of a higher layer lie on top, within a layer the smaller ones."""


@dataclass(frozen=True)
class AnnotatedImage:
    """One image as an annotation file describes it."""

    file: str
    """Name of the image as it stands there, with any path and any slashes."""
    source: Path
    """The annotation file, for messages; the image is looked for from its folder."""
    regions: Sequence[Region] = ()
    size: Size | None = None
    """Of the image that was drawn on; None: the file does not say."""
    embedded: Callable[[], bytes] | None = None
    """Returns the image file that the annotation holds."""


@dataclass
class Annotations:
    """All that was read from the files of one tool."""

    images: list[AnnotatedImage] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """Classes in the order in which the tool declares them; those it does not come after."""
    image_folder: Path | None = None
    """Where images lie, if not anywhere below the source."""
    faults: Faults = field(default_factory=Faults)
    left_out: list[str] = field(default_factory=list)
    """What has no area, one word for each: points, tags."""
    notes: list[str] = field(default_factory=list)


def fill_polygon(points: np.ndarray, size: Size) -> np.ndarray:
    """Return bool (H, W): the pixels of which more than half lies in the polygon `points` (N, 2).

    A polygon that is thinner than that everywhere is drawn as a line: a scratch must not be lost.

    Raises:
        ValueError: for fewer than three points, coordinates that are no finite numbers, and points
            farther from the image than it is large.

    Example:
        >>> fill_polygon(np.array([[1, 0], [3, 0], [3, 2], [1, 2]]), (2, 4)).astype(int).tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    corners = _checked(points, size, 3)
    mask = np.zeros(size, bool)
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0).tolist()
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int), size[::-1]).tolist()
    for start in range(top, bottom if right > left else top, _BAND):
        end = min(start + _BAND, bottom)
        fine = np.zeros((_SUBPIXELS * (end - start), _SUBPIXELS * (right - left)), np.uint8)
        # OpenCV's coordinates are those of the middles of pixels.
        at = np.round((corners - (left, start)) * _SUBPIXELS * 16 - 8).astype(np.int32)
        cv2.fillPoly(fine, [at], 255, lineType=cv2.LINE_8, shift=4)
        shrunk = (right - left, end - start)
        share = cv2.resize(fine, shrunk, interpolation=cv2.INTER_AREA)
        mask[start:end, left:right] = share > _HALF
    return mask if mask.any() else draw_line(np.concatenate([corners, corners[:1]]), 0, size)


def fill_polygons(parts: Sequence[np.ndarray], size: Size) -> np.ndarray:
    """Return bool (H, W): the pixels of any of the polygons. Errors as `fill_polygon`."""
    mask = np.zeros(size, bool)
    for points in parts:
        mask |= fill_polygon(points, size)
    return mask


def draw_line(points: np.ndarray, width: float, size: Size) -> np.ndarray:
    """Return bool (H, W): a line through `points` (N, 2) that is `width` pixels wide.

    The pixels that it runs through are always in it, even if it has no width.

    Raises:
        ValueError: as `fill_polygon`, for fewer than two points.

    Example:
        >>> draw_line(np.array([[0.5, 1.5], [3.5, 1.5]]), 1, (3, 4)).sum(axis=1).tolist()
        [0, 4, 0]
    """
    corners = _checked(points, size, 2)
    mask = np.zeros(size, bool)
    for start, end in pairwise(corners):
        length = float(np.hypot(*(end - start)))
        steps = np.linspace(start, end, 2 + math.ceil(_SUBPIXELS * length))
        columns, rows = np.floor(steps).astype(int).T
        inside = (columns >= 0) & (columns < size[1]) & (rows >= 0) & (rows < size[0])
        mask[rows[inside], columns[inside]] = True
        if width and length:
            aside = (end - start)[::-1] * (-1, 1) * width / 2 / length
            sides = np.stack([start + aside, end + aside, end - aside, start - aside])
            mask |= fill_polygon(sides, size)
    for x, y in corners[1:-1] if width else ():
        mask |= fill_polygon(ellipse_points((x, y), (width / 2, width / 2)), size)
    return mask


def ellipse_points(
    center: tuple[float, float], radii: tuple[float, float], degrees: float = 0
) -> np.ndarray:
    """Return points (N, 2) on an ellipse, turned clockwise by `degrees` as seen.

    Example:
        >>> ellipse_points((5, 5), (2, 2)).mean(axis=0).round(6).tolist()
        [5.0, 5.0]
    """
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    return turn(np.add(center, np.stack([np.cos(angles), np.sin(angles)], 1) * radii), degrees)


def box_points(
    left: float, top: float, right: float, bottom: float, degrees: float = 0
) -> np.ndarray:
    """Return the corners (4, 2) of a box, turned clockwise by `degrees` about its middle.

    Example:
        >>> box_points(0, 0, 4, 2, 90).round(6).tolist()
        [[3.0, -1.0], [3.0, 3.0], [1.0, 3.0], [1.0, -1.0]]
    """
    return turn(
        np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float), degrees
    )


def turn(points: np.ndarray, degrees: float) -> np.ndarray:
    """Return `points` (N, 2) turned clockwise, as seen, about their middle."""
    radians, middle = np.radians(degrees), points.mean(axis=0)
    cosine, sine = np.cos(radians), np.sin(radians)
    return (points - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle


def decode_counts(counts: Sequence[int], size: Size, *, by: str) -> np.ndarray:
    """Return the bool mask (H, W) of run lengths: so many pixels out, so many in, and so on.

    `by` is "columns" (COCO counts down each column) or "rows" (CVAT).

    Raises:
        ValueError: for lengths that are no whole numbers >= 0 or do not make up the mask.

    Example:
        >>> decode_counts([1, 2, 1], (2, 2), by="columns").astype(int).tolist()
        [[0, 1], [1, 0]]
    """
    height, width = size
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in counts)
    if not whole or sum(counts) != height * width:
        raise ValueError(
            f"its run lengths do not make up the {height * width} pixels of {width} x {height}: "
            f"export it anew for that size"
        )
    is_in = np.arange(len(counts)) % 2 == 1
    return np.repeat(is_in, counts).reshape(size, order="F" if by == "columns" else "C")


def decode_coco_string(text: str) -> list[int]:
    """Return the run lengths that COCO writes as text: 5 bits a letter, differences from the third.

    Source: `rleFrString` of cocodataset/cocoapi, common/maskApi.c.

    Raises:
        ValueError: for letters that cannot be there.

    Example:
        >>> decode_coco_string("55?")
        [5, 5, 15]
    """
    counts: list[int] = []
    value, shift = 0, 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 55:
            raise ValueError(f"{letter!r} is no part of COCO's run lengths: export it anew")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the last letter of a number; its highest bit is the sign
            value -= (bits & 16) << (shift - 4)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    if shift:
        raise ValueError("COCO's run lengths end within a number: export it anew")
    return counts


def points_of(values: object) -> np.ndarray:
    """Return points float64 (N, 2) from lists of pairs, or from x, y, x, y and so on.

    Raises:
        ValueError: for anything else.

    Example:
        >>> points_of([1, 2, 3, 4]).tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    try:
        points = np.array(values, np.float64)
    except (ValueError, TypeError):
        points = np.empty(0)
    if points.ndim == 1 and points.size and points.size % 2 == 0:
        points = points.reshape(-1, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{str(values)[:40]} are no points: want pairs of x and y")
    return points


def _checked(points: np.ndarray, size: Size, least: int) -> np.ndarray:
    corners = np.asarray(points, np.float64)
    if corners.ndim != 2 or len(corners) < least:
        raise ValueError(f"it has {len(corners)} points and wants {least}: delete or redraw it")
    if not np.isfinite(corners).all():
        raise ValueError("one of its coordinates is no finite number: delete or redraw it")
    sides = np.array(size[::-1])
    if (corners < -sides).any() or (corners > 2 * sides).any():
        x, y = corners[np.argmax((np.abs(corners - sides / 2) / sides).max(axis=1))]
        raise ValueError(
            f"its point ({x:g}, {y:g}) lies far outside the image of {size[1]} x {size[0]}: it was "
            f"drawn on another size, or on another image"
        )
    return corners
