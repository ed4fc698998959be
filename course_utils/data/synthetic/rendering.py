"""A photograph of a surface: the light of one lamp on it, and the camera that catches it."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from course_utils.data.synthetic.fields import Field, Shape, white
from course_utils.data.synthetic.material import Surface


@dataclass(frozen=True)
class Lamp:
    """Where the light comes from; it stays the same for all shots of one surface."""

    azimuth: float
    """Direction of the lamp in the picture, radians."""
    grazing: float
    """Tangent of the angle from the vertical: the larger, the stronger the relief shows."""
    ambient: float
    """Share of the light that comes from everywhere, 0..1."""
    highlight: tuple[float, float]
    """Place of the highlight, relative to the picture's half sides: (0, 0) is the center."""
    curvature: float
    """How fast the mirror direction changes across the picture: large gives a small highlight."""
    tube: float
    """1: a round lamp; below 1: a tube, whose highlight is long in one direction."""
    color: tuple[float, float, float]
    """Tint of the lamp, about 1 for each channel."""
    falloff: tuple[float, float, float]
    """Light that falls off across the picture (x, y), and a bend."""


def draw_lamp(rng: Generator) -> Lamp:
    """Return a lamp such as a careless photographer would set up."""
    warmth = float(rng.normal(0, 0.02))
    green = float(rng.normal(0, 0.01))
    side = float(rng.uniform(0, 2 * math.pi))
    fall = float(rng.uniform(0.10, 0.42))
    return Lamp(
        azimuth=side,
        grazing=float(rng.uniform(0.7, 1.5)),
        ambient=float(rng.uniform(0.25, 0.5)),
        highlight=(
            0.9 * math.cos(side) + float(rng.normal(0, 0.5)),
            0.9 * math.sin(side) + float(rng.normal(0, 0.5)),
        ),
        curvature=float(rng.uniform(0.15, 0.34)),
        tube=float(rng.choice([1.0, 0.7, 0.35])),
        color=(1 + warmth, 1 + green, 1 - 1.4 * warmth),
        falloff=(fall * math.cos(side), fall * math.sin(side), float(rng.uniform(-0.10, 0.06))),
    )


