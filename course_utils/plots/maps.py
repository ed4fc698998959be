"""Values drawn pixel by pixel: maps of anomaly, gradients, scores, weights, noise."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure
from torch import Tensor

from course_utils.plots.images import FILL, Picture, overlay, to_picture
from course_utils.plots.style import (
    DIVERGING,
    SEQUENTIAL,
    WIDTH,
    hide_ticks,
    in_course_style,
    new_figure,
)


@in_course_style
def heat_maps(
    images: Sequence[Picture],
    masks: Sequence[Picture],
    maps: dict[str, Sequence[Picture]] | dict[str, Tensor],
    *,
    titles: Sequence[str] | None = None,
    limit: float | None = None,
    title: str | None = None,
    fill: float = FILL,
) -> Figure:
    """Return a figure with a column for each image: its defect, and below it each map in color.

    Args:
        images: as `overlay` takes them; at most 8.
        masks: the true defects, (H, W), drawn on the images, and as a line on the maps.
        maps: name -> one map (H, W) for each image; each name has a color scale of its own.
        titles: one for each image.
        limit: the value of the brightest color; None takes the largest of each name.
        title: of the figure.
        fill: as `overlay` takes it.

    Raises:
        ValueError: for no image or map, more than 8 images, lists of unequal lengths, and values
            that are not finite or below 0.

    Example:
        >>> image, mask = np.zeros((8, 8)), np.eye(8, dtype=int)
        >>> len(heat_maps([image] * 2, [mask] * 2, {"MemSeg": [mask / 2] * 2}).axes)
        5
    """
    count = len(images)
    named = titles if titles is not None else [""] * count
    lengths = {"masks": len(masks), "titles": len(named)} | {
        name: len(one) for name, one in maps.items()
    }
    wrong = [f"{length} {name}" for name, length in lengths.items() if length != count]
    if wrong or not maps or not 1 <= count <= 8:
        given = ", ".join(wrong) or f"{len(maps)} maps"
        raise ValueError(f"heat_maps takes 1 to 8 images with a map each, got {count} and {given}")
    heights = [to_picture(image).shape[0] / to_picture(image).shape[1] for image in images]
    cell = (WIDTH - 0.9) / max(count, 4)
    figure = new_figure((1 + len(maps)) * (cell * max(heights) + 0.1) + 0.3, title)
    grid = figure.subplots(1 + len(maps), count, squeeze=False)
    for axes, image, mask, name in zip(grid[0], images, masks, named, strict=True):
        axes.imshow(overlay(image, mask, fill))
        axes.set_title(name, loc="center", size=9, pad=4)
    grid[0, 0].set_ylabel("defect", size=9)
    for row, (name, values) in zip(grid[1:], maps.items(), strict=True):
        drawn = [np.asarray(one, dtype=float) for one in values]
        if not all(np.isfinite(one).all() and (one >= 0).all() for one in drawn):
            raise ValueError(f"the maps {name!r} must be finite and at least 0")
        highest = limit if limit is not None else max(float(one.max()) for one in drawn) or 1.0
        for axes, mask, one in zip(row, masks, drawn, strict=True):
            colored = axes.imshow(one, cmap=SEQUENTIAL, vmin=0, vmax=highest)
            if np.asarray(mask).any():
                axes.contour(np.asarray(mask) > 0, [0.5], colors="white", linewidths=0.8)
        row[0].set_ylabel(name, size=9)
        _color_bar(figure, colored, list(row), fraction=0.05, pad=0.02)
    for axes in grid.flat:
        hide_ticks(axes)
    return figure


@in_course_style
def pixel_maps(
    maps: Mapping[str, npt.ArrayLike | Tensor],
    *,
    pictures: Mapping[str, Picture] | None = None,
    diverging: bool = False,
    shared: bool = True,
    log: bool = False,
    label: str = "",
    limit: float | None = None,
    lower: float | None = None,
    columns: int = 4,
    title: str | None = None,
) -> Figure:
    """Return a figure with each (H, W) map in color, beside the pictures it belongs to.

    `pictures` (images, or what `overlay` returns) come first, without a color scale.
    `diverging` centers the colors at zero, for values with a sign. `shared` gives all maps one
    scale, so that they may be compared; otherwise each has its own. `log` is for values that
    span decades. `limit` cuts the scale there (and at minus `limit`, when diverging), `lower` at
    its other end; without them the values set both ends, so figures that are compared with each
    other, such as those of a slider, need both. `label` names the quantity.

    Raises:
        ValueError: for no map, a map that is not (H, W) or not finite, for `log` with no positive
            value, and for a `lower` that is not below the upper end, or goes with `diverging`.

    Example:
        >>> figure = pixel_maps({"gradient": np.eye(4)}, diverging=True, label="gradient")
        >>> figure.axes[0].get_title(loc="center")
        'gradient'
    """
    values = {name: _to_map(one, name) for name, one in maps.items()}
    if not values:
        raise ValueError("nothing to draw: maps is empty")
    shown = {name: to_picture(one) for name, one in (pictures or {}).items()}
    count = len(shown) + len(values)
    columns = max(2, min(columns, count))
    rows = -(-count // columns)
    aspect = float(np.median([one.shape[0] / one.shape[1] for one in values.values()]))
    # A color bar takes 0.75 inches: one beside all maps, or one beside each.
    width = (WIDTH - 0.75) / columns if shared else WIDTH / columns - 0.75
    height = rows * (width * aspect + 0.32)
    figure = new_figure(height, title)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[count:]:
        axes.remove()
    for axes, (name, picture) in zip(grid, shown.items(), strict=False):
        axes.imshow(picture)
        axes.set_title(name, loc="center", size=9.5, pad=4)
        hide_ticks(axes)
    drawn = grid[len(shown) : count]
    everything = np.concatenate([one.ravel() for one in values.values()])
    for axes, (name, one) in zip(drawn, values.items(), strict=True):
        norm = _scale(everything if shared else one, diverging, log, limit, lower)
        cmap = DIVERGING if diverging else SEQUENTIAL
        colored = axes.imshow(one, cmap=cmap, norm=norm, interpolation="nearest")
        axes.set_title(name, loc="center", size=9.5, pad=4)
        hide_ticks(axes)
        if not shared:
            _color_bar(figure, colored, axes, label=label, fraction=0.05, pad=0.03)
    if shared:
        place: dict[str, Any] = {"fraction": 0.03, "pad": 0.015, "aspect": 22}
        _color_bar(figure, colored, grid[:count], label=label, **place)
    return figure


def _color_bar(figure: Figure, colored: Any, axes: Any, **options: Any) -> None:
    figure.colorbar(colored, ax=axes, **options).outline.set_visible(False)


def _to_map(given: npt.ArrayLike | Tensor, name: str) -> np.ndarray:
    if isinstance(given, Tensor):
        given = given.detach().cpu().float().numpy()
    values = np.asarray(given, dtype=float)
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"map {name!r} must be (H, W) and finite, got shape {values.shape}")
    return values


def _scale(
    values: np.ndarray, diverging: bool, log: bool, limit: float | None, lower: float | None
) -> Normalize:
    top = float(np.abs(values).max()) if diverging else float(values.max())
    top = limit if limit is not None else top
    if diverging:
        if lower is not None:
            raise ValueError("a diverging scale ends at minus its limit: leave lower out")
        top = top or 1.0
        return SymLogNorm(top * 1e-3, vmin=-top, vmax=top) if log else Normalize(-top, top)
    if lower is not None and (lower >= top or (log and lower <= 0)):
        wanted = "above 0 and below" if log else "below"
        raise ValueError(f"lower must be {wanted} the upper end {top:g}, got {lower:g}")
    if not log:
        low = lower if lower is not None else min(0.0, float(values.min()))
        return Normalize(low, top or 1.0)
    positive = values[values > 0]
    if not positive.size:
        raise ValueError("a logarithmic scale needs a positive value, got none")
    low = lower if lower is not None else max(float(positive.min()), top * 1e-6)
    return LogNorm(low, top, clip=True)
