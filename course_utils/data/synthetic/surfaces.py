"""The eight families of surface: what each is made of, before light falls on it.

Each function takes the height and width to fill, and `unit`: the length in pixels of 1/256 of
the picture's side.
"""

import math
from collections.abc import Callable

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
    smoothstep,
    white,
)
from course_utils.data.synthetic.material import Surface, mix, pick, srgb, tone, vary

# fmt: off
_PAINTS = ("#b22c28", "#245494", "#2a6854", "#dedcd4", "#ce9c2a", "#808488", "#464e58", "#84a0ac",
           "#c46c2c")
_GLAZES = ("#e2ded4", "#d0c8b8", "#b0b4b4", "#c4a486", "#769498", "#a05e46", "#5c6c76")
_HIDES = ("#784e32", "#3e2e26", "#966c48", "#582826", "#38383a")
_YARNS = (("#60708c", "#3c4c6c"), ("#beb096", "#a6967a"), ("#7e7e7e", "#626264"),
          ("#88423c", "#703230"), ("#747a5c", "#5c6246"), ("#cecac2", "#bab6ae"),
          ("#987a5c", "#745840"), ("#484a50", "#34363c"))
"""Warp and weft."""
_WOODS = (("#ceaa7c", "#a87a4e"), ("#ba8c5c", "#8c5e38"), ("#865e40", "#5c3c28"),
          ("#dabe96", "#be986c"), ("#9c6242", "#703e2a"))
"""Early and late wood."""
# fmt: on


