"""What a surface is to the light: its relief, its color, its shine."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from course_utils.data.synthetic.fields import Field

Color = NDArray[Any]
"""float32, (3,): linear RGB reflectance in 0..1."""


@dataclass
class Surface:
    """A piece of surface, seen from above, in no light yet."""

    relief: Field
    """(H, W): height in pixels."""
    albedo: NDArray[Any]
    """(3, H, W): the share of red, green and blue light that is thrown back, 0..1."""
    gloss: Field
    """(H, W): strength of the mirror-like part of the light."""
    spread: float
    """Width of the highlight, as a slope: small for glaze, large for satin."""
    roughness: float = 1.0
    """How deep a dent must be to show against the surface's own relief; smooth surfaces: 1."""
    bare: Color | None = None
    """Color of what lies beneath a coating; `None` where there is no coating."""
    grain: float | None = None
    """Direction of brushing, grain or rolling, in radians from the x axis, if there is one."""


def srgb(red: int, green: int, blue: int) -> Color:
    """Return the linear reflectance of a color as people write it, 0..255 for each channel.

    Example:
        >>> srgb(255, 0, 128).round(2).tolist()
        [1.0, 0.0, 0.25]
    """
    return np.square(np.array([red, green, blue], dtype=np.float32) / np.float32(255))


def vary(rng: Generator, color: Color, hue: float = 0.018, brightness: float = 0.12) -> Color:
    """Return `color` a little brighter or darker, and a little off in hue.

    Example:
        >>> vary(np.random.default_rng(0), srgb(90, 90, 90)).shape
        (3,)
    """
    factor = (1 + brightness * rng.uniform(-1, 1)) * (1 + hue * rng.uniform(-1, 1, 3))
    return np.clip(color * factor, 0.003, 0.95).astype(np.float32)


def pick(rng: Generator, *colors: Color) -> Color:
    """Return one of `colors`.

    Example:
        >>> pick(np.random.default_rng(0), srgb(0, 0, 0)).tolist()
        [0.0, 0.0, 0.0]
    """
    return colors[int(rng.integers(len(colors)))]


def tone(color: Color, brightness: Field) -> NDArray[Any]:
    """Return the (3, H, W) albedo of one color under a (H, W) map of relative brightness.

    Example:
        >>> tone(srgb(255, 255, 255), np.ones((2, 2), np.float32)).shape
        (3, 2, 2)
    """
    return color[:, None, None] * brightness


def mix(first: Color, second: Color, share: Field) -> NDArray[Any]:
    """Return the (3, H, W) albedo that is `first` where `share` is 0 and `second` where 1.

    Example:
        >>> mix(srgb(0, 0, 0), srgb(255, 255, 255), np.ones((1, 1), np.float32)).ravel().tolist()
        [1.0, 1.0, 1.0]
    """
    return first[:, None, None] + (second - first)[:, None, None] * share
