"""CVAT for images 1.1: one XML file for many images."""

import re
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path

import numpy as np

from course_utils.data.annotations.regions import (
    AnnotatedImage,
    Annotations,
    Region,
    Size,
    box_points,
    decode_counts,
    draw_line,
    ellipse_points,
    fill_polygon,
    points_of,
    turn,
)
from course_utils.data.annotations.sources import find_files, read_xml

_NO_AREA = ("points", "tag", "skeleton", "cuboid")
_AREAS = ("polygon", "box", "ellipse", "mask", "polyline")


def read(source: Path, line_width: int) -> Annotations:
    """Read the XML files below `source`, or the one that it is."""
    found = Annotations()
    for path in find_files(source, ".xml", "CVAT for images 1.1 writes annotations.xml"):
        root = read_xml(path, "annotations", found.faults)
        if root is None:
            continue
        if root.find("track") is not None:
            found.faults.add(f"{path} holds tracks of a video: export it as 'CVAT for images 1.1'")
            continue
        found.names += [
            (label.text or "").strip() for label in root.iterfind("./meta//labels/label/name")
        ]
        for element in root.iterfind("image"):
            found.images.append(_image(path, element, line_width, found))
    return found


def _image(path: Path, element: ET.Element, line_width: int, found: Annotations) -> AnnotatedImage:
    name = element.get("name", "")
    regions = []
    for number, shape in enumerate(element, start=1):
        if shape.tag in _NO_AREA:
            found.left_out.append(shape.tag)
            continue
        try:
            regions.append(_region(shape, line_width))
        except (ValueError, KeyError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else error
            found.faults.add(f"{path}, {name}, shape {number} <{shape.tag}>: {reason}")
    try:
        size = int(element.attrib["height"]), int(element.attrib["width"])
    except (KeyError, ValueError):
        return AnnotatedImage(name, path, regions)
    return AnnotatedImage(name, path, regions, size)


def _region(shape: ET.Element, line_width: int) -> Region:
    if shape.tag not in _AREAS:
        raise ValueError("shapes of this kind are not known: draw a polygon instead")
    label, layer = shape.attrib["label"].strip(), int(shape.get("z_order", 0))

    def number(name: str) -> float:
        return float(shape.attrib[name])

    degrees = float(shape.get("rotation", 0))
    if shape.tag == "mask":
        counts = [int(count) for count in re.split(r"[,\s]+", shape.attrib["rle"].strip())]
        corner = int(number("top")), int(number("left"))
        box = int(number("height")), int(number("width"))
        return Region(label, partial(_mask, counts, corner, box), layer=layer)
    if shape.tag == "box":
        left, top = number("xtl"), number("ytl")
        corners = box_points(left, top, number("xbr"), number("ybr"), degrees)
        return Region(label, partial(fill_polygon, corners), "box", layer)
    if shape.tag == "ellipse":
        center, radii = (number("cx"), number("cy")), (number("rx"), number("ry"))
        around = ellipse_points(center, radii, degrees)
        return Region(label, partial(fill_polygon, around), layer=layer)
    points = points_of([pair.split(",") for pair in shape.attrib["points"].split(";") if pair])
    if shape.tag == "polyline":
        return Region(label, partial(draw_line, points, line_width), "line", layer)
    return Region(label, partial(fill_polygon, turn(points, degrees)), layer=layer)


def _mask(counts: list[int], corner: Size, box: Size, size: Size) -> np.ndarray:
    part = decode_counts(counts, box, by="rows")
    (top, left), (height, width) = corner, box
    if top < 0 or left < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError(
            f"its mask of {width} x {height} at ({left}, {top}) leaves the image of "
            f"{size[1]} x {size[0]}: redraw it"
        )
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = part
    return mask
