"""Masks as people's tools write them: palettes, few bits, transparent grounds, black on white."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from course_utils.data.disk_cache import load_or_make
from course_utils.data.image_files import FileStamp, decode, file_stamps, turn
from course_utils.data.readers.folder.texts import VOID

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PALETTE = 3  # PNG's color type
_MARKED = 255
_VALUES_SHOWN = 8


class MaskSummary(NamedTuple):
    """What is known of a mask file without keeping it."""

    shape: tuple[int, int] = (0, 0)
    """(height, width) as shown."""
    label: int = 0
    """The defect class with the most pixels; 0 if there is no defect."""
    share: float = 0.0
    """Share of its pixels that are marked as a defect."""
    has_void: bool = False
    orientation: int = 1
    """EXIF orientation of the mask file itself; 1: not turned."""
    fault: str = ""
    """Why it cannot be used; empty if it can."""


def survey_masks(
    masks: Sequence[Path], named_classes: int, has_void: bool
) -> tuple[MaskSummary, ...]:
    """Read each mask once; the result is kept until one of the files changes."""
    return _survey(file_stamps(masks), named_classes, has_void)


@lru_cache(maxsize=8)
def _survey(
    stamps: tuple[FileStamp, ...], named_classes: int, has_void: bool
) -> tuple[MaskSummary, ...]:
    (kept,) = load_or_make(
        "masks",
        [named_classes, has_void],
        stamps,
        lambda: [np.array(json.dumps(_look(stamps, named_classes, has_void)))],
    )
    return tuple(
        MaskSummary((height, width), *rest) for (height, width), *rest in json.loads(str(kept))
    )


def _look(stamps: Sequence[FileStamp], named_classes: int, has_void: bool) -> list[MaskSummary]:
    found = []
    for mask, *_ in stamps:
        try:
            values, orientation = stored_values(mask, named_classes)
            classes = to_classes(mask, values, named_classes, has_void)
        except (ValueError, OSError) as error:
            found.append(MaskSummary(fault=str(error)))
            continue
        counts = np.bincount(classes.ravel(), minlength=2)
        void = has_void and bool((values == VOID).any())
        share = float(1 - counts[0] / classes.size)
        counts[0] = 0
        shape = (classes.shape[0], classes.shape[1])
        found.append(MaskSummary(shape, int(counts.argmax()), share, void, orientation))
    return found


def read_classes(mask: Path, named_classes: int, has_void: bool = False) -> np.ndarray:
    """Return the classes of a mask file, uint8, (H, W), as shown.

    With `named_classes` = 0 the mask is binary: 0 and either 1 or 255. Else it holds 0 to
    `named_classes`; of a single class, 255 means 1. With `has_void`, 255 is void instead, which is
    read as background.

    Raises:
        ValueError: naming the file, for any other value and what `stored_values` refuses.
    """
    return to_classes(mask, stored_values(mask, named_classes)[0], named_classes, has_void)


def to_classes(mask: Path, values: np.ndarray, named_classes: int, has_void: bool) -> np.ndarray:
    """Return uint8 classes of the `values` in `mask`. Arguments and errors as in `read_classes`."""
    if has_void:
        values = np.where(values == VOID, np.uint8(0), values)
    found = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    if named_classes <= 1 and (set(found.tolist()) <= {0, 1} or set(found.tolist()) <= {0, 255}):
        return (values > 0).astype(np.uint8)
    if not named_classes:
        raise ValueError(
            f"{mask} holds {_listed(found)}: if these are classes, name them in classes.txt, a "
            f"line for each of 1, 2, ...; without a classes.txt a mask holds 0 and one other "
            f"value, 1 or 255 (JPEG and smoothing blur masks: threshold them and save as PNG)"
        )
    unknown = found[found > named_classes]
    if len(unknown):
        void = "; if 255 is void (no class), begin classes.txt with a line __ignore__"
        raise ValueError(
            f"{mask} holds {_listed(unknown)}, but classes.txt names the values "
            f"1..{named_classes}: add a name or correct the mask{void if VOID in unknown else ''}"
        )
    return values


def stored_values(mask: Path, named_classes: int) -> tuple[np.ndarray, int]:
    """Return the values of a mask, uint8 (H, W), as shown, and the file's EXIF orientation.

    Of a palette picture these are the palette's indices, unless there is one class and the only
    colors are black and white: then white is 255. Of a gray picture with 1, 2 or 4 bits they are
    the numbers stored, which viewers stretch to 0..255. 16 bits may be used for 0..255, or for 0
    and 65535. In a color picture all channels must agree, or mark one class in one color on black.
    With transparent pixels, what is opaque is the mask, if that has one color; if it is gray,
    transparent is 0.

    Raises:
        ValueError: naming the file and the way out, for anything else and for damaged files.
    """
    with mask.open("rb") as file:
        head = file.read(32)
    if (
        head[:4] == b"GIF8"
        or head[:2] == b"BM"
        or (head[:8] == _PNG_START and head[25] == _PALETTE)
    ):
        indices = _palette_indices(mask, several=named_classes > 1)
        if indices is not None:
            return indices, 1
    pixels, orientation = decode(mask)
    if head[:8] == _PNG_START and head[24] < 8 and pixels.ndim == 2:
        pixels = pixels // np.uint8(_MARKED // (2 ** head[24] - 1))
    if pixels.dtype != np.uint8:
        pixels = _eight_bits(mask, pixels)
    if pixels.ndim == 3:
        pixels = _one_channel(mask, pixels, several=named_classes > 1)
    return np.ascontiguousarray(turn(pixels, orientation)), orientation


def _palette_indices(mask: Path, *, several: bool) -> np.ndarray | None:
    """Return the values of a palette picture, uint8 (H, W); None if it has no palette."""
    try:
        with Image.open(mask) as picture:
            if picture.mode != "P" and picture.format != "GIF":
                return None
            if getattr(picture, "n_frames", 1) > 1:
                raise ValueError(f"{mask} is a film of several pictures: save one of them as PNG")
            indices = np.array(picture)
            palette = np.array(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{mask} cannot be read as an image: {error}") from error
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
    if several or used.max() >= len(palette):
        return indices
    colors = palette[used]
    black_and_white = np.isin(colors, (0, _MARKED)).all() and not (colors != colors[:, :1]).any()
    return np.asarray(palette[indices, 0]) if black_and_white else indices


def _eight_bits(mask: Path, pixels: np.ndarray) -> np.ndarray:
    if pixels.max() <= 255:
        return pixels.astype(np.uint8)
    if np.isin(pixels, (0, np.iinfo(pixels.dtype).max)).all():
        return np.where(pixels > 0, np.uint8(_MARKED), np.uint8(0))
    raise ValueError(
        f"{mask} holds {pixels.dtype} values up to {pixels.max()}: a mask has 8 bits, its values "
        f"are classes"
    )


def _one_channel(mask: Path, pixels: np.ndarray, *, several: bool) -> np.ndarray:
    """Return the values, uint8 (H, W), of a mask with three or four channels."""
    color = pixels[..., :3]
    opaque = pixels[..., 3] if pixels.shape[2] == 4 else np.full(color.shape[:2], 255, np.uint8)
    if np.isin(opaque, (0, 255)).all():
        seen = opaque > 0
        gray = not (color[seen] != color[seen][:, :1]).any()
        painted = seen if not seen.all() else color.any(axis=2)
        one_color = not (color[painted] != color[painted][:1]).any()
        if not several and one_color and (not seen.all() or not gray):
            return np.where(painted, np.uint8(_MARKED), np.uint8(0))
        if gray:
            return np.where(seen, color[..., 0], np.uint8(0))
    if opaque.min() < 255:
        raise ValueError(
            f"{mask} has transparent pixels, and what is opaque is not one flat color: fill the "
            f"transparent ground with black and save without an alpha channel (with Pillow: "
            f'Image.alpha_composite(Image.new("RGBA", m.size, "black"), m).convert("L"))'
        )
    raise ValueError(
        f"{mask} is a color picture: a mask is gray or has a palette, and its values are classes. "
        f"Save it so, 0 for the background, 1 for the first class"
    )


def _listed(values: np.ndarray) -> str:
    shown = ", ".join(str(value) for value in values[:_VALUES_SHOWN])
    more = len(values) - _VALUES_SHOWN
    noun = "value" if len(values) == 1 else "values"
    return f"{noun} {shown}" + (f" and {more} more" if more > 0 else "")
