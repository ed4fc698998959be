"""Class *area*: stain, dent and peeling."""

import math

import numpy as np
from numpy.random import Generator

from course_utils.data.synthetic.fields import Field, blurred, fractal, smooth, smoothstep
from course_utils.data.synthetic.mark import NO_CHANGE, NO_COLOR, Mark, Place
from course_utils.data.synthetic.material import Surface, pick, vary
from course_utils.data.synthetic.shapes import SMALLEST, Box, blob

_LIQUIDS = tuple(
    np.array(tint, np.float32)
    for tint in (
        (0.50, 0.40, 0.28),
        (0.42, 0.38, 0.34),
        (0.62, 0.46, 0.24),
        (0.40, 0.46, 0.54),
        (0.55, 0.36, 0.30),
        (0.34, 0.34, 0.36),
    )
)


def stain(rng: Generator, surface: Surface, place: Place) -> Mark:
    """Return a dried spill: it multiplies the color, and its rim is darker than its middle.

    Example:
        >>> from course_utils.data.synthetic.wood import wood
        >>> rng = np.random.default_rng(0)
        >>> mark = stain(rng, wood(rng, (64, 64), .25), Place((64, 64), .25, (32, 32), 1))
        >>> bool(mark.coverage.max() > .5)
        True
    """
    unit = place.unit * place.size
    radius = math.exp(rng.uniform(math.log(14), math.log(44))) * unit
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
    opacity = np.clip(
        coverage * uneven * np.float32(amount)
        + coverage * ring * np.float32(rng.uniform(0.0, 0.35)),
        0,
        1,
    )
    liquid = vary(rng, pick(rng, *_LIQUIDS), hue=0.08)
    wet = float(rng.uniform(-0.5, 0.6))
    flat = np.zeros(box.shape, np.float32)
    return Mark(box, coverage, flat, opacity, liquid, NO_COLOR, np.float32(wet) * coverage)


def dent(rng: Generator, surface: Surface, place: Place) -> Mark:
    """Return a soft hollow: nothing but its shading shows it.

    Example:
        >>> from course_utils.data.synthetic.coverings import painted_sheet
        >>> rng = np.random.default_rng(0)
        >>> mark = dent(rng, painted_sheet(rng, (64, 64), .25), Place((64, 64), .25, (32, 32), 1))
        >>> bool(mark.relief.min() < 0)
        True
    """
    unit = place.unit * place.size
    radius = math.exp(rng.uniform(math.log(15), math.log(38))) * unit
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
    """Return a flake that is gone: what lies beneath shows, and the coating's edge stands up.

    Example:
        >>> from course_utils.data.synthetic.coverings import painted_sheet
        >>> rng = np.random.default_rng(0)
        >>> mark = peeling(rng, painted_sheet(rng, (64, 64), .25), Place((64, 64), .25, (32, 32), 1))
        >>> bool(mark.coverage.max() > .5)
        True
    """
    unit = place.unit * place.size
    radius = math.exp(rng.uniform(math.log(9), math.log(30))) * unit
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
