"""Results over seeds: every run a dot, so that luck can be told from skill."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from course_utils.plots.style import FAINT, INK, in_course_style, method_colors, new_figure

Runs: TypeAlias = Mapping[str, Sequence[float]]
"""Method -> one value for each seed."""


@in_course_style
def seed_dots(
    values: Runs | Mapping[str, Runs],
    *,
    xlabel: str,
    title: str | None = None,
    ylabel: str | None = None,
    higher_is_better: bool | None = True,
    xlim: tuple[float, float] | None = None,
    fmt: str = "{:.3f}",
) -> Figure:
    """Return a figure with one row for each method: a dot for each seed, a tick at the median.

    `values`: method -> values over seeds; or group -> method -> values, such as one group for
    each class. `xlabel` names the metric; the axis also says which way
    is better, unless `higher_is_better` is None. The number at
    the right of a row is the median, written as `fmt`.

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
            axes.plot(
                row,
                [place] * len(row),
                "o",
                color=colors[name],
                alpha=0.6,
                markersize=7,
                markeredgewidth=0,
            )
            axes.plot([middle] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=2)
            axes.annotate(
                fmt.format(middle),
                (1, place),
                (8, 0),
                size=9,
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                annotation_clip=False,
            )
            if not grouped:
                ticks[name] = place
            place += 1
        if grouped:
            ticks[group] = (start + place - 1) / 2
            place += 0.6
            axes.axhline(place - 0.8, color="#e4e4e4", linewidth=0.8)
    axes.annotate(
        "median",
        (1, 1),
        (8, 4),
        xycoords="axes fraction",
        size=9,
        color=FAINT,
        textcoords="offset points",
        va="bottom",
        annotation_clip=False,
    )
    axes.set_yticks(list(ticks.values()), list(ticks))
    axes.set_ylim(place - (1.1 if grouped else 0.5), -0.5)
    axes.tick_params(axis="y", length=0, labelsize=10)
    axes.grid(visible=False, axis="y")
    arrow = (
        xlabel
        + {True: "  (higher is better →)", False: "  (← lower is better)", None: ""}[
            higher_is_better
        ]
    )
    axes.set(xlabel=arrow, ylabel=ylabel)
    if xlim:
        axes.set_xlim(*xlim)
    if grouped:
        handles = [
            Line2D([], [], marker="o", linestyle="", color=color, label=name, markersize=7)
            for name, color in colors.items()
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=min(5, len(handles)))
    return figure
