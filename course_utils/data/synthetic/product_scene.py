"""A photograph of one part: what is wrong with it, how it lies, how light falls on it."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from course_utils.data.synthetic.defects import KINDS, Place
from course_utils.data.synthetic.fields import Field, Shape, blurred, smooth, white
from course_utils.data.synthetic.labels import Footprint
from course_utils.data.synthetic.material import Mark, Surface, apply_mark
from course_utils.data.synthetic.products import (
    PRODUCTS,
    Product,
    drill,
    sound_outline,
    sound_part,
    sound_print,
)
from course_utils.data.synthetic.rendering import Lamp, Shot, expose, shade
from course_utils.data.synthetic.scene import unit_of
from course_utils.data.synthetic.shapes import blob

# Streams of random numbers, as in `scene`, but none that a surface has.
_PLAN, _MATERIAL, _DEFECTS, _SHOT = range(5, 9)
_HOLE_KINDS = ("missing_hole", "wrong_hole")
_PRINT_KINDS = ("missing_print", "shifted_print")
ANYWHERE = ("scratch", "stain", "dent")
"""The kinds that need no place to be seen."""


def kinds_of(product: str) -> tuple[str, ...]:
    """Return the kinds of defect that a product can have; those that need a place come first.

    Example:
        >>> kinds_of("cap")
        ('broken_edge', 'missing_print', 'shifted_print', 'scratch', 'stain', 'dent')
    """
    made = PRODUCTS[product]
    holes = _HOLE_KINDS if made.holes else ()
    prints = _PRINT_KINDS if made.stencil is not None else ()
    return (*holes, "broken_edge", *prints, *ANYWHERE)


@dataclass(frozen=True)
class PartPlan:
    """A part and its defects, known before anything is rendered."""

    key: tuple[int, ...]
    """Numbers that make this part's random streams unique: seed, split, part."""
    family: str
    """One of `PRODUCTS`."""
    kinds: tuple[str, ...]
    strengths: tuple[float, ...]


def plan_part(
    key: tuple[int, ...], product: str, defects: tuple[str, ...], frequency: float
) -> PartPlan:
    """Return the plan of the part with random streams `key`.

    Example:
        >>> plan_part((0, 0, 0), "plate", ("missing_hole",), 1.0).kinds
        ('missing_hole',)
    """
    rng = _stream(key, _PLAN, product)
    # Drawn for good parts too: a part stays the same when `frequency` changes.
    defective = bool(rng.random() < frequency)
    kinds = [defects[int(rng.integers(len(defects)))]]
    # A second defect needs no place: two that change the same hole would undo each other.
    second, more = str(rng.choice(ANYWHERE)), rng.random() < 0.15
    if more and second in defects:
        kinds.append(second)
    strengths = np.exp(rng.uniform(np.log(0.6), np.log(1.4), 2)).tolist()[: len(kinds)]
    if not defective:
        kinds, strengths = [], []
    return PartPlan(key, product, tuple(kinds), tuple(strengths))


def photograph_part(
    plan: PartPlan, shot: int, shape: Shape, contrast: float, size: float
) -> tuple[NDArray[Any], list[Footprint]]:
    """Return shot number `shot` of the part: float32 (3, H, W) in 0..1, and its defects.

    Example:
        >>> plan = plan_part((0, 0, 0), "plate", ("missing_hole",), 1.0)
        >>> picture, footprints = photograph_part(plan, 0, (64, 64), 1.0, 1.0)
        >>> picture.shape, len(footprints)
        ((3, 64, 64), 1)
    """
    product, unit = PRODUCTS[plan.family], unit_of(shape)
    part = _Part(plan, shape, size)
    pose = _pose(plan, shot, shape)
    sound = distance = _turned(part.sound, pose, cv2.INTER_LINEAR)
    if part.distance is not part.sound:
        distance = _turned(part.distance, pose, cv2.INTER_LINEAR)
    footprints = [
        Footprint(covered, label)
        for covered, label in part.footprints(pose, sound, distance, product.bevel * unit)
    ]
    surface = part.surface(contrast)
    looks = _turned(np.dstack([*surface.albedo, surface.gloss]), pose)
    relief = _turned(surface.relief, pose, cv2.INTER_LINEAR)
    shown = distance if contrast > 0 else sound
    rng = _stream(plan.key, _SHOT, plan.family, shot)
    lamp = _moved(product.lamp, rng)
    light = _lit(product, looks, relief, surface.highlight_std, shown, lamp, unit)
    taken = Shot((0, 0), float(np.exp(rng.normal(0, 0.06))))
    return expose(light, product.camera, taken, product.exposure, rng), footprints


