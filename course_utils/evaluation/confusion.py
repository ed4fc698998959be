"""Counts of which class was taken for which, and the overlap of each class from them."""

import numpy as np

from course_utils.evaluation.inputs import Values, as_array, as_classes, require_same_shape


def confusion_matrix(pred: Values, target: Values, num_classes: int) -> np.ndarray:
    """Return counts (K, K), int64: row = true class, column = predicted class.

    `pred` and `target` hold class indices 0 .. K-1, one shape, any. Matrices of batches may be
    added up, unlike the scores made from them. Nothing given: all zeros.

    Raises:
        ValueError: for indices out of range, broken numbers, and unequal shapes.

    Example:
        >>> confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2], num_classes=3).tolist()
        [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    found = as_classes(pred, num_classes, "pred")
    real = as_classes(target, num_classes, "target")
    require_same_shape(found, real, "pred", "target")
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
    hits, rows, columns = _margins(confusion)
    return _ratio(hits, rows + columns - hits, empty)


def per_class_dice(confusion: Values, *, empty: float = np.nan) -> np.ndarray:
    """Return the Dice coefficient of each class (K,); see `per_class_iou`.

    Example:
        >>> per_class_dice([[8, 0], [1, 1]]).round(3).tolist()
        [0.941, 0.667]
    """
    hits, rows, columns = _margins(confusion)
    return _ratio(2 * hits, rows + columns, empty)


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
