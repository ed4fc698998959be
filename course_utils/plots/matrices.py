"""Tables in color: heat maps and confusion matrices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from course_utils.plots.style import DIVERGING, FAINT, INK, in_course_style, new_figure

COLORS = "Blues"
ABSENT = "\N{EN DASH}"


@in_course_style
def heatmap(
    matrix: npt.ArrayLike,
    xlabels: Sequence[str],
    ylabels: Sequence[str],
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str | None = None,
    fmt: str = "{:.2f}",
    center: float | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Return a figure with the matrix in color and each value written into its cell.

    `matrix`: (len(ylabels), len(xlabels)); NaN is drawn as an empty cell. `center` makes the
    colors diverge from that value, for gains and losses; `limits` fixes their range.

    Raises:
        ValueError: when labels and matrix do not fit, or nothing is finite.

    Example:
        >>> figure = heatmap([[.1, .9]], ["a", "b"], ["row"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['0.10', '0.90']
    """
    values = np.asarray(matrix, dtype=float)
    texts = [[fmt.format(one) if np.isfinite(one) else ABSENT for one in row] for row in values]
    names = (xlabels, ylabels)
    return _matrix(values, texts, names, (xlabel, ylabel), title, center, limits)


@in_course_style
def confusion(
    matrix: npt.ArrayLike, class_names: Sequence[str], *, title: str | None = None
) -> Figure:
    """Return a figure of a confusion matrix: color and percentage by row, counts below.

    `matrix` (K, K): row = true class, column = predicted class, as `confusion_matrix` makes it.
    A row says where the pixels of one class went, so rare classes are as visible as frequent ones.

    Raises:
        ValueError: when names and matrix do not fit.

    Example:
        >>> figure = confusion([[98, 2], [1, 1]], ["good", "defect"])
        >>> figure.axes[0].texts[0].get_text().splitlines()
        ['98 %', '98']
    """
    counts = np.asarray(matrix, dtype=float)
    totals = counts.sum(axis=1, keepdims=True) if counts.ndim == 2 else counts
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    texts = [
        [
            f"{_percent(share)}\n{_short(count)}" if np.isfinite(share) else ABSENT
            for share, count in zip(*rows, strict=True)
        ]
        for rows in zip(np.atleast_2d(shares), np.atleast_2d(counts), strict=True)
    ]
    names = (class_names, class_names)
    return _matrix(shares, texts, names, ("predicted", "true"), title, None, (0.0, 1.0))


def _matrix(
    values: np.ndarray,
    texts: Sequence[Sequence[str]],
    names: tuple[Sequence[str], Sequence[str]],
    labels: tuple[str, str],
    title: str | None,
    center: float | None,
    limits: tuple[float, float] | None,
) -> Figure:
    """Draw the matrix; `names` and `labels` are those of columns and rows."""
    xlabels, ylabels = names
    if values.shape != (len(ylabels), len(xlabels)):
        raise ValueError(
            f"matrix {values.shape} must have a row for each of {len(ylabels)} labels and a "
            f"column for each of {len(xlabels)}"
        )
    lines = max(text.count("\n") + 1 for row in texts for text in row)
    figure = new_figure(0.9 + len(ylabels) * (0.26 + 0.2 * lines), title)
    axes = figure.subplots()
    norm = Normalize(*_range(values, center, limits))
    picture = axes.pcolormesh(
        np.ma.masked_invalid(values),
        cmap=COLORS if center is None else DIVERGING,
        norm=norm,
        edgecolors="white",
        linewidth=1.5,
    )
    style: dict[str, Any] = {"ha": "center", "va": "center", "size": 9.5, "linespacing": 1.3}
    for (row, column), value in np.ndenumerate(values):
        color = FAINT
        if np.isfinite(value):
            luma = np.dot(picture.cmap(norm(value))[:3], (0.3, 0.59, 0.11))
            color = "white" if luma < 0.55 else INK
        axes.text(column + 0.5, row + 0.5, texts[row][column], color=color, **style)
    crowded = max(len(label) for label in xlabels) * len(xlabels) > 85
    axes.set_xticks(np.arange(len(xlabels)) + 0.5, xlabels)
    axes.tick_params(axis="both", length=0, labelsize=10)
    if crowded:
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(ylabels)) + 0.5, ylabels)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    return figure


def _range(
    values: np.ndarray, center: float | None, limits: tuple[float, float] | None
) -> tuple[float, float]:
    if limits is not None:
        return limits
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ValueError("matrix holds no finite value: there is nothing to draw")
    if center is None:
        return float(finite.min()), float(finite.max())
    reach = float(np.abs(finite - center).max()) or 1.0
    return center - reach, center + reach


def _percent(share: float) -> str:
    percent = 100 * share
    if 0 < percent < 0.01:
        return "< 0.01 %"
    if 99 <= percent < 100:
        return f"{np.floor(percent * 100) / 100:.2f} %"  # 99.999 % is not all of them
    return f"{percent:.0f} %" if percent == 0 or percent >= 1 else f"{percent:.2g} %"


def _short(count: float) -> str:
    if count < 1e4:
        return f"{count:.0f}"
    size, letter = (1e6, "M") if count >= 999_500 else (1e3, "k")
    return f"{count / size:.3g} {letter}" if count < 999_500_000 else f"{count / 1e9:,.3g} G"
