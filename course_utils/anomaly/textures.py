"""Texture anomalies: what fills the mask is foreign matter, from a folder or made from noise.

Source: MemSeg (arXiv 2205.00908), anomaly simulation, step 2, with the pictures of DTD (Cimpoi et
al., CVPR 2014). Noise needs no download.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from course_utils.anomaly.inputs import Image, Shape, check_image, check_rng, check_shape
from course_utils.anomaly.perlin import perlin_noise
from course_utils.io import is_junk

Field = NDArray[Any]

_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


class TextureSource:
    """A random picture out of `textures`, stretched to the size of the image it is for.

    Args:
        textures: any sequence of pictures, uint8, (H, W, 3) in RGB order or (H, W) gray, such as
            a `TextureFolder` or a list.

    Raises:
        ValueError: if there are no textures; in a call, for an unusable image, texture or
            generator.

    Example:
        >>> source = TextureSource([np.full((20, 30, 3), 7, np.uint8)])
        >>> source(np.zeros((4, 5), np.uint8), np.random.default_rng(0))[0]
        array([7, 7, 7, 7, 7], dtype=uint8)
    """

    def __init__(self, textures: Sequence[Image]) -> None:
        if len(textures) == 0:
            raise ValueError("textures must hold at least one picture, got none")
        self.textures = textures

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        """Return a texture of the size and the channels of `image`."""
        check_image(image)
        check_rng(rng)
        texture = self.textures[int(rng.integers(len(self.textures)))]
        check_image(texture, "texture")
        if texture.ndim == 3 and image.ndim == 2:
            texture = cv2.cvtColor(texture, cv2.COLOR_RGB2GRAY)
        elif texture.ndim == 2 and image.ndim == 3:
            texture = cv2.cvtColor(texture, cv2.COLOR_GRAY2RGB)
        return _stretched(texture, image.shape[0], image.shape[1])


class TextureFolder(Sequence[Image]):
    """All pictures in `folder` and the folders in it, read from disk when they are asked for.

    For DTD it is the folder that holds `images/<class>/*.jpg`, or any one in it. Pictures are
    sorted by their path in the folder, so that equal folders give equal pictures on every system.
    Each one is uint8, (H, W, 3), RGB.

    Raises:
        ValueError: if there is no picture, and, when it is read, for a damaged one.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        found = [path for path in self.folder.rglob("*") if path.suffix.lower() in _SUFFIXES]
        parts = {path: path.relative_to(self.folder).parts for path in found}
        self.paths = sorted(
            (p for p in found if not any(map(is_junk, parts[p]))), key=parts.__getitem__
        )
        if not self.paths:
            raise ValueError(
                f"{self.folder} holds no pictures ({', '.join(_SUFFIXES)}): give the folder that "
                "the textures were unpacked to, or use procedural_source, which needs none"
            )

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Image: ...

    @overload
    def __getitem__(self, index: slice) -> list[Image]: ...

    def __getitem__(self, index: int | slice) -> Image | list[Image]:
        if isinstance(index, slice):
            return [_read(path) for path in self.paths[index]]
        return _read(self.paths[index])


