"""Class *spot*: pit and inclusion."""

import math

import numpy as np
from numpy.random import Generator

from course_utils.data.synthetic.fields import blurred, fractal, smoothstep
from course_utils.data.synthetic.mark import NO_COLOR, Mark, Place
from course_utils.data.synthetic.material import Surface, pick, srgb, vary
from course_utils.data.synthetic.shapes import SMALLEST, blob, box_around


def pit(rng: Generator, surface: Surface, place: Place) -> Mark:
    """Return a small hole, or a nest of them: dark inside, one wall lit, one in shadow.

    Example:
        >>> from course_utils.data.synthetic.metals import cast_metal
        >>> rng = np.random.default_rng(0)
        >>> mark = pit(rng, cast_metal(rng, (64, 64), .25), Place((64, 64), .25, (32, 32), 1))
        >>> bool(mark.coverage.max() > .5)
        True
    """
    unit = place.unit * place.size
    count = 1 if rng.random() < 0.6 else int(rng.integers(2, 6))
    largest = math.exp(rng.uniform(math.log(2.6), math.log(8.0))) * unit
    reach = 0.0 if count == 1 else 3.2 * largest
    margin = reach + 2.2 * largest + 4
    x, y = place.center
    box = box_around(place.shape, (x - margin, y - margin), (x + margin, y + margin))
    depth = np.full(box.shape, -1, np.float32)
    for number in range(count):
        radius = largest * (1.0 if number == 0 else float(rng.uniform(0.3, 0.8)))
        far = 0.0 if number == 0 else float(rng.uniform(0.45, 1.0)) * reach
        around = float(rng.uniform(0, 2 * math.pi))
        center = (
            x - box.left + far * math.cos(around),
            y - box.top + far * math.sin(around),
        )
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
    return Mark(
        box, coverage, -hollow * bowl, opacity, np.full(3, dark, np.float32), NO_COLOR, coverage
    )


def inclusion(rng: Generator, surface: Surface, place: Place) -> Mark:
    """Return a fragment of foreign material, often drawn out along the grain.

    Example:
        >>> from course_utils.data.synthetic.metals import brushed_steel
        >>> rng = np.random.default_rng(0)
        >>> mark = inclusion(rng, brushed_steel(rng, (64, 64), .25), Place((64, 64), .25, (32, 32), 1))
        >>> bool(mark.coverage.max() > .5)
        True
    """
    unit = place.unit * place.size
    long = math.exp(rng.uniform(math.log(3.2), math.log(12.0))) * unit
    aspect = float(rng.uniform(0.28, 0.85))
    if surface.grain is None:
        angle = float(rng.uniform(0, math.pi))
    else:
        angle = surface.grain + float(rng.normal(0, 0.08))
    box, depth = blob(
        rng,
        place.shape,
        place.center,
        (long, long * aspect),
        angle,
        float(rng.uniform(0.12, 0.26)),
    )
    edge = min(0.45, 0.6 / max(SMALLEST, long * aspect))
    coverage = smoothstep(depth, -edge, edge)
    slag = vary(
        rng,
        pick(rng, srgb(42, 38, 36), srgb(70, 58, 46), srgb(96, 62, 42), srgb(60, 58, 56)),
        brightness=0.3,
    )
    if surface.albedo[:, box.slices[0], box.slices[1]].mean() < 0.08:
        slag = vary(rng, srgb(138, 130, 116))
    inner = 1 + np.float32(0.22) * fractal(rng, box.shape, max(2.0, 3 * unit), 1.0)
    opacity = np.clip(coverage * inner * np.float32(rng.uniform(0.65, 0.95)), 0, 1)
    relief = np.float32(0.35 * unit) * blurred(coverage * inner, 0.6)
    # A little of the surface's own texture shows through.
    through = np.full(3, 0.22, np.float32)
    return Mark(box, coverage, relief, opacity, through, 0.75 * slag, 0.8 * coverage)
