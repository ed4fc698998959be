"""The camera: exposure, a lens that vignettes and blurs a little, a sensor that is noisy."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from course_utils.data.synthetic.fields import Field, Shape, white


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
    """Return a camera; `unit` is the length in pixels of 1/256 of the picture's side.

    Example:
        >>> draw_camera(np.random.default_rng(0), 1.0).noise > 0
        True
    """
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


def _sensor_noise(rng: Generator, shape: Shape, spread: float) -> list[Field]:
    luminance = white(rng, shape)
    # Color is interpolated from every second pixel, so its noise comes in small blotches.
    luminance = np.float32(0.6 * spread) * luminance
    luminance += cv2.GaussianBlur(luminance, (3, 3), 0.8)
    half = (shape[0] // 2 + 1, shape[1] // 2 + 1)
    red, blue = (
        cv2.resize(white(rng, half), shape[::-1], interpolation=cv2.INTER_LINEAR) for _ in range(2)
    )
    amount = np.float32(0.55 * spread)
    green = (red + blue) * np.float32(-1 / 3)
    return [luminance + amount * tint for tint in (red, green, blue)]


def _vignette(shape: Shape, amount: float) -> Field:
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] ** 2
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :] ** 2
    return 1 - np.float32(amount / 2) * (x + y)
