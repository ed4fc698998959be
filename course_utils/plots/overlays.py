"""Pictures made of pixels: an image with its mask, an image with its mistakes."""

from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.colors import to_rgb
from torch import Tensor

from course_utils.plots.style import FALSE_ALARM, HIT, MISSED, class_color

Picture: TypeAlias = npt.ArrayLike | Tensor


def overlay(
    image: Picture, mask: Picture, *, alpha: float = 0.45, contour: bool = True
) -> np.ndarray:
    """Return the image with the mask laid over it: uint8 (H, W, 3).

    `image`: (C, H, W), (H, W) or (H, W, 3), floats in 0 .. 1 or uint8; C is 1 or 3. `mask`:
    (H, W) class indices, 0 background; each class has its color, filled with opacity `alpha`.
    `contour` draws a thin line **around** each region: a defect of one pixel stays visible, and
    none of its own pixels is hidden.

    Raises:
        ValueError: for other shapes and values, and when image and mask differ in size.

    Example:
        >>> overlay(np.zeros((1, 4, 4)), np.eye(4, dtype=int)).shape
        (4, 4, 3)
    """
    picture, classes = to_picture(image), _to_mask(mask, "mask")
    _require_same_size(picture, classes, "mask")
    colors = {int(index): class_color(int(index)) for index in np.unique(classes) if index}
    regions = {index: classes == index for index in colors}
    return _paint(picture, [(regions[index], colors[index]) for index in colors], alpha, contour)


def error_map(
    image: Picture, target: Picture, prediction: Picture, *, alpha: float = 0.75
) -> np.ndarray:
    """Return the image with hits, misses and false alarms painted on it: uint8 (H, W, 3).

    The image turns gray, so that nothing but the result has a color. `target` and
    `prediction`: (H, W) class indices or 0 and 1. A defect pixel with the right
    class is a hit; with another class, or background, it is missed; a background pixel with any
    class is a false alarm. Raises `ValueError` as `overlay` does.

    Example:
        >>> error_map(np.zeros((2, 2)), np.eye(2), np.ones((2, 2))).shape
        (2, 2, 3)
    """
    picture = to_gray(image)
    real, found = _to_mask(target, "target"), _to_mask(prediction, "prediction")
    _require_same_size(picture, real, "target")
    _require_same_size(picture, found, "prediction")
    regions = [
        ((real > 0) & (found == real), HIT),
        ((real > 0) & (found != real), MISSED),
        ((real == 0) & (found > 0), FALSE_ALARM),
    ]
    return _paint(picture, regions, alpha, contour=False)


def to_picture(image: Picture) -> np.ndarray:
    """Return `image` as uint8 (H, W, 3); see `overlay` for what it accepts.

    Example:
        >>> to_picture(np.full((1, 2, 2), 1.0)).max()
        np.uint8(255)
    """
    array = _to_array(image)
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or not array.size:
        raise ValueError(
            f"image must be (1, H, W), (3, H, W), (H, W) or (H, W, 3), got {array.shape}"
        )
    if array.dtype == bool:
        array = array.astype(np.float32)
    if array.dtype != np.uint8:
        # Resizing may overshoot by a rounding error; NaN fails this comparison as well.
        if not (array.min() >= -1e-3 and array.max() <= 1 + 1e-3):
            raise ValueError(
                f"image must lie in 0..1 (or be uint8), got {array.min():g}..{array.max():g}: "
                "undo the normalization first"
            )
        array = np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def to_gray(image: Picture) -> np.ndarray:
    """Return `image` without its colors, still uint8 (H, W, 3): marks stand out on it.

    Example:
        >>> to_gray(np.zeros((3, 2, 2))).shape
        (2, 2, 3)
    """
    gray = cv2.cvtColor(to_picture(image), cv2.COLOR_RGB2GRAY)
    return np.repeat(gray[..., None], 3, axis=2)


def _paint(
    picture: np.ndarray, regions: list[tuple[np.ndarray, str]], alpha: float, contour: bool
) -> np.ndarray:
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is an opacity in 0..1, got {alpha}")
    painted = picture.astype(np.float32)
    everything = np.zeros(picture.shape[:2], dtype=bool)
    for region, _ in regions:
        everything |= region
    for region, color in regions:
        paint = np.array(to_rgb(color), dtype=np.float32) * 255
        painted[region] = (1 - alpha) * painted[region] + alpha * paint
        if contour:
            painted[_ring(region) & ~everything] = paint
    return np.round(painted).astype(np.uint8)


def _ring(region: np.ndarray) -> np.ndarray:
    """Return the pixels around a region, thick enough to survive when a large image is shrunk."""
    thickness = max(1, round(max(region.shape) / 256))
    side = 2 * thickness + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(region.astype(np.uint8), kernel).astype(bool) & ~region


def _to_array(values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.to(torch.float32) if values.is_floating_point() else values
        return values.numpy()
    return np.asarray(values)


def _to_mask(values: Picture, name: str) -> np.ndarray:
    array = _to_array(values)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or not ((array >= 0) & (array % 1 == 0)).all():
        raise ValueError(
            f"{name} must be (H, W) class indices, got shape {array.shape} and {array.dtype}: "
            "argmax or threshold it first"
        )
    return array.astype(np.int64)


def _require_same_size(picture: np.ndarray, mask: np.ndarray, name: str) -> None:
    if picture.shape[:2] != mask.shape:
        raise ValueError(
            f"image is {picture.shape[:2]} pixels and {name} {mask.shape}: they must be equal"
        )
