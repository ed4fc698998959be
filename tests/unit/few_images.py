"""Small images on disk, for tests that read data sets or train on them."""

from pathlib import Path

import cv2
import numpy as np

from course_utils.data import ImageMaskDataset, ImageSet, Sample


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write `pixels`, gray or BGR, under any name and in folders that need not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imencode(path.suffix, pixels)[1].tofile(path)


def truncate(path: Path, count: int = 20) -> None:
    """Cut the last bytes of a file."""
    path.write_bytes(path.read_bytes()[:-count])


def open_all(image_set: ImageSet, size: tuple[int, int]) -> ImageMaskDataset:
    """Return all of `image_set` as a data set."""
    return ImageMaskDataset(image_set, range(len(image_set.entries)), size=size, split_note="")


def samples_of(dataset: ImageMaskDataset) -> dict[str, Sample]:
    """Return all samples by name."""
    return {sample.name: sample for sample in map(dataset.__getitem__, range(len(dataset)))}


def write_images(folder: Path, count: int = 20, *, classes: int = 1, side: int = 32) -> str:
    """Write `count` gray images, each with a bright square, and return the data set's name."""
    rng = np.random.default_rng(0)
    for place in ("images", "masks"):
        (folder / place).mkdir(parents=True)
    if classes > 1:
        (folder / "classes.txt").write_text("".join(f"kind{c + 1}\n" for c in range(classes)))
    for index in range(count):
        image = rng.integers(0, 128, (side, side), dtype=np.uint8)
        mask = np.zeros_like(image)
        top, left = rng.integers(0, side - 10, 2)
        square = np.s_[top : top + 10, left : left + 10]
        kind = 1 + index % classes
        image[square] += np.uint8(127 * kind // classes)
        mask[square] = kind
        cv2.imwrite(str(folder / "images" / f"{index:02d}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"{index:02d}.png"), mask)
    return f"folder:{folder}"
