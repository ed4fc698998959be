"""Lesson 00, start here: reading a mask, and what answering "no defect" everywhere is worth."""

from typing import Any

import numpy as np

from course_utils.lessons.expect import expect_function, expect_number

# Few enough pixels to count by eye. Two classes, so that adding up the mask is no way to count.
TINY_MASK = np.zeros((8, 10), dtype=np.int64)
TINY_MASK[[1, 2, 3], [1, 2, 3]] = 1
TINY_MASK[5, 7:9] = 2


def check_defect_share(answer: Any) -> None:
    expect_number(
        answer,
        (TINY_MASK > 0).mean(),
        mistakes={
            "number_of_pixels": 5,
            "percent": 6.25,
            "class_1_only": 3 / 80,
            "class_2_only": 2 / 80,
            "sum_of_class_numbers": TINY_MASK.mean(),
            "share_of_background": 75 / 80,
            "ratio": 5 / 75,
        },
    )


def _accuracy_of_nothing(mask: np.ndarray) -> float:
    return float((mask == 0).mean())


def check_accuracy_of_nothing(answer: Any) -> None:
    rare = np.zeros((20, 50), dtype=np.int64)
    rare[3, 4:6] = 3
    masks = [TINY_MASK, rare, np.zeros((4, 4), dtype=np.int64), np.ones((3, 5), dtype=np.int64)]
    expect_function(
        answer,
        [((mask,), _accuracy_of_nothing) for mask in masks],
        mistakes={
            "share_of_defect": lambda mask: (mask > 0).mean(),
            "number_of_pixels": lambda mask: (mask == 0).sum(),
            "percent": lambda mask: 100 * (mask == 0).mean(),
            "class_1_only": lambda mask: (mask != 1).mean(),
            "sum_of_class_numbers": lambda mask: 1 - mask.mean(),
            "constant": lambda mask: 75 / 80,
        },
    )
