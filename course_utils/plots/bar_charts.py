"""Bars with their values written out: shares and frequencies."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.style import BLUE, FAINT, in_course_style, new_figure


@in_course_style
def bars(
    values: Mapping[str, float],
    *,
    xlabel: str,
    title: str | None = None,
    log: bool = False,
    fmt: str = "{:,.3g}",
    colors: Mapping[str, str] | None = None,
) -> Figure:
    """Return a figure with one horizontal bar for each value, the value beside it.

    `fmt` formats the values: `"{:.2%}"` for shares, `"{:,.0f}"` for counts. `log` is for values
    that span decades, such as how often each class occurs; a zero then has no bar, only its
    label. `colors` may color single bars.

    Raises:
        ValueError: for no value, a non-finite one, or a negative one with `log`.

    Example:
        >>> figure = bars({"background": 0.99, "crack": 0.01}, xlabel="share", fmt="{:.0%}")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['99%', '1%']
    """
    numbers = np.array(list(values.values()), dtype=float)
    if not numbers.size or not np.isfinite(numbers).all():
        raise ValueError(f"bars needs finite values, got {dict(values)}")
    if log and (not (numbers >= 0).all() or not numbers.any()):
        raise ValueError(f"a logarithmic axis needs values above 0, got {dict(values)}")
    figure = new_figure(0.75 + 0.4 * len(numbers), title)
    axes = figure.subplots()
    color = [(colors or {}).get(name, BLUE) for name in values]
    start = 0.0
    if log:
        # A bar must not begin at the smallest value, or that one would be invisible.
        start = 10 ** (np.floor(np.log10(numbers[numbers > 0].min())) - 0.7)
        axes.set_xscale("log")
    rows = np.arange(len(numbers))
    lengths = np.maximum(numbers - start, 0) if log else numbers
    axes.barh(rows, lengths, left=start, height=0.62, color=color)
    ends = np.maximum(numbers, start) if log else numbers
    if numbers.min() < 0:
        axes.axvline(0, color=FAINT, linewidth=0.8)
    for row, end, number in zip(rows, ends, numbers, strict=True):
        right = number >= 0
        axes.annotate(
            fmt.format(number),
            (end, row),
            (5 if right else -5, 0),
            textcoords="offset points",
            va="center",
            ha="left" if right else "right",
            size=9.5,
        )
    axes.set_yticks(rows, list(values))
    axes.set_ylim(len(numbers) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0, labelsize=10)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(xlabel)
    _leave_room(axes, ends, start, log, longest=max(len(fmt.format(one)) for one in numbers))
    return figure


def _leave_room(axes: Axes, ends: np.ndarray, start: float, log: bool, longest: int) -> None:
    """Widen the axis so that the longest label fits beside the longest bar."""
    share = 0.03 + 0.012 * longest
    if log:
        decades = np.log10(ends.max() / start)
        axes.set_xlim(start, ends.max() * 10 ** (decades * share / (1 - share)))
        return
    low, high = min(0.0, ends.min()), max(0.0, ends.max())
    room = (high - low or 1.0) * share / (1 - share)
    axes.set_xlim(low - room * (low < 0), high + room)