def foreground(plan: PartPlan, shot: int, shape: Shape) -> NDArray[np.bool_]:
    """Return the pixels that the part would cover if it were sound, (H, W).

    Example:
        >>> foreground(plan_part((0, 0, 0), "plate", ("dent",), 0.0), 0, (64, 64)).shape
        (64, 64)
    """
    sound = sound_part(plan.family, shape, unit_of(shape))
    return _turned(sound, _pose(plan, shot, shape), cv2.INTER_LINEAR) < 0


class _Part:
    """The part with its defects, straight and in the middle of the picture."""

    def __init__(self, plan: PartPlan, shape: Shape, size: float) -> None:
        self.plan, self.shape, self.unit, self.size = plan, shape, unit_of(shape), size
        self.product = PRODUCTS[plan.family]
        self.outline = sound_outline(plan.family, shape, self.unit)
        self.sound = sound_part(plan.family, shape, self.unit)
        self.print = sound_print(plan.family, shape, self.unit)
        self.distance, self.wrong_print = self.sound, self.print
        self.clean = self.product.material(
            _stream(plan.key, _MATERIAL, plan.family), shape, self.unit
        )
        self.marks: list[Mark | None] = []
        for number, kind in enumerate(plan.kinds):
            rng = _stream(plan.key, _DEFECTS, plan.family, number)
            self.marks.append(self._damage(rng, kind, plan.strengths[number]))

    def surface(self, contrast: float) -> Surface:
        """Return the part in no light yet, its holes still filled."""
        surface, ink = self.clean, self.print if contrast == 0 else self.wrong_print
        if self.product.stencil is not None:
            surface.albedo += ink * (self.product.ink[:, None, None] - surface.albedo)
            surface.gloss *= 1 - np.float32(0.5) * ink
        for mark, strength in zip(self.marks, self.plan.strengths, strict=True):
            if mark is not None:
                apply_mark(surface, mark, strength * contrast)
        return surface

    def footprints(
        self, pose: NDArray[Any], sound: Field, distance: Field, bevel: float
    ) -> list[tuple[NDArray[np.bool_], int]]:
        """Return the pixels and class of each defect in the picture, seen from its pose."""
        known, found = kinds_of(self.plan.family), []
        for kind, mark in zip(self.plan.kinds, self.marks, strict=True):
            if mark is not None:
                covered = np.zeros(self.shape, np.float32)
                covered[mark.box.slices] = mark.coverage
                share = _turned(covered, pose) * (distance < 0)
            elif kind in _PRINT_KINDS:
                share = np.abs(_turned(self.wrong_print, pose) - _turned(self.print, pose))
            else:
                # The bevel along an edge belongs to it: both of its sides are compared.
                share = np.maximum(
                    np.abs(_inside(sound) - _inside(distance)),
                    np.abs(_inside(sound + bevel) - _inside(distance + bevel)),
                )
            # A defect too small for half of any pixel marks the one that it covers most.
            found.append((share > min(0.5, 0.999 * float(share.max())), known.index(kind) + 1))
        return found

    def _damage(self, rng: Generator, kind: str, strength: float) -> Mark | None:
        """Change the part as a defect of this kind does; return a mark that is still to apply."""
        holes, amount = self.product.holes, strength * self.size
        if kind in ANYWHERE:
            place = Place(self.shape, self._point(rng), self.unit * min(self.size, 4.0) * 0.8)
            return KINDS[kind].draw(rng, self.clean, place)
        if kind in _HOLE_KINDS:
            chosen = int(rng.integers(len(holes)))
            kept = list(holes[:chosen] + holes[chosen + 1 :])
            if kind == "wrong_hole":
                larger = rng.random() < 0.5
                factor = 1 + 0.5 * amount if larger else 1 / (1 + 0.6 * amount)
                kept.append(replace(holes[chosen], radius=holes[chosen].radius * factor))
            self.distance = drill(self.outline, tuple(kept), self.unit)
        elif kind == "broken_edge":
            self.distance = self._chipped(rng, amount)
        elif kind == "missing_print":
            self.wrong_print = np.zeros_like(self.print)
        else:
            self.wrong_print = self._shifted(rng, amount)
        return None

    def _point(self, rng: Generator) -> tuple[float, float]:
        """Return x and y of a place well within the part, in pixels."""
        for _ in range(100):
            y, x = (int(rng.integers(side)) for side in self.shape)
            if self.sound[y, x] < -9 * self.unit:
                break
        return float(x), float(y)

    def _chipped(self, rng: Generator, amount: float) -> Field:
        """Break a piece off the outer edge."""
        middle = np.array([(self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2])
        angle = rng.uniform(0, 2 * math.pi)
        toward = np.array([math.cos(angle), math.sin(angle)])
        # From outside, the first pixel of the part along a ray.
        steps = np.arange(125 * self.unit, 0, -0.5)[:, None]
        ray = np.rint(middle + steps * toward).astype(int)
        within = ((ray >= 0) & (ray < np.array(self.shape[::-1]))).all(axis=1)
        ray = ray[within]
        x, y = ray[int(np.argmax(self.outline[ray[:, 1], ray[:, 0]] < 0))]
        radius = float(rng.uniform(9, 17)) * self.unit * amount
        aspect = float(rng.uniform(0.5, 1.0))
        box, depth = blob(
            rng,
            self.shape,
            (float(x), float(y)),
            (radius, radius * aspect),
            float(rng.uniform(0, math.pi)),
            0.16,
            finest=max(1.0, 1.5 * self.unit),
        )
        distance = self.sound.copy()
        gone = depth * np.float32(max(radius * aspect, 1.0))
        distance[box.slices] = np.maximum(distance[box.slices], gone)
        return distance

    def _shifted(self, rng: Generator, amount: float) -> Field:
        angle = rng.uniform(0, 2 * math.pi)
        far = float(rng.uniform(6, 12)) * self.unit * amount
        degrees = float(rng.choice([-1, 1]) * rng.uniform(4, 14)) * amount
        motion = _motion(self.shape, degrees, far * math.cos(angle), far * math.sin(angle))
        moved = cv2.warpAffine(self.print, motion, self.shape[::-1])
        return moved * _inside(self.sound)


def _lit(
    product: Product,
    looks: NDArray[Any],
    relief: Field,
    highlight_std: float,
    distance: Field,
    lamp: Lamp,
    unit: float,
) -> NDArray[np.float32]:
    """Return the light, (3, H, W), of the part on its ground, with the part's shadow there."""
    shape: Shape = (distance.shape[0], distance.shape[1])
    part, bevel = _inside(distance), product.bevel * unit
    rise = np.clip(distance * np.float32(-1 / bevel), 0, 1)
    rounding = np.float32(0.55 * bevel) * rise * (2 - rise)
    bright, nap = _mat(shape, unit)
    shadow = 1 - part
    bright = bright * shadow
    albedo = np.empty((3, *shape), np.float32)
    for channel, color in enumerate(product.ground):
        np.multiply(looks[..., channel], part, out=albedo[channel])
        albedo[channel] += color * bright
    np.maximum(albedo, np.float32(0.002), out=albedo)
    height = nap + part * (relief - nap) + rounding
    gloss = np.float32(0.012) + part * (looks[..., 3] - np.float32(0.012))
    light = shade(Surface(height, albedo, gloss, highlight_std), lamp)
    shadow *= _shadow(part, lamp, product.thickness * unit)
    light *= 1 - shadow
    return light


@lru_cache(maxsize=4)
def _mat(shape: Shape, unit: float) -> tuple[Field, Field]:
    """Return relative brightness and relief of the mat; it lies below every part."""
    rng = np.random.default_rng(0)
    nap = blurred(white(rng, shape), 0.8 * unit)
    bright = 1 + np.float32(0.16) * nap + np.float32(0.07) * smooth(rng, shape, 45 * unit)
    return bright, np.float32(0.35) * nap


def _shadow(part: Field, lamp: Lamp, reach: float) -> Field:
    """Return how much light the part takes from the ground, 0..1: near its edge, and behind it."""
    shape = part.shape
    # A shadow is soft: half the resolution does.
    size = (part.shape[1] // 2, part.shape[0] // 2)
    part, small = cv2.resize(part, size, interpolation=cv2.INTER_AREA), reach / 2
    away = np.array([[math.cos(lamp.azimuth)], [math.sin(lamp.azimuth)]]) * -small
    cast = cv2.warpAffine(part, np.hstack([np.eye(2), away]), size)
    cast, near = blurred(cast, 0.38 * small), blurred(part, 0.65 * small)
    dark = 1 - (1 - np.float32(0.55) * cast) * (1 - np.float32(0.55) * near)
    return cv2.resize(dark, shape[::-1], interpolation=cv2.INTER_LINEAR)


def _inside(distance: Field) -> Field:
    """Return the share of each pixel that lies inside of the edge."""
    return np.clip(np.float32(0.5) - distance, 0, 1)


def _moved(lamp: Lamp, rng: Generator) -> Lamp:
    """Return the lamp as it is for one shot: the light of a room changes."""
    right, down = rng.normal(0, 0.12, 2).tolist()
    place = (lamp.highlight[0] + right, lamp.highlight[1] + down)
    warmth = float(rng.normal(0, 0.006))
    color = (lamp.color[0] + warmth, lamp.color[1], lamp.color[2] - warmth)
    azimuth = lamp.azimuth + float(rng.normal(0, 0.06))
    return replace(lamp, azimuth=azimuth, highlight=place, color=color)


def _pose(plan: PartPlan, shot: int, shape: Shape) -> NDArray[Any]:
    """Return how a shot turns and shifts the part, a matrix for OpenCV."""
    rng = _stream(plan.key, _SHOT, plan.family, shot, 1)
    turn, right, down = rng.uniform(-1, 1, 3).tolist()
    far = 5 * unit_of(shape)
    return _motion(shape, 3.5 * turn, far * right, far * down)


def _motion(shape: Shape, degrees: float, right: float, down: float) -> NDArray[Any]:
    """Return the matrix that turns a picture around its middle and shifts it, in pixels."""
    matrix = cv2.getRotationMatrix2D(((shape[1] - 1) / 2, (shape[0] - 1) / 2), degrees, 1.0)
    return matrix + np.array([[0, 0, right], [0, 0, down]])


def _turned(field: NDArray[Any], pose: NDArray[Any], how: int = cv2.INTER_CUBIC) -> NDArray[Any]:
    """Return maps of the part as they lie in the picture; texture needs the cubic, slow way."""
    shape = (field.shape[1], field.shape[0])
    return cv2.warpAffine(field, pose, shape, flags=how, borderMode=cv2.BORDER_REPLICATE)


def _stream(key: tuple[int, ...], purpose: int, product: str, *more: int) -> Generator:
    return np.random.default_rng((*key, purpose, list(PRODUCTS).index(product), *more, 1))
