"""Values drawn pixel by pixel: gradients, scores, weights, noise."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.colors import LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure
from torch import Tensor

from course_utils.plots.overlays import Picture, to_picture
from course_utils.plots.style import (
    DIVERGING,
    SEQUENTIAL,
    WIDTH,
    hide_ticks,
    in_course_style,
    new_figure,
)


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
    columns: int = 4,
    title: str | None = None,
) -> Figure:
    """Return a figure with each (H, W) map in color, beside the pictures it belongs to.

    `pictures` (images, or what `overlay` returns) come first, without a color scale.
    `diverging` centers the colors at zero, for values with a sign. `shared` gives all maps one
    scale, so that they may be compared; otherwise each has its own. `log` is for values that
    span decades. `limit` cuts the scale there (and at minus `limit`, when diverging). `label`
    names the quantity.

    Raises:
        ValueError: for no map, a map that is not (H, W) or not finite, and for `log` with no
            positive value.

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
        norm = _scale(everything if shared else one, diverging, log, limit)
        cmap = DIVERGING if diverging else SEQUENTIAL
        colored = axes.imshow(one, cmap=cmap, norm=norm, interpolation="nearest")
        axes.set_title(name, loc="center", size=9.5, pad=4)
        hide_ticks(axes)
        if not shared:
            figure.colorbar(
                colored, ax=axes, label=label, fraction=0.05, pad=0.03
            ).outline.set_visible(False)
    if shared:
        bar = figure.colorbar(
            colored, ax=grid[:count], label=label, fraction=0.03, pad=0.015, aspect=22
        )
        bar.outline.set_visible(False)
    return figure


def _to_map(given: npt.ArrayLike | Tensor, name: str) -> np.ndarray:
    if isinstance(given, Tensor):
        given = given.detach().cpu().float().numpy()
    values = np.asarray(given, dtype=float)
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"map {name!r} must be (H, W) and finite, got shape {values.shape}")
    return values


def _scale(values: np.ndarray, diverging: bool, log: bool, limit: float | None) -> Normalize:
    top = float(np.abs(values).max()) if diverging else float(values.max())
    top = limit if limit is not None else top
    if diverging:
        top = top or 1.0
        return SymLogNorm(top * 1e-3, vmin=-top, vmax=top) if log else Normalize(-top, top)
    if not log:
        return Normalize(min(0.0, float(values.min())), top or 1.0)
    positive = values[values > 0]
    if not positive.size:
        raise ValueError("a logarithmic scale needs a positive value, got none")
    return LogNorm(max(float(positive.min()), top * 1e-6), top, clip=True)
