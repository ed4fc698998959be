"""A folder with a few small images and masks, for tests that train."""

from pathlib import Path

import cv2
import numpy as np


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
