"""Checks of images, masks, shapes and generators."""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

# OpenCV's own annotations know no more than "an array of numbers".
Image = NDArray[Any]
"""uint8 in 0..255, (H, W, 3) in RGB order or (H, W) gray."""
Mask = NDArray[Any]
"""uint8, (H, W), 0 and 1."""
Shape = tuple[int, int]


def check_image(image: Any, name: str = "image") -> None:
    """Raise `ValueError` unless `image` is uint8, (H, W) or (H, W, 3), with at least one pixel."""
    wanted = f"{name} must be a uint8 array of shape (H, W) or (H, W, 3)"
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{wanted}, got {type(image).__name__}: convert it with numpy.asarray")
    if image.dtype != np.uint8:
        raise ValueError(f"{wanted}, got {image.dtype}: scale it to 0..255, then use astype")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"{wanted}, got {image.shape}: put the channels last, gray without one")
    if image.size == 0:
        raise ValueError(f"{wanted}, got {image.shape}: it has no pixels")


def check_mask(mask: Any, shape: Shape, name: str = "mask") -> Mask:
    """Return `mask` as uint8 of 0 and 1; raise `ValueError` if it is no such mask of `shape`."""
    wanted = f"{name} must hold 0 and 1 in an array of shape {tuple(shape)}"
    if not isinstance(mask, np.ndarray) or mask.dtype not in (np.uint8, np.bool_):
        given = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
        raise ValueError(f"{wanted}, uint8 or bool, got {given}: use astype")
    if mask.shape != tuple(shape):
        raise ValueError(f"{wanted}, got {mask.shape}: make it from the image it is for")
    if mask.size and mask.max() > 1:
        raise ValueError(f"{wanted}, got {mask.max()} in it: threshold it first")
    return mask.astype(np.uint8)


def check_shape(shape: Any, name: str = "shape") -> Shape:
    """Return `shape` as two of Python's whole numbers; raise `ValueError` if it is no such pair.

    NumPy's whole numbers are as good, but small ones overflow in a calculation: hence the return.
    """
    pair = _members(shape)
    if len(pair) != 2 or not all(is_whole(number) and number >= 1 for number in pair):
        raise ValueError(
            f"{name} must be two whole numbers of at least 1, got {shape!r}: give rows and columns"
        )
    return int(pair[0]), int(pair[1])


def check_whole(
    number: Any, name: str, lowest: int, highest: int | None = None, hint: str = ""
) -> int:
    """Return `number` as Python's int; raise `ValueError` unless it is whole and in the range."""
    if not is_whole(number) or number < lowest or (highest is not None and number > highest):
        wanted = f"of at least {lowest}" if highest is None else f"in {lowest}..{highest}"
        raise ValueError(f"{name} must be a whole number {wanted}, got {number!r}{hint}")
    return int(number)


def check_rng(rng: Any) -> None:
    """Raise `ValueError` unless `rng` is a NumPy generator."""
    if not isinstance(rng, np.random.Generator):
        raise ValueError(
            f"rng must be a numpy.random.Generator, got {type(rng).__name__}: "
            "make one with numpy.random.default_rng(seed)"
        )


def check_range(pair: Any, name: str) -> None:
    """Raise `ValueError` unless `pair` is (lowest, highest) with 0 <= lowest <= highest <= 1."""
    numbers = _members(pair)
    real = all(isinstance(number, Real) for number in numbers)
    if len(numbers) != 2 or not real or not 0 <= numbers[0] <= numbers[1] <= 1:
        raise ValueError(f"{name} must be (lowest, highest) within 0..1, got {pair!r}")


def is_whole(number: Any) -> bool:
    """Whether `number` is a whole number of Python or NumPy; a truth value is none."""
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def _members(pair: Any) -> tuple[Any, ...]:
    try:
        return tuple(pair)
    except TypeError:  # a single number
        return ()