def shade(surface: Surface, lamp: Lamp) -> NDArray[np.float32]:
    """Return the linear light, float32 (3, H, W), that comes back from `surface`.

    Diffuse light follows the slope towards the lamp. The highlight sits where the slope mirrors
    the lamp into the lens, a Gaussian in slope as in the Beckmann micro-facet model.

    Example:
        >>> flat = Surface(np.zeros((8, 8), np.float32), np.full((3, 8, 8), .5, np.float32),
        ...                np.zeros((8, 8), np.float32), highlight_std=.3)
        >>> shade(flat, draw_lamp(np.random.default_rng(0))).shape
        (3, 8, 8)
    """
    slope_x = cv2.Sobel(surface.relief, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(surface.relief, cv2.CV_32F, 0, 1, scale=1 / 8)
    toward_x, toward_y = math.cos(lamp.azimuth), math.sin(lamp.azimuth)
    toward = slope_x * np.float32(toward_x) + slope_y * np.float32(toward_y)
    # A slope that rises away from the lamp faces it.
    diffuse = 1 - np.float32(lamp.grazing * (1 - lamp.ambient)) * toward
    np.maximum(diffuse, np.float32(0.35 * lamp.ambient), out=diffuse)
    field = _light_field(surface.relief.shape, lamp)
    diffuse *= field
    mirror = surface.gloss * _highlight(slope_x, slope_y, surface.highlight_std, lamp)
    mirror *= field
    color = np.array(lamp.color, np.float32)[:, None, None]
    return (surface.albedo * diffuse + mirror) * color


def _light_field(shape: Shape, lamp: Lamp) -> Field:
    """Return the brightness of the light across the picture, float32 (H, W), about 1."""
    x, y = _centered(shape)
    across, down, bend = lamp.falloff
    return 1 + np.float32(across) * x + np.float32(down) * y + np.float32(bend) * (x * x + y * y)


def _highlight(slope_x: Field, slope_y: Field, std: float, lamp: Lamp) -> Field:
    x, y = _centered(slope_x.shape)
    across = slope_x + np.float32(lamp.curvature) * (x - np.float32(lamp.highlight[0]))
    down = slope_y + np.float32(lamp.curvature) * (y - np.float32(lamp.highlight[1]))
    cosine, sine = math.cos(lamp.azimuth), math.sin(lamp.azimuth)
    along = across * np.float32(cosine) + down * np.float32(sine)
    beside = (down * np.float32(cosine) - across * np.float32(sine)) * np.float32(lamp.tube)
    return cv2.exp((along * along + beside * beside) * np.float32(-0.5 / std**2))


def _centered(shape: Shape) -> tuple[Field, Field]:
    """Return coordinates from -1 to 1 over the longer side, as a row and a column."""
    half = np.float32(max(shape) / 2)
    x = (np.arange(shape[1], dtype=np.float32) - np.float32((shape[1] - 1) / 2)) / half
    y = (np.arange(shape[0], dtype=np.float32) - np.float32((shape[0] - 1) / 2)) / half
    return x[None, :], y[:, None]


@dataclass(frozen=True)
class Camera:
    """The settings that stay the same for all shots of one surface."""

    exposure: float
    """Linear light to which a middling surface is exposed, 0..1."""
    blur: float
    """Blur of the lens, Gaussian sigma in pixels."""
    vignette: float
    """Share of light lost in the far corners, 0..1."""
    noise: float
    """Standard deviation of the luminance noise in the finished picture."""
    tint: tuple[float, float, float]
    """White balance that is a little off, about 1 for each channel."""


@dataclass(frozen=True)
class Shot:
    """What differs between two shots of one surface."""

    shift: tuple[int, int]
    """How far the surface moved, in pixels: (down, right)."""
    exposure: float
    """Factor on the light."""


def draw_camera(rng: Generator, unit: float) -> Camera:
    """Return a camera; `unit` is the length in pixels of 1/256 of the picture's side."""
    return Camera(
        exposure=float(rng.uniform(0.29, 0.40)),
        blur=float(rng.uniform(0.32, 0.6)) * max(0.6, unit) ** 0.5,
        vignette=float(rng.uniform(0.12, 0.45)),
        noise=float(np.exp(rng.uniform(np.log(0.005), np.log(0.015)))),
        tint=tuple((1 + rng.normal(0, 0.008, 3)).tolist()),
    )


def expose(
    light: NDArray[np.float32], camera: Camera, shot: Shot, gain: float, rng: Generator
) -> NDArray[np.float32]:
    """Return the finished picture, float32 (3, H, W) in 0..1, of linear `light`, (3, H, W).

    Shot noise grows with the square root of the light, and the picture's tone curve is close to
    a square root: after it the noise is even, so it is added there. Values are rounded to
    256 steps, as in any image file.

    Example:
        >>> camera = draw_camera(np.random.default_rng(0), 1.0)
        >>> light = np.full((3, 8, 8), .25, np.float32)
        >>> expose(light, camera, Shot((0, 0), 1.0), 1.0, np.random.default_rng(1)).shape
        (3, 8, 8)
    """
    shape = light.shape[1:]
    field = _vignette(shape, camera.vignette) * np.float32(gain * shot.exposure)
    picture = np.empty_like(light)
    noise = _sensor_noise(rng, shape, camera.noise)
    for channel, (source, tint) in enumerate(zip(light, camera.tint, strict=True)):
        seen = cv2.GaussianBlur(source * (field * np.float32(tint)), (0, 0), camera.blur)
        seen = _tone_curve(seen)
        seen += noise[channel]
        picture[channel] = seen
    np.clip(picture, 0, 1, out=picture)
    return np.rint(picture * np.float32(255)) * np.float32(1 / 255)


def _tone_curve(light: Field) -> Field:
    """Square root for the eye, then the S-curve by which cameras add contrast."""
    root = np.sqrt(np.maximum(light, 0))
    np.minimum(root, 1, out=root)
    return root * (1 + np.float32(0.75) * (1 - root) * (2 * root - 1))


def _sensor_noise(rng: Generator, shape: Shape, std: float) -> list[Field]:
    luminance = white(rng, shape)
    # Color is interpolated from every second pixel, so its noise comes in small blotches.
    luminance = np.float32(0.6 * std) * luminance
    luminance += cv2.GaussianBlur(luminance, (3, 3), 0.8)
    half = (shape[0] // 2 + 1, shape[1] // 2 + 1)
    red, blue = (
        cv2.resize(white(rng, half), shape[::-1], interpolation=cv2.INTER_LINEAR) for _ in range(2)
    )
    amount = np.float32(0.55 * std)
    green = (red + blue) * np.float32(-1 / 3)
    return [luminance + amount * tint for tint in (red, green, blue)]


def _vignette(shape: Shape, amount: float) -> Field:
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] ** 2
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :] ** 2
    return 1 - np.float32(amount / 2) * (x + y)
