"""The figures of an executed notebook: as they are, or small ones for pages that fetch nothing."""

import base64
import html
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from course_utils.lessons import METRIC_MIME
from course_utils.runs.records import RunRecord

QUALITY = 70
LARGEST = 50_000_000  # pixels; a few bytes of PNG can claim to be billions
LONGEST_ALT = 300
_INLINE = re.compile(r'<img\b[^>]*?src="data:image/png;base64,([^"]+)"[^>]*>')
_ALT = re.compile(r'\balt="([^"]*)"')


@dataclass(frozen=True)
class Figure:
    """A picture, or why there is none."""

    picture: str = ""
    """Address: of a file, or one that holds the picture itself."""
    content: bytes = b""
    """A PNG, on its way to that file."""
    width: int = 0
    height: int = 0
    alt: str = ""
    missing: str = ""


def run_figure(run: RunRecord, folder: Path) -> Figure:
    """Return the figure that stands with most of a run's metrics.

    That is the first one in or after the cell that records the most (the first such cell), or
    the last one before it; without metrics it is the notebook's first. A notebook that is gone,
    was changed since or cannot be read shows nothing but that.

    Args:
        run: its `notebook` lies in `folder`.
        folder: that of the run store.
    """
    if not run.notebook:
        return Figure(missing="no notebook")
    try:
        content = (folder / run.notebook).read_bytes()
    except OSError:
        return Figure(missing="the notebook is gone")
    if run.digest and sha256(content).hexdigest() != run.digest:
        return Figure(missing="the notebook was changed since")
    try:
        found = _choose(json.loads(content)["cells"])
    # Whatever a student's program wrote there, the report is not to end with it.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Figure(missing="the notebook cannot be read")
    if found is None:
        return Figure(missing="no figure")
    try:
        return _as_it_is(*found)
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError):
        return Figure(missing="the figure cannot be read")


def find_figures(cells: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, str, str]]:
    """Yield the figures of `cells`: position of the cell, PNG in base64, alt text."""
    for position, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                about = output.get("metadata", {}).get("image/png", {})
                yield position, _joined(data["image/png"]), str(about.get("alt", ""))
            elif inline := _INLINE.search(_joined(data.get("text/html", ""))):
                alt = _ALT.search(inline[0])
                yield position, inline[1], html.unescape(alt[1]) if alt else ""


def shrink(encoded: str, alt: str, size: tuple[int, int]) -> Figure:
    """Return a PNG in base64 as a figure that fits into `size`, in pixels.

    Raises:
        ValueError: or `OSError`, `SyntaxError` for what is no PNG, or has too many pixels.
    """
    content = io.BytesIO(base64.b64decode(encoded))
    with Image.open(content, formats=["PNG"]) as image:
        if image.width * image.height > LARGEST:
            raise ValueError(f"{image.width} x {image.height} pixels")
        small = image.convert("RGB")
    small.thumbnail(size)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=QUALITY, method=2)
    address = "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
    return Figure(address, b"", small.width, small.height, alt[:LONGEST_ALT])


def _as_it_is(encoded: str, alt: str) -> Figure:
    """Return a PNG in base64 unchanged; what is none, or is damaged, raises as in `shrink`."""
    content = base64.b64decode(encoded)
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        width, height = image.size
        if width * height > LARGEST:
            raise ValueError(f"{width} x {height} pixels")
        image.verify()  # its checksums: to unpack a thousand takes long
    return Figure("", content, width, height, alt[:LONGEST_ALT])


def _joined(text: str | Sequence[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _choose(cells: list[Any]) -> tuple[str, str] | None:
    figures = list(find_figures(cells))
    if not figures:
        return None
    counts = [
        sum(METRIC_MIME in output.get("data", {}) for output in cell.get("outputs", []))
        for cell in cells
    ]
    place = counts.index(max(counts)) if any(counts) else 0
    later = [figure for figure in figures if figure[0] >= place]
    _, encoded, alt = later[0] if later else figures[-1]
    return encoded, alt
