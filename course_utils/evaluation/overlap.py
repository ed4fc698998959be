"""How well a yes-or-no mask covers the truth: IoU and Dice. And plain accuracy, to compare."""

from typing import Literal, TypeAlias

import numpy as np

from course_utils.evaluation.inputs import (
    Values,
    as_array,
    as_binary,
    paired_images,
    paired_pixels,
    require_same_shape,
)

Average: TypeAlias = Literal["pooled", "per_image"]


def iou(pred: Values, target: Values, *, average: Average = "pooled", empty: float = 1.0) -> float:
    """Return intersection over union, |A and B| / |A or B|, of two binary masks.

    `pred` and `target` hold 0 and 1 (or booleans): (H, W), (N, H, W), (N, 1, H, W), or lists of
    (H, W). `average="pooled"` counts the pixels of all images together, so large defects weigh
    more; `"per_image"` takes the mean of the images' values, so good images weigh as well.
    `empty` is the value where prediction and truth are both empty: 1 (nothing to find, nothing
    found), as in Kaggle's Severstal competition. Result in 0 .. 1. Say which one you report.

    Raises:
        ValueError: for other values than 0 and 1, for NaN, unequal shapes, and no pixel.

    Example:
        >>> iou([[1, 1, 0]], [[0, 1, 1]])
        0.3333333333333333
        >>> iou(np.zeros((2, 4, 4)), np.zeros((2, 4, 4)))
        1.0
    """
    both, either, _ = _counts(pred, target, average)
    return _mean_ratio(both, either, empty)


def dice(pred: Values, target: Values, *, average: Average = "pooled", empty: float = 1.0) -> float:
    """Return the Dice coefficient, 2 |A and B| / (|A| + |B|): the F1 score of the pixels.

    Arguments, result and errors are those of `iou`. Pooled, Dice = 2 IoU / (1 + IoU): it never
    ranks two results differently, it only sounds better.

    Example:
        >>> dice([[1, 1, 0]], [[0, 1, 1]])
        0.5
    """
    both, _, total = _counts(pred, target, average)
    return _mean_ratio(2 * both, total, empty)


def accuracy(pred: Values, target: Values) -> float:
    """Return the share of equal entries; class indices or 0 and 1, of any one shape.

    Where defects are rare, answering "good" everywhere scores almost 1: never read it alone.

    Raises:
        ValueError: for NaN, unequal shapes, and no entries.

    Example:
        >>> accuracy([0] * 100, [0] * 99 + [1])
        0.99
    """
    first, second = as_array(pred, "pred"), as_array(target, "target")
    require_same_shape(first, second, "pred", "target")
    if not first.size:
        raise ValueError("accuracy needs at least one entry, got none")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("pred and target must be finite: find out where the NaN comes from")
    return float(np.mean(first == second))


def _counts(
    pred: Values, target: Values, average: Average
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels in both, in either, and the sum of both areas: one entry for each image."""
    if average == "pooled":
        flat, truth = paired_pixels(pred, target, "pred", "target")
        pairs = [(flat, truth)]
    elif average == "per_image":
        pairs = paired_images(pred, target, "pred", "target")
    else:
        raise ValueError(f"average must be 'pooled' or 'per_image', got {average!r}")
    rows = []
    for one, other in pairs:
        found, real = as_binary(one, "pred"), as_binary(other, "target")
        rows.append(((found & real).sum(), (found | real).sum(), found.sum() + real.sum()))
    both, either, total = np.array(rows, dtype=np.int64).T
    return both, either, total


def _mean_ratio(part: np.ndarray, whole: np.ndarray, empty: float) -> float:
    return float(np.mean(np.where(whole > 0, part / np.maximum(whole, 1), empty)))
