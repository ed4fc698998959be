"""What pictures, masks and generators must look like, said once."""

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


def check_rng(rng: Any) -> None:
    """Raise `ValueError` unless `rng` is a NumPy generator."""
    if not isinstance(rng, np.random.Generator):
        raise ValueError(
            f"rng must be a numpy.random.Generator, got {type(rng).__name__}: "
            "make one with numpy.random.default_rng(seed)"
        )


def check_range(pair: tuple[float, float], name: str) -> None:
    """Raise `ValueError` unless `pair` is (lowest, highest) with 0 <= lowest <= highest <= 1."""
    if len(pair) != 2 or not 0 <= pair[0] <= pair[1] <= 1:
        raise ValueError(f"{name} must be (lowest, highest) within 0..1, got {pair!r}")
