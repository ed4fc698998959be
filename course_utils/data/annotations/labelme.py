"""LabelMe: a JSON file for each image, beside it."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from course_utils.data.annotations.regions import (
    AnnotatedImage,
    Annotations,
    Region,
    Size,
    box_points,
    draw_line,
    ellipse_points,
    fill_polygon,
    points_of,
)
from course_utils.data.annotations.sources import find_files, read_json

_LINES = ("line", "linestrip")
_NO_AREA = ("point", "points")


def read(source: Path, line_width: int) -> Annotations:
    """Read the JSON files below `source`, or the one that it is."""
    found = Annotations()
    files = find_files(source, ".json", "LabelMe writes one for each image")
    for path in files:
        content = read_json(path, found.faults)
        if content is None:
            continue
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            found.faults.add(
                f"{path} is no file of LabelMe, it has no list of shapes: take it out of the "
                f"folder (files of COCO want --from coco)"
            )
            continue
        regions = []
        for number, shape in enumerate(content["shapes"], start=1):
            try:
                if shape.get("shape_type") in _NO_AREA:
                    found.left_out.append("point")
                else:
                    regions.append(_region(shape, line_width))
            except (ValueError, AttributeError) as error:
                found.faults.add(f"{path}, shape {number}: {error}")
        found.images.append(
            AnnotatedImage(
                str(content.get("imagePath") or path.with_suffix("").name),
                path,
                regions,
                _size(content),
                partial(_embedded, path) if content.get("imageData") else None,
            )
        )
    return found


def _region(shape: Mapping[str, Any], line_width: int) -> Region:
    kind, label = shape.get("shape_type") or "polygon", str(shape.get("label") or "")
    points = points_of(shape.get("points"))
    if kind == "mask":
        return Region(label, _mask(shape, points))
    if kind in _LINES:
        return Region(label, partial(draw_line, points, line_width), "line")
    wanted = {"rectangle": 2, "circle": 2}.get(kind)
    if wanted and len(points) != wanted and not (kind == "rectangle" and len(points) == 4):
        raise ValueError(f"a {kind} has {wanted} points, found {len(points)}: redraw it")
    if kind == "rectangle" and len(points) == 2:
        corners = box_points(*points.min(axis=0), *points.max(axis=0))
        return Region(label, partial(fill_polygon, corners), "box")
    if kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        around = ellipse_points((points[0, 0], points[0, 1]), (radius, radius))
        return Region(label, partial(fill_polygon, around))
    if kind not in ("polygon", "rectangle", "oriented_rectangle"):
        raise ValueError(f"shapes of the kind {kind!r} are not known: draw a polygon instead")
    return Region(label, partial(fill_polygon, points), "area" if kind == "polygon" else "box")


def _mask(shape: Mapping[str, Any], points: np.ndarray) -> Callable[[Size], np.ndarray]:
    """Return what draws a mask: a PNG in base64, and the box (both corners included) it fills."""
    text = shape.get("mask")
    if not isinstance(text, str) or len(points) != 2:
        raise ValueError("it is a mask without pixels or without its box: redraw it")
    left, top = np.round(points.min(axis=0)).astype(int).tolist()

    def draw(size: Size) -> np.ndarray:
        content = np.frombuffer(_from_base64(text), np.uint8)
        pixels = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if content.size else None
        if pixels is None:
            raise ValueError("its mask is no picture: redraw it")
        height, width = pixels.shape
        if left < 0 or top < 0 or left + width > size[1] or top + height > size[0]:
            raise ValueError(
                f"its mask of {width} x {height} at ({left}, {top}) leaves the image of "
                f"{size[1]} x {size[0]}: redraw it"
            )
        mask = np.zeros(size, bool)
        mask[top : top + height, left : left + width] = pixels > 0
        return mask

    return draw


def _size(content: Mapping[str, Any]) -> Size | None:
    height, width = content.get("imageHeight"), content.get("imageWidth")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _embedded(path: Path) -> bytes:
    return _from_base64(json.loads(path.read_bytes())["imageData"])


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("its picture is no base64: save it anew") from None
