"""The figure of a run: a small picture of what its notebook shows beside its numbers."""

import base64
import html
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from course_utils.batch.journal.rows import Row
from course_utils.lessons import METRIC_MIME

SIZE = (600, 600)  # pixels: the grid shows about half of that, for fine screens
QUALITY = 70
LARGEST = 50_000_000  # pixels; a few bytes of PNG can claim to be billions
LONGEST_ALT = 300
_INLINE = re.compile(r'<img\b[^>]*?src="data:image/png;base64,([^"]+)"[^>]*>')
_ALT = re.compile(r'\balt="([^"]*)"')


@dataclass(frozen=True)
class RunFigure:
    """A picture, or why there is none."""

    picture: str = ""
    """Address that holds the picture itself."""
    width: int = 0
    height: int = 0
    alt: str = ""
    missing: str = ""


def run_figure(row: Row, notebooks: Path) -> RunFigure:
    """Return the figure that stands with most of a run's metrics.

    That is the first one in or after the cell that records the most (the first such cell), or
    the last one before it; without metrics it is the notebook's first. A notebook that is gone,
    was changed since or cannot be read shows nothing but that.
    """
    if not row.notebook:
        return RunFigure(missing="no notebook")
    try:
        content = (notebooks / row.notebook).read_bytes()
    except OSError:
        return RunFigure(missing="the notebook is gone")
    if row.digest and sha256(content).hexdigest() != row.digest:
        return RunFigure(missing="the notebook was changed since")
    try:
        found = _choose(json.loads(content)["cells"])
    # Whatever a student's program wrote there, the report is not to end with it.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return RunFigure(missing="the notebook cannot be read")
    if found is None:
        return RunFigure(missing="no figure")
    encoded, alt = found
    try:
        return RunFigure(*_shrink(base64.b64decode(encoded)), alt[:LONGEST_ALT])
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError):
        return RunFigure(missing="the figure cannot be read")


def _choose(cells: list[Any]) -> tuple[str, str] | None:
    figures: list[tuple[int, str, str]] = []
    counts = [0] * len(cells)
    for position, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            counts[position] += METRIC_MIME in data
            figures += [(position, *figure) for figure in _figures(data, output)]
    if not figures:
        return None
    place = counts.index(max(counts)) if any(counts) else 0
    later = [figure for figure in figures if figure[0] >= place]
    _, encoded, alt = later[0] if later else figures[-1]
    return encoded, alt


def _figures(data: dict[str, Any], output: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "image/png" in data:
        about = output.get("metadata", {}).get("image/png", {})
        yield "".join(data["image/png"]), str(about.get("alt", ""))
    elif "text/html" in data:
        inline = _INLINE.search("".join(data["text/html"]))
        if inline:
            alt = _ALT.search(inline[0])
            yield inline[1], html.unescape(alt[1]) if alt else ""


def _shrink(picture: bytes) -> tuple[str, int, int]:
    with Image.open(io.BytesIO(picture), formats=["PNG"]) as image:
        if image.width * image.height > LARGEST:
            raise ValueError(f"{image.width} x {image.height} pixels")
        small = image.convert("RGB")
    small.thumbnail(SIZE)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=QUALITY, method=2)
    address = "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
    return address, small.width, small.height
