"""Lesson 01, class imbalance: scores that see a rare defect, and splits that do not leak."""

from typing import Any

import numpy as np

from course_utils.evaluation import best_threshold, iou
from course_utils.lessons.answers import call_answer, mistake
from course_utils.lessons.expect import as_array, describe, expect_function


def _typical_area(masks: np.ndarray) -> float:
    areas = (masks > 0).mean(axis=(1, 2))
    return float(np.median(areas[areas > 0]))


def _areas(masks: np.ndarray) -> np.ndarray:
    return (masks > 0).mean(axis=(1, 2))


def check_typical_area(answer: Any) -> None:
    rng = np.random.default_rng(5)
    cases = []
    for images, good in ((9, 5), (12, 4), (7, 4)):
        masks = np.zeros((images, 20, 30), dtype=np.int64)
        for number in range(good, images):
            height, width = rng.integers(2, 15, 2)
            masks[number, :height, :width] = rng.integers(1, 4)
            masks[number, 19, 29] = 3
        cases.append(((rng.permutation(masks),), _typical_area))
    expect_function(
        answer,
        cases,
        mistakes={
            "all_images": lambda m: np.median(_areas(m)),
            "mean": lambda m: _areas(m)[_areas(m) > 0].mean(),
            "pooled": lambda m: (m > 0).mean(),
            "class_numbers": lambda m: np.median(m.mean(axis=(1, 2))[m.any(axis=(1, 2))]),
            "pixels": lambda m: _typical_area(m) * m[0].size,
            "percent": lambda m: 100 * _typical_area(m),
            "each_image": [lambda m: _areas(m)[_areas(m) > 0], _areas],
            "share_of_images": lambda m: (_areas(m) > 0).mean(),
        },
    )


def _iou_from_rates(precision: float, recall: float) -> float:
    return 1 / (1 / precision + 1 / recall - 1)


def check_iou_from_rates(answer: Any) -> None:
    expect_function(
        answer,
        [(rates, _iou_from_rates) for rates in ((0.5, 0.5), (0.9, 0.3), (0.2, 0.8), (1.0, 0.25))],
        mistakes={
            "dice": lambda p, r: 2 * p * r / (p + r),
            "product": lambda p, r: p * r,
            "mean": lambda p, r: (p + r) / 2,
            "smaller": min,
            "overlap_twice": lambda p, r: p * r / (p + r),
            "upside_down": lambda p, r: 1 / p + 1 / r - 1,
        },
    )


def _precision_from_rates(recall: float, false_alarm_rate: float, share: float) -> float:
    right, wrong = recall * share, false_alarm_rate * (1 - share)
    return right / (right + wrong)


def check_precision_from_rates(answer: Any) -> None:
    cases = ((0.8, 0.01, 0.2), (0.5, 0.1, 0.25), (0.9, 0.02, 0.01), (0.3, 0.3, 0.4))
    expect_function(
        answer,
        [(case, _precision_from_rates) for case in cases],
        mistakes={
            "no_share": lambda r, f, s: r / (r + f),
            "all_pixels": lambda r, f, s: r * s / (r * s + f),
            "odds": lambda r, f, s: r * s / (1 - s) / (r * s / (1 - s) + f * (1 - s)),
            "swapped": lambda r, f, s: r * (1 - s) / (r * (1 - s) + f * s),
            "wrong_alarms": lambda r, f, s: 1 - _precision_from_rates(r, f, s),
            "accuracy": lambda r, f, s: r * s + (1 - f) * (1 - s),
            "alarms": lambda r, f, s: r * s + f * (1 - s),
        },
    )


def _loss_of_a_constant(share: float) -> float:
    return -share * np.log(share) - (1 - share) * np.log(1 - share)


def check_loss_of_a_constant(answer: Any) -> None:
    expect_function(
        answer,
        [((share,), _loss_of_a_constant) for share in (0.01, 0.1, 0.3, 0.004)],
        rtol=2e-3,  # a fine grid of p will do
        mistakes={
            "one_half": lambda s: np.log(2),
            "bits": lambda s: _loss_of_a_constant(s) / np.log(2),
            "defects_only": lambda s: -s * np.log(s),
            "background_only": lambda s: -(1 - s) * np.log(1 - s),
            "unweighted": lambda s: -np.log(s) - np.log(1 - s),
            "probability": lambda s: s,
            "sign": lambda s: -_loss_of_a_constant(s),
        },
    )


