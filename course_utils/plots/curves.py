"""Curves of a training (loss and scores by step) and of a ranking (ROC and precision-recall)."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

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
from course_utils.plots.line_charts import lines_panels
from course_utils.plots.style import FAINT, in_course_style, method_colors, new_figure
from course_utils.training import History

POINTS = 1500  # a curve of millions of pixels looks the same through this many points

Runs: TypeAlias = Mapping[str, History | Sequence[History]]
"""Name of a run -> its history, or one history for each seed."""
Curve: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Steps (n,) and values (seeds, n)."""


def training_curves(
    runs: Runs,
    *,
    smooth: int = 10,
    metrics: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Return a figure with the loss of each step at the left, and a panel for each metric.

    Several seeds become their median and a band from the smallest to the largest, over the steps
    that all of them have done.

    Args:
        runs: name -> history, or histories of several seeds; those without a step are left out.
        smooth: each loss drawn is the mean of the last `smooth` steps (fewer at the start).
        metrics: which metrics of the evaluations to draw, in this order; None draws all.
        title: of the figure.

    Raises:
        ValueError: when no run has a step, for `smooth` below 1, and for a metric that no run has.

    Example:
        >>> history = History([0.9, 0.5, 0.4], [0.01] * 3, [{"step": 3, "IoU": 0.25}])
        >>> figure = training_curves({"focal": history}, smooth=2)
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['loss (mean of 2 steps)', 'IoU']
    """
    if smooth < 1:
        raise ValueError(f"smooth must be at least 1 step, got {smooth}")
    seeds = {name: [one for one in _listed(run) if one.loss] for name, run in runs.items()}
    seeds = {name: histories for name, histories in seeds.items() if histories}
    if not seeds:
        raise ValueError("nothing to draw: no run has done a step")
    recorded = dict.fromkeys(
        key
        for histories in seeds.values()
        for history in histories
        for row in history.evaluations
        for key in row
        if key != "step"
    )
    unknown = [name for name in metrics or () if name not in recorded]
    if unknown:
        known = ", ".join(recorded) or "nothing"
        raise ValueError(f"no run has evaluated {', '.join(unknown)}: there is {known}")
    losses = {name: _losses(histories, smooth) for name, histories in seeds.items()}
    label = f"loss (mean of {smooth} steps)" if smooth > 1 else "loss"
    lowest = min(values.min() for _, values in losses.values())
    highest = max(values.max() for _, values in losses.values())
    # Over less than half a decade a logarithmic axis has no round numbers to show.
    panels = [_panel(losses, label, logy=0 < 5 * lowest < highest)]
    for metric in recorded if metrics is None else metrics:
        curves = {name: _evaluated(histories, metric) for name, histories in seeds.items()}
        drawn = {name: curve for name, curve in curves.items() if len(curve[0])}
        if drawn:
            panels.append(_panel(drawn, metric))
    return lines_panels(panels, title=title)


def _listed(run: History | Sequence[History]) -> list[History]:
    return [run] if isinstance(run, History) else list(run)


def _losses(histories: Sequence[History], smooth: int) -> Curve:
    steps = min(len(history.loss) for history in histories)
    values = np.array([history.loss[:steps] for history in histories])
    # The sum of the last `smooth` is the difference of two running sums.
    sums = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    last = np.arange(1, steps + 1)
    first = np.maximum(last - smooth, 0)
    return last, (sums[:, last] - sums[:, first]) / (last - first)


def _evaluated(histories: Sequence[History], metric: str) -> Curve:
    found = [
        {row["step"]: row[metric] for row in history.evaluations if metric in row}
        for history in histories
    ]
    common = sorted(set.intersection(*(set(one) for one in found)))
    return np.array(common), np.array([[one[step] for step in common] for one in found])


def _panel(curves: Mapping[str, Curve], label: str, *, logy: bool = False) -> dict[str, Any]:
    return {
        "x": {name: steps for name, (steps, _) in curves.items()},
        "series": {name: values for name, (_, values) in curves.items()},
        "xlabel": "step",
        "ylabel": label,
        "logy": logy,
    }


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
        fpr, tpr = thin(roc.fpr, roc.tpr)
        left.plot(fpr, tpr, color=color, label=f"{name}: AUROC {image_auroc(scores, target):.3f}")
        curve = precision_recall_curve(scores, target)
        recall, precision = thin(curve.recall, curve.precision)
        # Between two thresholds no precision is reached: steps, not slopes.
        label = f"{name}: AP {average_precision(scores, target):.3f}"
        right.step(recall, precision, where="pre", color=color, label=label)
        rates.append(float(np.mean(as_binary(target).astype(float))))
    left.plot([0, 1], [0, 1], "--", color=FAINT, linewidth=1.3, zorder=1)
    for rate in sorted(set(np.round(rates, 6))):
        right.axhline(rate, linestyle="--", color=FAINT, linewidth=1.3, zorder=1)
    left.set(xlabel="false-positive rate (false alarms)", ylabel="recall (found defects)")
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


def thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep at most `POINTS` points, evenly along the curve's own length."""
    if len(x) <= POINTS:
        return x, y
    along = np.cumsum(np.abs(np.diff(x, prepend=x[0])) + np.abs(np.diff(y, prepend=y[0])))
    wanted = np.linspace(0, along[-1], POINTS)
    keep = np.unique(np.append(np.searchsorted(along, wanted), [0, len(x) - 1]))
    keep = keep[keep < len(x)]
    return x[keep], y[keep]
