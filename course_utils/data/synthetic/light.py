"""Light on a surface: one lamp at an angle, the room around it, and a highlight."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from course_utils.data.synthetic.fields import Field, Shape
from course_utils.data.synthetic.material import Surface


@dataclass(frozen=True)
class Lamp:
    """Where the light comes from; it stays the same for all shots of one surface."""

    azimuth: float
    """Direction of the lamp in the picture, radians."""
    grazing: float
    """Tangent of the angle from the vertical: the larger, the stronger the relief shows."""
    ambient: float
    """Share of the light that comes from everywhere, 0..1."""
    highlight: tuple[float, float]
    """Place of the highlight, relative to the picture's half sides: (0, 0) is the center."""
    curvature: float
    """How fast the mirror direction changes across the picture: large gives a small highlight."""
    tube: float
    """1: a round lamp; below 1: a tube, whose highlight is long in one direction."""
    color: tuple[float, float, float]
    """Tint of the lamp, about 1 for each channel."""
    falloff: tuple[float, float, float]
    """Light that falls off across the picture (x, y), and a bend."""


def draw_lamp(rng: Generator) -> Lamp:
    """Return a lamp such as a careless photographer would set up.

    Example:
        >>> 0 < draw_lamp(np.random.default_rng(0)).ambient < 1
        True
    """
    warmth = float(rng.normal(0, 0.02))
    green = float(rng.normal(0, 0.01))
    side = float(rng.uniform(0, 2 * math.pi))
    fall = float(rng.uniform(0.10, 0.42))
    return Lamp(
        azimuth=side,
        grazing=float(rng.uniform(0.7, 1.5)),
        ambient=float(rng.uniform(0.25, 0.5)),
        highlight=(
            0.9 * math.cos(side) + float(rng.normal(0, 0.5)),
            0.9 * math.sin(side) + float(rng.normal(0, 0.5)),
        ),
        curvature=float(rng.uniform(0.15, 0.34)),
        tube=float(rng.choice([1.0, 0.7, 0.35])),
        color=(1 + warmth, 1 + green, 1 - 1.4 * warmth),
        falloff=(
            fall * math.cos(side),
            fall * math.sin(side),
            float(rng.uniform(-0.10, 0.06)),
        ),
    )


def shade(surface: Surface, lamp: Lamp) -> NDArray[np.float32]:
    """Return the linear light, float32 (3, H, W), that comes back from `surface`.

    Diffuse light follows the slope towards the lamp. The highlight sits where the slope mirrors
    the lamp into the lens, a Gaussian in slope as in the Beckmann micro-facet model.

    Example:
        >>> flat = Surface(np.zeros((8, 8), np.float32), np.full((3, 8, 8), .5, np.float32),
        ...                np.zeros((8, 8), np.float32), spread=.3)
        >>> shade(flat, draw_lamp(np.random.default_rng(0))).shape
        (3, 8, 8)
    """
    slope_x = cv2.Sobel(surface.relief, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(surface.relief, cv2.CV_32F, 0, 1, scale=1 / 8)
    toward_x, toward_y = math.cos(lamp.azimuth), math.sin(lamp.azimuth)
    toward = slope_x * np.float32(toward_x) + slope_y * np.float32(toward_y)
    # A slope that rises away from the lamp faces it.
    diffuse = 1 - np.float32(lamp.grazing * (1 - lamp.ambient)) * toward
    np.maximum(diffuse, np.float32(0.35 * lamp.ambient), out=diffuse)
    field = light_field(surface.relief.shape, lamp)
    diffuse *= field
    mirror = surface.gloss * _highlight(slope_x, slope_y, surface.spread, lamp)
    mirror *= field
    color = np.array(lamp.color, np.float32)[:, None, None]
    return (surface.albedo * diffuse + mirror) * color


def light_field(shape: Shape, lamp: Lamp) -> Field:
    """Return the brightness of the light across the picture, float32 (H, W), about 1.

    Example:
        >>> light_field((32, 48), draw_lamp(np.random.default_rng(0))).shape
        (32, 48)
    """
    x, y = _centered(shape)
    across, down, bend = lamp.falloff
    return 1 + np.float32(across) * x + np.float32(down) * y + np.float32(bend) * (x * x + y * y)


def _highlight(slope_x: Field, slope_y: Field, spread: float, lamp: Lamp) -> Field:
    x, y = _centered(slope_x.shape)
    across = slope_x + np.float32(lamp.curvature) * (x - np.float32(lamp.highlight[0]))
    down = slope_y + np.float32(lamp.curvature) * (y - np.float32(lamp.highlight[1]))
    cosine, sine = math.cos(lamp.azimuth), math.sin(lamp.azimuth)
    along = across * np.float32(cosine) + down * np.float32(sine)
    beside = (down * np.float32(cosine) - across * np.float32(sine)) * np.float32(lamp.tube)
    return cv2.exp((along * along + beside * beside) * np.float32(-0.5 / spread**2))


def _centered(shape: Shape) -> tuple[Field, Field]:
    """Return coordinates from -1 to 1 over the longer side, as a row and a column."""
    half = np.float32(max(shape) / 2)
    x = (np.arange(shape[1], dtype=np.float32) - np.float32((shape[1] - 1) / 2)) / half
    y = (np.arange(shape[0], dtype=np.float32) - np.float32((shape[0] - 1) / 2)) / half
    return x[None, :], y[:, None]
