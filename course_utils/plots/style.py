"""One style for every figure: colors with names, one width, readable letters."""

import functools
import itertools
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

WIDTH = 9.0
"""Width of every figure in inches; with `DPI`, 900 pixels: a notebook's column."""
DPI = 100

# Okabe and Ito's palette, made to stay distinct for people with any common color blindness.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"

INK = "#262626"
FAINT = "#8a8a8a"
HIT, MISSED, FALSE_ALARM = SKY, VERMILLION, YELLOW
"""Found, overlooked, wrongly reported: apart in hue and in brightness."""
CLASSES = (ORANGE, SKY, PURPLE, GREEN, YELLOW, VERMILLION, BLUE)
"""Colors of the classes 1, 2, 3 ... of a mask; from the eighth class on they repeat."""
METHODS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, BLACK)
"""Colors of methods that are compared, in the order in which they are given."""
SEQUENTIAL = "viridis"
DIVERGING = "RdBu_r"

P = ParamSpec("P")

_STYLE: dict[Any, Any] = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 10.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "normal",
    "axes.titlepad": 7.0,
    "axes.labelsize": 10.0,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "lines.linewidth": 2.0,
    "lines.markersize": 5.0,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "image.interpolation": "auto",
}


@contextmanager
def course_style() -> Iterator[None]:
    """Apply the course's style inside a `with` block, and nowhere else.

    Example:
        >>> with course_style():
        ...     matplotlib.rcParams["axes.spines.top"]
        False
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a person's own matplotlibrc must not change the figures
        matplotlib.rcParams.update(_STYLE)
        yield


def in_course_style(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make `draw` run in the course's style, layout and lazily made ticks included."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with course_style():
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()
        return figure

    return styled


def new_figure(height: float, title: str | None = None) -> Figure:
    """Return an empty figure of the course's width; the title wraps instead of being cut.

    It is no pyplot figure: no notebook backend draws it a second time, none has to be closed.

    Example:
        >>> new_figure(3.0).get_size_inches().tolist()
        [9.0, 3.0]
    """
    lines = _wrap(title) if title else []
    figure = Figure(figsize=(WIDTH, height + 0.24 * len(lines)), layout="constrained")
    if lines:
        figure.suptitle("\n".join(lines), x=0.008, ha="left", size=12, weight="bold")
    return figure


def legend_below(figure: Figure, handles: Sequence[Artist], columns: int) -> None:
    """Put a legend under a figure, in at most `columns`, in fewer if names are long.

    Example:
        >>> from matplotlib.lines import Line2D
        >>> figure = new_figure(3.0)
        >>> legend_below(figure, [Line2D([], [], label="a name that is long") for _ in range(6)], 6)
        >>> figure.get_size_inches().tolist()
        [9.0, 3.2]
    """
    columns = min(columns, len(handles))
    while True:
        legend = figure.legend(handles=handles, loc="outside lower left", ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
        columns -= 1
    rows = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + 0.2 * (rows - 1))


def _wrap(title: str, width: int = 86) -> list[str]:
    """Break a title into as few lines as possible, all of about one length: no orphaned word."""
    count = len(textwrap.wrap(title, width))
    while width > 20 and len(textwrap.wrap(title, width - 1)) == count:
        width -= 1
    return textwrap.wrap(title, width) if count > 1 else [title]


def class_color(index: int) -> str:
    """Return the color of class `index` of a mask: 1, 2, ...; 0 is the background.

    Example:
        >>> class_color(1) == class_color(8) == ORANGE
        True
    """
    if index < 1:
        raise ValueError(f"only the classes 1, 2, ... have a color, got {index}")
    return CLASSES[(index - 1) % len(CLASSES)]


def method_colors(names: Sequence[str]) -> dict[str, str]:
    """Return one color for each name, in order; from the eighth on they repeat.

    Example:
        >>> method_colors(["focal", "plain"])["focal"] == BLUE
        True
    """
    return dict(zip(names, itertools.cycle(METHODS), strict=False))


def readable(color: str) -> str:
    """Return a darker shade of `color`, for letters on white.

    Example:
        >>> readable(ORANGE)
        '#9a6b00'
    """
    red, green, blue = to_rgb(color)
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    # 0.175 gives a contrast of 4.6 to white: WCAG asks 4.5 of small letters.
    share = min(1.0, (0.175 / max(luminance, 1e-6)) ** (1 / 2.2))
    return to_hex((red * share, green * share, blue * share))


def hide_ticks(axes: Axes) -> None:
    """Make `axes` a bare picture frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
