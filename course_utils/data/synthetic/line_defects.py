"""Class *line*: scratch and crack."""

import math

import numpy as np
from numpy.random import Generator

from course_utils.data.synthetic.fields import blurred, smooth
from course_utils.data.synthetic.mark import NO_COLOR, Mark, Place
from course_utils.data.synthetic.material import Surface
from course_utils.data.synthetic.shapes import Box, Path, box_around, stroke, wander

_THINNEST = 0.62  # half width in pixels: thinner lines would leave gaps in the mask


def scratch(rng: Generator, surface: Surface, place: Place) -> Mark:
    """Return a groove with raised edges: light on one flank, shadow on the other.

    On a coating it shows what lies beneath; elsewhere freshly bared, lighter material.

    Example:
        >>> from course_utils.data.synthetic.metals import brushed_steel
        >>> rng = np.random.default_rng(0)
        >>> mark = scratch(rng, brushed_steel(rng, (64, 64), .25), Place((64, 64), .25, (32, 32), 1))
        >>> bool(mark.coverage.max() > .5)
        True
    """
    unit = place.unit * place.size
    length = math.exp(rng.uniform(math.log(40), math.log(170))) * unit
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
    """Return a dark, jagged line of uneven width that may branch.

    Example:
        >>> from course_utils.data.synthetic.minerals import concrete
        >>> rng = np.random.default_rng(0)
        >>> mark = crack(rng, concrete(rng, (64, 64), .25), Place((64, 64), .25, (32, 32), 1))
        >>> bool(mark.coverage.max() > .5)
        True
    """
    unit = place.unit * place.size
    length = math.exp(rng.uniform(math.log(40), math.log(140))) * unit
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
