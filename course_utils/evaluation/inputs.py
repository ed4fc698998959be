"""What the metrics accept: arrays, tensors of any device and precision, lists of either.

Void pixels: where the truth is `ignore_index`, 255 for instance, a pixel does not count. It is left
out before values are looked at. The default, None, leaves nothing out.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Values: TypeAlias = npt.ArrayLike | Tensor | Sequence[Tensor]
"""A NumPy array, a tensor (any device, bfloat16 and half included), or a list of either."""


def paired_pixels(
    scores: Values,
    target: Values,
    name: str = "scores",
    target_name: str = "target",
    *,
    ignore_index: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what counts of both, flat: finite floats and booleans. Unequal images are joined."""
    first, second = _images_or_whole(scores, name), _images_or_whole(target, target_name)
    pairs = _paired(first, second, name, target_name)
    flat, truth = (
        np.concatenate([one.ravel() for one in side]) for side in zip(*pairs, strict=True)
    )
    flat, truth = counted(flat, truth, ignore_index)
    return as_scores(flat, name), as_binary(truth, target_name)


def paired_images(
    first: Values, second: Values, name: str, second_name: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return one pair of (H, W) arrays for each image; the images may differ in size."""
    return _paired(as_images(first, name), as_images(second, second_name), name, second_name)


def counted(
    values: np.ndarray, truth: np.ndarray, ignore_index: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return both without the places whose truth is `ignore_index`; flat if one is given.

    Example:
        >>> values, truth = counted(np.array([.1, .2, .3]), np.array([0, 255, 1]), 255)
        >>> values.tolist(), truth.tolist()
        ([0.1, 0.3], [0, 1])
    """
    if ignore_index is None:
        return values, truth
    counts = truth != ignore_index
    return values[counts], truth[counts]


def as_images(values: Values, name: str) -> list[np.ndarray]:
    """Return a list of (H, W) arrays from (H, W), (N, H, W), (N, 1, H, W) or a list of images."""
    whole = _images_or_whole(values, name)
    if len(whole) == 1 and not _is_list_of_images(values):
        whole = [whole[0]] if whole[0].ndim == 2 else list(whole[0])
    images = [image[0] if image.ndim == 3 and len(image) == 1 else image for image in whole]
    wrong = next((image for image in images if image.ndim != 2), None)
    if wrong is not None or not images:
        given = "nothing" if wrong is None else f"images of shape {wrong.shape}"
        raise ValueError(f"{name} must be (H, W), (N, H, W) or (N, 1, H, W), got {given}")
    return images


def as_scores(values: Values, name: str = "scores") -> np.ndarray:
    """Return finite floats: float64 stays, everything shorter becomes float32 or float64."""
    array = as_array(values, name)
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite of {array.size} values")
    return array


def as_binary(values: Values, name: str = "target") -> np.ndarray:
    """Return booleans from values that are all 0 or 1."""
    array = as_array(values, name)
    if array.dtype == bool:
        return array
    if not ((array == 0) | (array == 1)).all():
        raise ValueError(
            f"{name} must hold only 0 (good) and 1 (defect), got {_span(array)}: "
            f"pass {name} > 0 for class indices, {name} >= threshold for scores, ignore_index "
            "for a value that does not count"
        )
    return array == 1


def as_classes(values: Values, num_classes: int, name: str) -> np.ndarray:
    """Return int64 class indices, all of them in 0 .. num_classes - 1."""
    array = as_array(values, name)
    whole = array.astype(np.int64) if np.isfinite(array).all() else None
    if whole is None or (whole != array).any():
        raise ValueError(f"{name} must hold whole class indices, got {_span(array)}: argmax first")
    if array.size and not (whole.min() >= 0 and whole.max() < num_classes):
        raise ValueError(
            f"{name} must hold class indices 0..{num_classes - 1}, got {_span(array)}: "
            "raise num_classes, threshold the mask first, or pass ignore_index for a value that "
            "does not count"
        )
    return whole


def as_array(values: Values, name: str) -> np.ndarray:
    """Return a NumPy array of numbers; bfloat16 and half become float32, which loses nothing."""
    if isinstance(values, Tensor):
        tensor = values.detach().cpu()
        return (tensor.to(torch.float32) if _is_short_float(tensor) else tensor).numpy()
    if isinstance(values, list | tuple) and any(isinstance(value, Tensor) for value in values):
        values = [as_array(value, name) for value in values]
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} cannot become one array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold numbers, got dtype {array.dtype}")
    return array.astype(np.float32) if array.dtype == np.float16 else array


def require_same_shape(first: Any, second: Any, name: str, second_name: str) -> None:
    """Raise `ValueError` when two arrays differ in shape: broadcasting would hide a mistake."""
    if first.shape != second.shape:
        raise ValueError(
            f"{name} and {second_name} must have one shape, got {first.shape} and {second.shape}"
        )


def _paired(
    first: list[np.ndarray], second: list[np.ndarray], name: str, second_name: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    if len(first) != len(second):
        raise ValueError(
            f"{name} holds {len(first)} images and {second_name} {len(second)}: "
            "one for each, please"
        )
    pairs = list(zip(first, second, strict=True))
    for one, other in pairs:
        require_same_shape(one, other, name, second_name)
        if not one.size:
            raise ValueError(f"{name} must hold at least one value, got shape {one.shape}")
    return pairs


def _images_or_whole(values: Values, name: str) -> list[np.ndarray]:
    if _is_list_of_images(values):
        return [as_array(value, name) for value in values]  # type: ignore[union-attr]
    return [as_array(values, name)]


def _is_list_of_images(values: Values) -> bool:
    return isinstance(values, list | tuple) and any(
        isinstance(value, np.ndarray | Tensor) and value.ndim >= 2 for value in values
    )


def _is_short_float(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.element_size() < 4


def _span(array: np.ndarray) -> str:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return "NaN or infinite values"
    return f"values from {array.min():g} to {array.max():g}"
