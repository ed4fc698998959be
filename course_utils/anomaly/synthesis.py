"""Simulated anomalies: a good image, a random mask, and something foreign blended into it.

Source: MemSeg (arXiv 2205.00908), anomaly simulation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from course_utils.anomaly.inputs import (
    Image,
    Mask,
    check_image,
    check_mask,
    check_range,
    check_rng,
)
from course_utils.anomaly.masks import perlin_mask
from course_utils.anomaly.structure import structure_source
from course_utils.anomaly.textures import procedural_source

Source = Callable[[Image, np.random.Generator], Image]
"""Takes an image and a generator, returns a picture of the same shape to fill the mask with."""

SOURCES: tuple[Source, ...] = (procedural_source, structure_source)
"""Texture and structure, equally likely, as in the paper; textures are made, not downloaded."""


class Foreground(Protocol):
    """Finds the object in an image: a protocol, since a named tuple is no `Callable` to mypy."""

    def __call__(self, image: Image, /) -> Mask:
        """Return the mask of the object in `image`, uint8 or bool, (H, W)."""


class SimulatedAnomaly(NamedTuple):
    """An image with a simulated anomaly, and what was drawn for it."""

    image: Image
    """uint8, of the good image's shape."""
    mask: Mask
    """uint8, (H, W): 1 where the source was blended in, however little it can be seen."""
    source: int
    """Which of the sources was drawn."""
    source_image: Image
    """What the mask was filled with."""
    opacity: float
    """Share of the source under the mask, in 0..1."""


@dataclass(frozen=True)
class AnomalySynthesizer:
    """Blends a random picture into a good image under a random mask.

    Args:
        sources: makers of the picture; one of them is drawn, all equally likely.
        foreground: makes the foreground mask of an image, such as `foreground_mask` or one of
            `MVTEC_FOREGROUNDS`; None for textures, where an anomaly may lie anywhere.
        opacity: range of the share of the source, drawn evenly.
        area: range of the mask's share of the image; masks outside of it are drawn again.

    Raises:
        ValueError: in a call: for unusable arguments and settings, for a source that returns
            another shape, for no mask of the wanted area, and as `foreground` does.

    Example:
        >>> from course_utils.anomaly import foreground_mask
        >>> synthesizer = AnomalySynthesizer(foreground=foreground_mask)
        >>> image = np.full((64, 64), 250, np.uint8)
        >>> image[8:56, 8:56] = 40
        >>> anomaly = synthesizer(image, np.random.default_rng(0))
        >>> bool((anomaly.image == image)[anomaly.mask == 0].all())
        True
        >>> bool(anomaly.mask[:8].any())
        False
    """

    sources: Sequence[Source] = SOURCES
    foreground: Foreground | None = None
    opacity: tuple[float, float] = (0.15, 1.0)
    area: tuple[float, float] = (0.001, 1.0)

    def __call__(self, image: Image, rng: np.random.Generator) -> SimulatedAnomaly:
        """Return `image`, uint8, (H, W, 3) in RGB order or (H, W) gray, with an anomaly in it.

        The image given stays as it is. All random numbers come from `rng`: equal generators give
        equal anomalies.
        """
        check_image(image)
        check_rng(rng)
        check_range(self.opacity, "opacity")
        if not self.sources:
            raise ValueError("sources must hold at least one source, got none")
        foreground = None if self.foreground is None else self.foreground(image)
        shape = (image.shape[0], image.shape[1])
        mask = perlin_mask(shape, rng, foreground=foreground, area=self.area)
        source = int(rng.integers(len(self.sources)))
        source_image = self.sources[source](image, rng)
        share = float(rng.uniform(*self.opacity))
        mixture = blend(image, source_image, mask, share)
        return SimulatedAnomaly(mixture, mask, source, source_image, share)


def blend(image: Image, source_image: Image, mask: Mask, opacity: float) -> Image:
    """Return (1 - M) I + d M I_n + (1 - d) M I, rounded to uint8.

    Args:
        image: I, uint8, (H, W, 3) or (H, W).
        source_image: I_n, of the same shape.
        mask: M, 0 and 1, (H, W).
        opacity: d, the share of the source under the mask, in 0..1.

    Raises:
        ValueError: for other shapes, values and opacities.

    Example:
        >>> image, source = np.array([[100, 100]], np.uint8), np.array([[200, 200]], np.uint8)
        >>> blend(image, source, np.array([[0, 1]], np.uint8), 0.3)
        array([[100, 130]], dtype=uint8)
    """
    check_image(image)
    check_image(source_image, "source_image")
    if source_image.shape != image.shape:
        raise ValueError(
            f"source_image must have the image's shape {image.shape}, got {source_image.shape}"
        )
    mask = check_mask(mask, image.shape[:2])
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must lie in 0..1, got {opacity}")
    mixture = cv2.addWeighted(source_image, opacity, image, 1 - opacity, 0)
    result = image.copy()
    cv2.copyTo(mixture, mask, result)
    return result
