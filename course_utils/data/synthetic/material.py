"""What a surface is to the light (relief, color, shine), and what a defect changes of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from course_utils.data.synthetic.fields import Field
from course_utils.data.synthetic.shapes import Box

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
    highlight_std: float
    """Standard deviation of the highlight, as a slope: small for glaze, large for satin."""
    roughness: float = 1.0
    """How deep a dent must be to show against the surface's own relief; smooth surfaces: 1."""
    bare: Color | None = None
    """Color of what lies beneath a coating; `None` where there is no coating."""
    grain: float | None = None
    """Direction of brushing, grain or rolling, in radians from the x axis, if there is one."""


@dataclass(frozen=True)
class Mark:
    """A defect before it is applied. All maps have the shape of `box` and are 0 outside of it."""

    box: Box
    coverage: Field
    """Share of each pixel that belongs to the defect, 0..1: above .5 it is in the mask."""
    relief: Field
    """Pixels added to the surface's height."""
    opacity: Field
    """How far the albedo goes to `factor` x albedo + `color`, 0..1."""
    factor: Color
    color: Color
    matte: Field
    """Share of the gloss that is lost; below 0 the place shines more."""


def apply_mark(surface: Surface, mark: Mark, strength: float) -> None:
    """Change `surface` in place as `mark` says, `strength` times as strongly; 0 changes nothing."""
    if strength == 0:
        return
    rows, columns = mark.box.slices
    surface.relief[rows, columns] += np.float32(strength) * mark.relief
    opacity = np.minimum(1, np.float32(strength) * mark.opacity)
    albedo: NDArray[np.float32] = surface.albedo[:, rows, columns]
    wanted = albedo * mark.factor[:, None, None] + mark.color[:, None, None]
    albedo += opacity * (wanted - albedo)
    np.clip(albedo, 0.002, 1.0, out=albedo)
    shine: Field = surface.gloss[rows, columns]
    shine *= np.maximum(0, 1 - np.float32(min(strength, 1.0)) * mark.matte)


def srgb(code: str) -> Color:
    """Return the linear reflectance of a color as web pages write it.

    Example:
        >>> srgb("#ff0080").round(2).tolist()
        [1.0, 0.0, 0.25]
    """
    return np.square(np.frombuffer(bytes.fromhex(code[1:]), np.uint8) / np.float32(255))


def pick(rng: Generator, *codes: str) -> Color:
    """Return one of the colors.

    Example:
        >>> pick(np.random.default_rng(0), "#000000").tolist()
        [0.0, 0.0, 0.0]
    """
    return srgb(codes[int(rng.integers(len(codes)))])


def vary(rng: Generator, color: Color, hue: float = 0.018, brightness: float = 0.12) -> Color:
    """Return `color` a little brighter or darker, and a little off in hue."""
    factor = (1 + brightness * rng.uniform(-1, 1)) * (1 + hue * rng.uniform(-1, 1, 3))
    return np.clip(color * factor, 0.003, 0.95).astype(np.float32)


def tone(color: Color, brightness: Field) -> NDArray[Any]:
    """Return the (3, H, W) albedo of one color under a (H, W) map of relative brightness.

    Example:
        >>> tone(srgb("#ffffff"), np.ones((2, 2), np.float32)).shape
        (3, 2, 2)
    """
    return color[:, None, None] * brightness


def mix(first: Color, second: Color, share: Field) -> NDArray[Any]:
    """Return the (3, H, W) albedo that is `first` where `share` is 0 and `second` where 1.

    Example:
        >>> mix(srgb("#000000"), srgb("#ffffff"), np.ones((1, 1), np.float32)).ravel().tolist()
        [1.0, 1.0, 1.0]
    """
    return first[:, None, None] + (second - first)[:, None, None] * share
