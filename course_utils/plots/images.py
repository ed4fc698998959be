"""Images with their masks and their mistakes: one by one, and in grids."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from course_utils.data.samples import SampleSource, describe
from course_utils.plots.style import (
    FALSE_ALARM,
    HIT,
    MISSED,
    WIDTH,
    class_color,
    hide_ticks,
    in_course_style,
    legend_below,
    new_figure,
)

Picture: TypeAlias = npt.ArrayLike | Tensor
"""An image: (C, H, W), (H, W) or (H, W, 3), floats in 0 .. 1 or uint8; C is 1 or 3."""
Cell: TypeAlias = tuple[np.ndarray, str] | None
"""A picture and its title."""
FILL = 0.45
"""How much color lies on a defect, unless it is to be looked at."""


@in_course_style
def montage(
    images: Sequence[Picture],
    *,
    masks: Sequence[Picture | None] | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 4,
    title: str | None = None,
    class_names: Sequence[str] | None = None,
    fill: float = FILL,
) -> Figure:
    """Return a figure with the images in a grid of equal cells, row by row.

    `images`, `masks` and `fill`: as `overlay` takes them; a mask of None leaves its image bare.
    `class_names` (background first) adds a legend of the classes that occur in the masks.

    Raises:
        ValueError: for no image, lists of unequal lengths, and a class without a name.

    Example:
        >>> len(montage([np.zeros((8, 8))] * 3, titles=["a", "b", "c"]).axes)
        3
    """
    masks = list(masks) if masks is not None else [None] * len(images)
    pictures = [
        to_picture(image) if mask is None else overlay(image, mask, fill)
        for image, mask in _together(images, masks, "masks")
    ]
    named = titles if titles is not None else [""] * len(images)
    cells: list[Cell] = list(_together(pictures, named, "titles"))
    return _grid(cells, _columns(columns, len(cells)), title, _class_legend(masks, class_names))


@in_course_style
def samples(
    dataset: SampleSource,
    indices: Sequence[int],
    *,
    columns: int = 4,
    title: str | None = None,
) -> Figure:
    """Return a figure with samples of a data set: each image, below it its mask on gray.

    Above each image stands the class of the defect, below the figure what the colors mean.

    Raises:
        ValueError: when `indices` is empty.
    """
    chosen = [dataset[index] for index in indices]
    if not chosen:
        raise ValueError("indices is empty: name at least one sample to show")
    class_names = describe(dataset).class_names
    names = ["good", *class_names[1:]]
    columns = _columns(columns, len(chosen))
    cells: list[Cell] = []
    for start in range(0, len(chosen), columns):
        block = chosen[start : start + columns]
        gap = [None] * (columns - len(block))
        plain = [to_picture(one.image) for one in block]
        painted = [overlay(to_gray(one.image), one.mask) for one in block]
        heads = [names[one.label] for one in block]
        cells += [*zip(plain, heads, strict=True), *gap, *((one, "") for one in painted), *gap]
    masks = [one.mask for one in chosen]
    return _grid(cells, columns, title, _class_legend(masks, class_names))


@in_course_style
def errors(
    images: Sequence[Picture],
    targets: Sequence[Picture],
    predictions: Sequence[Picture] | Mapping[str, Sequence[Picture]],
    titles: Sequence[str] | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """Return a figure with each image beside its truth and what one or more networks made of it.

    Up to three images stand in rows, more of them in columns. Found, missed and false alarm have
    a color each. Arguments are those of `error_map`; at most eight images. Predictions of several
    networks have their names: name -> one for each image.

    Raises:
        ValueError: for no image, more than eight, and lists of unequal lengths.

    Example:
        >>> image, mask = np.zeros((8, 8)), np.eye(8, dtype=int)
        >>> both = {"first": [mask], "second": [1 - mask]}
        >>> len(errors([image], [mask], both).axes)
        4
    """
    if not 1 <= len(images) <= 8:
        raise ValueError(f"errors shows 1 to 8 images side by side, got {len(images)}")
    real = [target for _, target in _together(images, targets, "targets")]
    named = predictions if isinstance(predictions, Mapping) else {"network": predictions}
    gray = [overlay(to_gray(image), target) for image, target in zip(images, real, strict=True)]
    rows = {"image": [to_picture(image) for image in images], "truth": gray}
    for name, masks in named.items():
        found = [prediction for _, prediction in _together(images, masks, "predictions")]
        rows[name] = [error_map(*three) for three in zip(images, real, found, strict=True)]
    names = [name for _, name in _together(images, titles or [""] * len(images), "titles")]
    legend = {"found": HIT, "missed": MISSED, "false alarm": FALSE_ALARM}
    if len(images) > 3:
        blank = [""] * (len(images) * (len(rows) - 1))
        pictures = [picture for row in rows.values() for picture in row]
        cells = [*zip(pictures, [*names, *blank], strict=True)]
        return _grid(cells, len(images), title, legend, row_names=list(rows))
    # Few images: one row for each, or the figure would be a tower of huge pictures.
    turned = [picture for column in zip(*rows.values(), strict=True) for picture in column]
    heads = [*rows, *[""] * (len(rows) * (len(images) - 1))]
    cells = [*zip(turned, heads, strict=True)]
    return _grid(cells, len(rows), title, legend, row_names=names)


def overlay(image: Picture, mask: Picture, fill: float = FILL) -> np.ndarray:
    """Return the image with the mask laid over it: uint8 (H, W, 3).

    `image`: (C, H, W), (H, W) or (H, W, 3), floats in 0 .. 1 or uint8; C is 1 or 3. `mask`:
    (H, W) class indices, 0 background; each class has its color. A thin line runs **around** each
    region: a defect of one pixel stays visible, and none of its own pixels is hidden. `fill`: how
    much of the color is laid over the region itself, 0 .. 1; with 0 there is the line alone.

    Raises:
        ValueError: for other shapes and values, and when image and mask differ in size.

    Example:
        >>> overlay(np.zeros((1, 4, 4)), np.eye(4, dtype=int)).shape
        (4, 4, 3)
    """
    picture, classes = to_picture(image), _to_mask(mask, "mask")
    _require_same_size(picture, classes, "mask")
    labels = [int(label) for label in np.unique(classes) if label]
    regions = [(classes == label, class_color(label)) for label in labels]
    return _paint(picture, regions, alpha=fill, contour=True)


def heat_overlay(
    image: Picture, values: Picture, limits: tuple[float, float] | None = None
) -> np.ndarray:
    """Return the picture with a map in color over it: the higher its value, the less shows through.

    Args:
        image: as `overlay` takes it.
        values: (H, W).
        limits: the value at which the color begins, and that of the brightest; None takes 0 and
            the largest.

    Returns:
        RGB (H, W, 3), uint8.

    Raises:
        ValueError: for values that are not finite, or of another size.

    Example:
        >>> picture = heat_overlay(np.zeros((2, 2)), np.eye(2))
        >>> picture[0, 1].tolist(), int(picture[0, 0].max()) > 200
        ([0, 0, 0], True)
    """
    picture, heat = to_picture(image), np.asarray(_to_array(values), dtype=float)
    _require_same_size(picture, heat, "values")
    if not np.isfinite(heat).all():
        raise ValueError("the values of a map must be finite")
    low, high = limits or (0.0, float(heat.max()) or 1.0)
    heat = ((heat - low) / (high - low)).clip(0, 1)
    colored = matplotlib.colormaps["inferno"](0.25 + 0.7 * heat)[..., :3] * 255
    share = heat[..., None] ** 0.7
    return ((1 - share) * picture + share * colored).round().astype(np.uint8)


def error_map(image: Picture, target: Picture, prediction: Picture) -> np.ndarray:
    """Return the image with hits, misses and false alarms painted on it: uint8 (H, W, 3).

    The image turns gray, so that nothing but the result has a color. `target` and `prediction`:
    (H, W) class indices or 0 and 1. A defect pixel with the right class is a hit; with another
    class, or background, it is missed; a background pixel with any class is a false alarm.

    Raises:
        ValueError: as `overlay` does.

    Example:
        >>> error_map(np.zeros((2, 2)), np.eye(2), np.ones((2, 2))).shape
        (2, 2, 3)
    """
    picture = to_gray(image)
    real, found = _to_mask(target, "target"), _to_mask(prediction, "prediction")
    _require_same_size(picture, real, "target")
    _require_same_size(picture, found, "prediction")
    regions = [
        ((real > 0) & (found == real), HIT),
        ((real > 0) & (found != real), MISSED),
        ((real == 0) & (found > 0), FALSE_ALARM),
    ]
    return _paint(picture, regions, alpha=0.75, contour=False)


def to_picture(image: Picture) -> np.ndarray:
    """Return `image` as uint8 (H, W, 3); see `overlay` for what it accepts.

    Example:
        >>> to_picture(np.full((1, 2, 2), 1.0)).max()
        np.uint8(255)
    """
    array = _to_array(image)
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or not array.size:
        raise ValueError(
            f"image must be (1, H, W), (3, H, W), (H, W) or (H, W, 3), got {array.shape}"
        )
    if array.dtype == bool:
        array = array.astype(np.float32)
    if array.dtype != np.uint8:
        # Resizing may overshoot by a rounding error; NaN fails this comparison as well.
        if not (array.min() >= -1e-3 and array.max() <= 1 + 1e-3):
            raise ValueError(
                f"image must lie in 0..1 (or be uint8), got {array.min():g}..{array.max():g}: "
                "undo the normalization first"
            )
        array = np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def to_gray(image: Picture) -> np.ndarray:
    """Return `image` without its colors, still uint8 (H, W, 3): marks stand out on it.

    Example:
        >>> to_gray(np.zeros((3, 2, 2))).shape
        (2, 2, 3)
    """
    gray = cv2.cvtColor(to_picture(image), cv2.COLOR_RGB2GRAY)
    return np.repeat(gray[..., None], 3, axis=2)


def _grid(
    cells: Sequence[Cell],
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
        legend_below(figure, handles, 7)
    return figure


def _columns(wanted: int, count: int) -> int:
    """One or two images over the whole width would fill the screen: leave space for three."""
    if wanted < 1:
        raise ValueError(f"columns must be at least 1, got {wanted}")
    return min(wanted, max(3, count))


def _shorten(text: str, width: float) -> str:
    """Cut the middle of a title that is wider than its picture: names differ at their ends."""
    letters = max(5, int(width / 0.085))  # inches of a letter of size 9.5
    half = (letters - 1) // 2
    return "\n".join(
        line if len(line) <= letters else f"{line[:half]}…{line[-half:]}"
        for line in text.split("\n")
    )


def _together(first: Sequence[Any], second: Sequence[Any], name: str) -> list[tuple[Any, Any]]:
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


def _paint(
    picture: np.ndarray, regions: list[tuple[np.ndarray, str]], alpha: float, contour: bool
) -> np.ndarray:
    painted = picture.astype(np.float32)
    everything = np.zeros(picture.shape[:2], dtype=bool)
    for region, _ in regions:
        everything |= region
    for region, color in regions:
        paint = np.array(to_rgb(color), dtype=np.float32) * 255
        painted[region] = (1 - alpha) * painted[region] + alpha * paint
        if contour:
            painted[_ring(region) & ~everything] = paint
    return np.round(painted).astype(np.uint8)


def _ring(region: np.ndarray) -> np.ndarray:
    """Return the pixels around a region, thick enough to survive when a large image is shrunk."""
    thickness = max(1, round(max(region.shape) / 256))
    side = 2 * thickness + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(region.astype(np.uint8), kernel).astype(bool) & ~region


def _to_array(values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.to(torch.float32) if values.is_floating_point() else values
        return values.numpy()
    return np.asarray(values)


def _to_mask(values: Picture, name: str) -> np.ndarray:
    array = _to_array(values)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or not ((array >= 0) & (array % 1 == 0)).all():
        raise ValueError(
            f"{name} must be (H, W) class indices, got shape {array.shape} and {array.dtype}: "
            "argmax or threshold it first"
        )
    return array.astype(np.int64)


def _require_same_size(picture: np.ndarray, mask: np.ndarray, name: str) -> None:
    if picture.shape[:2] != mask.shape:
        raise ValueError(
            f"image is {picture.shape[:2]} pixels and {name} {mask.shape}: they must be equal"
        )
