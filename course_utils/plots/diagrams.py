"""Diagrams of networks: boxes and arrows, and the U that gave U-Net its name."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from course_utils.plots.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    VERMILLION,
    WIDTH,
    in_course_style,
    new_figure,
    readable,
)

if TYPE_CHECKING:
    from course_utils.models import Stage, UNetStages

Point = tuple[float, float]
"""(x, y) in inches, or (column, row) of a box, counted from the upper left; halves are allowed."""
Arrow = tuple[str, str] | tuple[str, str, str]
"""(from, to), or (from, to, what flows)."""

LEVEL = 0.95  # inches from one row of a flow chart, or stage of the U, down to the next
TALL = 0.5
HEAD = "-|>,head_width=.22,head_length=.42"
TIMES = "\N{MULTIPLICATION SIGN}"


@in_course_style
def flow_chart(
    boxes: Mapping[str, Point],
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
        >>> boxes = {"image": (0, 0), "encoder": (1, 0)}
        >>> figure = flow_chart(boxes, [("image", "encoder", "3 x 256")])
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
    figure = new_figure(LEVEL * rows, title)
    axes = figure.subplots()
    step = WIDTH / columns
    wide = 0.6 * step
    axes.set(xlim=(0, WIDTH), ylim=(-LEVEL * rows, 0))
    axes.axis("off")
    center = {
        name: ((column + 0.5) * step, -(row + 0.5) * LEVEL) for name, (column, row) in boxes.items()
    }
    edge: dict[str, Any] = {
        "edgecolor": BLUE,
        "linewidth": 1.2,
        "boxstyle": "round,pad=0,rounding_size=.08",
    }
    for name, (x, y) in center.items():
        fill, color = (BLUE, "white") if name in strong else ("white", INK)
        corner = (x - wide / 2, y - TALL / 2)
        axes.add_patch(FancyBboxPatch(corner, wide, TALL, facecolor=fill, zorder=2, **edge))
        axes.text(x, y, name, ha="center", va="center", size=9, color=color, zorder=3)
    style = {"arrowstyle": "-|>", "color": FAINT, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 1}
    paper: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    for start, end, *label in arrows:
        first, last = _ends(center[start], center[end], wide)
        axes.annotate("", last, first, arrowprops=style, zorder=1)
        flat = first[1] == last[1]  # then there is space above the arrow
        x, y = (first[0] + last[0]) / 2, (first[1] + last[1]) / 2 + 0.06 * flat
        va = "bottom" if flat else "center"
        for text in label:
            axes.text(x, y, text, ha="center", va=va, size=8, color=INK, zorder=4, bbox=paper)
    return figure


def _ends(start: Point, end: Point, wide: float) -> tuple[Point, Point]:
    """Where an arrow leaves the first box and meets the second: at sides, or above and below."""
    if abs(start[0] - end[0]) > wide:
        way = 1 if end[0] > start[0] else -1
        return (start[0] + way * wide / 2, start[1]), (end[0] - way * wide / 2, end[1])
    way = 1 if end[1] > start[1] else -1
    return (start[0], start[1] + way * TALL / 2), (end[0], end[1] - way * TALL / 2)


@in_course_style
def unet_diagram(stages: "UNetStages", *, title: str | None = None) -> Figure:
    """Return a figure of a U-Net: one box for each stage, one arrow for each way between them.

    A box is taller for a larger map and wider for more channels, both by their logarithm, and
    says "side px · channels" above it. Where a skip connection is larger than the map it joins, its
    arrow says what it is cropped to.

    `stages`: what `feature_shapes` found.

    Raises:
        ValueError: where the ways down and up do not have the same number of stages.

    Example:
        >>> from course_utils.models import UNet, feature_shapes
        >>> figure = unet_diagram(feature_shapes(UNet(3, 4), 128))
        >>> [text.get_text() for text in figure.axes[0].texts][:2]
        ['128 px · 3', '128 px · 16']
    """
    depth = len(stages.up)
    if depth < 1 or len(stages.down) != depth + 1 or len(stages.upsampled) != depth:
        raise ValueError(
            "a U has one more stage down (the bottom) than up, got "
            f"{len(stages.down)} down, {len(stages.upsampled)} upsampled, {depth} up"
        )
    canvas = _canvas(depth, title)
    column = WIDTH / (2 * depth + 3)
    boxes = _place(stages, column)
    image, output = boxes[0], boxes[-1]
    down, up = boxes[1 : depth + 2], boxes[depth + 2 : -1]
    # Only in the top row do two labels stand side by side.
    longest = max(len(box.label) for box in (image, down[0], up[-1], output))
    size = min(9.0, 72 * column / (0.58 * longest))  # a letter is about .53 of its size wide
    for box in boxes:
        box.draw(canvas, size)

    for box in (image, output):
        canvas.text(box.x, box.bottom[1] - 0.06, box.stage.name, ha="center", va="top", size=size)

    _arrow(canvas, [image.right, down[0].left], INK)
    for above, below in pairwise(down):
        _arrow(canvas, [above.bottom, (above.x, below.y), below.left], BLUE)
    for below, above in pairwise([down[-1], *up]):
        _arrow(canvas, [below.right, (above.x, below.y), above.bottom], ORANGE)
    _arrow(canvas, [up[-1].right, output.left], INK)
    cropped = False
    for seen, grown, box in zip(reversed(down[:-1]), stages.upsampled, up, strict=True):
        if stages.skips:
            _arrow(canvas, [seen.right, box.left], GREEN, dashed=True)
            cropped |= _write_crop(canvas, seen, grown, box, size)
    _legend(canvas, stages, cropped)
    return canvas.figure  # type: ignore[return-value]


class _Box:
    """A stage with its place in the figure, in inches; `y` counts downwards in levels."""

    def __init__(self, stage: "Stage", x: float, level: int, color: str) -> None:
        self.stage, self.x, self.y, self.color = stage, x, -level * LEVEL, color
        self.tall = 0.095 * math.log2(2 * math.sqrt(stage.height * stage.width))
        self.wide = 0.045 * math.log2(2 * stage.channels)
        self.label = f"{_size(stage)} px · {stage.channels}"
        self.left: Point = (x - self.wide / 2, self.y)
        self.right: Point = (x + self.wide / 2, self.y)
        self.bottom: Point = (x, self.y - self.tall / 2)

    def draw(self, canvas: Axes, size: float) -> None:
        corner = (self.left[0], self.bottom[1])
        color: dict[str, Any] = {"facecolor": self.color, "edgecolor": "white"}
        canvas.add_patch(Rectangle(corner, self.wide, self.tall, **color))
        top = self.y + self.tall / 2 + 0.05
        canvas.text(self.x, top, self.label, ha="center", va="bottom", size=size)


def _canvas(depth: int, title: str | None) -> Axes:
    top, bottom = 0.85, depth * LEVEL + 0.62
    figure = new_figure(top + bottom, title)
    figure.set_layout_engine("none")  # the axes are the page: places are inches
    canvas = figure.add_axes((0, 0, 1, (top + bottom) / figure.get_figheight()))
    canvas.set(xlim=(0, WIDTH), ylim=(-bottom, top))
    canvas.axis("off")
    return canvas


def _place(stages: "UNetStages", column: float) -> list[_Box]:
    depth = len(stages.up)
    levels = [0, *range(depth + 1), *reversed(range(depth)), 0]
    maps = [stages.image, *stages.down, *stages.up, stages.output]
    colors = [FAINT, *[BLUE] * (depth + 1), *[ORANGE] * depth, FAINT]
    return [
        _Box(stage, (place + 0.5) * column, level, color)
        for place, (stage, level, color) in enumerate(zip(maps, levels, colors, strict=True))
    ]


def _arrow(canvas: Axes, points: list[Point], color: str, *, dashed: bool = False) -> None:
    """Draw a line through all points, with a head at the last."""
    for start, end in pairwise(points[:-1]):
        canvas.plot(*zip(start, end, strict=True), color=color, linewidth=1.6)
    line: dict[str, Any] = {
        "color": color,
        "linewidth": 1.6,
        "linestyle": (0, (5, 2)) if dashed else "solid",
    }
    head = {"arrowstyle": HEAD, "shrinkA": 0, "shrinkB": 1, "mutation_scale": 14}
    canvas.annotate("", points[-1], points[-2], arrowprops={**line, **head})


def _size(stage: "Stage") -> str:
    if stage.height == stage.width:
        return str(stage.height)
    return f"{stage.height}{TIMES}{stage.width}"


def _write_crop(canvas: Axes, seen: _Box, grown: "Stage", box: _Box, size: float) -> bool:
    if (seen.stage.height, seen.stage.width) == (grown.height, grown.width):
        return False
    text = f"crop {_size(seen.stage)} → {_size(grown)}"
    place = ((seen.right[0] + box.left[0]) / 2, seen.y + 0.04)
    canvas.text(*place, text, ha="center", va="bottom", size=size, color=readable(VERMILLION))
    return True


def _legend(canvas: Axes, stages: "UNetStages", cropped: bool) -> None:
    """Explain in the two corners below the U, where nothing is drawn."""
    bottom = canvas.get_ylim()[0] + 0.2
    ways = [(BLUE, "max-pool: side / 2", False), (ORANGE, f"up-convolution: side {TIMES} 2", False)]
    if stages.skips:
        ways.append((GREEN, "skip: crop and join" if cropped else "skip: copy and join", True))
    for row, (color, text, dashed) in enumerate(reversed(ways)):
        y = bottom + 0.24 * row
        _arrow(canvas, [(0.15, y), (0.6, y)], color, dashed=dashed)
        canvas.text(0.7, y, text, va="center", size=9)
    notes = [f"each box: a map after its 3{TIMES}3 convolutions", "side in pixels · channels"]
    if not stages.skips:
        notes.insert(0, "no skip connections")
    for row, text in enumerate(reversed(notes)):
        canvas.text(WIDTH - 0.15, bottom + 0.24 * row, text, ha="right", va="center", size=9)
