"""Where a simulated anomaly lies: Perlin noise above a threshold.

Source: MemSeg (arXiv 2205.00908), anomaly simulation, step 1, with the numbers of DRAEM's public
code: resolutions 1 to 32, rotation by -90 to 90 degrees, threshold 1/2.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from course_utils.anomaly.inputs import (
    Mask,
    Shape,
    check_mask,
    check_range,
    check_rng,
    check_shape,
    check_whole,
)
from course_utils.anomaly.perlin import perlin_noise

_EXPONENTS = 5
_THRESHOLD = 0.5
_TRIES = 1000


def perlin_mask(
    shape: Shape,
    rng: np.random.Generator,
    *,
    foreground: Mask | None = None,
    area: tuple[float, float] = (0.001, 1.0),
) -> Mask:
    """Return a random mask of `shape` (H, W) that covers a share of the image within `area`.

    Masks are drawn with `draw_mask` until one fits. The published codes take the first draw and
    call the image anomalous, although one mask in twenty is empty, and more are on objects.

    Args:
        shape: rows and columns.
        rng: where all random numbers come from.
        foreground: where the object is; None: everywhere, as for textures.
        area: lowest and highest share of the pixels of the *image*. The default leaves out what
            is smaller than 1 pixel in 1000, a square of 8 x 8 pixels in 256 x 256.

    Raises:
        ValueError: for unusable arguments, for a foreground smaller than the lowest area, and when
            1000 draws had no mask of the wanted area.

    Example:
        >>> mask = perlin_mask((64, 96), np.random.default_rng(0), area=(0.02, 0.1))
        >>> mask.shape, mask.dtype, bool(0.02 <= mask.mean() <= 0.1)
        ((64, 96), dtype('uint8'), True)
    """
    check_range(area, "area")
    shape = check_shape(shape)
    foreground, place = _foreground(foreground, shape)
    if foreground is not None and foreground.mean() < area[0]:
        raise ValueError(
            f"the foreground covers {foreground.mean():.2%} of the image and the mask shall cover "
            f"at least {area[0]:.2%}: lower area[0], or check the foreground"
        )
    for _ in range(_TRIES):
        mask = draw_mask(shape, rng, foreground=foreground)
        if area[0] <= mask.mean() <= area[1]:
            return mask
    raise ValueError(
        f"none of {_TRIES} masks {place}covers a share of the image within {area}: widen area"
    )


def draw_mask(
    shape: Shape,
    rng: np.random.Generator,
    *,
    foreground: Mask | None = None,
    rotate: bool = True,
) -> Mask:
    """Return one mask as the published codes draw it: it may be empty.

    The noise has 2^k cells along each axis, k drawn from 0..5 for each (less where cells would
    have a single pixel). It is turned about its center by -90..90 degrees, with 0 for what comes
    from outside, and the mask is where it exceeds 1/2, within `foreground`.

    Raises:
        ValueError: for unusable arguments.
    """
    check_rng(rng)
    height, width = shape = check_shape(shape)
    foreground, _ = _foreground(foreground, shape)
    # Cells have at least two pixels: a side is cut into 2^k of them, k at most 5.
    finest = (min(_EXPONENTS, max(side // 2, 1).bit_length() - 1) for side in shape)
    rows, columns = (2 ** int(rng.integers(most + 1)) for most in finest)
    noise: NDArray[Any] = perlin_noise((height, width), (rows, columns), rng)
    if rotate:
        turn = cv2.getRotationMatrix2D(
            ((width - 1) / 2, (height - 1) / 2), rng.uniform(-90, 90), 1.0
        )
        noise = cv2.warpAffine(noise, turn, (width, height), flags=cv2.INTER_LINEAR)
    mask = (noise > _THRESHOLD).view(np.uint8)
    return mask if foreground is None else mask & foreground


def empty_mask_chance(
    shape: Shape,
    rng: np.random.Generator,
    *,
    foreground: Mask | None = None,
    rotate: bool = True,
    draws: int = 1000,
) -> float:
    """Measure how often `draw_mask` gives a mask without a single pixel: its share of `draws`.

    Arguments and errors as for `draw_mask`. In 256 x 256 it is 5 %, and nearly all of it comes
    from grids of one or two cells: a single cell stays below the threshold in 58 % of the draws.

    Example:
        >>> nowhere = np.zeros((64, 64), bool)
        >>> empty_mask_chance((64, 64), np.random.default_rng(0), foreground=nowhere, draws=9)
        1.0
    """
    draws = check_whole(draws, "draws", lowest=1)
    masks = (draw_mask(shape, rng, foreground=foreground, rotate=rotate) for _ in range(draws))
    return sum(not mask.any() for mask in masks) / draws


def _foreground(foreground: Mask | None, shape: Shape) -> tuple[Mask | None, str]:
    if foreground is None:
        return None, ""
    mask = check_mask(foreground, shape, "foreground")
    return mask, f"within the foreground ({mask.mean():.1%} of the image) "
