"""What a threshold does: pixels found and missed, two histograms, a point on a curve."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from course_utils.evaluation import precision_recall_curve
from course_utils.plots.curves import thin
from course_utils.plots.images import Picture, error_map
from course_utils.plots.style import (
    BLUE,
    FAINT,
    FALSE_ALARM,
    HIT,
    INK,
    MISSED,
    ORANGE,
    hide_ticks,
    in_course_style,
    new_figure,
)

LOWEST = 1e-4  # scores below it are counted in the lowest bin


@in_course_style
def threshold_view(
    images: Sequence[Picture],
    targets: npt.ArrayLike,
    scores: npt.ArrayLike,
    threshold: float,
) -> Figure:
    """Return a figure of what `scores >= threshold` finds in 1 to 4 images of one size.

    Above: each image with hits, misses and false alarms. Below: how many pixels of defects and of
    background have which score, on logarithmic axes, and the precision-recall curve with the point
    of this threshold, if it marks a pixel. The title says precision, recall and IoU, over all
    pixels of these images.

    `images`: as `overlay` takes them. `targets` and `scores`: (N, H, W); 0 and 1, and 0 .. 1.

    Raises:
        ValueError: for other shapes, more than four images, or no defect.

    Example:
        >>> view = threshold_view([np.zeros((8, 8))], [np.eye(8)], [np.eye(8) * 0.9], 0.5)
        >>> view.get_suptitle()
        'threshold 0.5: precision 1.00, recall 1.00, IoU 1.00'
    """
    truth, values = np.asarray(targets) > 0, np.asarray(scores, dtype=float)
    if truth.ndim != 3 or truth.shape != values.shape or not 1 <= len(images) == len(truth) <= 4:
        raise ValueError(
            f"threshold_view shows 1 to 4 images with targets and scores (N, H, W), got "
            f"{len(images)} images, targets {truth.shape}, scores {values.shape}"
        )
    found = values >= threshold
    hits, alarms, defects = (int(one.sum()) for one in (found & truth, found, truth))
    precision, recall = hits / max(1, alarms), hits / max(1, defects)
    iou = hits / max(1, alarms + defects - hits)
    marked = f"precision {precision:.2f}, recall {recall:.2f}" if alarms else "no pixel is marked"
    figure = new_figure(5.7, f"threshold {threshold:.2g}: {marked}, IoU {iou:.2f}")
    grid = figure.add_gridspec(2, 1, height_ratios=(1, 1.25))
    above, below = grid[0].subgridspec(1, 4), grid[1].subgridspec(1, 2)
    for column, three in enumerate(zip(images, truth, found, strict=True)):
        axes = figure.add_subplot(above[column])
        hide_ticks(axes)
        axes.imshow(error_map(*three))
    _histogram(figure.add_subplot(below[0]), values, truth, threshold)
    axes = figure.add_subplot(below[1])
    curve = precision_recall_curve(values, truth)
    steps = thin(curve.recall[1:], curve.precision[1:])  # the first point has no alarm
    axes.step(*steps, where="pre", color=BLUE)
    if alarms:  # without an alarm there is no precision
        axes.plot(recall, precision, "o", color=INK, markersize=8, clip_on=False, zorder=5)
    axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="recall (found defects)")
    axes.set_ylabel("precision (right alarms)")
    legend = {"found": HIT, "missed": MISSED, "false alarm": FALSE_ALARM}
    legend |= {"pixels of defects": ORANGE, "of the background": FAINT}
    handles = [Patch(color=color, label=name) for name, color in legend.items()]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))
    return figure


def _histogram(axes: Axes, scores: np.ndarray, truth: np.ndarray, threshold: float) -> None:
    edges = np.logspace(np.log10(LOWEST), 0, 41)
    seen = np.clip(scores, LOWEST, 1)
    style: dict[str, Any] = {"bins": edges, "alpha": 0.75}
    axes.hist(seen[~truth], color=FAINT, **style)
    axes.hist(seen[truth], color=ORANGE, **style)
    axes.axvline(threshold, color=INK, linewidth=2)
    axes.set(xscale="log", yscale="log", xlim=(LOWEST, 1.05), ylim=(0.7, None))
    for axis in (axes.xaxis, axes.yaxis):  # formulas and small ticks take most of the time
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set(xlabel="score of the pixel", ylabel="pixels")
