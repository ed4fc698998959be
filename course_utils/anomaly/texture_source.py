"""Texture anomalies: what fills the mask is another picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import cv2
import numpy as np

from course_utils.anomaly.inputs import Image, check_image, check_rng

_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


class TextureSource:
    """A random picture out of `textures`, stretched to the size of the image it is for.

    Args:
        textures: any sequence of pictures, uint8, (H, W, 3) in RGB order or (H, W) gray, such as
            a `TextureFolder` or a list.

    A call takes the image and a generator, and returns a picture of the image's size and
    channels. It raises `ValueError` for an unusable image, texture or generator.

    Source: MemSeg (arXiv 2205.00908), anomaly simulation, step 2, with DTD as textures.

    Raises:
        ValueError: if there are no textures.

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

    For DTD (Cimpoi et al., CVPR 2014) it is the folder that holds `images/<class>/*.jpg`, or any
    one in it. Pictures are sorted by their path in the folder, so that equal folders give equal
    pictures on every system. Each one is uint8, (H, W, 3), RGB.

    Raises:
        ValueError: if there is no picture, and, when it is read, for a damaged one.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        found = [path for path in self.folder.rglob("*") if path.suffix.lower() in _SUFFIXES]
        self.paths = sorted(found, key=lambda path: path.relative_to(self.folder).parts)
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
