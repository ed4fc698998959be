"""Mineral surfaces: glazed ceramic tile and concrete."""

import numpy as np
from numpy.random import Generator

from course_utils.data.synthetic.fields import (
    Field,
    Shape,
    blurred,
    fractal,
    smooth,
    smoothstep,
    white,
)
from course_utils.data.synthetic.material import Surface, mix, pick, srgb, tone, vary

_GLAZES = (
    srgb(226, 222, 212),
    srgb(208, 200, 184),
    srgb(176, 180, 180),
    srgb(196, 164, 134),
    srgb(118, 148, 152),
    srgb(160, 94, 70),
    srgb(92, 108, 118),
)


def ceramic_tile(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return glazed tile: cloudy, speckled or veined, often with a joint in view.

    `unit` is the length in pixels of 1/256 of the picture's side.

    Example:
        >>> ceramic_tile(np.random.default_rng(0), (64, 64), .25).relief.shape
        (64, 64)
    """
    base = vary(rng, pick(rng, *_GLAZES))
    pattern = int(rng.integers(3))
    cloud = fractal(rng, shape, 80 * unit, 2 * unit, 0.55)
    if pattern == 0:
        albedo = tone(base, 1 + np.float32(0.05) * cloud)
    elif pattern == 1:
        amount = float(rng.uniform(2.0, 2.6))
        specks = smoothstep(smooth(rng, shape, max(1.4, 2.6 * unit)), amount - 0.7, amount - 0.2)
        albedo = mix(base, base * np.float32(rng.uniform(0.25, 0.55)), specks)
        albedo *= 1 + np.float32(0.035) * cloud
    else:
        veins = np.float32(1) - np.minimum(1, np.abs(cloud) * np.float32(1.6))
        veins *= veins
        second = fractal(rng, shape, 60 * unit, 4 * unit, 0.5)
        veins *= smoothstep(second, -0.4, 1.4)
        dark = base * np.array([0.62, 0.60, 0.58], np.float32)
        albedo = mix(base, dark, np.float32(rng.uniform(0.5, 1.0)) * veins)
        albedo *= 1 + np.float32(0.05) * second
    relief = np.float32(0.5 * unit) * smooth(rng, shape, 45 * unit)
    relief += np.float32(0.03) * smooth(rng, shape, 6 * unit)
    gloss = np.full(shape, rng.uniform(0.15, 0.42), np.float32)
    surface = Surface(relief, albedo, gloss, spread=0.13, bare=vary(rng, srgb(196, 160, 128)))
    if rng.random() < 0.45:
        _add_joints(rng, surface, unit)
    return surface


def concrete(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return fair-faced concrete: mottled, sandy, with a few air bubbles.

    Example:
        >>> concrete(np.random.default_rng(0), (64, 64), .25).bare is None
        True
    """
    cloud = fractal(rng, shape, 100 * unit, 1.0, 0.62)
    sand = blurred(white(rng, shape), 0.5 * unit)
    pinholes = smoothstep(smooth(rng, shape, max(1.2, 2.2 * unit)), 2.0, 2.6)
    bubbles = smooth(rng, shape, 7 * unit) * smoothstep(smooth(rng, shape, 40 * unit), 0.2, 1.6)
    holes = smoothstep(bubbles, 1.5, 2.0)
    color = vary(rng, pick(rng, srgb(158, 155, 148), srgb(140, 139, 136), srgb(172, 166, 154)))
    brightness = 1 + np.float32(0.085) * cloud + np.float32(0.10) * sand
    brightness *= 1 - np.float32(0.5) * np.maximum(holes, 0.7 * pinholes)
    relief = np.float32(0.28 * min(unit, 1.5)) * cloud + np.float32(0.16) * sand
    relief -= np.float32(1.2 * unit) * holes + np.float32(0.5 * unit) * pinholes
    gloss = np.full(shape, 0.02, np.float32)
    return Surface(relief, tone(color, brightness), gloss, spread=0.5, roughness=1.7)


def _add_joints(rng: Generator, surface: Surface, unit: float) -> None:
    """Lay the joints between tiles through the picture: one, or two that cross."""
    height, width = surface.relief.shape
    half = float(rng.uniform(2.0, 3.6)) * unit
    waver = np.float32(0.35 * unit) * smooth(rng, (height, width), 14 * unit)
    distance: Field | None = None
    both = rng.random()
    for axis, length in ((0, height), (1, width)):
        if (axis == 0 and both < 0.35) or (axis == 1 and 0.35 <= both < 0.7):
            continue
        place = float(rng.uniform(0.12, 0.88)) * length
        along = np.abs(np.arange(length, dtype=np.float32) - np.float32(place))
        line = along[:, None] if axis == 0 else along[None, :]
        distance = line if distance is None else np.minimum(distance, line)
    assert distance is not None
    distance = distance + waver
    inside = 1 - smoothstep(distance, half - 0.7, half + 0.7)
    edge = 1 - smoothstep(distance, half, half + 4 * unit)
    grit = 1 + np.float32(0.14) * blurred(white(rng, (height, width)), 0.8 * unit)
    grout = vary(rng, pick(rng, srgb(150, 146, 138), srgb(110, 106, 100), srgb(188, 184, 176)))
    surface.albedo += inside * (tone(grout, grit) - surface.albedo)
    surface.relief -= np.float32(1.1 * unit) * edge
    surface.gloss *= 1 - inside