def _read(path: Path) -> Image:
    # cv2.imread cannot open names outside the system's code page on Windows.
    data = np.fromfile(path, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        raise ValueError(f"{path} cannot be read as a picture: it is damaged or none")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _stretched(texture: Image, height: int, width: int) -> Image:
    """Shrinking averages; a plain linear interpolation would leave pixels out."""
    if texture.shape[:2] == (height, width):
        return texture.copy()
    smaller = height <= texture.shape[0] and width <= texture.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(texture, (width, height), interpolation=how)


def procedural_source(image: Image, rng: np.random.Generator) -> Image:
    """Return a made texture of the size and the channels of `image`: one of the sources.

    Raises:
        ValueError: for an unusable image or generator.
    """
    check_image(image)
    texture = procedural_texture(image.shape[:2], rng)
    return texture if image.ndim == 3 else cv2.cvtColor(texture, cv2.COLOR_RGB2GRAY)


def procedural_texture(
    shape: Shape, rng: np.random.Generator, *, pattern: str | None = None
) -> Image:
    """Return a texture of `shape` (H, W) in random colors: uint8, (H, W, 3).

    Args:
        shape: rows and columns.
        rng: where all random numbers come from.
        pattern: one of `PATTERNS`; None draws one.

    Raises:
        ValueError: for an unknown pattern, shape or generator that cannot be used.

    Example:
        >>> texture = procedural_texture((32, 40), np.random.default_rng(0), pattern="veins")
        >>> texture.shape, texture.dtype
        ((32, 40, 3), dtype('uint8'))
    """
    check_rng(rng)
    shape = check_shape(shape)
    if pattern is None:
        pattern = PATTERNS[rng.integers(len(PATTERNS))]
    if pattern not in PATTERNS:
        raise ValueError(f"pattern {pattern!r} is unknown: choose from {', '.join(PATTERNS)}")
    field = _PATTERNS[pattern](shape, rng)
    levels = np.clip(field * 255, 0, 255).astype(np.uint8)
    return cv2.applyColorMap(levels, _palette(rng))


def _palette(rng: np.random.Generator) -> Image:
    """256 colors, (256, 1, 3), from one color by way of another to a third.

    The three are of about one hue and mostly pale, as in photographs of materials; full random
    colors would make anomalies that are found by their color alone.
    """
    hue = rng.uniform(0, 180) + rng.normal(0, 12, 3)
    saturation = 255 * rng.uniform(0, 0.8) * rng.uniform(0.4, 1, 3)
    value = rng.uniform(20, 255, 3)
    hsv = np.stack([hue % 180, saturation, value], axis=-1).astype(np.uint8)
    stops = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]
    middle = int(rng.integers(64, 192))
    levels = np.arange(256)
    channels = [np.interp(levels, [0, middle, 255], stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)[:, None]


def _noise(shape: Shape, rng: np.random.Generator, cell: float) -> Field:
    """Noise whose bumps are about `cell` pixels wide, between about -1 and 1."""
    height, width = (max(1, min(side, round(side / cell))) for side in shape)
    return perlin_noise(shape, (height, width), rng)


def _waves(shape: Shape, rng: np.random.Generator) -> Field:
    """The way across parallel lines in a random direction, in periods, somewhat bent."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(5, 30)
    rows = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(np.sin(angle) / period)
    columns = np.arange(shape[1], dtype=np.float32) * np.float32(np.cos(angle) / period)
    return rows + columns + np.float32(rng.uniform(0, 1.5)) * _noise(shape, rng, 64)


def _clouds(shape: Shape, rng: np.random.Generator) -> Field:
    coarse = rng.uniform(24, 64)
    field = sum(0.55**step * _noise(shape, rng, coarse / 2**step) for step in range(3))
    return np.float32(0.5) + np.float32(0.6) * np.asarray(field)


def _stripes(shape: Shape, rng: np.random.Generator) -> Field:
    waves = np.sin(np.float32(2 * np.pi) * _waves(shape, rng))
    return np.float32(0.5) + np.float32(0.5 * rng.uniform(1, 4)) * waves


def _weave(shape: Shape, rng: np.random.Generator) -> Field:
    one, other = (np.sin(np.float32(2 * np.pi) * _waves(shape, rng)) for _ in range(2))
    return np.float32(0.5) + np.float32(0.5) * one * other


def _veins(shape: Shape, rng: np.random.Generator) -> Field:
    """Thin lines where the noise goes through zero, as in marble or in cracked paint."""
    return np.float32(rng.uniform(2, 6)) * np.abs(_noise(shape, rng, rng.uniform(16, 64)))


def _speckles(shape: Shape, rng: np.random.Generator) -> Field:
    """Round grains on a ground, some of them grown together."""
    noise = _noise(shape, rng, rng.uniform(6, 20))
    return np.float32(rng.uniform(3, 6)) * (noise - np.float32(rng.uniform(0, 0.2)))


def _grain(shape: Shape, rng: np.random.Generator) -> Field:
    share = np.float32(rng.uniform(0.2, 0.7))
    return share * rng.random(shape, np.float32) + (1 - share) * _clouds(shape, rng)


_PATTERNS: dict[str, Callable[[Shape, np.random.Generator], Field]] = {
    "clouds": _clouds,
    "stripes": _stripes,
    "weave": _weave,
    "veins": _veins,
    "speckles": _speckles,
    "grain": _grain,
}

PATTERNS: tuple[str, ...] = tuple(_PATTERNS)
"""Names of the patterns of `procedural_texture`."""
