"""Random fields, the raw material of every surface: float32, mean about 0, variance about 1."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Field = NDArray[Any]
"""float32, (H, W). OpenCV's own annotations know no more than "an array of numbers"."""
Shape = tuple[int, int]

# Three bytes summed are as good as a normal draw for texture and sensor noise, and three times
# as fast: this is the hottest line of the data set.
_BYTES = 3
_BYTES_STD = math.sqrt(_BYTES * (256**2 - 1) / 12)


def white(rng: Generator, shape: Shape) -> Field:
    """Return uncorrelated noise of `shape`, close to normal (bounded at 3 standard deviations).

    Example:
        >>> white(np.random.default_rng(0), (4, 6)).shape
        (4, 6)
    """
    draws = rng.integers(0, 256, (_BYTES, *shape), dtype=np.uint8)
    total = draws[0].astype(np.float32)
    for more in draws[1:]:
        total += more
    total -= np.float32(_BYTES * 127.5)
    total *= np.float32(1 / _BYTES_STD)
    return total


def smooth(rng: Generator, shape: Shape, cell: float | tuple[float, float]) -> Field:
    """Return noise of `shape` whose bumps are about `cell` pixels apart (or `(down, across)`).

    Example:
        >>> field = smooth(np.random.default_rng(0), (64, 64), 16)
        >>> bool(abs(np.diff(field)).max() < .5)
        True
    """
    down, across = cell if isinstance(cell, tuple) else (cell, cell)
    if min(down, across) >= 4:
        small = (shape[0] // 2 + 3, shape[1] // 2 + 3)
        return _doubled(smooth(rng, small, (down / 2, across / 2)), shape)
    down, across = max(down, 1.0), max(across, 1.0)
    rows, columns = math.ceil(shape[0] / down) + 3, math.ceil(shape[1] / across) + 3
    grid: Field = white(rng, (rows, columns)) * np.float32(1.25)
    grid = cv2.resize(
        grid,
        (round(columns * across), round(rows * down)),
        interpolation=cv2.INTER_CUBIC,
    )
    # A random phase, away from the border, where the interpolation repeats its last value.
    y = int(rng.integers(int(down), grid.shape[0] - shape[0] + 1))
    x = int(rng.integers(int(across), grid.shape[1] - shape[1] + 1))
    return np.ascontiguousarray(grid[y : y + shape[0], x : x + shape[1]])


def fractal(
    rng: Generator, shape: Shape, coarse: float, fine: float = 1.0, persistence: float = 0.6
) -> Field:
    """Return noise with structure at all scales from `coarse` pixels down to `fine` pixels.

    Each halving of the scale has `persistence` times the amplitude of the one before.

    Example:
        >>> fractal(np.random.default_rng(0), (32, 48), 16).shape
        (32, 48)
    """
    steps = max(0, round(math.log2(max(coarse, fine) / fine)))
    field: Field = np.zeros((1, 1), np.float32)
    amplitude, power = 1.0, 0.0
    for step in range(steps, -1, -1):
        scale = fine * 2**step
        size = (math.ceil(shape[0] / scale) + 3, math.ceil(shape[1] / scale) + 3)
        layer = white(rng, size)
        if step == steps:
            field = layer
        else:
            field = _doubled(field, size)
            field += np.float32(amplitude) * layer
        # Interpolation to a finer grid leaves about a quarter of the variance.
        power += amplitude**2 * (0.25 if step else 1.0)
        amplitude *= persistence
    if fine > 1:
        field = cv2.resize(field, shape[::-1], interpolation=cv2.INTER_CUBIC)
    else:
        field = np.ascontiguousarray(field[: shape[0], : shape[1]])
    field *= np.float32(1 / math.sqrt(power))
    return field


def _doubled(field: Field, shape: Shape) -> Field:
    """Return `field` at twice the resolution, cut to `shape`.

    One step of B-spline subdivision: bicubic interpolation would leave bands in the slopes.
    """
    return np.ascontiguousarray(cv2.pyrUp(field)[1 : shape[0] + 1, 1 : shape[1] + 1])


def blurred(field: Field, sigma: float) -> Field:
    """Return `field` under a Gaussian of `sigma` pixels; a very small sigma changes nothing.

    Example:
        >>> float(blurred(np.ones((5, 5), np.float32), 1.0).mean())
        1.0
    """
    return cv2.GaussianBlur(field, (0, 0), sigma) if sigma > 0.2 else field


def smoothstep(field: Field, low: float, high: float) -> Field:
    """Return 0 where `field` is below `low`, 1 above `high`, and a soft step between.

    Example:
        >>> smoothstep(np.float32([0, 1, 2, 3, 4]), 1, 3).tolist()
        [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    t = np.clip((field - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)
