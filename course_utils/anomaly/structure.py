"""Structure anomalies: what fills the mask is the image itself, changed and laid in disorder.

Source: MemSeg (arXiv 2205.00908), anomaly simulation, step 2.
"""

from collections.abc import Callable

import cv2
import numpy as np
from einops import rearrange
from numpy.typing import NDArray

from course_utils.anomaly.augmenters import augment_at_random
from course_utils.anomaly.inputs import Image, check_image, check_rng, check_whole


def structure_source(
    image: Image,
    rng: np.random.Generator,
    *,
    rows: int = 4,
    columns: int = 8,
    change: Callable[[Image, np.random.Generator], Image] | None = None,
) -> Image:
    """Return `image`, changed at random, cut into `rows` x `columns` tiles, and these shuffled.

    Args:
        image: uint8, (H, W, 3) in RGB order or (H, W) gray.
        rng: where all random numbers come from.
        rows: of the grid; 4 x 8 is the paper's.
        columns: of the grid.
        change: takes the image and the generator; None: `change_appearance`.

    Raises:
        ValueError: for an unusable image, generator or grid.
    """
    check_image(image)
    check_rng(rng)
    rows, columns = _checked_grid(rows, columns)
    changed = (change or change_appearance)(image, rng)
    return shuffle_tiles(changed, rng.permutation(rows * columns), rows=rows, columns=columns)


def pitfall_structure_source(image: Image, rng: np.random.Generator) -> Image:
    """Return what MemSeg's best known re-implementation takes in place of `structure_source`.

    Three of ten augmenters (`augment_at_random`), which are DRAEM's, and a grid of 8 x 8. They go
    far beyond the paper's list: one of them always inverts, and rotation fills with black.
    """
    return structure_source(image, rng, rows=8, columns=8, change=augment_at_random)


def change_appearance(image: Image, rng: np.random.Generator) -> Image:
    """Return `image` mirrored, rotated, and in other colors, all at random.

    The paper names the five changes and not their strengths; these are ours: mirrored along each
    axis in half of the calls; turned about its center by -45..45 degrees, where what comes from
    outside is the image's mirror image; brightness and saturation x .5..1.5; hue turned by
    -36..36 degrees. The last two do nothing to a gray image.

    Raises:
        ValueError: for an unusable image or generator.
    """
    check_image(image)
    check_rng(rng)
    upright, straight = rng.integers(2, size=2)
    angle = rng.uniform(-45, 45)
    brightness, saturation = rng.uniform(0.5, 1.5, 2)
    hue = rng.uniform(-36, 36)

    height, width = image.shape[:2]
    mirrored = image[:: 1 - 2 * int(upright), :: 1 - 2 * int(straight)]
    turned = cv2.warpAffine(
        np.ascontiguousarray(mirrored),
        cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0),
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    if image.ndim == 2:
        return cv2.convertScaleAbs(turned, alpha=brightness)
    return cv2.transform(turned, brightness * color_matrix(saturation, hue))


def color_matrix(saturation: float, hue: float) -> NDArray[np.float64]:
    """Return the (3, 3) matrix that changes the saturation and the hue of RGB colors.

    Grays lie on the axis (1, 1, 1), and stay. Colors turn about it by `hue` degrees, from red
    towards green, and their distance from it is multiplied by `saturation`; the mean of the three
    channels stays, too. This is linear, so it costs a tenth of the way through HSV and back.

    Example:
        >>> (color_matrix(1.0, 120.0) @ [200, 10, 30]).round()
        array([ 30., 200.,  10.])
    """
    cosine, sine = np.cos(np.deg2rad(hue)), np.sin(np.deg2rad(hue))
    to_gray = np.full((3, 3), 1 / 3)
    sideways = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return to_gray + saturation * (cosine * (np.eye(3) - to_gray) + sine * sideways)


def shuffle_tiles(
    image: Image, order: NDArray[np.integer], *, rows: int = 4, columns: int = 8
) -> Image:
    """Return the picture that shows tile `order[k]` of `image` at place `k`.

    Tiles are counted along the rows, from the upper left. Where the grid does not divide a side,
    up to `rows` - 1 lines at the lower border, or `columns` - 1 at the right, are too few for
    a tile more and stay where they are: every pixel of the image is in the result once.

    Raises:
        ValueError: for an unusable image, a grid finer than the pixels, and for an `order` that
            does not hold each tile once.

    Example:
        >>> image = np.array([[1, 2, 3, 9]], np.uint8)
        >>> shuffle_tiles(image, np.array([2, 0, 1]), rows=1, columns=3)
        array([[3, 1, 2, 9]], dtype=uint8)
    """
    check_image(image)
    rows, columns = _checked_grid(rows, columns)
    height, width = image.shape[0] // rows * rows, image.shape[1] // columns * columns
    if not height or not width:
        raise ValueError(
            f"an image of {image.shape[:2]} cannot be cut into {rows} x {columns} tiles: take "
            "fewer rows and columns, or a larger image"
        )
    order = np.asarray(order)
    whole = order.ndim == 1 and order.dtype.kind in "iu"
    if not whole or not np.array_equal(np.sort(order), np.arange(rows * columns)):
        raise ValueError(
            f"order must hold each number of 0..{rows * columns - 1} once, got {order.tolist()}: "
            "draw it with rng.permutation"
        )
    result = image.copy()
    tiles = rearrange(image[:height, :width], "(r h) (c w) ... -> (r c) h w ...", r=rows, c=columns)
    result[:height, :width] = rearrange(
        tiles[order], "(r c) h w ... -> (r h) (c w) ...", r=rows, c=columns
    )
    return result


def _checked_grid(rows: int, columns: int) -> tuple[int, int]:
    return check_whole(rows, "rows", lowest=1), check_whole(columns, "columns", lowest=1)
