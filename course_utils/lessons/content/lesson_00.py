"""Lesson 00, start here: what a threshold costs, and how to read a mask."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from course_utils.lessons.answers import call_answer, mistake
from course_utils.lessons.expect import as_array, describe, expect_array, expect_function

# Few enough pixels to count by eye. Two classes, so that adding up the mask is no way to count.
TINY_MASK = np.zeros((8, 10), dtype=np.int64)
TINY_MASK[[1, 2, 3], [1, 2, 3]] = 1
TINY_MASK[5, 7:9] = 2


def check_misses_and_false_alarms(answer: Any) -> None:
    rng = np.random.default_rng(5)
    for count, threshold in ((30, 0.5), (47, 0.6), (40, 0.3)):
        scores = rng.integers(0, 11, count) / 10  # some lie exactly at the threshold
        bad = rng.random(count) < 0.3 + 0.4 * scores
        good, out = ~bad, scores >= threshold
        misses, alarms = int((bad & ~out).sum()), int((good & out).sum())
        numbers = _two_numbers(answer, scores, bad, threshold)
        mistakes = {
            "swapped": (alarms, misses),
            "strict": ((bad & (scores <= threshold)).sum(), (good & (scores > threshold)).sum()),
            "wrong_side": ((bad & out).sum(), (good & ~out).sum()),
            "right_ones": ((good & ~out).sum(), (bad & out).sum()),
            "all_rejected": (misses, out.sum()),
            "all_defective": (bad.sum(), alarms),
            "passing": ((~out).sum(), alarms),
            "shares": (misses / count, alarms / count),
            "rates": (misses / bad.sum(), alarms / good.sum()),
        }
        _expect_pair(numbers, (misses, alarms), mistakes)
        right = numbers == (misses, alarms)
        if right.tolist() == [False, True]:
            mistake("misses_wrong", got=f"{numbers[0]:g}", wanted=misses)
        if right.tolist() == [True, False]:
            mistake("alarms_wrong", got=f"{numbers[1]:g}", wanted=alarms)
        expect_array(numbers, np.array([misses, alarms]))


def check_accuracy_and_recall(answer: Any) -> None:
    rng = np.random.default_rng(6)
    for shape, share in (((12, 20), 0.1), ((9, 7), 0.3), ((16, 16), 0.0)):
        mask = np.zeros(shape, dtype=np.int64)
        mask[2:5, 1:6] = 1
        mask[6:8, 2:5] = 2
        truth = mask > 0
        marked = (rng.random(shape) < share) | (truth & (rng.random(shape) < 4 * share))
        right, found = (marked == truth).mean(), marked[truth].mean()
        numbers = _two_numbers(answer, mask, marked)
        first = mask == 1
        mistakes = {
            "swapped": (found, right),
            "precision": (right, truth[marked].mean() if marked.any() else np.nan),
            "class_1_only": ((marked == first).mean(), marked[first].mean()),
            "compared_with_classes": ((marked == mask).mean(), found),
            "counts": ((marked == truth).sum(), (marked & truth).sum()),
            "percent": (100 * right, 100 * found),
            "found_of_all": (right, (marked & truth).mean()),
        }
        _expect_pair(numbers, (right, found), mistakes)
        expect_array(numbers, np.array([right, found]))


def _two_numbers(answer: Any, *given: Any) -> np.ndarray:
    result = call_answer(answer, *(np.copy(one) if np.ndim(one) else one for one in given))
    numbers = as_array(result)
    if numbers is None or numbers.shape != (2,):
        mistake("one_number", what=describe(result))
    return numbers


def _expect_pair(
    numbers: np.ndarray, wanted: tuple[Any, Any], mistakes: Mapping[str, tuple[Any, Any]]
) -> None:
    if not np.allclose(numbers, wanted):
        for name, wrong in mistakes.items():
            if np.allclose(numbers, wrong, equal_nan=True):
                mistake(name)


def _defect_share(mask: np.ndarray) -> float:
    return float((mask > 0).mean())


def check_defect_share(answer: Any) -> None:
    expect_function(
        answer,
        [((mask,), _defect_share) for mask in _masks()],
        mistakes={
            "number_of_pixels": lambda mask: (mask > 0).sum(),
            "percent": lambda mask: 100 * (mask > 0).mean(),
            "class_1_only": lambda mask: (mask == 1).mean(),
            "sum_of_class_numbers": lambda mask: mask.mean(),
            "share_of_background": lambda mask: (mask == 0).mean(),
            "ratio": lambda mask: (mask > 0).sum() / max((mask == 0).sum(), 1),
            "constant": lambda mask: 5 / 80,
        },
    )


def _masks() -> list[np.ndarray]:
    rare = np.zeros((20, 50), dtype=np.int64)
    rare[3, 4:6] = 3
    return [TINY_MASK, rare, np.zeros((4, 4), dtype=np.int64), np.ones((3, 5), dtype=np.int64)]
