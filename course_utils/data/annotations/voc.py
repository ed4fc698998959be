"""Pascal VOC: a mask in colors or with a palette for each image, or an XML file with boxes."""

import re
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from course_utils.data.annotations.regions import (
    AnnotatedImage,
    Annotations,
    Region,
    Size,
    box_points,
    fill_polygon,
)
from course_utils.data.annotations.sources import find_files, read_lines, read_xml

Value: TypeAlias = int | tuple[int, int, int]
"""What marks a class in a mask: an index, or a color."""
_MASK_FOLDERS = ("SegmentationClass", "SegmentationClassPNG")
_NOT_CARED_FOR = (255, (224, 224, 192))
"""Index and color of the borders that VOC draws around each object."""


def read(source: Path, line_width: int) -> Annotations:
    """Read the masks in `SegmentationClass` and the XML files in `Annotations`, or of one folder.

    Where an image has both, the mask counts.
    """
    found = Annotations()
    masks = [path for name in _MASK_FOLDERS for path in _masks(source / name)]
    pictures = source / "JPEGImages"
    found.image_folder = pictures if pictures.is_dir() else None
    names = _names(source, found)
    for path in masks:
        found.images += _from_mask(path, names, found)
    boxes = source / "Annotations"
    drawn = {path.stem for path in masks}
    if boxes.is_dir() or not masks:
        habit = (
            "Pascal VOC has masks in SegmentationClass/*.png or boxes in Annotations/*.xml; the "
            "folder that holds these is wanted"
        )
        for path in find_files(boxes if boxes.is_dir() else source, ".xml", habit):
            if path.stem not in drawn:
                found.images += _from_xml(path, found)
    return found


def _masks(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.png")) if folder.is_dir() else []


def _names(source: Path, found: Annotations) -> dict[Value, str]:
    """Return the name of each index and of each color; empty if no file names them.

    CVAT writes `labelmap.txt` (name:red,green,blue:parts:actions), LabelMe `class_names.txt` (one
    name a line, background first), whose colors are VOC's.
    """
    names: dict[Value, str] = {}
    path = source / "labelmap.txt"
    if path.is_file():
        lines = [line for line in read_lines(path) if not line.startswith("#")]
        for index, line in enumerate(lines):
            name, _, rest = line.partition(":")
            color = re.fullmatch(r"(\d+),(\d+),(\d+)", rest.split(":")[0].strip())
            if color is None:
                found.faults.add(f"{path}: {line!r} is not name:red,green,blue::")
                continue
            red, green, blue = map(int, color.groups())
            names[index] = names[red, green, blue] = name.strip()
    elif (path := source / "class_names.txt").is_file():
        lines = [line for line in read_lines(path) if line != "__ignore__"]
        for index, name in enumerate(lines):
            names[index] = names[_color_of(index)] = name
    found.names = [name for value, name in names.items() if isinstance(value, int)]
    return names


def _from_mask(path: Path, names: dict[Value, str], found: Annotations) -> Iterator[AnnotatedImage]:
    try:
        pixels = _pixels(path)
    except (OSError, ValueError, SyntaxError) as error:
        found.faults.add(f"{path} cannot be read ({error}): export it anew")
        return
    regions = []
    for code in np.unique(pixels[pixels != 0]).tolist():
        value = code if code < 256 else ((code >> 16) - 1, code >> 8 & 255, code & 255)
        if value in _NOT_CARED_FOR:
            found.left_out.append("border that VOC does not care for")
            continue
        label = names.get(value) or ("" if names else _made_up(value))
        if not label:
            where = "labelmap.txt or class_names.txt" if names else "VOC's palette"
            found.faults.add(f"{path} holds the value {value}, which {where} does not name")
            continue
        regions.append(Region(label, partial(_class, path, code)))
    yield AnnotatedImage(path.stem, path, regions, pixels.shape)


@lru_cache(maxsize=2)
def _pixels(path: Path) -> np.ndarray:
    """Return int32 codes (H, W): an index as it is, a color as (red + 1, green, blue), black as 0.

    Palette and gray files hold indices.
    """
    with Image.open(path) as image:
        if image.mode in ("P", "L", "1"):
            return np.asarray(image).astype(np.int32)
        colors = np.asarray(image.convert("RGB")).astype(np.int32)
    codes = (colors[..., 0] + 1 << 16) + (colors[..., 1] << 8) + colors[..., 2]
    return np.where(colors.any(axis=2), codes, 0)


def _class(path: Path, code: int, size: Size) -> np.ndarray:
    pixels = _pixels(path)
    if pixels.shape != size:
        raise ValueError(
            f"it is {pixels.shape[1]} x {pixels.shape[0]}, its image {size[1]} x {size[0]}: export "
            f"it anew from that image"
        )
    return pixels == code


def _made_up(value: Value) -> str:
    """Return a name for an index or for a color of VOC's palette; "" for another color."""
    index = value if isinstance(value, int) else _PALETTE.get(value, 0)
    return f"class {index}" if index else ""


def _color_of(index: int) -> tuple[int, int, int]:
    """Return VOC's color of a class: the bits of its index, dealt out to red, green and blue.

    Example:
        >>> _color_of(1), _color_of(2), _color_of(15)
        ((128, 0, 0), (0, 128, 0), (192, 128, 128))
    """
    red, green, blue = (
        sum((index >> 3 * bit + channel & 1) << 7 - bit for bit in range(3)) for channel in range(3)
    )
    return red, green, blue


_PALETTE = {_color_of(index): index for index in range(256)}


def _from_xml(path: Path, found: Annotations) -> Iterator[AnnotatedImage]:
    root = read_xml(path, "annotation", found.faults)
    if root is None:
        return
    regions = []
    for number, element in enumerate(root.iterfind("object"), start=1):
        box = element.find("bndbox")
        try:
            left, top, right, bottom = (
                float(box.findtext(side, "") if box is not None else "")
                for side in ("xmin", "ymin", "xmax", "ymax")
            )
        except ValueError:
            found.faults.add(f"{path}, object {number} has no box: draw it anew")
            continue
        # VOC counts pixels from 1 and includes the last.
        corners = box_points(left - 1, top - 1, right, bottom)
        label = (element.findtext("name") or "").strip()
        regions.append(Region(label, partial(fill_polygon, corners), "box"))
    file = (root.findtext("filename") or "").strip() or path.stem
    sides = [root.findtext(f"size/{side}", "") for side in ("height", "width")]
    size = (int(sides[0]), int(sides[1])) if all(map(str.isdecimal, sides)) else None
    yield AnnotatedImage(file, path, regions, size if size != (0, 0) else None)
