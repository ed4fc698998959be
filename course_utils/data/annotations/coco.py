"""COCO: one JSON file for many images."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from course_utils.data.annotations.regions import (
    AnnotatedImage,
    Annotations,
    Region,
    Size,
    box_points,
    decode_coco_string,
    decode_counts,
    fill_polygon,
    fill_polygons,
    points_of,
)
from course_utils.data.annotations.sources import find_files, read_json

_LISTS = ("images", "annotations", "categories")


def read(source: Path, line_width: int) -> Annotations:
    """Read the JSON files below `source`, or the one that it is."""
    found = Annotations()
    files = find_files(source, ".json", "COCO's is often called annotations/instances_default.json")
    for path in files:
        content = read_json(path, found.faults)
        if content is None:
            continue
        if not isinstance(content, dict) or not all(
            isinstance(content.get(name), list)
            and all(isinstance(row, dict) for row in content[name])
            for name in _LISTS
        ):
            found.faults.add(
                f"{path} is no file of COCO, it has no lists of {', '.join(_LISTS)}: name the "
                f"right file instead of its folder"
            )
            continue
        found.images += _images(path, content, found)
    if len(files) > 1:
        found.notes.append(
            f"{len(files)} JSON files make one set, whatever parts they stand for; to keep parts, "
            f"import each into TARGET/train, TARGET/val and TARGET/test, with one --classes"
        )
    return found


def _images(path: Path, content: Mapping[str, Any], found: Annotations) -> Iterator[AnnotatedImage]:
    names = {row.get("id"): str(row.get("name", "")).strip() for row in content["categories"]}
    found.names += [names[key] for key in sorted(names, key=lambda key: (str(type(key)), key))]
    regions: dict[Any, list[Region]] = {row.get("id"): [] for row in content["images"]}
    sizes = {row.get("id"): _size(row) for row in content["images"]}
    for row in content["annotations"]:
        where = f"{path}, annotation {row.get('id')}"
        image, category = row.get("image_id"), row.get("category_id")
        if image not in regions:
            found.faults.add(f"{where} belongs to image {image!r}, which is not listed")
        elif category not in names:
            found.faults.add(f"{where} is of category {category!r}, which is not listed")
        else:
            try:
                regions[image].append(_region(names[category], row, sizes[image]))
            except (ValueError, TypeError) as error:
                found.faults.add(f"{where}: {error}")
    for row in content["images"]:
        file = str(row.get("file_name") or "")
        if not file:
            found.faults.add(f"{path}, image {row.get('id')} has no file_name")
            continue
        yield AnnotatedImage(file, path, regions[row.get("id")], sizes[row.get("id")])


def _region(label: str, row: Mapping[str, Any], size: Size | None) -> Region:
    shape = row.get("segmentation")
    if isinstance(shape, dict):
        counts, written = shape.get("counts"), shape.get("size")
        if isinstance(counts, str):
            counts = decode_coco_string(counts)
        if not isinstance(counts, list) or not isinstance(written, list) or len(written) != 2:
            raise ValueError("its run lengths want counts and a size: export it anew")
        return Region(label, partial(_runs, counts, (written[0], written[1])))
    if shape:
        parts = [shape] if isinstance(shape[0], int | float) else shape  # one list is a habit
        return Region(label, partial(fill_polygons, [points_of(part) for part in parts]))
    box = row.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError("it has neither a segmentation nor a bbox: delete or redraw it")
    left, top, width, height = (float(value) for value in box)
    corners = box_points(left, top, left + width, top + height)
    return Region(label, partial(fill_polygon, corners), "box")


def _runs(counts: list[int], written: Size, size: Size) -> np.ndarray:
    if written != size:
        raise ValueError(
            f"its run lengths are for {written[1]} x {written[0]}, the image is "
            f"{size[1]} x {size[0]}: export it anew from that image"
        )
    return decode_counts(counts, size, by="columns")


def _size(row: Mapping[str, Any]) -> Size | None:
    height, width = row.get("height"), row.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
