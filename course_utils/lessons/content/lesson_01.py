"""Lesson 01, class imbalance: metrics that see a rare defect, and splits that do not leak."""

from typing import Any

import numpy as np

from course_utils.evaluation import accuracy, best_threshold, iou
from course_utils.lessons.answers import call_answer, mistake
from course_utils.lessons.expect import expect_function, expect_number


def _iou_from_counts(tp: int, fp: int, fn: int, tn: int) -> float:
    return tp / (tp + fp + fn)


def check_iou_from_counts(answer: Any) -> None:
    expect_function(
        answer,
        [
            (counts, _iou_from_counts)
            for counts in ((30, 20, 50, 900), (8, 0, 2, 990), (0, 5, 5, 90))
        ],
        mistakes={
            "dice": lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn),
            "accuracy": lambda tp, fp, fn, tn: (tp + tn) / (tp + fp + fn + tn),
            "precision": lambda tp, fp, fn, tn: tp / (tp + fp) if tp else 0.0,
            "recall": lambda tp, fp, fn, tn: tp / (tp + fn),
            "all_pixels": lambda tp, fp, fn, tn: tp / (tp + fp + fn + tn),
        },
    )


def check_ap_of_chance(answer: Any) -> None:
    expect_number(
        answer,
        0.004,
        rtol=0.03,
        mistakes={"auroc": 0.5, "accuracy": 0.996, "percent": 0.4, "nothing": 0.0},
    )


def _validation_cases() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(7)
    cases = []
    for shift, share in ((1.5, 0.03), (2.5, 0.01), (1.0, 0.1)):
        target = (rng.random((8, 40, 40)) < share).astype(np.int64)
        logits = rng.normal(size=target.shape) + shift * target - 4
        cases.append((1 / (1 + np.exp(-logits)), target))
    return cases


def check_choose_threshold(answer: Any) -> None:
    for scores, target in _validation_cases():
        given = call_answer(answer, scores.copy(), target.copy())
        if not np.isscalar(given) and np.ndim(given) != 0:
            mistake("all_thresholds", shape=np.shape(given))
        threshold = float(given)
        wanted = iou(scores >= best_threshold(scores, target, criterion="iou"), target)
        # A search over a grid may miss the best threshold by a step.
        reached = iou(scores >= threshold, target)
        if reached >= 0.95 * wanted:
            continue
        if np.isclose(threshold, 0.5):
            mistake("one_half")
        if threshold > 1:
            mistake("index", threshold=threshold)
        if np.isclose(threshold, wanted, rtol=0.05):
            mistake("best_value")
        if accuracy(scores >= threshold, target) >= 1 - target.mean():
            mistake("best_accuracy")
        mistake("another", threshold=threshold, reached=reached, wanted=wanted)


def check_split_by_tile(answer: Any) -> None:
    rng = np.random.default_rng(3)
    for tiles in (40, 75):
        groups = rng.permutation(np.repeat(np.arange(tiles), rng.integers(1, 5, tiles)))
        test = np.asarray(call_answer(answer, groups.copy(), np.random.default_rng(1)))
        if test.shape != groups.shape or test.dtype != bool:
            mistake("indices", images=len(groups), shape=test.shape, kind=test.dtype)
        if not test.any():
            mistake("nothing")
        if test.all():
            mistake("everything")
        torn = len(np.intersect1d(groups[test], groups[~test]))
        if torn:
            mistake("images", torn=torn)
        if not 0.1 <= test.mean() <= 0.4:
            mistake("too_many", share=test.mean())
        same = np.asarray(call_answer(answer, groups.copy(), np.random.default_rng(1)))
        if not np.array_equal(test, same):
            mistake("another_generator")
        other = np.asarray(call_answer(answer, groups.copy(), np.random.default_rng(2)))
        if np.array_equal(test, other):
            mistake("not_drawn")
