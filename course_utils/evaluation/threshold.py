"""From scores to decisions: the threshold, chosen on validation data."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from course_utils.evaluation.inputs import Values
from course_utils.evaluation.ranking import RankedCounts, ranked_counts

Criterion: TypeAlias = Literal["f1", "iou", "youden"]


def best_threshold(scores: Values, target: Values, *, criterion: Criterion = "f1") -> float:
    """Return the threshold with the best `criterion`, for **validation** data.

    Never pass test data: a threshold that has seen the test labels reports the luck of the
    choice as skill. Choose here, on validation data, then keep it fixed: `scores >= threshold`.
    (A published two-stage code counts its errors at the best-F1 threshold of the test set.)

    `scores` and `target` (0, 1) have one shape: images (N,) or maps (N, H, W). Criteria:
    `"f1"`: 2 TP / (2 TP + FP + FN), Dice when the scores are pixels; `"iou"`: TP / (TP+FP+FN),
    which always has its best at the same threshold; `"youden"`: recall - false-positive rate,
    which does not mind how rare defects are. The result is one of the scores. Several equally
    good: the highest, which raises fewest alarms.

    Raises:
        ValueError: when there is no defect (for `"youden"`: or nothing good), for NaN, for a target
            other than 0 and 1, for unequal shapes, and for an unknown criterion.

    Example:
        >>> best_threshold([.1, .4, .35, .8], [0, 0, 1, 1])
        0.35
    """
    if criterion not in _CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(_CRITERIA)}, got {criterion!r}")
    counts = ranked_counts(scores, target)
    defects, good = counts.hits[-1], counts.false_alarms[-1]
    if not defects or (criterion == "youden" and not good):
        raise ValueError(
            f"a threshold for {criterion} needs examples, got {defects} defects and {good} good "
            "ones: choose it on validation data that hold both"
        )
    return float(counts.thresholds[np.argmax(_CRITERIA[criterion](counts))])


def _f1(counts: RankedCounts) -> np.ndarray:
    return 2 * counts.hits / (counts.hits[-1] + counts.hits + counts.false_alarms)


def _iou(counts: RankedCounts) -> np.ndarray:
    return counts.hits / (counts.hits[-1] + counts.false_alarms)


def _youden(counts: RankedCounts) -> np.ndarray:
    return counts.hits / counts.hits[-1] - counts.false_alarms / counts.false_alarms[-1]


_CRITERIA: dict[str, Callable[[RankedCounts], np.ndarray]] = {
    "f1": _f1,
    "iou": _iou,
    "youden": _youden,
}