def _networks() -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """What each network is made to show, what it is, its scores, and the truth."""
    rng = np.random.default_rng(11)

    def made(share: float, separation: float, bias: float) -> tuple[np.ndarray, np.ndarray]:
        target = (rng.random((6, 50, 50)) < share).astype(np.int64)
        logits = rng.normal(size=target.shape) + separation * target + bias
        return 1 / (1 + np.exp(-logits)), target

    def near(
        share: float, recall: float, alarms: float, ratio: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Found `recall` of the defects, `alarms` false ones for each defect; then AP / share."""
        target = np.zeros(20_000, dtype=np.int64)
        defects = int(share * target.size)
        target[:defects] = 1
        scores = 1e-3 + 0.4 * rng.random(target.size)
        right, wrong = round(recall * defects), round(alarms * defects)
        scores[:right] = 0.6 + 0.3 * rng.random(right)
        scores[defects : defects + wrong] = 0.6 + 0.3 * rng.random(wrong)
        rest = target.astype(bool) & (scores < 0.5)
        low, high, raw = 0.0, 1.0, scores[rest]
        for _ in range(25):  # raise the other defects in the ranking until the AP fits
            power = (low + high) / 2
            scores[rest] = 1e-3 + (raw - 1e-3) * power + 0.4 * (1 - power) * (raw > 0.0)
            above = average_precision(scores, target) > ratio * share
            low, high = (power, high) if above else (low, power)
        order = rng.permutation(target.size)
        return scores[order].reshape(5, 50, 80), target[order].reshape(5, 50, 80)

    return [
        ("speaker", "speaks", *made(0.02, 4.0, -2.5)),
        ("ranking", "silent", *made(0.02, 2.0, -9.0)),
        ("random", "knows nothing", *made(0.02, 0.0, -9.0)),
        ("high_share", "knows nothing", *made(0.4, 0.0, -9.0)),
        ("low_share", "silent", *made(0.002, 1.2, -12.0)),
        ("any_alarm", "knows nothing", *made(0.02, 0.0, 0.5)),
    ]


def _ranked(scores: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each score as a threshold, strictest first, with its precision and recall."""
    order = np.argsort(-scores.ravel())
    found = np.cumsum(target.ravel()[order])
    return scores.ravel()[order], found / np.arange(1, len(found) + 1), found / found[-1]


def _threshold_cases() -> list[tuple[np.ndarray, np.ndarray, float]]:
    rng = np.random.default_rng(7)
    cases = []
    for share, separation, wanted in ((0.03, 2.0, 0.4), (0.02, 2.5, 0.6), (0.1, 1.5, 0.3)):
        target = (rng.random((8, 40, 40)) < share).astype(np.int64)
        logits = rng.normal(size=target.shape) + separation * target - 5
        logits.flat[rng.choice(np.flatnonzero(target == 0), 2, replace=False)] = 0.5, 0.8
        cases.append((1 / (1 + np.exp(-logits)), target, wanted))
    return cases


def check_threshold_for_precision(answer: Any) -> None:
    for scores, target, wanted in _threshold_cases():
        given = call_answer(answer, scores.copy(), target.copy(), wanted)
        number = as_array(given)
        if number is None or number.ndim or not np.isfinite(number):
            mistake("no_threshold", given=describe(given))
        threshold = float(number)
        found = scores >= threshold
        thresholds, precision, recall = _ranked(scores, target)
        if not found.any():
            mistake("index" if threshold > 1 else "no_alarm", threshold=threshold)
        reached = target[found].mean()
        now, most = target[found].sum() / target.sum(), recall[precision >= wanted].max()
        # A search over a grid may miss the best threshold by a step.
        if reached >= wanted - 1e-9 and now >= 0.95 * most:
            continue
        at_best_iou = best_threshold(scores, target, criterion="iou")
        if np.isclose(threshold, wanted):
            mistake("wanted")
        if np.isclose(iou(found, target), iou(scores >= at_best_iou, target), rtol=0.02):
            mistake("best_iou", reached=reached, wanted=wanted)
        if reached < wanted:
            mistake("too_low", threshold=threshold, reached=reached, wanted=wanted)
        if np.isclose(threshold, thresholds[precision.argmax()]):
            mistake("highest_precision", now=now, most=most)
        mistake("too_high", threshold=threshold, now=now, most=most)


def check_split_by_tile(answer: Any) -> None:
    rng = np.random.default_rng(3)
    for tiles in (40, 75):
        groups = rng.permutation(np.repeat(np.arange(tiles), rng.integers(1, 5, tiles)))
        given = call_answer(answer, groups.copy(), np.random.default_rng(1))
        numbers = as_array(given)
        test: np.ndarray = np.asarray(given) if numbers is not None else np.empty(0)
        if test.shape != groups.shape or test.dtype != bool:
            mistake("indices", images=len(groups), given=describe(given))
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
