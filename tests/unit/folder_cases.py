"""Folders of own images as people's cameras, tools and habits make them, in small."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from course_utils.data import open_dataset

HEIGHT, WIDTH = 24, 32
Write = Callable[[np.ndarray, Path], None]


def surface(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return an image, uint8 (height, width), that looks like no other."""
    coarse = np.random.default_rng(seed).integers(60, 200, (6, 8), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def mark(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a mask, uint8 (height, width), of 0 and 1, that fits no turned image."""
    mask = np.zeros((height, width), np.uint8)
    mask[2 + seed % 3 : 8, 3 + seed % 5 : 12] = 1
    return mask


def save(pixels: np.ndarray, path: Path, orientation: int = 1, **options: Any) -> None:
    """Write a file in the format of its ending, with an EXIF orientation if that is not 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    if orientation != 1:
        options["exif"] = picture.getexif()
        options["exif"][0x0112] = orientation
    if path.suffix.lower() == ".jpg":
        options["quality"] = 95
    picture.save(path, **options)


def write_case(
    folder: Path,
    *,
    count: int = 6,
    good: int = 3,
    write_mask: Write = lambda mask, path: save(mask * np.uint8(255), path),
    mask_name: str = "{}.png",
    image_name: str = "{}.png",
    orientation: int = 1,
) -> Path:
    """Write `count` defective images with masks, and `good` ones; each defect is dark."""
    for number in range(count):
        image, mask = surface(number), mark(number)
        image[mask > 0] = 10
        save(image, folder / "images" / image_name.format(number), orientation)
        path = folder / "masks" / mask_name.format(number)
        path.parent.mkdir(exist_ok=True)
        write_mask(mask, path)
    for number in range(good):
        save(surface(100 + number), folder / "good" / f"{number}.png")
    return folder


def opened(folder: Path, split: str = "all", size: Any = (HEIGHT, WIDTH), **options: Any) -> Any:
    """Return the data set of `folder` at the size of its images."""
    return open_dataset(f"folder:{folder}", split, size=size, **options)


def masks_of(dataset: Any) -> list[np.ndarray]:
    """Return the masks of the defective images, in their order."""
    samples = map(dataset.__getitem__, range(len(dataset)))
    return [sample.mask.numpy() for sample in samples if sample.label]


def names_of(dataset: Any) -> list[str]:
    """Return the names of all images, in their order."""
    return [entry.name for entry in dataset.entries]
