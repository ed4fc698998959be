"""Boxes and arrows: what a network is made of, and what flows between its parts."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from course_utils.plots.style import BLUE, FAINT, INK, WIDTH, in_course_style, new_figure

Place = tuple[float, float]
"""(column, row) of a box, counted from the upper left; halves are allowed."""
Arrow = tuple[str, str] | tuple[str, str, str]
"""(from, to), or (from, to, what flows)."""

ROW = 0.95  # inches from one row to the next
TALL = 0.5


@in_course_style
def flow_chart(
    boxes: Mapping[str, Place],
    arrows: Sequence[Arrow],
    *,
    strong: Sequence[str] = (),
    title: str | None = None,
) -> Figure:
    """Return a figure of named boxes at their places, and arrows between them.

    The text of a box is its name, that of an arrow stands at its middle, above it where it is
    level; both may have several lines. Boxes in `strong` are filled.

    Raises:
        ValueError: for no box, and for an arrow or a strong box whose name is not in `boxes`.

    Example:
        >>> figure = flow_chart({"image": (0, 0), "encoder": (1, 0)}, [("image", "encoder", "3 x 256")])
        >>> [text.get_text() for text in figure.axes[0].texts if text.get_text()]
        ['image', 'encoder', '3 x 256']
    """
    if not boxes:
        raise ValueError("nothing to draw: boxes is empty")
    unknown = {name for arrow in arrows for name in arrow[:2]} | set(strong)
    unknown -= set(boxes)
    if unknown:
        raise ValueError(
            f"no box is named {', '.join(map(repr, sorted(unknown)))}: there are "
            f"{', '.join(map(repr, boxes))}"
        )
    columns = 1 + max(column for column, _ in boxes.values())
    rows = 1 + max(row for _, row in boxes.values())
    figure = new_figure(ROW * rows, title)
    axes = figure.subplots()
    step = WIDTH / columns
    wide = 0.6 * step
    axes.set(xlim=(0, WIDTH), ylim=(-ROW * rows, 0))
    axes.axis("off")
    center = {
        name: ((column + 0.5) * step, -(row + 0.5) * ROW) for name, (column, row) in boxes.items()
    }
    for name, (x, y) in center.items():
        axes.add_patch(
            FancyBboxPatch(
                (x - wide / 2, y - TALL / 2),
                wide,
                TALL,
                boxstyle="round,pad=0,rounding_size=.08",
                facecolor=BLUE if name in strong else "white",
                edgecolor=BLUE,
                linewidth=1.2,
                zorder=2,
            )
        )
        color = "white" if name in strong else INK
        axes.text(x, y, name, ha="center", va="center", size=9, color=color, zorder=3)
    for start, end, *label in arrows:
        first, last = _ends(center[start], center[end], wide)
        axes.annotate(
            "",
            last,
            first,
            arrowprops={
                "arrowstyle": "-|>",
                "color": FAINT,
                "linewidth": 1.3,
                "shrinkA": 0,
                "shrinkB": 1,
            },
            zorder=1,
        )
        flat = first[1] == last[1]  # then there is room above the arrow
        middle = ((first[0] + last[0]) / 2, (first[1] + last[1]) / 2 + 0.06 * flat)
        for text in label:
            axes.text(
                *middle,
                text,
                ha="center",
                va="bottom" if flat else "center",
                size=8,
                color=INK,
                zorder=4,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )
    return figure


def _ends(start: Place, end: Place, wide: float) -> tuple[Place, Place]:
    """Where an arrow leaves the first box and meets the second: at sides, or above and below."""
    if abs(start[0] - end[0]) > wide:
        way = 1 if end[0] > start[0] else -1
        return (start[0] + way * wide / 2, start[1]), (end[0] - way * wide / 2, end[1])
    way = 1 if end[1] > start[1] else -1
    return (start[0], start[1] + way * TALL / 2), (end[0], end[1] - way * TALL / 2)
