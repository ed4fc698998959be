"""Which pixels belong to the object, so that no anomaly floats beside it.

Source: MemSeg (arXiv 2205.00908), anomaly simulation, step 1: binarize the input, then opening
and closing. Textures have no foreground: an anomaly may lie anywhere.
"""

from collections import Counter
from collections.abc import Sequence
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
            reflexes. 1 leaves it out. Both sizes are ours, for images of 256 x 256.

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

    Without a threshold, Otsu's is found for each image anew, so that light may change. As a plain
    object of this module, a rule can be sent to the workers of a loader.

    Example:
        >>> image = np.full((32, 32), 255, np.uint8)
        >>> image[8:24, 8:24] = 40
        >>> int(ForegroundRule(250, bright=False)(image).sum())
        256
    """

    threshold: int | None
    bright: bool

    def __call__(self, image: Image) -> Mask:
        """Return `foreground_mask` with these two arguments and its defaults."""
        return foreground_mask(image, threshold=self.threshold, bright=self.bright)


class FixedForeground(NamedTuple):
    """The same region in every image, for products that lie in one place: call it with an image.

    Example:
        >>> region = np.zeros((4, 4), np.uint8)
        >>> region[1:3, 1:3] = 1
        >>> int(FixedForeground(region)(np.zeros((8, 8, 3), np.uint8)).sum())
        16
    """

    mask: Mask
    """uint8, (H, W), 0 and 1, of any size: it is scaled to the image."""

    def __call__(self, image: Image) -> Mask:
        """Return the region at the size of `image`."""
        height, width = image.shape[:2]
        return cv2.resize(self.mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


CLEAR = 0.8
"""Share of the variance of grays that lies between object and ground. Noise alone, split at its
mean, has .64, a ramp .75, two plain grays 1."""
IN_BORDER = 0.25
"""Most of the image's border that an object may take: the ground goes around it."""
AREA = (0.01, 0.9)
"""Least and most of the image that an object may take."""
IN_ONE_PIECE = 0.9
"""Least share of the largest connected part: a pattern of two grays is many parts."""
IN_ALMOST_ALL = 0.9
"""Least share of the images that must agree."""


def find_foreground(images: Sequence[Image]) -> tuple[ForegroundRule | None, str]:
    """Decide from good images whether a dark or bright object stands out from a plain ground.

    In an image it does if Otsu's threshold splits it into two clear kinds of gray, one of them lies
    in one piece and not all along the border, and is neither a speck nor nearly everything.

    Args:
        images: uint8, (H, W, 3) in RGB order or (H, W) gray, all good and of one product.

    Returns:
        The rule, if 90 % of the images agree and each has a foreground by it, else None; and a
        sentence that says what was decided, and by what.

    Raises:
        ValueError: for no image.

    Example:
        >>> plate = np.full((64, 64), 220, np.uint8)
        >>> plate[16:48, 16:48] = 60
        >>> find_foreground([plate, plate])
        (ForegroundRule(threshold=None, bright=False),
         'a dark object stands out from the ground in 2 of 2 training images')
    """
    if not images:
        raise ValueError("find_foreground needs at least one image, got none")
    kinds = Counter(_kind_of_object(image) for image in images)
    bright = kinds[True] >= kinds[False]
    kind, seen = "bright" if bright else "dark", f"{kinds[bright]} of {len(images)} training images"
    if kinds[bright] < IN_ALMOST_ALL * len(images):
        return None, (
            f"none: a {kind} object stands out from a plain ground in only {seen}; anomalies lie "
            "anywhere"
        )
    rule = ForegroundRule(None, bright)
    for image in images:
        try:
            rule(image)
        except ValueError:
            return None, (
                f"none: a {kind} object stands out from the ground in {seen}, but some have none "
                "at all; anomalies lie anywhere"
            )
    return rule, f"a {kind} object stands out from the ground in {seen}"


def _kind_of_object(image: Image) -> bool | None:
    """Return whether the object in an image is bright, or None where none stands out."""
    try:
        mask = foreground_mask(image)
    except ValueError:
        return None
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    parts = cv2.connectedComponentsWithStats(mask)[2][1:, cv2.CC_STAT_AREA]
    share = mask.mean()
    if border.mean() > IN_BORDER or not AREA[0] <= share <= AREA[1]:
        return None
    if parts.max() < IN_ONE_PIECE * parts.sum():
        return None
    inside, outside = gray[mask > 0].mean(), gray[mask == 0].mean()
    if share * (1 - share) * (inside - outside) ** 2 < CLEAR * gray.var():
        return None
    return bool(inside > outside)


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
