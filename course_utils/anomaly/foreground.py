"""Which pixels belong to the object, so that no anomaly floats beside it.

Source: MemSeg (arXiv 2205.00908), anomaly simulation, step 1: binarize the input, then opening
and closing. Textures have no foreground: an anomaly may lie anywhere.
"""

from typing import NamedTuple

import cv2
import numpy as np

from course_utils.anomaly.inputs import Image, Mask, check_image, check_whole, is_whole


def foreground_mask(
    image: Image,
    *,
    threshold: int | None = None,
    bright: bool | None = None,
    opening: int = 5,
    closing: int = 5,
) -> Mask:
    """Return where the object is: 1 on it, 0 on the ground behind it; uint8, (H, W).

    Args:
        image: uint8, (H, W, 3) in RGB order or (H, W) gray. Colors are turned to gray by luma.
        threshold: grays above it are bright, the others dark; None: Otsu's, found anew for each
            image.
        bright: whether the object is the bright or the dark part; None: the part that has fewer
            pixels in the image's border, since the ground goes all around an object.
        opening: side in pixels, odd, of the square that fits into all that is kept: takes away
            dust on the ground. 1 leaves it out.
        closing: side in pixels, odd, of the square that fits into all holes that are kept: fills
            reflexes. 1 leaves it out. The paper does not give the two sizes; 5 is ours, for
            images of 256 x 256.

    Raises:
        ValueError: for an unusable image or argument, and when no pixel is left.

    Example:
        >>> image = np.full((32, 32), 250, np.uint8)
        >>> image[8:24, 8:24] = 40  # the object
        >>> image[2, 2] = 40  # dust
        >>> image[15, 15] = 255  # a reflex
        >>> mask = foreground_mask(image)
        >>> int(mask.sum()), int(mask[8:24, 8:24].sum())
        (256, 256)
    """
    check_image(image)
    if threshold is not None:
        check_whole(threshold, "threshold", 0, 255, hint=": give a gray, or None for Otsu's")
    for name, side in (("opening", opening), ("closing", closing)):
        # An even square has no middle: OpenCV's opening and closing would move the mask.
        if not is_whole(side) or side < 1 or side % 2 == 0:
            raise ValueError(f"{name} must be an odd number of pixels, or 1, got {side!r}")
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    if threshold is None:
        level, mask = cv2.threshold(gray, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    else:
        level, mask = cv2.threshold(gray, threshold, 1, cv2.THRESH_BINARY)
    if bright is None:
        border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])  # corners twice
        bright = border.mean() < 0.5
    if not bright:
        mask = 1 - mask
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((opening, opening), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((closing, closing), np.uint8))
    if not mask.any():
        raise ValueError(
            f"no pixel is left of a {'bright' if bright else 'dark'} object at threshold "
            f"{level:.0f} (grays are {gray.min()}..{gray.max()}): give another threshold, the "
            "other bright, or a smaller opening; textures go without a foreground"
        )
    return mask


class ForegroundRule(NamedTuple):
    """Threshold and kind of object of a category: call it with an image for the mask.

    As a plain object of this module, a rule can be sent to the workers of a loader.

    Example:
        >>> image = np.full((32, 32), 255, np.uint8)
        >>> image[8:24, 8:24] = 40
        >>> int(ForegroundRule(250, bright=False)(image).sum())
        256
    """

    threshold: int
    bright: bool

    def __call__(self, image: Image) -> Mask:
        """Return `foreground_mask` with these two arguments and its defaults."""
        return foreground_mask(image, threshold=self.threshold, bright=self.bright)


MVTEC_FOREGROUNDS: dict[str, ForegroundRule] = {
    "bottle": ForegroundRule(250, bright=False),
    "capsule": ForegroundRule(120, bright=False),
    "hazelnut": ForegroundRule(50, bright=True),
    "metal_nut": ForegroundRule(40, bright=True),
    "pill": ForegroundRule(100, bright=True),
    "screw": ForegroundRule(110, bright=False),
    "toothbrush": ForegroundRule(30, bright=True),
    "transistor": ForegroundRule(90, bright=False),
    "zipper": ForegroundRule(100, bright=False),
}
"""The categories of MVTec AD that have a foreground in MemSeg's best known re-implementation
(TooTouch/MemSeg, `anomaly_mask.json`): `MVTEC_FOREGROUNDS["bottle"](image)` is the mask of a
bottle. The textures have none, nor has `cable`: its values were switched off in 2024."""
