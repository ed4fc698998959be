"""The synthetic products: what shape each part has, what is printed on it, what it is made of.

Lengths are in units of 1/256 of the picture's side, and the middle of the part is (0, 0).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator

from course_utils.data.synthetic.fields import Field, Shape, blurred, smooth, smoothstep, white
from course_utils.data.synthetic.material import Color, Surface, srgb, tone
from course_utils.data.synthetic.rendering import Camera, Lamp


@dataclass(frozen=True)
class Hole:
    """A drilled hole."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Product:
    """One kind of part, the ground on which it lies, and the light and camera above it."""

    outline: Callable[[Field, Field], Field]
    """From x and y to the distance from the edge, below 0 inside of the part, without `holes`."""
    holes: tuple[Hole, ...]
    """The holes that may be missing or of the wrong size."""
    bevel: float
    """Width of the slope along all edges."""
    thickness: float
    """How far the part's shadow falls."""
    material: Callable[[Generator, Shape, float], Surface]
    """From the height and width to fill, and the pixels of a unit."""
    stencil: Callable[[np.ndarray, float], None] | None
    """Draws the print in 255 on a zeroed uint8 picture, given the pixels of a unit."""
    ink: Color
    ground: Color
    lamp: Lamp
    camera: Camera
    exposure: float
    """Factor on the light."""


def coordinates(shape: Shape, unit: float) -> tuple[Field, Field]:
    """Return x as a row and y as a column, in units from the middle of the picture.

    Example:
        >>> coordinates((2, 3), 1.0)[0].tolist()
        [[-1.0, 0.0, 1.0]]
    """
    x = (np.arange(shape[1], dtype=np.float32) - np.float32((shape[1] - 1) / 2)) / unit
    y = (np.arange(shape[0], dtype=np.float32) - np.float32((shape[0] - 1) / 2)) / unit
    return x[None, :].astype(np.float32), y[:, None].astype(np.float32)


@lru_cache(maxsize=12)
def sound_outline(product: str, shape: Shape, unit: float) -> Field:
    """Return the distance from the part's edge in pixels, float32 (H, W), without its holes.

    The array is shared: do not change it.
    """
    x, y = coordinates(shape, unit)
    return np.ascontiguousarray(PRODUCTS[product].outline(x, y) * np.float32(unit))


@lru_cache(maxsize=12)
def sound_part(product: str, shape: Shape, unit: float) -> Field:
    """Return the distance from the edge of the part with all its holes. Do not change it."""
    return drill(sound_outline(product, shape, unit), PRODUCTS[product].holes, unit)


def drill(distance: Field, holes: tuple[Hole, ...], unit: float) -> Field:
    """Return the distance from the edge, in pixels, of a part that also has `holes`."""
    x, y = coordinates((distance.shape[0], distance.shape[1]), unit)
    for hole in holes:
        inside = np.float32(hole.radius) - np.hypot(x - np.float32(hole.x), y - np.float32(hole.y))
        distance = np.maximum(distance, inside * np.float32(unit))
    return distance


@lru_cache(maxsize=12)
def sound_print(product: str, shape: Shape, unit: float) -> Field:
    """Return the share of each pixel that is printed, float32 (H, W). Do not change it."""
    fine = 4
    canvas = np.zeros((shape[0] * fine, shape[1] * fine), np.uint8)
    stencil = PRODUCTS[product].stencil
    if stencil is not None:
        stencil(canvas, unit * fine)
    covered = cv2.resize(canvas, shape[::-1], interpolation=cv2.INTER_AREA)
    return covered.astype(np.float32) * np.float32(1 / 255)


def _rounded(x: Field, y: Field, half_width: float, half_height: float, radius: float) -> Field:
    """Return the distance from a rectangle with round corners."""
    across = np.abs(x) - np.float32(half_width - radius)
    down = np.abs(y) - np.float32(half_height - radius)
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
    inside = np.minimum(np.maximum(across, down), 0)
    return (outside + inside - np.float32(radius)).astype(np.float32)


def _plate_outline(x: Field, y: Field) -> Field:
    slot = _rounded(x + 42, y, 9, 26, 9)
    bore = np.hypot(x - 30, y) - np.float32(30)
    return np.maximum(_rounded(x, y, 100, 72, 15), np.maximum(-bore, -slot))


def _washer_outline(x: Field, y: Field) -> Field:
    radius = np.hypot(x, y)
    keyway = _rounded(x, y + 46, 9, 12, 2.5)
    bore = np.minimum(radius - 42, keyway)
    return np.maximum(radius - np.float32(98), -bore)


