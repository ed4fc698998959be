"""Annotation files as the common tools write them, made up for tests."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from few_images import write_image
from PIL import Image

from course_utils.data.annotations import import_annotations

BOX, SMALL = (10, 5, 40, 25), (20, 10, 24, 14)
COMPRESSED_BOX = "e<d0d0" + "0" * 57 + "kh0"
"""What pycocotools 2.0.11 writes for the pixels of `BOX` in an image of 60 x 40."""
Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels, the last two excluded."""


def photograph(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def corners(box: Box) -> list[list[float]]:
    left, top, right, bottom = box
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def filled(box: Box, value: int = 1, height: int = 40, width: int = 60) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = value
    return mask


def coco_counts(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, as COCO writes them without compressing."""
    flat = mask.ravel(order="F").astype(bool)
    edges = np.flatnonzero(np.diff(flat.astype(int))) + 1
    bounds = [0, *([0] if flat[0] else []), *edges.tolist(), len(flat)]
    return np.diff(bounds).tolist()


def row_counts(mask: np.ndarray) -> list[int]:
    """Run lengths along the rows, as CVAT writes them."""
    return coco_counts(mask.T)


def as_png(mask: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", mask)[1].tobytes()).decode()


def shape(label: str, points: Sequence[Sequence[float]], kind: str = "polygon", **more: Any) -> Any:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **more}


def labelme(path: Path, shapes: Sequence[Any], image: np.ndarray | None, **more: Any) -> None:
    """Write a JSON file and, unless it is None, the image that it names."""
    name = more.pop("imagePath", f"{path.stem}.png")
    if image is not None:
        write_image(path.parent / f"{path.stem}.png", image)
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": name,
        "imageData": None,
        "imageHeight": 40,
        "imageWidth": 60,
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def coco(
    path: Path,
    annotations: Sequence[Any],
    files: Sequence[str],
    names: Sequence[str] = ("scratch",),
) -> None:
    """Write a JSON file; `annotations` lack their id, those of the first image its id, too."""
    content = {
        "images": [
            {"id": n, "file_name": file, "height": 40, "width": 60}
            for n, file in enumerate(files, start=1)
        ],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "iscrowd": 0, **one}
            for n, one in enumerate(annotations, start=1)
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names, start=1)],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def cvat(path: Path, shapes: str, files: Sequence[str] = ("a.png",), head: str = "") -> None:
    """Write an XML file whose first image has the `shapes`."""
    images = "".join(
        f'<image id="{n}" name="{file}" width="60" height="40">{"" if n else shapes}</image>'
        for n, file in enumerate(files)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task>'
        f"<labels>{head}</labels></task></meta>{images}</annotations>",
        encoding="utf-8",
    )


def voc_box(path: Path, box: Box, label: str = "dent", size: str = "", file: str = "") -> None:
    """Write an XML file with one box, pixels counted from 1, the last included."""
    left, top, right, bottom = box
    size = size or "<size><width>60</width><height>40</height><depth>1</depth></size>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><filename>{file or path.stem + '.jpg'}</filename>{size}<object><name>{label}"
        f"</name><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object></annotation>"
    )


def imported(tool: str, source: Path, tmp_path: Path, **options) -> dict[str, np.ndarray]:
    """Return the masks that an import makes, by stem, read without the project's reader."""
    made = import_annotations(tool, source, tmp_path / "target", **options)
    assert made.folder == tmp_path / "target"
    return {
        path.stem: np.asarray(Image.open(path)) for path in (made.folder / "masks").glob("*.png")
    }
