"""Cloth, leather and paint: surfaces that cover something else."""

import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from course_utils.data.synthetic.fields import (
    Field,
    Shape,
    blurred,
    fractal,
    smooth,
    white,
)
from course_utils.data.synthetic.material import Surface, mix, pick, srgb, tone, vary

_YARNS = (
    (srgb(96, 112, 140), srgb(60, 76, 108)),
    (srgb(190, 176, 150), srgb(166, 150, 122)),
    (srgb(126, 126, 126), srgb(98, 98, 100)),
    (srgb(136, 66, 60), srgb(112, 50, 48)),
    (srgb(116, 122, 92), srgb(92, 98, 70)),
    (srgb(206, 202, 194), srgb(186, 182, 174)),
    (srgb(152, 122, 92), srgb(116, 88, 64)),
    (srgb(72, 74, 80), srgb(52, 54, 60)),
)
_PAINTS = (
    srgb(178, 44, 40),
    srgb(36, 84, 148),
    srgb(42, 104, 84),
    srgb(222, 220, 212),
    srgb(206, 156, 42),
    srgb(128, 132, 136),
    srgb(70, 78, 88),
    srgb(132, 160, 172),
    srgb(196, 108, 44),
)
_HIDES = (
    srgb(120, 78, 50),
    srgb(62, 46, 38),
    srgb(150, 108, 72),
    srgb(88, 40, 38),
    srgb(56, 56, 58),
)


