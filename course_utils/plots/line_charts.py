"""Lines: a quantity against another, with a band over seeds, named where they end."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from course_utils.plots.style import (
    FAINT,
    INK,
    in_course_style,
    method_colors,
    new_figure,
    readable,
)

Series: TypeAlias = Mapping[str, npt.ArrayLike]
"""Name of a line -> values (n,), or (seeds, n): the median is drawn, and a band min to max."""

HEIGHT = 3.9
PANEL = {"x", "series", "xlabel", "ylabel", "title", "logx", "logy", "markers", "ylim"}
LABEL_GAP = 12.5  # points between two names at the end of lines: a line of text of size 9.5


@in_course_style
def lines(
    x: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    series: Series,
    *,
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    logx: bool = False,
    logy: bool = False,
    markers: Mapping[str, tuple[float, float]] | None = None,
    ylim: tuple[float | None, float | None] | None = None,
    direct_labels: bool = True,
) -> Figure:
    """Return a figure with one line for each entry of `series`.

    `x` (n,) serves all lines; a mapping gives each its own. Values (seeds, n) become the median
    and a band from the smallest to the largest seed. `markers` puts a named dot at a point
    (x, y). `direct_labels` writes each name where its line ends; where the ends lie too close
    together to tell which is which, and for more than eight lines, a legend is drawn instead.

    Raises:
        ValueError: for no series and for lengths that do not fit `x`.

    Example:
        >>> steps = np.arange(5)
        >>> figure = lines(steps, {"loss": 1 / (1 + steps)}, xlabel="step", ylabel="loss")
        >>> len(figure.axes[0].lines)
        1
    """
    figure = new_figure(HEIGHT, title)
    axes = figure.subplots()
    colors = method_colors(list(series))
    _draw(axes, colors, x, series, xlabel, ylabel, None, logx, logy, markers, ylim)
    _name_lines(figure, axes, colors, direct_labels)
    return figure


@in_course_style
def lines_panels(
    panels: Sequence[Mapping[str, Any]],
    *,
    references: Collection[str] = (),
    title: str | None = None,
) -> Figure:
    """Return a figure with several line charts side by side, at most three in a row.

    Each panel is a mapping of the arguments of `lines` (`direct_labels` aside). A name has one
    color in all panels, explained once below them. `references` are the names of lines to compare
    with, such as what a trivial answer reaches: dashed and gray, above the others.

    Raises:
        ValueError: for no panel and as `lines` does.

    Example:
        >>> panel = dict(x=[0, 1], series={"a": [1, 2]}, xlabel="step", ylabel="loss", title="A")
        >>> len(lines_panels([panel, panel]).axes)
        2
    """
    if not panels:
        raise ValueError("nothing to draw: give at least one panel")
    columns = min(3, len(panels)) if len(panels) != 4 else 2
    rows = -(-len(panels) // columns)
    unknown = {name for panel in panels for name in panel} - PANEL
    if unknown:
        raise ValueError(f"a panel takes the arguments of lines, got {', '.join(sorted(unknown))}")
    figure = new_figure(3.2 * rows + 0.4, title)
    grid = figure.subplots(rows, columns, squeeze=False)
    names = list(dict.fromkeys(name for panel in panels for name in panel["series"]))
    colors = method_colors([name for name in names if name not in references])
    colors |= {name: FAINT for name in names if name in references}
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw(axes, colors, **panel, references=references)
    if len(names) > 1:
        _shared_legend(figure, colors, references)
    return figure


def _draw(
    axes: Axes,
    colors: Mapping[str, str],
    x: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    series: Series,
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    logx: bool = False,
    logy: bool = False,
    markers: Mapping[str, tuple[float, float]] | None = None,
    ylim: tuple[float | None, float | None] | None = None,
    references: Collection[str] = (),
) -> None:
    if not series:
        raise ValueError("nothing to draw: series is empty")
    for name, given in series.items():
        if isinstance(x, Mapping) and name not in x:
            raise ValueError(f"series {name!r} has no x: x holds only {', '.join(map(repr, x))}")
        place = np.asarray(x[name] if isinstance(x, Mapping) else x, dtype=float)
        values = np.atleast_2d(np.asarray(given, dtype=float))
        if values.ndim != 2 or place.ndim != 1 or values.shape[1] != len(place) or not len(place):
            raise ValueError(
                f"series {name!r} must be (n,) or (seeds, n) with n = {place.size} as in x, "
                f"got {np.shape(given)}"
            )
        if len(values) > 1:
            low, high = values.min(axis=0), values.max(axis=0)
            axes.fill_between(place, low, high, color=colors[name], alpha=0.18, linewidth=0)
        marker = "o" if len(place) == 1 else None  # a line of one point has no length
        style: dict[str, Any] = {"marker": marker, "color": colors[name], "label": name}
        if name in references:
            style |= {"linestyle": "--", "zorder": 3}
        axes.plot(place, np.median(values, axis=0), **style)
    for text, (left, up) in (markers or {}).items():
        axes.plot(left, up, "o", color=INK, zorder=5)
        axes.annotate(text, (left, up), (0, 8), textcoords="offset points", size=9, ha="center")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if title:
        axes.set_title(title)
    if logx:
        axes.set_xscale("log")
    if logy:
        axes.set_yscale("log")
    if ylim:
        axes.set_ylim(*ylim)
    axes.margins(x=0.02)


def _name_lines(figure: Figure, axes: Axes, colors: Mapping[str, str], direct_labels: bool) -> None:
    drawn = [line for line in axes.lines if line.get_label() in colors]
    if len(drawn) == 1:
        return  # the axis label says what it is
    if not direct_labels or len(drawn) > 8:
        _shared_legend(figure, colors)
        return
    ends = [np.asarray(line.get_xydata())[-1] for line in drawn]
    right = max(end[0] for end in ends)
    notes = []
    style: dict[str, Any] = {
        "textcoords": "offset points",
        "va": "center",
        "size": 9.5,
        "annotation_clip": False,
    }
    for line in drawn:
        name = str(line.get_label())
        data = np.asarray(line.get_xydata())
        shown = data[np.isfinite(data).all(axis=1)]
        end = shown[-1] if len(shown) else (right, np.nan)
        color = readable(colors[name])
        notes.append(axes.annotate(name, (right, end[1]), (8, 0), color=color, **style))
    figure.draw_without_rendering()
    pixels = LABEL_GAP * figure.dpi / 72
    bottom, top = axes.get_window_extent().intervaly
    wanted = np.array([axes.transData.transform(note.xy)[1] for note in notes])
    wanted = np.clip(np.nan_to_num(wanted, nan=bottom), bottom, top)
    placed = space_out(wanted, pixels, bottom, top)
    if np.abs(placed - wanted).max() > 1.6 * pixels:
        for note in notes:
            note.remove()
        _shared_legend(figure, colors)
        return
    for note, start, goal in zip(notes, wanted, placed, strict=True):
        note.xy = (right, axes.transData.inverted().transform((0, start))[1])
        note.set_position((8, (goal - start) * 72 / figure.dpi))


def space_out(wanted: np.ndarray, gap: float, bottom: float, top: float) -> np.ndarray:
    """Return places near `wanted`, in the same order, at least `gap` apart, in bottom .. top.

    Where they do not fit, the gap shrinks.

    Example:
        >>> space_out(np.array([5.0, 5.0]), 4.0, 0.0, 20.0).tolist()
        [3.0, 7.0]
    """
    count = len(wanted)
    if count > 1:
        gap = min(gap, (top - bottom) / (count - 1))
    order = np.argsort(wanted, kind="stable")
    # Without their gaps the places only have to rise: the nearest rising row is the mean of
    # each run that would fall (pool adjacent violators).
    runs: list[list[float]] = []
    for rank, place in enumerate(wanted[order]):
        runs.append([place - rank * gap, 1])
        while len(runs) > 1 and runs[-2][0] >= runs[-1][0]:
            place, size = runs.pop()
            before, many = runs[-1]
            runs[-1] = [(before * many + place * size) / (many + size), many + size]
    flat = np.concatenate([np.full(int(size), place) for place, size in runs] or [np.empty(0)])
    flat = np.clip(flat, bottom, top - gap * max(0, count - 1))
    result = np.empty(count)
    result[order] = flat + gap * np.arange(count)
    return result


def _shared_legend(
    figure: Figure, colors: Mapping[str, str], references: Collection[str] = ()
) -> None:
    handles = [
        Line2D([], [], color=color, label=name, linestyle="--" if name in references else "-")
        for name, color in colors.items()
    ]
    longest = max(len(name) for name in colors)
    columns = max(1, min(len(handles), int(120 / (longest + 7))))
    figure.legend(handles=handles, loc="outside lower left", ncols=columns)
