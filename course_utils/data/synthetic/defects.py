"""The seven kinds of defect: which class each is, and what it does to a surface.

Class *line*: scratch and crack. Class *spot*: pit and inclusion. Class *area*: stain, dent and
peeling.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from course_utils.data.synthetic.fields import Field, Shape, blurred, fractal, smooth, smoothstep
from course_utils.data.synthetic.material import Mark, Surface, pick, srgb, vary
from course_utils.data.synthetic.shapes import SMALLEST, Box, Path, blob, box_around, stroke, wander

CLASS_NAMES = ("background", "line", "spot", "area")

NO_COLOR = np.zeros(3, np.float32)
NO_CHANGE = np.ones(3, np.float32)

_THINNEST = 0.62  # half width in pixels: thinner lines would leave gaps in the mask
_LIQUIDS = np.array(
    [
        (0.50, 0.40, 0.28),
        (0.42, 0.38, 0.34),
        (0.62, 0.46, 0.24),
        (0.40, 0.46, 0.54),
        (0.55, 0.36, 0.30),
        (0.34, 0.34, 0.36),
    ],
    np.float32,
)


@dataclass(frozen=True)
class Place:
    """Where a defect goes and how large it is."""

    shape: Shape
    """Height and width of the surface, pixels."""
    center: tuple[float, float]
    """(x, y), pixels."""
    unit: float
    """Pixels per 1/256 of the picture's side, times the factor on the usual size."""


@dataclass(frozen=True)
class Kind:
    """A kind of defect."""

    draw: Callable[[Generator, Surface, Place], Mark]
    label: int
    """Its class: an index into `CLASS_NAMES`."""
    unlikely: frozenset[str] = frozenset()
    """Families of surface on which nobody would see it."""


def scratch(rng: Generator, surface: Surface, place: Place) -> Mark:
    """Return a groove with raised edges: light on one flank, shadow on the other.

    On a coating it shows what lies beneath; elsewhere freshly bared, lighter material.
    """
    unit = place.unit
    length = _log_uniform(rng, 40, 170) * unit
    path = wander(
        rng,
        place.center,
        length,
        angle=float(rng.uniform(0, 2 * math.pi)),
        step=5 * unit,
        bend=float(rng.normal(0, 0.3)),
        jag=0.03,
    )
    half = max(_THINNEST, float(rng.uniform(0.6, 1.4)) * unit**0.7)
    # A tool sets on, presses and lifts off again.
    at = np.linspace(0, 1, len(path))
    taper = np.clip(np.minimum(at / rng.uniform(0.1, 0.5), (1 - at) / rng.uniform(0.05, 0.3)), 0, 1)
    widths = half * (0.25 + 0.75 * taper)
    box = _box_of(place, path, half + 3)
    core = stroke(box, path, widths)
    rim = stroke(box, path, np.maximum(_THINNEST, widths + 0.5))
    pressure = np.clip(0.85 + 0.25 * smooth(rng, box.shape, max(2.0, 9 * unit)), 0.35, 1.2)
    groove = blurred(core, 0.45) * pressure
    depth = float(rng.uniform(0.6, 1.3)) * half * (0.8 + 0.2 * surface.roughness)
    relief = np.float32(depth) * (0.55 * (rim - groove) - groove)
    if surface.bare is not None and rng.random() < 0.6:
        factor, color = NO_COLOR, surface.bare
        opacity = np.float32(rng.uniform(0.55, 0.9)) * groove
    else:
        lighter = rng.uniform(1.6, 2.3) if rng.random() < 0.75 else rng.uniform(0.3, 0.5)
        factor, color = np.full(3, lighter, np.float32), NO_COLOR + np.float32(0.015)
        opacity = np.float32(rng.uniform(0.7, 1.0)) * groove
    return Mark(box, rim, relief, np.minimum(1, opacity), factor, color, 0.7 * core)


