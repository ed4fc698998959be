"""Planed wood: year rings, fibres and pores."""

import math

import numpy as np
from numpy.random import Generator

from course_utils.data.synthetic.fields import Shape, blurred, smooth, smoothstep, white
from course_utils.data.synthetic.material import Surface, mix, srgb, vary

_WOODS = (
    (srgb(206, 170, 124), srgb(168, 122, 78)),
    (srgb(186, 140, 92), srgb(140, 94, 56)),
    (srgb(134, 94, 64), srgb(92, 60, 40)),
    (srgb(218, 190, 150), srgb(190, 152, 108)),
    (srgb(156, 98, 66), srgb(112, 62, 42)),
)


def wood(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return planed, oiled wood with the grain along one side of the picture.

    `unit` is the length in pixels of 1/256 of the picture's side.

    Example:
        >>> wood(np.random.default_rng(0), (64, 48), .25).relief.shape
        (64, 48)
    """
    upright = bool(rng.random() < 0.5)
    wide = shape[::-1] if upright else shape
    pitch = float(rng.uniform(9, 26)) * unit
    y = np.arange(wide[0], dtype=np.float32)[:, None]
    x = np.arange(wide[1], dtype=np.float32)[None, :]
    bend = float(rng.normal(0, 0.06))
    rings = (y + np.float32(bend) * x) / np.float32(pitch)
    rings = rings + np.float32(rng.uniform(0.4, 1.1)) * smooth(rng, wide, (60 * unit, 220 * unit))
    rings += np.float32(0.10) * smooth(rng, wide, (10 * unit, 60 * unit))
    # Early wood fades slowly into dark late wood, then the next year starts at once.
    year = rings - np.floor(rings)
    late = smoothstep(year, 0.15, 0.95) * (1 - smoothstep(year, 0.95, 1.0))
    strength = 0.45 + 0.25 * smooth(rng, wide, (pitch, 300 * unit))
    fine = max(1.0, unit)
    fibres = smooth(rng, wide, (fine, 22 * unit)) + 0.6 * smooth(rng, wide, (fine, 80 * unit))
    pores = smoothstep(smooth(rng, wide, (fine, 9 * unit)), 1.1, 2.0)
    light, dark = _WOODS[int(rng.integers(len(_WOODS)))]
    albedo_map = late * strength + np.float32(0.10) * smooth(rng, wide, (40 * unit, 120 * unit))
    brightness = 1 + np.float32(0.06) * fibres - np.float32(0.28) * pores
    brightness += np.float32(0.03) * blurred(white(rng, wide), 0.7 * unit)
    relief = np.float32(0.07) * fibres - np.float32(0.25) * pores + np.float32(0.12) * late
    if upright:
        albedo_map, brightness, relief = (
            np.ascontiguousarray(field.T) for field in (albedo_map, brightness, relief)
        )
    gloss = np.full(shape, rng.uniform(0.03, 0.10), np.float32)
    return Surface(
        relief=relief,
        albedo=mix(vary(rng, light), vary(rng, dark), albedo_map) * brightness,
        gloss=gloss,
        spread=0.3,
        roughness=1.3,
        grain=math.pi / 2 if upright else 0.0,
    )
