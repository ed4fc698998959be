"""The loss and the scores of training runs, as `fit` records them."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.figure import Figure

from course_utils.plots.line_charts import lines_panels
from course_utils.training.history import History

Runs: TypeAlias = Mapping[str, History | Sequence[History]]
"""Name of a run -> its history, or one history for each seed."""


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


Curve: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Steps (n,) and values (seeds, n)."""


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
