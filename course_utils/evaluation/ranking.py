"""Metrics of a ranking, which need no threshold, and the choice of a threshold.

AUROC, average precision, their curves and the best threshold come from one sort. Scores may be
logits, probabilities or distances: only their order counts, and a higher score must mean "more
likely a defect". Pixels whose truth is `ignore_index` do not count, wherever it is given.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from course_utils.evaluation.inputs import Values, paired_pixels

Criterion: TypeAlias = Literal["f1", "iou", "youden"]


class RocCurve(NamedTuple):
    """From the strictest threshold to the most lenient one; all three of one length."""

    fpr: np.ndarray
    """Share of the good ones that raise an alarm, 0 .. 1."""
    tpr: np.ndarray
    """Share of the defects that are found (recall), 0 .. 1."""
    thresholds: np.ndarray
    """An alarm is a score >= threshold; the first is infinite: no alarm at all."""


class PrecisionRecallCurve(NamedTuple):
    """From the strictest threshold to the most lenient one; all three of one length."""

    precision: np.ndarray
    """Share of the alarms that are right; 1 where there is no alarm yet."""
    recall: np.ndarray
    """Share of the defects that are found, 0 .. 1."""
    thresholds: np.ndarray
    """An alarm is a score >= threshold; the first is infinite: no alarm at all."""


class RankedCounts(NamedTuple):
    """What each distinct score, used as a threshold, would find: strictest first."""

    thresholds: np.ndarray
    tp: np.ndarray
    fp: np.ndarray


def image_auroc(scores: Values, labels: Values) -> float:
    """Return the area under the ROC curve of image scores.

    It is the chance that a defective image scores higher than a good one, ties counting half.

    `scores` (N,): any finite numbers. `labels` (N,): 0 good, 1 defect. Result in 0 .. 1; all
    scores equal: 0.5. Do not average it over batches: an image is compared with all the others.

    Raises:
        ValueError: when only one class is present (the area is undefined), for NaN, for labels
            other than 0 and 1, and for unequal shapes. Source: Fawcett, 2006, section 7.

    Example:
        >>> image_auroc([.1, .4, .35, .8], [0, 0, 1, 1])
        0.75
    """
    return _auroc(roc_curve(scores, labels))


def pixel_auroc(maps: Values, masks: Values, *, ignore_index: int | None = None) -> float:
    """Return the area under the ROC curve of all pixels of all images, pooled.

    `maps` and `masks` (0 clean, 1 defect): (N, H, W), or lists of (H, W) of different sizes.
    The huge, easy background inflates this number: read `average_precision` or `aupro` with it.

    Raises:
        ValueError: as `image_auroc` does. Good images may be among the masks, but at least one mask
            must hold a defect.

    Example:
        >>> pixel_auroc([[.1, .9], [.2, .3]], [[0, 1], [0, 0]])
        1.0
    """
    return _auroc(roc_curve(maps, masks, ignore_index=ignore_index))


def average_precision(scores: Values, target: Values, *, ignore_index: int | None = None) -> float:
    """Return the average precision by the step rule: sum of (R_k - R_{k-1}) P_k.

    The definition of scikit-learn and torchmetrics. `scores` and `target` (0, 1) have one shape,
    any. Result in 0 .. 1; all scores equal: the share of defects; nothing but defects: 1.

    Raises:
        ValueError: when there is no defect (undefined), for NaN, for a target other than 0 and 1,
            and for unequal shapes.

    Example:
        >>> round(average_precision([.1, .4, .35, .8], [0, 0, 1, 1]), 4)
        0.8333
    """
    curve = precision_recall_curve(scores, target, ignore_index=ignore_index)
    return float(np.sum(np.diff(curve.recall) * curve.precision[1:]))


def trapezoid_average_precision(
    scores: Values, target: Values, *, ignore_index: int | None = None
) -> float:
    """Return the area under the straight lines between the points of the PR curve.

    Some published numbers are this area. Where scores tie, it is optimistic: a straight line
    across a tie promises precisions that no threshold reaches. Where none tie, it is at most
    the step rule's: each defect that is found raises the precision, and the line lies below the
    step. Use `average_precision`; this one is here to compare with them. Source of the warning:
    Davis and Goadrich, 2006.

    Raises:
        ValueError: as `average_precision` does.

    Example:
        >>> tied, target = [.5, .5, .5, .5], [1, 0, 0, 0]
        >>> average_precision(tied, target), trapezoid_average_precision(tied, target)
        (0.25, 0.625)
    """
    curve = precision_recall_curve(scores, target, ignore_index=ignore_index)
    return area_under(curve.recall, curve.precision)


def roc_curve(scores: Values, target: Values, *, ignore_index: int | None = None) -> RocCurve:
    """Return the points of the ROC curve, one for each distinct score, and (0, 0) first.

    Raises:
        ValueError: as `image_auroc` does.

    Example:
        >>> curve = roc_curve([.2, .7, .7], [0, 0, 1])
        >>> curve.fpr.tolist(), curve.tpr.tolist()
        ([0.0, 0.5, 1.0], [0.0, 1.0, 1.0])
    """
    counts = ranked_counts(scores, target, ignore_index=ignore_index)
    defects, good = counts.tp[-1], counts.fp[-1]
    if not defects or not good:
        raise ValueError(
            f"AUROC compares defects with good ones, got {defects} and {good}: "
            "evaluate on data that hold both"
        )
    return RocCurve(
        np.append(0.0, counts.fp / good),
        np.append(0.0, counts.tp / defects),
        np.append(np.inf, counts.thresholds),
    )


def precision_recall_curve(
    scores: Values, target: Values, *, ignore_index: int | None = None
) -> PrecisionRecallCurve:
    """Return the points of the precision-recall curve, one for each distinct score.

    The first point is (recall 0, precision 1), as in scikit-learn, whose order is the reverse.

    Raises:
        ValueError: as `average_precision` does.

    Example:
        >>> curve = precision_recall_curve([.2, .7, .7], [0, 0, 1])
        >>> curve.precision.round(2).tolist(), curve.recall.tolist()
        ([1.0, 0.5, 0.33], [0.0, 1.0, 1.0])
    """
    counts = ranked_counts(scores, target, ignore_index=ignore_index)
    if not counts.tp[-1]:
        raise ValueError(
            f"precision and recall need a defect, got {counts.fp[-1]} good ones and "
            "none: evaluate on data that hold at least one"
        )
    return PrecisionRecallCurve(
        np.append(1.0, counts.tp / (counts.tp + counts.fp)),
        np.append(0.0, counts.tp / counts.tp[-1]),
        np.append(np.inf, counts.thresholds),
    )


def best_threshold(
    scores: Values,
    target: Values,
    *,
    criterion: Criterion = "f1",
    middle: bool = False,
    ignore_index: int | None = None,
) -> float:
    """Return the threshold with the best `criterion`, for **validation** data.

    Never pass test data: a threshold that has seen the test labels reports the luck of the
    choice as skill. Choose here, on validation data, then keep it fixed: `scores >= threshold`.
    (A published two-stage code counts its errors at the best-F1 threshold of the test set.)

    `scores` and `target` (0, 1) have one shape: images (N,) or maps (N, H, W). Criteria:
    `"f1"`: 2 TP / (2 TP + FP + FN), Dice when the scores are pixels; `"iou"`: TP / (TP+FP+FN),
    which always has its best at the same threshold; `"youden"`: recall - false-positive rate,
    which does not mind how rare defects are. The result is one of the scores. Several equally
    good: the highest, which raises fewest alarms.

    Every threshold between that score and the next lower one decides these data alike. With
    `middle` it is the middle of this gap: of few images the score is that of the least sure
    defect, and others will lie below it.

    Raises:
        ValueError: when there is no defect (for `"youden"`: or nothing good), for NaN, for a target
            other than 0 and 1, for unequal shapes, and for an unknown criterion.

    Example:
        >>> best_threshold([.1, .4, .35, .8], [0, 0, 1, 1])
        0.35
        >>> best_threshold([.1, .5, .75], [0, 0, 1], middle=True)
        0.625
    """
    if criterion not in _CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(_CRITERIA)}, got {criterion!r}")
    counts = ranked_counts(scores, target, ignore_index=ignore_index)
    defects, good = counts.tp[-1], counts.fp[-1]
    if not defects or (criterion == "youden" and not good):
        raise ValueError(
            f"a threshold for {criterion} needs examples, got {defects} defects and {good} good "
            "ones: choose it on validation data that hold both"
        )
    best = int(np.argmax(_CRITERIA[criterion](counts)))
    gap = counts.thresholds[best : best + 2] if middle else counts.thresholds[best]
    return float(np.mean(gap))


def ranked_counts(
    scores: Values, target: Values, *, ignore_index: int | None = None
) -> RankedCounts:
    """Return true and false positives at each distinct score, strictest threshold first.

    Raises:
        ValueError: for NaN, a target other than 0 and 1, unequal shapes, and no value that counts.

    Example:
        >>> ranked_counts([.2, .7, .7], [0, 0, 1]).tp.tolist()
        [1, 1]
    """
    flat, positive = paired_pixels(scores, target, ignore_index=ignore_index)
    if not flat.size:
        raise ValueError(f"no value counts: the whole target is ignore_index={ignore_index}")
    order, last = strictest_first(flat)
    tp = np.cumsum(positive[order])[last]
    return RankedCounts(flat[order][last], tp, last + 1 - tp)


def strictest_first(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of flat scores from the highest down, and the places where a run ends.

    Equal scores fall on one side of every threshold: only the last of a run is a real point.

    Example:
        >>> order, last = strictest_first(np.array([0.2, 0.7, 0.7]))
        >>> order[last].tolist(), last.tolist()
        ([1, 0], [1, 2])
    """
    order = np.argsort(scores)[::-1]
    return order, np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)


def area_under(x: np.ndarray, y: np.ndarray) -> float:
    """Return the area under the straight lines between the points (x, y), x rising.

    Example:
        >>> area_under(np.array([0., 1., 2.]), np.array([0., 1., 1.]))
        1.5
    """
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def _auroc(curve: RocCurve) -> float:
    return area_under(curve.fpr, curve.tpr)


def _f1(counts: RankedCounts) -> np.ndarray:
    return 2 * counts.tp / (counts.tp[-1] + counts.tp + counts.fp)


def _iou(counts: RankedCounts) -> np.ndarray:
    return counts.tp / (counts.tp[-1] + counts.fp)


def _youden(c: RankedCounts) -> np.ndarray:
    # tp / defects - fp / good, times both: whole numbers, so that ties are ties
    return c.tp * c.fp[-1] - c.fp * c.tp[-1]


_CRITERIA: dict[str, Callable[[RankedCounts], np.ndarray]] = {
    "f1": _f1,
    "iou": _iou,
    "youden": _youden,
}
