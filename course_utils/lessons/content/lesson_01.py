"""Lesson 01, class imbalance: scores that see a rare defect, and splits that do not leak."""

from typing import Any

import numpy as np

from course_utils.evaluation import average_precision, best_threshold, iou
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

    def near(*runs: tuple[float, int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Four images of runs of a ranking: highest score, pixels, defects; the last run last."""
        scores = np.concatenate([top - 0.04 * rng.random(pixels) for top, pixels, _ in runs])
        target = np.concatenate(
            [rng.permutation(np.arange(pixels) < defects) for _, pixels, defects in runs]
        ).astype(np.int64)
        order = rng.permutation(len(scores))
        return scores[order].reshape(4, 50, -1), target[order].reshape(4, 50, -1)

    easy = np.zeros((1, 50, 100), dtype=np.int64)
    easy[0, 20, 30:33] = 1
    poor = near((0.9, 297, 24), (0.3, 5000, 323), (0.2, 14_703, 53))
    # Its IoU is .04, though in one image of five all is found.
    poor = np.concatenate([poor[0], 0.1 + 0.7 * easy]), np.concatenate([poor[1], easy])
    return [
        ("speaker", "speaks", *made(0.02, 4.0, -2.5)),
        ("ranking", "silent", *made(0.02, 2.0, -9.0)),
        ("random", "knows nothing", *made(0.02, 0.0, -9.0)),
        ("high_share", "knows nothing", *made(0.4, 0.0, -9.0)),
        ("low_share", "silent", *made(0.002, 1.2, -12.0)),
        ("any_alarm", "knows nothing", *made(0.02, 0.0, 0.5)),
        # Near the limits: IoU .04 and .07, few but right alarms, AP 1.6 and 2.6 times the share.
        ("near_limit", "silent", *poor),
        ("near_limit", "speaks", *near((0.9, 300, 46), (0.3, 5000, 200), (0.2, 14_700, 154))),
        ("near_limit", "silent", *near((0.9, 9, 8), (0.3, 6000, 300), (0.2, 13_991, 92))),
        ("near_limit", "knows nothing", *near((0.3, 5000, 1050), (0.2, 15_000, 950))),
        ("near_limit", "silent", *near((0.3, 4000, 110), (0.2, 16_000, 90))),
    ]


def check_diagnose(answer: Any) -> None:
    networks = _networks()
    given = [call_answer(answer, scores.copy(), target.copy()) for _, _, scores, target in networks]
    for said in given:
        if not isinstance(said, str) or said not in ("speaks", "silent", "knows nothing"):
            mistake("another_word", given=describe(said))
    if len(set(given)) == 1:
        mistake("always", given=given[0], networks=len(given))
    for (name, right, scores, target), said in zip(networks, given, strict=True):
        if said != right:
            share = target.mean()
            mistake(
                name,
                given=said,
                right=right,
                share=share,
                iou=iou(scores > 0.5, target),
                ratio=average_precision(scores, target) / share,
            )


def _ranked(scores: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each score as a threshold, strictest first, with its precision and recall."""
    order = np.argsort(-scores.ravel())
    found = np.cumsum(target.ravel()[order])
    return scores.ravel()[order], found / np.arange(1, len(found) + 1), found / found[-1]


def _threshold_cases() -> list[tuple[np.ndarray, np.ndarray, float]]:
    rng = np.random.default_rng(7)
    cases = []
    for share, separation, wanted in ((0.03, 2.0, 0.7), (0.02, 2.5, 0.6), (0.1, 1.5, 0.5)):
        target = (rng.random((8, 40, 40)) < share).astype(np.int64)
        logits = rng.normal(size=target.shape) + separation * target - 5
        # Two false alarms at the top, twelve below the eighth defect: precision falls and rises.
        alarms = rng.choice(np.flatnonzero(target == 0), 14, replace=False)
        eighth = np.sort(logits[target == 1])[-8]
        logits.flat[alarms[:2]] = logits.max() + np.array([0.5, 0.8])
        logits.flat[alarms[2:]] = eighth - np.linspace(1e-4, 1e-3, 12)
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
            if np.isclose(threshold, wanted):
                mistake("wanted")
            mistake("index" if threshold > 1 else "no_alarm", threshold=threshold)
        reached = target[found].mean()
        now, most = target[found].sum() / target.sum(), recall[precision >= wanted].max()
        # A search over a fine grid may miss the best threshold by a step.
        if reached >= wanted - 1e-9 and now >= 0.9 * most:
            continue
        place = int(found.sum())  # how far down the ranking
        first = int((precision < wanted).argmax())  # two high scores of background come early
        start = int((precision >= wanted).argmax())
        crossing = start + int((precision[start:] < wanted).argmax())
        if np.isclose(threshold, wanted):
            mistake("wanted")
        at_best_iou = best_threshold(scores, target, criterion="iou")
        if reached < wanted - 1e-9:
            name = "best_iou" if np.isclose(threshold, at_best_iou, rtol=1e-6) else "too_low"
            mistake(name, threshold=threshold, reached=reached, wanted=wanted)
        if np.isclose(threshold, thresholds[precision.argmax()]):
            mistake("highest_precision", now=now, most=most)
        name = "first_crossing" if abs(place - crossing) <= 1 or place == first else "too_high"
        mistake(name, threshold=threshold, now=now, most=most)


def check_split_by_tile(answer: Any) -> None:
    rng = np.random.default_rng(3)
    for tiles, most, named in ((120, 4, False), (160, 4, False), (200, 9, True)):
        numbers = rng.permutation(
            np.repeat(np.arange(tiles), rng.integers(most // 2, most + 1, tiles))
        )
        groups = np.array([f"tile-{number:02}" for number in numbers]) if named else numbers
        splits = [
            _as_split(call_answer(answer, groups.copy(), _generator(s)), groups) for s in DRAWS
        ]
        for test in splits:
            if not test.any():
                mistake("nothing")
            if test.all():
                mistake("everything")
            torn = len(np.intersect1d(groups[test], groups[~test]))
            if torn:
                mistake("images", torn=torn)
        again = _as_split(call_answer(answer, groups.copy(), _generator(DRAWS[0])), groups)
        if not np.array_equal(splits[0], again):
            mistake("another_generator")
        different = len({test.tobytes() for test in splits})
        if different == 1:
            mistake("not_drawn")
        if different < len(DRAWS) - 1:
            mistake("few_outcomes", draws=len(DRAWS), different=different)
        shares = [test.mean() for test in splits]
        low, high = min(shares), max(shares)
        worst = low if 0.25 - low > high - 0.25 else high
        if not 0.17 <= np.mean(shares) <= 0.33 or not 0.12 <= worst <= 0.4:
            mistake("too_many", share=worst, images=len(groups), tiles=tiles)
        names = np.unique(groups)
        taken = [np.isin(names, groups[test]) for test in splits]
        # Alternations along the list: about 3/8 of the tiles where each is drawn by itself.
        changes = np.mean([np.mean(one[1:] != one[:-1]) for one in taken])
        if changes < 0.2:
            mistake("neighbors")


DRAWS = (1, 2, 3, 4, 5, 6)
"""Seeds of the generators that each answer is tried with."""


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _as_split(given: Any, groups: np.ndarray) -> np.ndarray:
    """The answer as booleans, one for each image, whatever it is made of."""
    numbers = as_array(given)
    if numbers is None or numbers.shape != groups.shape:
        mistake("indices", images=len(groups), given=describe(given))
    kind = str(given.dtype if hasattr(given, "dtype") else np.asarray(given).dtype)
    if "bool" not in kind:
        if set(np.unique(numbers)) <= {0.0, 1.0} and "int" in kind:
            mistake("whole_numbers")
        mistake("indices", images=len(groups), given=f"{describe(given)} of type `{kind}`")
    return numbers > 0