def woven_cloth(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return cloth in plain or twill weave, with uneven threads and soft waves.

    `unit` is the length in pixels of 1/256 of the picture's side.

    Example:
        >>> woven_cloth(np.random.default_rng(0), (64, 64), .25).relief.shape
        (64, 64)
    """
    repeat = (2, 2, 3, 4)[int(rng.integers(4))]
    pitch = max(2.5, float(rng.uniform(4.5, 7.5)) * unit)
    cell = _weave(repeat)
    samples = cell.shape[0] / (repeat * pitch)
    waver = 0.17 * pitch
    turn = math.radians(float(rng.normal(0, 4)))
    y, x = np.ogrid[: shape[0], : shape[1]]
    x, y = x.astype(np.float32), y.astype(np.float32)
    across = math.cos(turn) * x - math.sin(turn) * y
    across = across + waver * smooth(rng, shape, (90 * unit, 9 * unit))
    down = math.sin(turn) * x + math.cos(turn) * y
    down = down + waver * smooth(rng, shape, (9 * unit, 90 * unit))
    size = cell.shape[0]
    threads = cv2.remap(
        cell,
        np.mod(across * np.float32(samples), size).astype(np.float32),
        np.mod(down * np.float32(samples), size).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    height, is_warp = np.ascontiguousarray(threads[..., 0]), threads[..., 1]
    fuzz = blurred(white(rng, shape), 0.8 * unit)
    warp_tone = smooth(rng, shape, (70 * unit, pitch))
    weft_tone = smooth(rng, shape, (pitch, 70 * unit))
    first, second = _YARNS[int(rng.integers(len(_YARNS)))]
    albedo = mix(vary(rng, second), vary(rng, first), is_warp)
    uneven = weft_tone + is_warp * (warp_tone - weft_tone)
    albedo *= (0.42 + 0.58 * height) * (1 + np.float32(0.09) * uneven + np.float32(0.11) * fuzz)
    relief = np.float32(0.16 * pitch) * height + np.float32(0.10) * fuzz
    relief += np.float32(2.6 * unit) * smooth(rng, shape, 75 * unit)
    gloss = np.full(shape, 0.015, np.float32)
    return Surface(relief, albedo, gloss, spread=0.5, roughness=2.2)


def leather(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return grained leather: rounded pebbles with creases between, and a soft shine.

    Example:
        >>> leather(np.random.default_rng(0), (64, 64), .25).albedo.shape
        (3, 64, 64)
    """
    pebble = max(2.5, float(rng.uniform(4.2, 8.5)) * unit)
    rows, columns = math.ceil(shape[0] / pebble) + 1, math.ceil(shape[1] / pebble) + 1
    y = ((np.arange(rows)[:, None] + rng.random((rows, columns))) * pebble).astype(int)
    x = ((np.arange(columns)[None, :] + rng.random((rows, columns))) * pebble).astype(int)
    centers = np.ones(shape, np.uint8)
    centers[np.minimum(y, shape[0] - 1), np.minimum(x, shape[1] - 1)] = 0
    distance, owner = cv2.distanceTransformWithLabels(
        centers, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Creases run where the nearest center changes.
    crease = np.zeros(shape, np.float32)
    crease[:-1] = owner[1:] != owner[:-1]
    crease[:, :-1] += owner[:, 1:] != owner[:, :-1]
    depth = 0.85 + 0.2 * smooth(rng, shape, 5 * pebble)
    crease = blurred(np.minimum(crease, 1), max(0.6, 0.11 * pebble)) * np.clip(depth, 0.5, 1.3)
    dome = np.minimum(1, distance / np.float32(pebble)) ** 2
    grain = 1 - np.float32(0.9) * crease - np.float32(0.35) * dome
    wrinkles = fractal(rng, shape, 50 * unit, 1.0, 0.55)
    color = vary(rng, pick(rng, *_HIDES))
    brightness = (0.62 + 0.45 * grain) * (1 + np.float32(0.05) * wrinkles)
    relief = np.float32(0.26 * pebble) * grain + np.float32(0.22 * min(unit, 1.5)) * wrinkles
    relief += np.float32(0.6 * unit) * smooth(rng, shape, 60 * unit)
    gloss = np.float32(rng.uniform(0.03, 0.09)) * grain
    return Surface(relief, tone(color, brightness), gloss, spread=0.32, roughness=2.2)


def painted_sheet(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return painted sheet metal: even color, orange-peel relief, a broad highlight.

    Example:
        >>> painted_sheet(np.random.default_rng(0), (64, 64), .25).bare.shape
        (3,)
    """
    color = vary(rng, pick(rng, *_PAINTS))
    clouds = smooth(rng, shape, 60 * unit)
    flakes = white(rng, shape) if rng.random() < 0.35 else blurred(white(rng, shape), 1.2 * unit)
    rarity = np.float32(rng.uniform(2.9, 3.6))
    dust = np.maximum(0, smooth(rng, shape, max(1.2, 1.8 * unit)) - rarity)
    brightness = 1 + np.float32(0.015) * clouds + np.float32(0.045) * flakes
    albedo = tone(color, brightness) + np.float32(0.35) * dust
    relief = np.float32(0.8 * unit) * smooth(rng, shape, 80 * unit)
    peel = float(rng.uniform(0.015, 0.065)) * unit
    relief += np.float32(peel) * smooth(rng, shape, float(rng.uniform(4, 7)) * unit)
    gloss = np.full(shape, rng.uniform(0.10, 0.34), np.float32)
    bare = vary(rng, pick(rng, srgb(150, 150, 150), srgb(112, 78, 58), srgb(176, 170, 158)))
    return Surface(relief, albedo, gloss, spread=float(rng.uniform(0.16, 0.3)), bare=bare)


def _weave(repeat: int) -> NDArray[np.float32]:
    """Return one repeat of the weave as (S, S, 2): height, and 1 where a warp thread is on top."""
    side = 16 * repeat
    at = (np.arange(side, dtype=np.float32) + 0.5) / 16
    thread = np.floor(at)
    round_profile: Field = np.sqrt(np.maximum(0, 1 - (2 * (at - thread) - 1) ** 2 * 0.92))
    turn = 2 * np.pi / repeat
    # Each thread dives under its neighbors in turn; from one thread to the next the place
    # moves by one: plain weave for a repeat of 2, twill above.
    warp_wave = np.cos(turn * (at[:, None] - 0.5 - thread[None, :]))
    weft_wave = -np.cos(turn * (thread[:, None] - at[None, :] + 0.5))
    warp = round_profile[None, :] * (0.72 + 0.28 * warp_wave)
    weft = round_profile[:, None] * (0.72 + 0.28 * weft_wave)
    return np.dstack([np.maximum(warp, weft), warp > weft]).astype(np.float32)
