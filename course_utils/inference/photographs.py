"""Photographs, from a file or an array, as a network takes them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from course_utils.data.image_files import IMAGE_SUFFIXES, read_image, resize_image, to_gray
from course_utils.io import is_junk

OTHER_SUFFIXES = (".avif", ".gif", ".heic", ".heif", ".jp2", ".tif", ".tiff")
"""Images that are not read: they get a row that says so."""
Photograph: TypeAlias = str | Path | np.ndarray | Tensor
"""A file; an array (H, W), (H, W, 1) or RGB (H, W, 3); or a tensor (H, W) or (1 or 3, H, W)."""


def find_photographs(folder: str | Path) -> list[Path]:
    """Return all files below `folder` that end as an image does, sorted by their paths.

    What systems leave behind is left out (see `io.is_junk`), and so are masks: what lies in `masks`
    beside `images`, or in `ground_truth` beside `test`.

    Raises:
        FileNotFoundError: if there is no such folder, or no image in it.

    Example:
        >>> find_photographs("nowhere")
        Traceback (most recent call last):
            ...
        FileNotFoundError: there is no file or folder nowhere
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no file or folder {folder}")
    beside = {"masks": "images", "ground_truth": "test"}
    masks = [
        place
        for name, images in beside.items()
        for place in folder.rglob(name)
        if (place.parent / images).is_dir()
    ]
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in (*IMAGE_SUFFIXES, *OTHER_SUFFIXES)
        and not any(is_junk(part) for part in path.relative_to(folder).parts)
        and not any(path.is_relative_to(place) for place in masks)
        and path.is_file()
    ]
    if not found:
        raise FileNotFoundError(f"{folder} holds no image ({', '.join(IMAGE_SUFFIXES)})")
    return found


def each_photograph(source: Photograph | Iterable[Photograph]) -> Iterator[Photograph]:
    """Yield the photographs of a folder or an iterable, one by one; a single one as it is."""
    if not isinstance(source, np.ndarray | Tensor) and hasattr(source, "__array_interface__"):
        source = np.asarray(source)  # a picture of Pillow
    if isinstance(source, str | Path):
        yield from find_photographs(source) if Path(source).is_dir() else [source]
    elif isinstance(source, np.ndarray | Tensor) and source.ndim < 4:
        yield source
    else:
        yield from source


def read_photograph(photograph: Photograph) -> np.ndarray:
    """Return the pixels: uint8, (H, W) if gray, else RGB (H, W, 3).

    Floats are rounded to steps of 1/255, so that a file and its array give one answer. Whether an
    array is in RGB or, as OpenCV reads, in BGR cannot be told: turn it with `image[..., ::-1]`.

    Raises:
        FileNotFoundError: for a file that is not there.
        ValueError: for one that cannot be read, and for other arrays.

    Example:
        >>> read_photograph(torch.ones(1, 2, 3))
        array([[255, 255, 255],
               [255, 255, 255]], dtype=uint8)
    """
    if isinstance(photograph, str | Path):
        path = Path(photograph)
        if path.suffix.lower() in OTHER_SUFFIXES:
            raise ValueError(
                f"{path} is no image of a kind that is read here ({', '.join(IMAGE_SUFFIXES)}): "
                "convert it"
            )
        if not path.is_file():
            raise FileNotFoundError(f"there is no photograph {path}")
        return read_image(path)
    pixels: np.ndarray[Any, Any]
    if isinstance(photograph, Tensor):
        pixels = photograph.detach().cpu().float().numpy()
        if photograph.dtype == torch.uint8:
            pixels = pixels.astype(np.uint8)
        if pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
    else:
        pixels = photograph
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,)) or not pixels.size:
        raise ValueError(
            "a photograph is a file, an array (H, W) or RGB (H, W, 3), or a tensor (1 or 3, H, W), "
            f"got the shape {tuple(photograph.shape)}"
        )
    if pixels.dtype != np.uint8:
        floats = np.issubdtype(pixels.dtype, np.floating)
        if not (floats and 0 <= pixels.min() <= pixels.max() <= 1):
            raise ValueError(
                f"a photograph has uint8 values or floats in 0..1, got {pixels.dtype} from "
                f"{pixels.min():g} to {pixels.max():g}: undo what was done to it"
            )
        pixels = np.round(pixels * 255).astype(np.uint8)
    return pixels[..., 0] if pixels.shape[2:] == (1,) else pixels


def to_input(pixels: np.ndarray, channels: int, size: tuple[int, int]) -> Tensor:
    """Return what a network takes, float32 (C, H, W) in [0, 1], as `open_dataset` makes it.

    Example:
        >>> to_input(np.zeros((5, 7), np.uint8), 3, (4, 4)).shape
        torch.Size([3, 4, 4])
    """
    if channels == 1:
        pixels = to_gray(pixels)
    elif pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    pixels = resize_image(pixels, size)
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    return torch.from_numpy(np.ascontiguousarray(planes)).float().div_(255)