def crack(rng: Generator, surface: Surface, place: Place) -> Mark:
    """Return a dark, jagged line of uneven width that may branch."""
    unit = place.unit
    length = _log_uniform(rng, 40, 140) * unit
    angle = float(rng.uniform(0, 2 * math.pi))
    step = max(1.5, float(rng.uniform(3.0, 5.5)) * unit)
    trunk = wander(
        rng,
        place.center,
        length,
        angle=angle,
        step=step,
        bend=float(rng.normal(0, 0.5)),
        jag=float(rng.uniform(0.35, 0.6)),
    )
    half = max(_THINNEST, float(rng.uniform(0.5, 1.2)) * unit**0.7)
    lines = [(trunk, half)]
    for _ in range(int(rng.integers(0, 4))):
        root = trunk[int(rng.integers(len(trunk) // 4, max(len(trunk) // 4 + 1, len(trunk) - 1)))]
        heading = angle + float(rng.choice([-1, 1])) * float(rng.uniform(0.4, 1.0))
        reach = length * float(rng.uniform(0.12, 0.4))
        branch = wander(rng, (0, 0), reach, angle=heading, step=step, bend=0.0, jag=0.45)
        lines.append((branch - branch[0] + root, max(_THINNEST, 0.75 * half)))
    box = _box_of(place, np.vstack([line for line, _ in lines]), half + 3)
    core = np.zeros(box.shape, np.float32)
    rim = np.zeros(box.shape, np.float32)
    for number, (line, width) in enumerate(lines):
        at = np.linspace(0, 1, len(line))
        # The trunk thins out at both ends, a branch only at its tip.
        taper = np.sqrt(np.clip(4 * at * (1 - at), 0, 1)) if number == 0 else np.sqrt(1 - at)
        widths = np.maximum(0.8 * _THINNEST, width * (0.5 + 0.5 * taper))
        widths *= np.exp(rng.normal(0, 0.22, len(line)))
        core = np.maximum(core, stroke(box, line, widths))
        rim = np.maximum(rim, stroke(box, line, widths + 0.5))
    dark = float(rng.uniform(0.10, 0.32))
    opacity = np.float32(rng.uniform(0.8, 1.0)) * blurred(core, 0.35)
    relief = np.float32(-0.6 * half * (0.8 + 0.2 * surface.roughness)) * blurred(core, 0.5)
    return Mark(box, rim, relief, opacity, np.full(3, dark, np.float32), NO_COLOR, core)


def _box_of(place: Place, path: Path, margin: float) -> Box:
    low, high = path.min(axis=0) - margin, path.max(axis=0) + margin
    return box_around(place.shape, (float(low[0]), float(low[1])), (float(high[0]), float(high[1])))


def pit(rng: Generator, surface: Surface, place: Place) -> Mark:
    """Return a small hole, or a nest of them: dark inside, one wall lit, one in shadow."""
    unit = place.unit
    count = 1 if rng.random() < 0.6 else int(rng.integers(2, 6))
    largest = _log_uniform(rng, 2.6, 8.0) * unit
    reach = 0.0 if count == 1 else 3.2 * largest
    margin = reach + 2.2 * largest + 4
    x, y = place.center
    box = box_around(place.shape, (x - margin, y - margin), (x + margin, y + margin))
    depth = np.full(box.shape, -1, np.float32)
    for number in range(count):
        radius = largest * (1.0 if number == 0 else float(rng.uniform(0.3, 0.8)))
        far = 0.0 if number == 0 else float(rng.uniform(0.45, 1.0)) * reach
        around = float(rng.uniform(0, 2 * math.pi))
        center = (x - box.left + far * math.cos(around), y - box.top + far * math.sin(around))
        aspect = float(rng.uniform(0.7, 1.0))
        part, hole = blob(
            rng,
            box.shape,
            center,
            (radius, radius * aspect),
            float(rng.uniform(0, math.pi)),
            float(rng.uniform(0.06, 0.18)),
        )
        window = depth[part.slices]
        np.maximum(window, hole, out=window)
    edge = min(0.45, 0.7 / max(largest, SMALLEST))
    coverage = smoothstep(depth, -edge, edge)
    bowl = smoothstep(depth, -0.1, 0.75)
    hollow = np.float32(float(rng.uniform(0.5, 0.95)) * largest * surface.roughness**0.5)
    opacity = coverage * (np.float32(0.45) + np.float32(0.5) * bowl)
    dark = float(rng.uniform(0.12, 0.4))
    factor = np.full(3, dark, np.float32)
    return Mark(box, coverage, -hollow * bowl, opacity, factor, NO_COLOR, coverage)


def inclusion(rng: Generator, surface: Surface, place: Place) -> Mark:
    """Return a fragment of foreign material, often drawn out along the grain."""
    unit = place.unit
    long = _log_uniform(rng, 3.2, 12.0) * unit
    aspect = float(rng.uniform(0.28, 0.85))
    if surface.grain is None:
        angle = float(rng.uniform(0, math.pi))
    else:
        angle = surface.grain + float(rng.normal(0, 0.08))
    ragged = float(rng.uniform(0.12, 0.26))
    box, depth = blob(rng, place.shape, place.center, (long, long * aspect), angle, ragged)
    edge = min(0.45, 0.6 / max(SMALLEST, long * aspect))
    coverage = smoothstep(depth, -edge, edge)
    slag = vary(rng, pick(rng, "#2a2624", "#463a2e", "#603e2a", "#3c3a38"), brightness=0.3)
    if surface.albedo[:, box.slices[0], box.slices[1]].mean() < 0.08:
        slag = vary(rng, srgb("#8a8274"))
    inner = 1 + np.float32(0.22) * fractal(rng, box.shape, max(2.0, 3 * unit), 1.0)
    opacity = np.clip(coverage * inner * np.float32(rng.uniform(0.65, 0.95)), 0, 1)
    relief = np.float32(0.35 * unit) * blurred(coverage * inner, 0.6)
    # A little of the surface's own texture shows through.
    through = np.full(3, 0.22, np.float32)
    return Mark(box, coverage, relief, opacity, through, 0.75 * slag, 0.8 * coverage)


def stain(rng: Generator, surface: Surface, place: Place) -> Mark:
    """Return a dried spill: it multiplies the color, and its rim is darker than its middle."""
    unit = place.unit
    radius = _log_uniform(rng, 14, 44) * unit
    ragged = float(rng.uniform(0.08, 0.24))
    box, depth = blob(
        rng,
        place.shape,
        place.center,
        (radius, radius * float(rng.uniform(0.5, 1.0))),
        float(rng.uniform(0, math.pi)),
        ragged,
        finest=max(1.0, 2.5 * unit),
    )
    soft = float(rng.uniform(0.04, 0.22))
    coverage = smoothstep(depth, -soft, soft)
    # As a drop dries, what it carries is left at its edge.
    ring = np.exp(-((depth / np.float32(0.10 + 0.5 * soft)) ** 2)) * (depth > -soft)
    uneven = 1 + np.float32(0.22) * fractal(rng, box.shape, 0.7 * radius, max(1.0, 2 * unit))
    amount = float(rng.uniform(0.42, 0.72))
    opacity = coverage * uneven * np.float32(amount)
    opacity += coverage * ring * np.float32(rng.uniform(0.0, 0.35))
    liquid = vary(rng, _LIQUIDS[int(rng.integers(len(_LIQUIDS)))], hue=0.08)
    wet = float(rng.uniform(-0.5, 0.6))
    flat = np.zeros(box.shape, np.float32)
    return Mark(
        box, coverage, flat, np.clip(opacity, 0, 1), liquid, NO_COLOR, np.float32(wet) * coverage
    )


def dent(rng: Generator, surface: Surface, place: Place) -> Mark:
    """Return a soft hollow: nothing but its shading shows it."""
    unit = place.unit
    radius = _log_uniform(rng, 15, 38) * unit
    box, depth = _patch(rng, place, radius, slimmest=0.5, ragged=(0.02, 0.07), finest=0.3 * radius)
    inside = np.clip(depth, 0, 1)
    # (1 - rho^2)^2 has no kink at the edge; its steepest slope is 1.54 over the radius.
    bowl = blurred((1 - (1 - inside) ** 2) ** 2, 0.06 * radius)
    slope = float(rng.uniform(0.22, 0.46)) * surface.roughness**0.6
    coverage = smoothstep(depth, 0.0, 0.12)
    flat = np.zeros(box.shape, np.float32)
    relief = np.float32(-slope * radius / 1.54) * bowl
    return Mark(box, coverage, relief, flat, NO_CHANGE, NO_COLOR, flat)


def peeling(rng: Generator, surface: Surface, place: Place) -> Mark:
    """Return a flake that is gone: what lies beneath shows, and the coating's edge stands up."""
    unit = place.unit
    radius = _log_uniform(rng, 9, 30) * unit
    box, depth = _patch(rng, place, radius, slimmest=0.4, ragged=(0.14, 0.30), finest=1.5 * unit)
    edge = min(0.3, 0.6 / max(radius, SMALLEST))
    coverage = smoothstep(depth, -edge, edge)
    if surface.bare is not None:
        bare = surface.bare
    else:
        rows, columns = box.slices
        around = surface.albedo[:, rows, columns].mean(axis=(1, 2))
        bare = np.minimum(0.9, around * np.float32(1.5) + np.float32(0.03))
    grit = 1 + np.float32(0.12) * fractal(rng, box.shape, max(2.0, 8 * unit), 1.0)
    opacity = np.clip(coverage * grit * np.float32(rng.uniform(0.75, 1.0)), 0, 1)
    step = float(rng.uniform(0.5, 1.0)) * unit
    lip = blurred(smoothstep(depth, -4 * edge, -edge) * (1 - coverage), 0.5)
    relief = np.float32(step) * (0.5 * lip - blurred(coverage, 0.45))
    relief += np.float32(0.15 * unit) * coverage * smooth(rng, box.shape, max(1.5, 3 * unit))
    return Mark(box, coverage, relief, opacity, NO_COLOR, bare, 0.85 * coverage)


def _patch(
    rng: Generator,
    place: Place,
    radius: float,
    *,
    slimmest: float,
    ragged: tuple[float, float],
    finest: float,
) -> tuple[Box, Field]:
    """Return the box and depth of a `blob` that is turned any way and as slim as it happens."""
    return blob(
        rng,
        place.shape,
        place.center,
        (radius, radius * float(rng.uniform(slimmest, 1.0))),
        float(rng.uniform(0, math.pi)),
        float(rng.uniform(*ragged)),
        finest=max(1.0, finest),
    )


def _log_uniform(rng: Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


KINDS: dict[str, Kind] = {
    "scratch": Kind(scratch, 1),
    "crack": Kind(crack, 1, frozenset({"woven_cloth", "brushed_steel"})),
    # Concrete has air bubbles of its own, which are no defects.
    "pit": Kind(pit, 2, frozenset({"woven_cloth", "concrete"})),
    "inclusion": Kind(inclusion, 2),
    "stain": Kind(stain, 3),
    "dent": Kind(dent, 3, frozenset({"ceramic_tile", "concrete", "woven_cloth"})),
    "peeling": Kind(
        peeling, 3, frozenset({"brushed_steel", "cast_metal", "woven_cloth", "concrete", "wood"})
    ),
}
DEFECTS = tuple(KINDS)
