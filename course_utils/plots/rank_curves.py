"""ROC and precision-recall side by side: the same ranking, a flattering and a sober view."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from course_utils.evaluation import (
    average_precision,
    image_auroc,
    precision_recall_curve,
    roc_curve,
)
from course_utils.evaluation.inputs import Values, as_binary
from course_utils.plots.style import FAINT, in_course_style, method_colors, new_figure

POINTS = 1500  # a curve of millions of pixels looks the same through this many points


@in_course_style
def roc_and_pr(results: Mapping[str, tuple[Values, Values]], *, title: str | None = None) -> Figure:
    """Return a figure with the ROC curve at the left and the precision-recall curve at the right.

    `results`: name -> (scores, target 0 or 1), one shape, any. Dashed is what a ranking by pure
    chance reaches: the diagonal, and the share of defects. AUROC and AP (step rule) stand below.

    Raises:
        ValueError: as `image_auroc` does, and for no result.

    Example:
        >>> figure = roc_and_pr({"net": ([.1, .4, .35, .8], [0, 0, 1, 1])})
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['recall (found defects)', 'precision (right alarms)']
    """
    if not results:
        raise ValueError("nothing to draw: results is empty")
    figure = new_figure(4.1 + 0.24 * len(results), title)
    left, right = figure.subplots(1, 2)
    rates = []
    for (name, (scores, target)), color in zip(
        results.items(), method_colors(list(results)).values(), strict=True
    ):
        roc = roc_curve(scores, target)
        fpr, tpr = _thin(roc.fpr, roc.tpr)
        left.plot(fpr, tpr, color=color, label=f"{name}: AUROC {image_auroc(scores, target):.3f}")
        curve = precision_recall_curve(scores, target)
        recall, precision = _thin(curve.recall, curve.precision)
        # Between two thresholds no precision is reached: steps, not slopes.
        right.step(
            recall,
            precision,
            where="pre",
            color=color,
            label=f"{name}: AP {average_precision(scores, target):.3f}",
        )
        rates.append(float(np.mean(as_binary(target).astype(float))))
    left.plot([0, 1], [0, 1], "--", color=FAINT, linewidth=1.3, zorder=1)
    for rate in sorted(set(np.round(rates, 6))):
        right.axhline(rate, linestyle="--", color=FAINT, linewidth=1.3, zorder=1)
    left.set(xlabel="false alarms among the good", ylabel="recall (found defects)")
    right.set(xlabel="recall (found defects)", ylabel="precision (right alarms)")
    span = f"{min(rates):.2%}" if len({f"{r:.2%}" for r in rates}) == 1 else "the share of defects"
    _legend(left, "chance: AUROC 0.500")
    _legend(right, f"chance: AP {span}" if span[0] == "t" else f"chance: AP {min(rates):.3f}")
    return figure


def _legend(axes: Axes, chance: str) -> None:
    handles = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    handles.append(Line2D([], [], linestyle="--", color=FAINT, linewidth=1.3, label=chance))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(-0.02, -0.17))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.03))


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep at most `POINTS` points, evenly along the curve's own length."""
    if len(x) <= POINTS:
        return x, y
    along = np.cumsum(np.abs(np.diff(x, prepend=x[0])) + np.abs(np.diff(y, prepend=y[0])))
    wanted = np.linspace(0, along[-1], POINTS)
    keep = np.unique(np.append(np.searchsorted(along, wanted), [0, len(x) - 1]))
    keep = keep[keep < len(x)]
    return x[keep], y[keep]
