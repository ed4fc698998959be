"""Lesson 00, start here: what a threshold costs, and how to read a mask."""

from typing import Any

import numpy as np

from course_utils.lessons.answers import call_answer, mistake
from course_utils.lessons.expect import as_array, describe, expect_array, expect_function

# Few enough pixels to count by eye. Two classes, so that adding up the mask is no way to count.
TINY_MASK = np.zeros((8, 10), dtype=np.int64)
TINY_MASK[[1, 2, 3], [1, 2, 3]] = 1
TINY_MASK[5, 7:9] = 2


def _misses_and_false_alarms(
    scores: np.ndarray, defective: np.ndarray, threshold: float
) -> tuple[int, int]:
    thrown = scores >= threshold
    return int((defective & ~thrown).sum()), int((~defective & thrown).sum())


def check_misses_and_false_alarms(answer: Any) -> None:
    rng = np.random.default_rng(5)
    for count, threshold in ((30, 0.5), (47, 0.6), (12, 0.3)):
        scores = rng.integers(0, 11, count) / 10  # some lie exactly at the threshold
        defective = rng.random(count) < 0.3 + 0.4 * scores
        given = (scores, defective, threshold)
        misses, alarms = wanted = _misses_and_false_alarms(*given)
        result = call_answer(answer, scores.copy(), defective.copy(), threshold)
        numbers = as_array(result)
        if numbers is None or numbers.shape != (2,):
            mistake("one_number", what=describe(result))
        thrown = scores >= threshold
        expect_array(
            result,
            np.array(wanted),
            mistakes={
                "swapped": np.array([alarms, misses]),
                "strict": np.array(
                    [
                        (defective & (scores <= threshold)).sum(),
                        (~defective & (scores > threshold)).sum(),
                    ]
                ),
                "wrong_side": np.array(
                    [
                        (defective & (scores >= threshold)).sum(),
                        (~defective & (scores < threshold)).sum(),
                    ]
                ),
                "right_ones": np.array([(~defective & ~thrown).sum(), (defective & thrown).sum()]),
                "all_thrown": np.array([misses, thrown.sum()]),
                "all_defective": np.array([defective.sum(), alarms]),
                "shares": np.array([misses, alarms]) / count,
            },
        )


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


def _accuracy_of_nothing(mask: np.ndarray) -> float:
    return float((mask == 0).mean())


def check_accuracy_of_nothing(answer: Any) -> None:
    expect_function(
        answer,
        [((mask,), _accuracy_of_nothing) for mask in _masks()],
        mistakes={
            "share_of_defect": lambda mask: (mask > 0).mean(),
            "number_of_pixels": lambda mask: (mask == 0).sum(),
            "percent": lambda mask: 100 * (mask == 0).mean(),
            "class_1_only": lambda mask: (mask != 1).mean(),
            "sum_of_class_numbers": lambda mask: 1 - mask.mean(),
            "constant": lambda mask: 75 / 80,
        },
    )