def brushed_steel(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return steel brushed in one direction: fine streaks of many lengths, satin shine."""
    angle = math.radians(float(rng.normal(0, 3.0)))
    if rng.random() < 0.35:
        angle += math.pi / 2
    streaks = _streaks(rng, shape, unit, angle)
    color = vary(rng, pick(rng, "#9e9e9c", "#8c8f93", "#aaa6a0"))
    mottle = smooth(rng, shape, 70 * unit)
    depth = float(rng.uniform(0.05, 0.10))
    return Surface(
        relief=streaks * np.float32(0.10),
        albedo=tone(color, 1 + np.float32(depth) * streaks + np.float32(0.02) * mottle),
        gloss=0.26 + np.float32(0.05) * streaks,
        highlight_std=0.34,
        roughness=1.1,
        grain=angle,
    )


def cast_metal(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return sand-cast iron or aluminium: a coarse, grainy relief with a dull sheen."""
    grain = float(rng.uniform(2.6, 4.6)) * unit
    bumps = smooth(rng, shape, grain)
    bumps += np.float32(0.45) * smooth(rng, shape, max(1.0, 0.55 * grain))
    bumps += np.float32(rng.uniform(0.3, 0.8)) * smooth(rng, shape, 2.7 * grain)
    # Sand grains leave rounded hollows: they are deeper than the bumps between them are high.
    bumps -= np.float32(0.10) * bumps * bumps
    skin = fractal(rng, shape, 110 * unit, 3 * unit, 0.62)
    metal = vary(rng, pick(rng, "#424243", "#585859", "#707070"))
    oxide = vary(rng, pick(rng, "#463c34", "#38383c", "#5c4a3a"))
    patches = smoothstep(skin, -0.6, 3.2)
    albedo = mix(metal, oxide, np.float32(rng.uniform(0.1, 0.7)) * patches)
    albedo *= 1 + np.float32(0.015) * bumps + np.float32(0.06) * skin
    return Surface(
        relief=bumps * np.float32(float(rng.uniform(0.15, 0.27)) * grain / 3.2),
        albedo=albedo,
        gloss=np.float32(rng.uniform(0.06, 0.15)) * (1 - np.float32(0.6) * patches),
        highlight_std=0.22,
        roughness=2.0,
    )


def _streaks(rng: Generator, shape: Shape, unit: float, angle: float) -> Field:
    upright = abs(angle) > math.pi / 4
    tilt = angle - math.pi / 2 if upright else angle
    wide = shape[::-1] if upright else shape
    # Space for the tilt, so that no border of the untilted field comes into view.
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


def woven_cloth(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return cloth in plain or twill weave, with uneven threads and soft waves."""
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
    first, second = map(srgb, _YARNS[int(rng.integers(len(_YARNS)))])
    albedo = mix(vary(rng, second), vary(rng, first), is_warp)
    uneven = weft_tone + is_warp * (warp_tone - weft_tone)
    albedo *= (0.42 + 0.58 * height) * (1 + np.float32(0.09) * uneven + np.float32(0.11) * fuzz)
    relief = np.float32(0.16 * pitch) * height + np.float32(0.10) * fuzz
    relief += np.float32(2.6 * unit) * smooth(rng, shape, 75 * unit)
    gloss = np.full(shape, 0.015, np.float32)
    return Surface(relief, albedo, gloss, highlight_std=0.5, roughness=2.2)


def leather(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return grained leather: rounded pebbles with creases between, and a soft shine."""
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
    return Surface(relief, tone(color, brightness), gloss, highlight_std=0.32, roughness=2.2)


def painted_sheet(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return painted sheet metal: even color, orange-peel relief, a broad highlight."""
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
    bare = vary(rng, pick(rng, "#969696", "#704e3a", "#b0aa9e"))
    return Surface(relief, albedo, gloss, highlight_std=float(rng.uniform(0.16, 0.3)), bare=bare)


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


def ceramic_tile(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return glazed tile: cloudy, speckled or veined, often with a joint in view."""
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
    surface = Surface(relief, albedo, gloss, highlight_std=0.13, bare=vary(rng, srgb("#c4a080")))
    if rng.random() < 0.45:
        _add_joints(rng, surface, unit)
    return surface


def concrete(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return fair-faced concrete: mottled, sandy, with a few air bubbles."""
    cloud = fractal(rng, shape, 100 * unit, 1.0, 0.62)
    sand = blurred(white(rng, shape), 0.5 * unit)
    pinholes = smoothstep(smooth(rng, shape, max(1.2, 2.2 * unit)), 2.0, 2.6)
    bubbles = smooth(rng, shape, 7 * unit) * smoothstep(smooth(rng, shape, 40 * unit), 0.2, 1.6)
    holes = smoothstep(bubbles, 1.5, 2.0)
    color = vary(rng, pick(rng, "#9e9b94", "#8c8b88", "#aca69a"))
    brightness = 1 + np.float32(0.085) * cloud + np.float32(0.10) * sand
    brightness *= 1 - np.float32(0.5) * np.maximum(holes, 0.7 * pinholes)
    relief = np.float32(0.28 * min(unit, 1.5)) * cloud + np.float32(0.16) * sand
    relief -= np.float32(1.2 * unit) * holes + np.float32(0.5 * unit) * pinholes
    gloss = np.full(shape, 0.02, np.float32)
    return Surface(relief, tone(color, brightness), gloss, highlight_std=0.5, roughness=1.7)


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
    grout = vary(rng, pick(rng, "#96928a", "#6e6a64", "#bcb8b0"))
    surface.albedo += inside * (tone(grout, grit) - surface.albedo)
    surface.relief -= np.float32(1.1 * unit) * edge
    surface.gloss *= 1 - inside


def wood(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return planed, oiled wood with the grain along one side of the picture."""
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
    light, dark = map(srgb, _WOODS[int(rng.integers(len(_WOODS)))])
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
        highlight_std=0.3,
        roughness=1.3,
        grain=math.pi / 2 if upright else 0.0,
    )


FAMILIES: dict[str, Callable[[Generator, Shape, float], Surface]] = {
    family.__name__: family
    for family in (
        brushed_steel,
        cast_metal,
        ceramic_tile,
        woven_cloth,
        painted_sheet,
        wood,
        leather,
        concrete,
    )
}
"""In this order: a seed draws a family by its place."""
SURFACES = tuple(FAMILIES)
