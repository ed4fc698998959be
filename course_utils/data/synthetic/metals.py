"""Bare metal: brushed steel and cast metal."""

import math

import cv2
import numpy as np
from numpy.random import Generator

from course_utils.data.synthetic.fields import (
    Field,
    Shape,
    fractal,
    smooth,
    smoothstep,
)
from course_utils.data.synthetic.material import Surface, mix, pick, srgb, tone, vary


def brushed_steel(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return steel brushed in one direction: fine streaks of many lengths, satin shine.

    `unit` is the length in pixels of 1/256 of the picture's side.

    Example:
        >>> brushed_steel(np.random.default_rng(0), (64, 64), .25).grain is None
        False
    """
    angle = math.radians(float(rng.normal(0, 3.0)))
    if rng.random() < 0.35:
        angle += math.pi / 2
    streaks = _streaks(rng, shape, unit, angle)
    color = vary(rng, pick(rng, srgb(158, 158, 156), srgb(140, 143, 147), srgb(170, 166, 160)))
    mottle = smooth(rng, shape, 70 * unit)
    depth = float(rng.uniform(0.05, 0.10))
    return Surface(
        relief=streaks * np.float32(0.10),
        albedo=tone(color, 1 + np.float32(depth) * streaks + np.float32(0.02) * mottle),
        gloss=0.26 + np.float32(0.05) * streaks,
        spread=0.34,
        roughness=1.1,
        grain=angle,
    )


def cast_metal(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return sand-cast iron or aluminium: a coarse, grainy relief with a dull sheen.

    Example:
        >>> cast_metal(np.random.default_rng(0), (64, 64), .25).albedo.shape
        (3, 64, 64)
    """
    grain = float(rng.uniform(2.6, 4.6)) * unit
    bumps = smooth(rng, shape, grain)
    bumps += np.float32(0.45) * smooth(rng, shape, max(1.0, 0.55 * grain))
    bumps += np.float32(rng.uniform(0.3, 0.8)) * smooth(rng, shape, 2.7 * grain)
    # Sand grains leave rounded hollows: they are deeper than the bumps between them are high.
    bumps -= np.float32(0.10) * bumps * bumps
    skin = fractal(rng, shape, 110 * unit, 3 * unit, 0.62)
    metal = vary(rng, pick(rng, srgb(66, 66, 67), srgb(88, 88, 89), srgb(112, 112, 112)))
    oxide = vary(rng, pick(rng, srgb(70, 60, 52), srgb(56, 56, 60), srgb(92, 74, 58)))
    patches = smoothstep(skin, -0.6, 3.2)
    albedo = mix(metal, oxide, np.float32(rng.uniform(0.1, 0.7)) * patches)
    albedo *= 1 + np.float32(0.015) * bumps + np.float32(0.06) * skin
    return Surface(
        relief=bumps * np.float32(float(rng.uniform(0.15, 0.27)) * grain / 3.2),
        albedo=albedo,
        gloss=np.float32(rng.uniform(0.06, 0.15)) * (1 - np.float32(0.6) * patches),
        spread=0.22,
        roughness=2.0,
    )


def _streaks(rng: Generator, shape: Shape, unit: float, angle: float) -> Field:
    upright = abs(angle) > math.pi / 4
    tilt = angle - math.pi / 2 if upright else angle
    wide = shape[::-1] if upright else shape
    # Room for the tilt, so that no border of the untilted field comes into view.
    margin = math.ceil(abs(math.sin(tilt)) * max(wide)) + 2
    padded = (wide[0] + 2 * margin, wide[1] + 2 * margin)
    fine = max(1.0, 0.8 * unit)
    streaks: Field = 0.55 * smooth(rng, padded, (fine, 18 * unit))
    streaks += 0.75 * smooth(rng, padded, (fine, 90 * unit))
    streaks += 0.35 * smooth(rng, padded, (2.5 * unit, 400 * unit))
    streaks += 0.30 * smooth(rng, padded, (6 * unit, 300 * unit))
    # Some places are brushed harder than others.
    streaks *= 1 + np.float32(0.3) * smooth(rng, padded, (40 * unit, 80 * unit))
    turn = cv2.getRotationMatrix2D((padded[1] / 2, padded[0] / 2), math.degrees(-tilt), 1.0)
    turn[:, 2] -= margin
    streaks = cv2.warpAffine(streaks, turn, wide[::-1], flags=cv2.INTER_LINEAR)
    return np.ascontiguousarray(streaks.T) if upright else streaks
