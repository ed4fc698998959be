"""Maps of anomaly beside the images they belong to."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from course_utils.plots.overlays import Picture, overlay, to_picture
from course_utils.plots.style import SEQUENTIAL, WIDTH, hide_ticks, in_course_style, new_figure


@in_course_style
def heat_maps(
    images: Sequence[Picture],
    masks: Sequence[Picture],
    maps: dict[str, Sequence[Picture]] | dict[str, Tensor],
    *,
    titles: Sequence[str] | None = None,
    limit: float | None = None,
    title: str | None = None,
) -> Figure:
    """Return a figure with a column for each image: its defect, and below it each map in color.

    Args:
        images: as `overlay` takes them; at most 8.
        masks: the true defects, (H, W), drawn on the images, and as a line on the maps.
        maps: name -> one map (H, W) for each image; each name has a color scale of its own.
        limit: the value of the brightest color; None takes the largest of each name.

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
        axes.imshow(overlay(image, mask))
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
        bar = figure.colorbar(colored, ax=list(row), fraction=0.05, pad=0.02)
        bar.outline.set_visible(False)
    for axes in grid.flat:
        hide_ticks(axes)
    return figure