def _cap_outline(x: Field, y: Field) -> Field:
    radius = np.hypot(x, y)
    ridges = 1.1 * np.cos(np.float32(_RIDGES) * np.arctan2(y, x))
    return (radius - np.float32(94) - ridges).astype(np.float32)


_RIDGES = 60


def _brushed(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return steel brushed along the plate."""
    fine = max(1.0, 0.8 * unit)
    streaks = np.float32(0.6) * smooth(rng, shape, (fine, 18 * unit))
    streaks += np.float32(0.75) * smooth(rng, shape, (fine, 90 * unit))
    streaks += np.float32(0.4) * smooth(rng, shape, (3 * unit, 300 * unit))
    bright = 1 + np.float32(0.085) * streaks
    return Surface(
        relief=streaks * np.float32(0.09),
        albedo=tone(srgb("#8b8f94"), bright),
        gloss=0.42 + np.float32(0.06) * streaks,
        highlight_std=0.26,
        roughness=2.4,
        grain=0.0,
    )


def _turned(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return steel from the lathe: fine rings, and the bright fans that they throw."""
    radius, fan = _rings(shape, unit)
    count = int(radius.max()) + 3
    wide = np.repeat(white(rng, (1, count // 3 + 1))[0], 3)[:count]
    coarse = blurred(white(rng, (1, count)), 5 * unit)[0]
    profile = 0.6 * white(rng, (1, count))[0] + wide + 2.5 * coarse
    rings = np.interp(radius, np.arange(count), profile).astype(np.float32)
    mottle = smooth(rng, shape, 60 * unit)
    bright = 1 + np.float32(0.05) * rings + np.float32(0.025) * mottle
    bright *= np.float32(0.46) + np.float32(0.75) * fan
    return Surface(
        relief=rings * np.float32(0.05),
        albedo=tone(srgb("#94928f"), bright),
        gloss=(0.06 + np.float32(0.5) * fan) * (1 + np.float32(0.12) * rings),
        highlight_std=0.42,
        roughness=2.4,
    )


@lru_cache(maxsize=4)
def _rings(shape: Shape, unit: float) -> tuple[Field, Field]:
    """Return the distance from the middle in pixels, and the fans of light on fine rings."""
    x, y = coordinates(shape, unit)
    angle = np.arctan2(y, x) - np.float32(PRODUCTS["washer"].lamp.azimuth)
    fan = np.abs(np.cos(angle)) ** 5 + 0.35 * np.abs(np.sin(angle)) ** 9
    return (np.hypot(x, y) * np.float32(unit)).astype(np.float32), fan.astype(np.float32)


def _moulded(rng: Generator, shape: Shape, unit: float) -> Surface:
    """Return plastic from a mould: even color, a ridged rim, a ring around the print."""
    clouds = smooth(rng, shape, 50 * unit)
    skin = smooth(rng, shape, max(1.0, 2.2 * unit))
    bright = 1 + np.float32(0.015) * clouds + np.float32(0.012) * skin
    return Surface(
        relief=_cap_relief(shape, unit) + np.float32(0.022 * unit) * skin,
        albedo=tone(srgb("#1d7f86"), bright),
        gloss=np.full(shape, 0.30, np.float32),
        highlight_std=0.16,
    )


@lru_cache(maxsize=4)
def _cap_relief(shape: Shape, unit: float) -> Field:
    x, y = coordinates(shape, unit)
    radius = np.hypot(x, y)
    rim = smoothstep(radius, 84, 88)
    ridges = np.cos(np.float32(_RIDGES) * np.arctan2(y, x))
    # The top is a shallow bowl inside a raised ring; the rim falls off outside of it.
    height = 5.0 + 1.1 * rim * ridges - 4.0 * smoothstep(radius, 80, 94)
    height += 1.8 * np.exp(-(((radius - 74) / 3.5) ** 2)) + 2.0 * (radius / 74) ** 2 * (1 - rim)
    return (height * np.float32(unit)).astype(np.float32)


def _plate_print(canvas: np.ndarray, unit: float) -> None:
    """Draw the number of the part and a field of dots, as a laser marks them."""
    _text(canvas, unit, "NW-4071", (-34, 60), 0.42, 1.5)
    cells = np.random.default_rng(4071).random((9, 9)) < 0.5
    cells[:, 0] = cells[-1] = True
    for row, column in np.argwhere(cells):
        corner = (-62 + 2.1 * column, 43 + 2.1 * row)
        _polygon(
            canvas,
            unit,
            [
                corner,
                (corner[0] + 2.1, corner[1]),
                (corner[0] + 2.1, corner[1] + 2.1),
                (corner[0], corner[1] + 2.1),
            ],
        )


def _cap_print(canvas: np.ndarray, unit: float) -> None:
    """Draw two arrows that turn around a drop."""
    for start in (200, 20):
        angles = np.radians(np.linspace(start, start + 116, 40))
        outer = [(50 * math.cos(a), 50 * math.sin(a)) for a in angles]
        inner = [(42 * math.cos(a), 42 * math.sin(a)) for a in angles[::-1]]
        _polygon(canvas, unit, outer + inner)
        tip = math.radians(start + 138)
        end = angles[-1]
        _polygon(
            canvas,
            unit,
            [
                (57 * math.cos(end), 57 * math.sin(end)),
                (46 * math.cos(tip), 46 * math.sin(tip)),
                (35 * math.cos(end), 35 * math.sin(end)),
            ],
        )
    turn = np.linspace(0, 2 * math.pi, 60)
    drop = [(14 * math.sin(t) * math.sin(t / 2) ** 1.5, -2 - 25 * math.cos(t)) for t in turn]
    _polygon(canvas, unit, drop)


def _polygon(canvas: np.ndarray, unit: float, corners: list[tuple[float, float]]) -> None:
    middle = (np.array(canvas.shape[::-1]) - 1) / 2
    points = np.round((np.array(corners) * unit + middle) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [points], 255, cv2.LINE_8, 4)


def _text(
    canvas: np.ndarray,
    unit: float,
    text: str,
    at: tuple[float, float],
    scale: float,
    thickness: float,
) -> None:
    x, y = (
        round(a * unit + (side - 1) / 2) for a, side in zip(at, canvas.shape[::-1], strict=True)
    )
    cv2.putText(
        canvas,
        text,
        (x, y),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale * unit,
        255,
        max(1, round(thickness * unit)),
        cv2.LINE_8,
    )


def _lamp(azimuth: float, place: tuple[float, float], **other: float) -> Lamp:
    fall = 0.16
    settings = {"grazing": 0.95, "ambient": 0.42, "curvature": 0.26, "tube": 0.7} | other
    return Lamp(
        azimuth=azimuth,
        highlight=place,
        color=(1.01, 1.0, 0.985),
        falloff=(fall * math.cos(azimuth), fall * math.sin(azimuth), -0.05),
        **settings,
    )


_CAMERA = Camera(exposure=0.35, blur=0.45, vignette=0.22, noise=0.006, tint=(1.0, 1.0, 1.0))
_UPPER_LEFT = math.radians(-128)

PRODUCTS: dict[str, Product] = {
    "plate": Product(
        outline=_plate_outline,
        holes=tuple(Hole(x, y, 8.5) for x in (-82, 82) for y in (-54, 54)),
        bevel=2.6,
        thickness=8.0,
        material=_brushed,
        stencil=_plate_print,
        ink=srgb("#38383c"),
        ground=srgb("#33434f"),
        lamp=_lamp(_UPPER_LEFT, (-0.35, -0.45), curvature=0.42),
        camera=_CAMERA,
        exposure=0.75,
    ),
    "washer": Product(
        outline=_washer_outline,
        holes=tuple(
            Hole(70 * math.cos(a), 70 * math.sin(a), 8.0)
            for a in (math.radians(30 + 60 * n) for n in range(6))
        ),
        bevel=3.0,
        thickness=7.0,
        material=_turned,
        stencil=None,
        ink=srgb("#000000"),
        ground=srgb("#5d4a3a"),
        lamp=_lamp(_UPPER_LEFT, (-0.2, -0.25), curvature=0.2),
        camera=_CAMERA,
        exposure=0.75,
    ),
    "cap": Product(
        outline=_cap_outline,
        holes=(),
        bevel=5.0,
        thickness=12.0,
        material=_moulded,
        stencil=_cap_print,
        ink=srgb("#eceae2"),
        ground=srgb("#b9b2a6"),
        lamp=_lamp(_UPPER_LEFT, (-0.4, -0.45), ambient=0.5),
        camera=_CAMERA,
        exposure=0.75,
    ),
}
"""By name; a random stream knows a product by its place, so new ones go to the end."""
