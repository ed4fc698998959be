"""Show a figure in a notebook, with words for those who cannot see it."""

import base64
import io

import numpy as np
from IPython import get_ipython
from IPython.display import display
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from course_utils.plots.style import CLASSES, DPI, FAINT, INK, METHODS, course_style

KEPT_COLORS = ("white", INK, FAINT, *dict.fromkeys([*CLASSES, *METHODS]))


def show(figure: Figure, alt: str) -> None:
    """Display `figure` as a PNG whose alternative text is `alt`.

    `alt` says in a sentence or two what a person sees and should notice. It is the plain-text
    form of the output, and it goes into the output's metadata, under "image/png". (nbconvert's
    `classic` template reads it there, its `lab` template does not: a page made by `lab` has to
    add it.) Outside IPython, where no output area exists, only the check runs.

    Raises:
        ValueError: when `alt` is empty.

    Example:
        >>> show(Figure(), alt="An empty sheet.")
    """
    text = " ".join(alt.split())
    if not text:
        raise ValueError("alt is empty: say in a sentence what a person sees in this figure")
    if get_ipython() is None:
        return
    png = base64.b64encode(as_png(figure)).decode("ascii")
    metadata = {"image/png": {"alt": text}}
    display({"image/png": png, "text/plain": text}, metadata=metadata, raw=True)


def as_png(figure: Figure) -> bytes:
    """Return the figure as a PNG of at most 256 colors, about a third of the usual size.

    Notebooks are committed with their figures, so each kilobyte is kept for ever.

    Example:
        >>> as_png(Figure())[1:4]
        b'PNG'
    """
    full, small = io.BytesIO(), io.BytesIO()
    with course_style():
        figure.savefig(full, format="png", dpi=DPI)
    pixels = np.asarray(Image.open(full).convert("RGB"))
    _with_few_colors(pixels).save(small, format="png", optimize=True)
    return small.getvalue()


def _with_few_colors(pixels: np.ndarray) -> Image.Image:
    """Return a palette image that is exact for the course's colors and fair to small areas.

    By plain area, a figure full of gray surfaces would lose the orange of its few defect pixels:
    each color, at 6 bits a channel, weighs by the root of its area.
    """
    red, green, blue = (pixels >> 2).astype(np.int64).transpose(2, 0, 1)
    coded = red << 12 | green << 6 | blue
    often = np.bincount(coded.ravel(), minlength=1 << 18)  # np.unique would sort all pixels
    codes = np.flatnonzero(often)
    counts = often[codes]
    rough = np.stack([codes >> 12, codes >> 6 & 63, codes & 63], axis=1) * 255 / 63
    weighed = np.repeat(rough.round(), np.ceil(np.sqrt(counts)).astype(int), axis=0)
    adapted = Image.fromarray(weighed[None].astype(np.uint8)).quantize(
        256 - len(KEPT_COLORS), kmeans=2, dither=Image.Dither.NONE
    )
    kept = np.round([255 * np.array(to_rgb(color)) for color in KEPT_COLORS])
    palette = np.concatenate([kept, np.reshape(adapted.getpalette() or [], (-1, 3))])[:256]

    # |a - b|^2 without |a|^2, which is the same for every color b of the palette.
    nearest = np.argmin((palette**2).sum(axis=1) - 2 * rough @ palette.T, axis=1)
    lookup = np.zeros(1 << 18, np.uint8)
    lookup[codes] = nearest
    index = lookup[coded]
    for number, color in enumerate(kept):
        index[(pixels == color).all(axis=2)] = number
    picture = Image.fromarray(index, mode="P")
    picture.putpalette(palette.astype(np.uint8).ravel().tolist())
    return picture
