"""How well a prediction covers the truth: IoU and Dice, of masks and of classes; and accuracy."""

from typing import Literal, TypeAlias

import numpy as np

from course_utils.evaluation.inputs import (
    Values,
    as_array,
    as_binary,
    as_classes,
    counted,
    paired_images,
    paired_pixels,
    require_same_shape,
)

Average: TypeAlias = Literal["pooled", "per_image"]


def iou(
    pred: Values,
    target: Values,
    *,
    average: Average = "pooled",
    empty: float = 1.0,
    ignore_index: int | None = None,
) -> float:
    """Return intersection over union, |A and B| / |A or B|, of two binary masks.

    `pred` and `target` hold 0 and 1 (or booleans): (H, W), (N, H, W), (N, 1, H, W), or lists of
    (H, W). `average="pooled"` counts the pixels of all images together, so large defects weigh
    more; `"per_image"` takes the mean of the images' values, so good images weigh as well.
    `empty` is the value where prediction and truth are both empty: 1 (nothing to find, nothing
    found), as in Kaggle's Severstal competition. Pixels whose target is `ignore_index` do not
    count; an image without others is empty. Result in 0 .. 1. Say which one you report.

    Raises:
        ValueError: for other values than 0 and 1, for NaN, unequal shapes, and no pixel.

    Example:
        >>> iou([[1, 1, 0]], [[0, 1, 1]])
        0.3333333333333333
        >>> iou(np.zeros((2, 4, 4)), np.zeros((2, 4, 4)))
        1.0
        >>> iou([[1, 1, 0]], [[0, 1, 255]], ignore_index=255)
        0.5
    """
    both, either, _ = _counts(pred, target, average, ignore_index)
    return float(np.mean(_ratio(both, either, empty)))


def dice(
    pred: Values,
    target: Values,
    *,
    average: Average = "pooled",
    empty: float = 1.0,
    ignore_index: int | None = None,
) -> float:
    """Return the Dice coefficient, 2 |A and B| / (|A| + |B|): the F1 score of the pixels.

    Arguments, result and errors are those of `iou`. Pooled, Dice = 2 IoU / (1 + IoU): it never
    ranks two results differently, it only sounds better.

    Example:
        >>> dice([[1, 1, 0]], [[0, 1, 1]])
        0.5
    """
    both, _, total = _counts(pred, target, average, ignore_index)
    return float(np.mean(_ratio(2 * both, total, empty)))


def accuracy(pred: Values, target: Values, *, ignore_index: int | None = None) -> float:
    """Return the share of equal entries; class indices or 0 and 1, of any one shape.

    Entries whose target is `ignore_index` do not count.
    Where defects are rare, answering "good" everywhere scores almost 1: never read it alone.

    Raises:
        ValueError: for NaN, unequal shapes, and no entries that count.

    Example:
        >>> accuracy([0] * 100, [0] * 99 + [1])
        0.99
    """
    first, second = as_array(pred, "pred"), as_array(target, "target")
    require_same_shape(first, second, "pred", "target")
    first, second = counted(first, second, ignore_index)
    if not first.size:
        raise ValueError("accuracy needs at least one entry that counts, got none")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("pred and target must be finite: find out where the NaN comes from")
    return float(np.mean(first == second))


def confusion_matrix(
    pred: Values, target: Values, num_classes: int, *, ignore_index: int | None = None
) -> np.ndarray:
    """Return counts (K, K), int64: row = true class, column = predicted class.

    `pred` and `target` hold class indices 0 .. K-1, one shape, any. Pixels whose target is
    `ignore_index` are not counted, so no score made from the matrix knows them. Matrices of batches
    may be added up, unlike those scores. Nothing to count: all zeros.

    Raises:
        ValueError: for indices out of range, broken numbers, and unequal shapes.

    Example:
        >>> confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2], num_classes=3).tolist()
        [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    first, second = as_array(pred, "pred"), as_array(target, "target")
    require_same_shape(first, second, "pred", "target")
    first, second = counted(first, second, ignore_index)
    found = as_classes(first, num_classes, "pred")
    real = as_classes(second, num_classes, "target")
    cells = np.bincount((real * num_classes + found).ravel(), minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def per_class_iou(confusion: Values, *, empty: float = np.nan) -> np.ndarray:
    """Return the IoU of each class (K,), over all counted pixels together.

    `empty` is the value of a class that is neither there nor predicted; the default, NaN, keeps
    it out of `mean_iou`.

    Raises:
        ValueError: unless `confusion` is a square matrix of counts: shares of a normalized one do
            not tell how many pixels a class has.

    Example:
        >>> per_class_iou([[8, 0], [1, 1]]).round(3).tolist()
        [0.889, 0.5]
    """
    tp, actual, predicted = _margins(confusion)
    return _ratio(tp, actual + predicted - tp, empty)


def per_class_dice(confusion: Values, *, empty: float = np.nan) -> np.ndarray:
    """Return the Dice coefficient of each class (K,); see `per_class_iou`.

    Example:
        >>> per_class_dice([[8, 0], [1, 1]]).round(3).tolist()
        [0.941, 0.667]
    """
    tp, actual, predicted = _margins(confusion)
    return _ratio(2 * tp, actual + predicted, empty)


def mean_iou(confusion: Values, *, background: bool = True) -> float:
    """Return the mean IoU of the classes that occur in the truth or in the prediction.

    `background=False` leaves class 0 out: it is huge and easy, and lifts the mean.

    Raises:
        ValueError: when no class is left to average.

    Example:
        >>> mean_iou([[8, 0], [1, 1]], background=False)
        0.5
    """
    values = per_class_iou(confusion)[0 if background else 1 :]
    present = values[~np.isnan(values)]
    if not present.size:
        raise ValueError("mean IoU needs a class that occurs in the truth or the prediction")
    return float(present.mean())


def _counts(
    pred: Values, target: Values, average: Average, ignore_index: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels in both, in either, and the sum of both areas: one entry for each image."""
    if average == "pooled":
        pairs = [paired_pixels(pred, target, "pred", "target", ignore_index=ignore_index)]
    elif average == "per_image":
        images = paired_images(pred, target, "pred", "target")
        pairs = [counted(one, other, ignore_index) for one, other in images]
    else:
        raise ValueError(f"average must be 'pooled' or 'per_image', got {average!r}")
    rows = []
    for one, other in pairs:
        found, real = as_binary(one, "pred"), as_binary(other, "target")
        rows.append(((found & real).sum(), (found | real).sum(), found.sum() + real.sum()))
    both, either, total = np.array(rows, dtype=np.int64).T
    return both, either, total


def _margins(confusion: Values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    counts = as_array(confusion, "confusion")
    square = counts.ndim == 2 and counts.shape[0] == counts.shape[1]
    whole = np.isfinite(counts) & (counts >= 0) & (counts == np.floor(counts))
    if not square or not whole.all():
        given = "negative or fractional values" if square else f"shape {counts.shape}"
        raise ValueError(
            f"confusion must be a square matrix of counts (whole numbers), got {given}: "
            "make it with confusion_matrix"
        )
    return counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)


def _ratio(part: np.ndarray, whole: np.ndarray, empty: float) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), empty)
