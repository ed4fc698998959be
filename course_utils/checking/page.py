"""The first look as one page: it holds its pictures, fetches nothing, and opens from disk."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import jinja2
import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from course_utils.checking.facts import LARGE, FolderFacts, Region, defects
from course_utils.checking.methods import fitting_methods
from course_utils.data.image_files import read_image, resize_image
from course_utils.data.image_set import Entry
from course_utils.io import write_atomic
from course_utils.plots.images import overlay, to_picture
from course_utils.plots.style import class_color

_OF_EACH = 4
"""Pictures of each class, and of good images."""
_CLASSES = 8
_WHOLE, _CLOSE = 420, 210  # longest side of pictures, in pixels
_SMALL = 12  # pixels of a picture, below which a defect is framed
_SURROUNDINGS = 2.0  # times the longest side of a defect
_QUALITY = 80
T = TypeVar("T")


@dataclass(frozen=True)
class Example:
    """One image on the page."""

    name: str
    about: str
    wide: bool
    """Whether the image is much wider than high."""
    pictures: list[tuple[str, str]]
    """What each shows, and its address, which holds it."""


def write_page(facts: FolderFacts, path: Path) -> None:
    """Write the page of `facts` to `path`; its folder is made if need be.

    Raises:
        OSError: if it cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("check.html.j2").render(
        facts=facts,
        name=facts.folder.absolute().name,
        methods=fitting_methods(facts),
        examples=dict(_examples(facts)),
        color=class_color,
        left_out=max(0, len(facts.classes) - _CLASSES),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text)


def _examples(facts: FolderFacts) -> Iterator[tuple[str, list[Example]]]:
    """Yield the examples of each class and of good images, by a heading."""
    masked = sorted(facts.shares, key=lambda number: -facts.shares[number])
    suspicious = [number for number in masked if facts.shares[number] > LARGE][:_OF_EACH]
    if suspicious:
        yield (
            "masks that cover more than half",
            [_marked(facts, facts.images.entries[number], None) for number in suspicious],
        )
    for label, kind in enumerate(facts.classes[:_CLASSES], start=1):
        found = defects(facts, label)
        if not found:
            entries = [entry for entry in facts.images.entries if entry.label == label]
            if entries:
                yield f"{kind.name}, without masks", [_bare(entry) for entry in _spread(entries)]
            continue
        # From the largest to the smallest, each image once.
        by_image = list({region.entry: (region, entry) for region, entry in found}.values())
        yield kind.name, [_marked(facts, entry, region) for region, entry in _spread(by_image)]
    good = [entry for entry in facts.images.entries if entry.label == 0]
    if good:
        yield "good", [_bare(entry) for entry in _spread(good)]


def _spread(items: list[T]) -> list[T]:
    """Return the first of `items`, the last, and some between them."""
    places = np.linspace(0, len(items) - 1, min(_OF_EACH, len(items))).round().astype(int)
    return [items[place] for place in places]


def _bare(entry: Entry) -> Example:
    image = read_image(entry.image)
    height, width = image.shape[:2]
    picture = _address(_shrunk(image, _WHOLE))
    return Example(entry.name, f"{height} x {width}", width > 2 * height, [("whole", picture)])


def _marked(facts: FolderFacts, entry: Entry, region: Region | None) -> Example:
    """Return the whole image with its mask and, of a region, its surroundings without and with."""
    image, mask = read_image(entry.image), facts.images.read_mask(entry)
    height, width = mask.shape
    whole = _overlaid(image, mask, _WHOLE)
    if region is not None:
        _frame(whole, region, whole.shape[1] / width)
    pictures = [("whole, with its mask", _address(whole))]
    if region is None:
        about = f"{np.count_nonzero(mask) / mask.size:.0%} of {height} x {width}"
        pictures = [("whole", _address(_shrunk(image, _WHOLE))), *pictures]
        return Example(entry.name, about, width > 2 * height, pictures)
    left, top, wide, high = region.box
    reach = round(max(wide, high, 16) * _SURROUNDINGS / 2)
    rows = slice(max(0, top + high // 2 - reach), top + high // 2 + reach)
    columns = slice(max(0, left + wide // 2 - reach), left + wide // 2 + reach)
    close = np.ascontiguousarray(image[rows, columns])
    about = f"{region.area} pixels, {high} x {wide}, of {height} x {width}"
    pictures += [
        ("close", _address(_shrunk(close, _CLOSE))),
        ("close, with its mask", _address(_overlaid(close, mask[rows, columns], _CLOSE))),
    ]
    return Example(entry.name, about, width > 2 * height, pictures)


def _frame(picture: np.ndarray, region: Region, scale: float) -> None:
    """Draw a frame around a region that is hard to find, in place."""
    left, top, wide, high = (side * scale for side in region.box)
    if max(wide, high) < _SMALL:
        corner = (round(left - _SMALL), round(top - _SMALL))
        opposite = (round(left + wide + _SMALL), round(top + high + _SMALL))
        color = [round(255 * value) for value in to_rgb(class_color(region.label))]
        cv2.rectangle(picture, corner, opposite, color, 2)


def _shrunk(image: np.ndarray, longest: int) -> np.ndarray:
    scale = longest / max(image.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in image.shape[:2])
    return resize_image(to_picture(image), (size[0], size[1]))


def _overlaid(image: np.ndarray, mask: np.ndarray, longest: int) -> np.ndarray:
    """Return the shrunk image with its mask: what has any pixel is still there."""
    small = _shrunk(image, longest)
    shown = np.zeros(small.shape[:2], np.uint8)
    for label in (np.flatnonzero(np.bincount(mask.ravel())[1:]) + 1).tolist():
        part = resize_image((mask == label).astype(np.float32), (small.shape[0], small.shape[1]))
        shown[part > (0 if part.size < mask.size else 0.5)] = label
    return overlay(small, shown)


def _address(pixels: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", quality=_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
