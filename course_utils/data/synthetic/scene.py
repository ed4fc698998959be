"""The plan of one surface: its family, its defects, how it is photographed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from course_utils.data.synthetic.defects import KINDS, Place
from course_utils.data.synthetic.fields import Shape
from course_utils.data.synthetic.labels import Footprint
from course_utils.data.synthetic.material import Mark, Surface, apply_mark
from course_utils.data.synthetic.rendering import (
    Camera,
    Lamp,
    Shot,
    draw_camera,
    draw_lamp,
    expose,
    shade,
)
from course_utils.data.synthetic.surfaces import FAMILIES

# Each decision has its own stream of random numbers, so that changing one setting (frequency,
# contrast, the shot) leaves everything else of a surface as it was. NumPy fills short keys with
# zeros, so every key has its stream at the fourth place.
_PLAN, _MATERIAL, _DEFECTS, _SHOT, DEALING = range(5)


@dataclass(frozen=True)
class Scene:
    """A surface and its defects, known before anything is rendered."""

    key: tuple[int, ...]
    """Numbers that make this surface's random streams unique: seed, split, surface."""
    family: str
    kinds: tuple[str, ...]
    strengths: tuple[float, ...]
    """How plainly each defect shows: about .45 is hard to see, 1.4 is obvious."""
    lamp: Lamp
    camera: Camera


def plan_scene(
    key: tuple[int, ...],
    surfaces: tuple[str, ...],
    defects: tuple[str, ...],
    frequency: float,
    unit: float,
) -> Scene:
    """Return the plan of the surface with random streams `key`.

    Example:
        >>> plan_scene((0, 0, 0), ("wood",), ("stain",), 1.0, 1.0).family
        'wood'
    """
    rng = np.random.default_rng((*key, _PLAN))
    family = surfaces[int(rng.integers(len(surfaces)))]
    # Drawn for good surfaces too: a surface stays the same when `frequency` changes.
    defective = bool(rng.random() < frequency)
    likely = tuple(kind for kind in defects if family not in KINDS[kind].unlikely) or defects
    count = int(rng.choice([1, 2, 3], p=[0.76, 0.17, 0.07]))
    kinds = _draw_kinds(rng, likely, count)
    strengths = tuple(np.exp(rng.uniform(np.log(0.45), np.log(1.4), count)).tolist())
    lamp, camera = draw_lamp(rng), draw_camera(rng, unit)
    if not defective:
        kinds, strengths = (), ()
    return Scene(key, family, kinds, strengths, lamp, camera)


def photograph(
    scene: Scene, shot: int, shape: Shape, contrast: float, size: float
) -> tuple[NDArray[Any], list[Footprint]]:
    """Return shot number `shot` of the scene: float32 (3, H, W) in 0..1, and its defects.

    Example:
        >>> scene = plan_scene((0, 0, 0), ("wood",), ("stain",), 1.0, .25)
        >>> picture, footprints = photograph(scene, 0, (64, 64), 1.0, 1.0)
        >>> picture.shape, len(footprints)
        ((3, 64, 64), 1)
    """
    unit = unit_of(shape)
    margin = max(1, round(3 * unit))
    canvas = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    surface = FAMILIES[scene.family](np.random.default_rng((*scene.key, _MATERIAL)), canvas, unit)
    gain = _exposure_gain(surface, scene.camera)
    marks = _draw_marks(scene, surface, margin, size)
    for mark, strength in zip(marks, scene.strengths, strict=True):
        apply_mark(surface, mark, strength * contrast)
    rng = np.random.default_rng((*scene.key, _SHOT, shot))
    taken = _draw_shot(rng, margin)
    top, left = margin + taken.shift[0], margin + taken.shift[1]
    view = (slice(top, top + shape[0]), slice(left, left + shape[1]))
    light = shade(_crop(surface, view), scene.lamp)
    picture = expose(light, scene.camera, taken, gain, rng)
    footprints = [
        Footprint(_covered(mark, canvas)[view], KINDS[kind].label)
        for mark, kind in zip(marks, scene.kinds, strict=True)
    ]
    return picture, footprints


def unit_of(shape: Shape) -> float:
    """Return the length in pixels of 1/256 of the picture's side; for a strip, of its width.

    Example:
        >>> unit_of((128, 512))
        0.5
    """
    return min(shape) / 256


def _draw_kinds(rng: Generator, likely: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Draw the class first, so that the three classes are equally frequent, then the kind."""
    by_label: dict[int, list[str]] = {}
    for kind in likely:
        by_label.setdefault(KINDS[kind].label, []).append(kind)
    groups = [by_label[label] for label in sorted(by_label)]
    kinds: list[str] = []
    for _ in range(count):
        repeat, group, place = rng.random(3)
        if kinds and repeat < 0.6:
            # What damages a surface once tends to do so again.
            kinds.append(kinds[0])
            continue
        offered = groups[int(group * len(groups))]
        kinds.append(offered[int(place * len(offered))])
    return tuple(kinds)


def _draw_marks(scene: Scene, surface: Surface, margin: int, size: float) -> list[Mark]:
    height, width = surface.relief.shape
    inner = (height - 2 * margin, width - 2 * margin)
    marks = []
    for number, kind in enumerate(scene.kinds):
        rng = np.random.default_rng((*scene.key, _DEFECTS, number))
        across, down = rng.uniform(0.13, 0.87, 2)
        center = (margin + float(across) * inner[1], margin + float(down) * inner[0])
        place = Place((height, width), center, unit_of(inner) * size)
        marks.append(KINDS[kind].draw(rng, surface, place))
    return marks


def _draw_shot(rng: Generator, margin: int) -> Shot:
    down, right = rng.integers(-margin, margin + 1, 2).tolist()
    return Shot((down, right), float(np.exp(rng.normal(0, 0.09))))


def _exposure_gain(surface: Surface, camera: Camera) -> float:
    """Expose for the clean surface; dark materials stay darker than bright ones."""
    seen = surface.albedo[:, ::8, ::8].mean() + 0.3 * surface.gloss[::8, ::8].mean()
    return float((camera.exposure / seen) ** 0.6)


def _crop(surface: Surface, view: tuple[slice, slice]) -> Surface:
    rows, columns = view
    return Surface(
        relief=np.ascontiguousarray(surface.relief[rows, columns]),
        albedo=surface.albedo[:, rows, columns],
        gloss=surface.gloss[rows, columns],
        highlight_std=surface.highlight_std,
    )


def _covered(mark: Mark, canvas: Shape) -> NDArray[np.bool_]:
    covered = np.zeros(canvas, bool)
    covered[mark.box.slices] = mark.coverage > 0.5
    return covered
