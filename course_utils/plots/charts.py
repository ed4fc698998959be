"""Charts with a row for each value: bars of shares and counts, results over seeds as dots."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from course_utils.plots.style import (
    BLUE,
    FAINT,
    INK,
    in_course_style,
    legend_below,
    method_colors,
    new_figure,
)

Runs: TypeAlias = Mapping[str, Sequence[float]]
"""Method -> one value for each seed."""
NOTE: dict[str, Any] = {"size": 9, "textcoords": "offset points", "annotation_clip": False}


@in_course_style
def bars(
    values: Mapping[str, float],
    *,
    xlabel: str,
    title: str | None = None,
    log: bool = False,
    fmt: str = "{:,.3g}",
) -> Figure:
    """Return a figure with one horizontal bar for each value, the value beside it.

    `fmt` formats the values: `"{:.2%}"` for shares, `"{:,.0f}"` for counts. `log` is for values
    that span decades, such as how often each class occurs; a zero then has no bar, only its
    label.

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
    start = 0.0
    if log:
        # A bar must not begin at the smallest value, or that one would be invisible.
        start = 10 ** (np.floor(np.log10(numbers[numbers > 0].min())) - 0.7)
        axes.set_xscale("log")
    rows = np.arange(len(numbers))
    lengths = np.maximum(numbers - start, 0) if log else numbers
    axes.barh(rows, lengths, left=start, height=0.62, color=BLUE)
    ends = np.maximum(numbers, start) if log else numbers
    if numbers.min() < 0:
        axes.axvline(0, color=FAINT, linewidth=0.8)
    for row, end, number in zip(rows, ends, numbers, strict=True):
        shift, ha = (5, "left") if number >= 0 else (-5, "right")
        text = fmt.format(number)
        place: dict[str, Any] = {"textcoords": "offset points", "va": "center", "ha": ha}
        axes.annotate(text, (end, row), (shift, 0), size=9.5, **place)
    axes.set_yticks(rows, list(values))
    axes.set_ylim(len(numbers) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0, labelsize=10)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(xlabel)
    # The longest label shall fit beside the longest bar.
    share = 0.03 + 0.012 * max(len(fmt.format(one)) for one in numbers)
    if log:
        decades = np.log10(ends.max() / start)
        axes.set_xlim(start, ends.max() * 10 ** (decades * share / (1 - share)))
    else:
        low, high = min(0.0, ends.min()), max(0.0, ends.max())
        margin = (high - low or 1.0) * share / (1 - share)
        axes.set_xlim(low - margin * (low < 0), high + margin)
    return figure


@in_course_style
def seed_dots(
    values: Runs | Mapping[str, Runs],
    *,
    xlabel: str,
    title: str | None = None,
    higher_is_better: bool | None = True,
    xlim: tuple[float, float] | None = None,
    fmt: str = "{:.3f}",
) -> Figure:
    """Return a figure with one row for each method: a dot for each seed, a tick at the median.

    `values`: method -> values over seeds; or group -> method -> values, such as one group for
    each class. `xlabel` names the metric; the axis also says which way is better, unless
    `higher_is_better` is None. The number at the right of a row is the median, written as `fmt`.

    Raises:
        ValueError: for an empty or non-finite row.

    Example:
        >>> figure = seed_dots({"plain": [.1, .2], "focal": [.4, .5]}, xlabel="IoU")
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['plain', 'focal']
    """
    groups: dict[str, Runs] = (
        {group: runs for group, runs in values.items()}  # type: ignore[misc]
        if values and all(isinstance(runs, Mapping) for runs in values.values())
        else {"": values}  # type: ignore[dict-item]
    )
    grouped = list(groups) != [""]
    colors = method_colors(list(dict.fromkeys(name for runs in groups.values() for name in runs)))
    rows = [(group, name) for group, runs in groups.items() for name in runs]
    if not rows:
        raise ValueError("nothing to draw: values is empty")
    pitch = 0.3 if grouped else 0.42
    figure = new_figure(0.75 + pitch * len(rows) + (0.18 * len(groups) + 0.3) * grouped, title)
    axes = figure.subplots()
    place, ticks = 0.0, {}
    for group, runs in groups.items():
        start = place
        for name, given in runs.items():
            row = np.asarray(given, dtype=float)
            if row.ndim != 1 or not row.size or not np.isfinite(row).all():
                raise ValueError(f"{group} {name}: one finite value for each seed, got {given}")
            middle = float(np.median(row))
            dots: dict[str, Any] = {
                "color": colors[name],
                "alpha": 0.6,
                "markersize": 7,
                "markeredgewidth": 0,
            }
            axes.plot(row, [place] * len(row), "o", **dots)
            axes.plot([middle] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=2)
            beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center"}
            axes.annotate(fmt.format(middle), (1, place), (8, 0), **beside, **NOTE)
            if not grouped:
                ticks[name] = place
            place += 1
        if grouped:
            ticks[group] = (start + place - 1) / 2
            place += 0.6
            axes.axhline(place - 0.8, color="#e4e4e4", linewidth=0.8)
    above: dict[str, Any] = {"xycoords": "axes fraction", "va": "bottom", "color": FAINT}
    axes.annotate("median", (1, 1), (8, 4), **above, **NOTE)
    axes.set_yticks(list(ticks.values()), list(ticks))
    axes.set_ylim(place - (1.1 if grouped else 0.5), -0.5)
    axes.tick_params(axis="y", length=0, labelsize=10)
    axes.grid(visible=False, axis="y")
    better = {True: "  (higher is better →)", False: "  (← lower is better)", None: ""}
    axes.set(xlabel=xlabel + better[higher_is_better])
    if xlim:
        axes.set_xlim(*xlim)
    if grouped:
        dot: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 7}
        handles = [Line2D([], [], color=color, label=name, **dot) for name, color in colors.items()]
        legend_below(figure, handles, 5)
    return figure
