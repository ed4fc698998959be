"""Grids of images: to look at data, at masks and at mistakes."""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from course_utils.data.samples import DefectDataset
from course_utils.plots.overlays import Picture, error_map, overlay, to_gray, to_picture
from course_utils.plots.style import (
    FALSE_ALARM,
    HIT,
    MISSED,
    WIDTH,
    class_color,
    hide_ticks,
    in_course_style,
    new_figure,
)

Window: TypeAlias = tuple[int, int, int, int]
"""(top, left, height, width) in pixels: the part of an image that is shown."""


@in_course_style
def montage(
    images: Sequence[Picture],
    *,
    masks: Sequence[Picture | None] | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 4,
    title: str | None = None,
    zoom: Window | Sequence[Window] | None = None,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Return a figure with the images in a grid of equal cells, row by row.

    `images` and `masks`: as `overlay` takes them; a mask of None leaves its image bare. `zoom`
    shows only a window of each image: one (top, left, height, width) for all, or one for each.
    `class_names` (background first) adds a legend of the classes that occur in the masks.

    Raises:
        ValueError: for no image, lists of unequal lengths, and a class without a name.

    Example:
        >>> len(montage([np.zeros((8, 8))] * 3, titles=["a", "b", "c"]).axes)
        3
    """
    masks = list(masks) if masks is not None else [None] * len(images)
    pictures = [
        to_picture(image) if mask is None else overlay(image, mask)
        for image, mask in _together(images, masks, "masks")
    ]
    if zoom is not None:
        windows = [zoom] * len(images) if isinstance(zoom[0], int) else zoom
        pictures = [_window(one, where) for one, where in _together(pictures, windows, "zoom")]
    named = titles if titles is not None else [""] * len(images)
    rows = list(_together(pictures, named, "titles"))
    cells: list[tuple[np.ndarray, str] | None] = list(rows)
    return _grid(cells, _columns(columns, len(cells)), title, _class_legend(masks, class_names))


@in_course_style
def samples(
    dataset: DefectDataset,
    indices: Sequence[int],
    *,
    columns: int = 4,
    title: str | None = None,
    zoom: Window | None = None,
) -> Figure:
    """Return a figure with samples of a data set: each image, below it its mask on gray.

    Above each image stands the class of the defect, below the figure what the colors mean.

    Raises:
        ValueError: when `indices` is empty.
    """
    chosen = [dataset[index] for index in indices]
    if not chosen:
        raise ValueError("indices is empty: name at least one sample to show")
    names = ["good", *dataset.class_names[1:]]
    columns = _columns(columns, len(chosen))
    cells: list[tuple[np.ndarray, str] | None] = []
    for start in range(0, len(chosen), columns):
        block = chosen[start : start + columns]
        gap = [None] * (columns - len(block))
        plain = [to_picture(one.image) for one in block]
        painted = [overlay(to_gray(one.image), one.mask) for one in block]
        if zoom is not None:
            plain = [_window(one, zoom) for one in plain]
            painted = [_window(one, zoom) for one in painted]
        heads = [names[one.label] for one in block]
        cells += [*zip(plain, heads, strict=True), *gap, *((one, "") for one in painted), *gap]
    masks = [one.mask for one in chosen]
    return _grid(cells, columns, title, _class_legend(masks, dataset.class_names))


@in_course_style
def errors(
    images: Sequence[Picture],
    targets: Sequence[Picture],
    predictions: Sequence[Picture],
    titles: Sequence[str] | None = None,
    *,
    title: str | None = None,
    zoom: Window | None = None,
) -> Figure:
    """Return a figure with each image beside its truth and what the network made of it.

    Up to three images stand in rows, more of them in columns. Found, missed and false alarm have
    a color each.
    Arguments are those of `error_map`; at most eight images. `zoom` as in `montage`.

    Raises:
        ValueError: for no image, more than eight, and lists of unequal lengths.
    """
    if not 1 <= len(images) <= 8:
        raise ValueError(f"errors shows 1 to 8 images side by side, got {len(images)}")
    real = [target for _, target in _together(images, targets, "targets")]
    found = [prediction for _, prediction in _together(images, predictions, "predictions")]
    pictures = [to_picture(image) for image in images]
    pictures += [
        overlay(to_gray(image), target) for image, target in zip(images, real, strict=True)
    ]
    pictures += [error_map(*three) for three in zip(images, real, found, strict=True)]
    if zoom is not None:
        pictures = [_window(picture, zoom) for picture in pictures]
    names = [name for _, name in _together(images, titles or [""] * len(images), "titles")]
    legend = {"found": HIT, "missed": MISSED, "false alarm": FALSE_ALARM}
    kinds, count = ("image", "truth", "network"), len(images)
    if count > 3:
        heads = [*names, *[""] * (2 * count)]
        return _grid([*zip(pictures, heads, strict=True)], count, title, legend, row_names=kinds)
    # Few images: one row for each, or the figure would be a tower of huge pictures.
    turned = [pictures[kind * count + number] for number in range(count) for kind in range(3)]
    heads = [*kinds, *[""] * (3 * count - 3)]
    return _grid([*zip(turned, heads, strict=True)], 3, title, legend, row_names=names)


def _grid(
    cells: Sequence[tuple[np.ndarray, str] | None],
    columns: int,
    title: str | None,
    legend: Mapping[str, str],
    row_names: Sequence[str] = (),
) -> Figure:
    if not cells:
        raise ValueError("nothing to show: give at least one image")
    rows = math.ceil(len(cells) / columns)
    aspect = float(np.median([one[0].shape[0] / one[0].shape[1] for one in cells if one]))
    has_title = [
        any(one and one[1] for one in cells[row * columns : (row + 1) * columns])
        for row in range(rows)
    ]
    width = (WIDTH - 0.12) / columns - 0.12
    height = rows * (width * aspect + 0.12) + 0.26 * sum(has_title) + (0.34 if legend else 0)
    figure = new_figure(height, title)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, cell in zip(grid.flat, [*cells, *[None] * (rows * columns)], strict=False):
        hide_ticks(axes)
        if cell is None:
            axes.remove()
            continue
        axes.imshow(cell[0])
        if cell[1]:
            axes.set_title(_shorten(cell[1], width), loc="center", size=9.5, pad=4)
    for axes, name in zip(grid[:, 0], row_names, strict=False):
        axes.set_ylabel(name)
    if legend:
        handles = [Patch(color=color, label=name) for name, color in legend.items()]
        figure.legend(handles=handles, loc="outside lower left", ncols=min(len(handles), 7))
    return figure


def _columns(wanted: int, count: int) -> int:
    """One or two images over the whole width would fill the screen: leave room for three."""
    if wanted < 1:
        raise ValueError(f"columns must be at least 1, got {wanted}")
    return min(wanted, max(3, count))


def _shorten(text: str, width: float) -> str:
    """Cut the middle of a title that is wider than its picture: names differ at their ends."""
    room = max(5, int(width / 0.085))  # inches of a letter of size 9.5
    half = (room - 1) // 2
    return "\n".join(
        line if len(line) <= room else f"{line[:half]}…{line[-half:]}" for line in text.split("\n")
    )


def _window(picture: np.ndarray, window: Window) -> np.ndarray:
    top, left, height, width = window
    part = picture[max(0, top) : top + height, max(0, left) : left + width]
    if min(window) < 0 or part.shape[:2] != (height, width) or not part.size:
        raise ValueError(
            f"zoom {window} (top, left, height, width) does not fit in an image of "
            f"{picture.shape[:2]} pixels"
        )
    return part


def _together(first: Sequence, second: Sequence, name: str) -> list[tuple]:
    if len(first) != len(second):
        raise ValueError(f"{name} must have one entry for each of {len(first)}, got {len(second)}")
    return list(zip(first, second, strict=True))


def _class_legend(
    masks: Sequence[Picture | None], class_names: Sequence[str] | None
) -> dict[str, str]:
    if class_names is None:
        return {}
    present = sorted(
        {int(value) for mask in masks if mask is not None for value in np.unique(mask)}
    )
    if present and present[-1] >= len(class_names):
        named = f"class_names names only 0..{len(class_names) - 1}"
        raise ValueError(f"a mask holds class {present[-1]}, but {named}")
    return {class_names[index]: class_color(index) for index in present if index}
