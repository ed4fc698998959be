"""Lesson 07, two-stage training: a label, a schedule, a fair draw, weights by distance."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.lessons.answers import AnswerRaised, call_answer, mistake
from course_utils.lessons.expect import as_array, describe, expect_function

Array = npt.NDArray[Any]


def _in_a_kind_it_takes(answer: Any, cases: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    """Return the cases, with tensors for arrays or the reverse if the answer cannot take them."""
    try:
        call_answer(answer, *_turned(_turned(cases[0])))
    except AnswerRaised as raised:
        turned = [_turned(case) for case in cases]
        try:
            call_answer(answer, *_turned(_turned(turned[0])))
        except AnswerRaised:
            # Of an answer in torch, the error is to be said that it has with tensors.
            if "numpy.ndarray" in str(raised.error):
                raise
            raise raised from None
        return turned
    return cases


def _turned(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return copies: arrays as tensors, tensors as arrays."""
    return tuple(
        arg.numpy().copy()
        if isinstance(arg, Tensor)
        else torch.from_numpy(arg.copy())
        if isinstance(arg, np.ndarray)
        else arg
        for arg in args
    )


# The label of an image


def _label(mask: Any) -> int:
    return int((torch.as_tensor(mask) > 0).any())


def _masks() -> list[Tensor]:
    """Return masks that no two typical mistakes label alike."""
    masks = torch.zeros(9, 64, 64, dtype=torch.int64)
    masks[0, 33:38, 33:38] = 1
    masks[1, 50, 21] = 3
    masks[3, 5:57, 5:57] = 2
    masks[4] = 1
    masks[5, 10:34, 22:46] = 255
    masks[6, 3, 61] = 1
    masks[7, 15:18, 23:26] = 2
    masks[8, 30:54, 12:36] = 1
    return list(masks)


def _soft(mask: Any, *, mode: str = "reflect", whole_numbers: bool = False) -> Tensor:
    """Return the mask at an eighth of its size, as the published code makes it."""
    mask = torch.as_tensor(mask)
    defect = (mask if whole_numbers else mask > 0).double()[None]
    return F.avg_pool2d(F.pad(defect, (8, 8, 8, 8), mode=mode), 17, stride=8)


def check_image_label(answer: Any) -> None:
    try:
        cases = _in_a_kind_it_takes(answer, [(mask,) for mask in _masks()])
    except AnswerRaised as raised:
        if "ambiguous" not in str(raised.error):
            raise
        mistake("pythons_any")
    t = torch.as_tensor
    expect_function(
        answer,
        [(case, _label) for case in cases],
        mistakes={
            "smaller_mask": [
                lambda m: _soft(m).max(),
                lambda m: _soft(m, mode="constant", whole_numbers=True).max(),
                lambda m: _soft(m, whole_numbers=True).max(),
                lambda m: F.avg_pool2d((t(m) > 0).double()[None], 8).max(),
                lambda m: F.avg_pool2d(t(m).double()[None], 8).max(),
            ],
            "sum_of_the_smaller_mask": lambda m: _soft(m).sum().clamp(max=1),
            "smaller_mask_rounded": lambda m: _soft(m).max() > 0.5,
            "each_eighth_pixel": lambda m: t(m)[::8, ::8].any(),
            "majority": lambda m: (t(m) > 0).double().mean() > 0.5,
            "mean_above_5": lambda m: t(m).double().mean() > 0.5,
            "share": lambda m: (t(m) > 0).double().mean(),
            "mean": lambda m: t(m).double().mean(),
            "number": lambda m: (t(m) > 0).sum(),
            "sum": lambda m: t(m).sum(),
            "largest": lambda m: t(m).max(),
            "mask": lambda m: t(m),
            "each_pixel": lambda m: t(m) > 0,
            "all": lambda m: (t(m) > 0).all(),
            "turned_over": lambda m: 1 - _label(m),
            "class_1": lambda m: (t(m) == 1).any(),
            "white": lambda m: (t(m) == 255).any(),
            "above_1": lambda m: t(m).max() > 1,
            "two_pixels": [lambda m: (t(m) > 0).sum() > 1, lambda m: t(m).sum() > 1],
            "two_values": lambda m: len(t(m).unique()) > 1,
        },
    )


# Two losses, one schedule


def _right_mix(s: Tensor, d: Tensor, lam: float, delta: float) -> Tensor:
    return lam * s + delta * (1 - lam) * d


def _joint(
    schedule: Callable[[int, int], float] = lambda n, e: 1 - n / e,
    mix: Callable[..., Any] = _right_mix,
) -> Callable[..., Any]:
    """Return the loss with this schedule, lambda of epoch and epochs, and this mixture."""
    return lambda s, d, n, e, delta: mix(s, d, schedule(n, e), delta)


def check_joint_loss(answer: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for learns, epoch, epochs, delta in (
        # Without a gradient first: a change in place is then ours to name, not torch's.
        (False, 3, 8, 0.1),
        (False, 0, 5, 0.01),
        (True, 2, 5, 0.1),
        (True, 4, 5, 1.0),
    ):
        segmentation, decision = 1 + torch.rand(2, generator=generator, dtype=torch.float64)
        parts = segmentation.clone(), 3 * decision
        cases.append((*(p.requires_grad_(learns) for p in parts), epoch, epochs, delta))
    result = call_answer(answer, *copy.deepcopy(cases[0]))
    if isinstance(result, tuple | list) or np.shape(result) == (2,):
        mistake("two_parts")
    expect_function(
        answer,
        [(case, _joint()) for case in cases],
        mistakes={
            "backwards": _joint(lambda n, e: n / e),
            "epochs_minus_1": _joint(lambda n, e: 1 - n / (e - 1)),
            "from_1": _joint(lambda n, e: 1 - (n + 1) / e),
            "brackets_of_the_schedule": _joint(lambda n, e: (1 - n) / e),
            "whole_numbers": _joint(lambda n, e: 1 - n // e),
            "delta_at_the_segmentation": _joint(
                mix=lambda s, d, lam, delta: delta * lam * s + (1 - lam) * d
            ),
            "delta_at_both": _joint(mix=lambda s, d, lam, delta: delta * (lam * s + (1 - lam) * d)),
            "no_delta": _joint(mix=lambda s, d, lam, delta: lam * s + (1 - lam) * d),
            "delta_as_a_share": _joint(
                mix=lambda s, d, lam, delta: (1 - delta) * lam * s + delta * (1 - lam) * d
            ),
            "no_schedule": _joint(mix=lambda s, d, lam, delta: s + delta * d),
            "decision_from_the_start": _joint(mix=lambda s, d, lam, delta: lam * s + delta * d),
            "segmentation_to_the_end": _joint(
                mix=lambda s, d, lam, delta: s + delta * (1 - lam) * d
            ),
            "both_fade": _joint(mix=lambda s, d, lam, delta: lam * (s + delta * d)),
            "brackets": _joint(mix=lambda s, d, lam, delta: lam * s + delta * 1 - lam * d),
            "exchanged": _joint(mix=lambda s, d, lam, delta: lam * d + delta * (1 - lam) * s),
            "segmentation_alone": _joint(mix=lambda s, d, lam, delta: lam * s),
            "share": _joint(mix=lambda s, d, lam, delta: lam),
        },
    )


# The least used


def _uses() -> Array:
    """Return uses of 24 images; of seven that are taken, four are drawn from nine equal ones."""
    uses = np.repeat([0, 1, 2, 4, 30], [3, 9, 6, 3, 3])
    return np.random.default_rng(7).permutation(uses)


DRAWS = 60
"""Generators that are tried: four of nine drawn fairly leave none out in 60 draws."""


def _draw(answer: Any, uses: Array, count: int, seed: int) -> Array:
    """Return the images that the answer chooses, after a look at this single choice."""
    given = uses.copy()
    fewest = int((uses == uses.min()).sum())
    try:
        result = call_answer(answer, given, count, np.random.default_rng(seed))
    except AnswerRaised as raised:
        if "larger sample than population" not in str(raised.error):
            raise
        mistake("too_few_to_choose_from", fewest=fewest, count=count)
    if not np.array_equal(given, uses):
        mistake("counted")
    chosen = as_array(result)
    if chosen is None:
        mistake("no_indices", count=count, got=describe(result))
    kind = np.asarray(result).dtype.kind
    if kind == "b":
        mistake("truth_values")
    if chosen.shape == uses.shape:
        mistake("all_of_them", images=uses.size)
    if chosen.shape == (fewest,) and fewest < count:
        mistake("too_few", fewest=fewest, count=count)
    if chosen.shape != (count,):
        mistake("no_indices", count=count, got=describe(result))
    if np.array_equal(np.sort(chosen), np.sort(uses)[:count]):
        mistake("uses_themselves")
    if kind == "f":
        mistake("floats")
    if chosen.min() < 0 or chosen.max() >= uses.size:
        mistake("no_image", images=uses.size, last=uses.size - 1, got=describe(chosen))
    if len(np.unique(chosen)) < count:
        mistake("put_back")
    return chosen.astype(np.int64)


def check_next_negatives(answer: Any) -> None:
    for uses, count in ((_uses(), 7), (np.zeros(12, np.int64), 5)):
        draws = [_draw(answer, uses, count, seed) for seed in range(DRAWS)]
        _expect_least_used(uses, count, draws)
        again = [_draw(answer, uses, count, seed) for seed in range(3)]
        if any(not np.array_equal(one, two) for one, two in zip(again, draws, strict=False)):
            mistake("another_generator")
        _expect_random_ties(uses, count, draws)


def _expect_least_used(uses: Array, count: int, draws: list[Array]) -> None:
    used = np.array([np.sort(uses[chosen]) for chosen in draws])
    ascending = np.sort(uses)
    if (used == ascending[:count]).all():
        return
    if (used == ascending[-count:]).all():
        mistake("most_used")
    if all(_are_places(uses, chosen, seed) for seed, chosen in enumerate(draws)):
        mistake("places")
    if abs(used.mean() - uses.mean()) < 0.3 * uses.mean():
        mistake("uniform")
    mistake("weighted", most=used.max())


def _are_places(uses: Array, chosen: Array, seed: int) -> bool:
    """Whether `chosen` are the places of the least used in a permutation by this seed."""
    shuffled = (
        uses[np.random.default_rng(seed).permutation(uses.size)],
        np.random.default_rng(seed).permutation(uses),
    )
    return any(
        np.array_equal(np.argsort(one, kind=kind)[: chosen.size], chosen)
        for one in shuffled
        for kind in ("quicksort", "stable")
    )


def _expect_random_ties(uses: Array, count: int, draws: list[Array]) -> None:
    if not uses.any() and all(np.array_equal(chosen, draws[0]) for chosen in draws):
        mistake("divided_by_0")
    if all(np.array_equal(chosen, draws[0]) for chosen in draws):
        mistake("first_of_equals")
    if all(set(chosen) == set(draws[0]) for chosen in draws):
        mistake("shuffled_afterwards")
    equal = np.flatnonzero(uses == np.sort(uses)[count - 1])
    drawn = np.array([np.isin(equal, chosen) for chosen in draws]).sum(0)
    if drawn.min() == 0 or drawn.max() == DRAWS:
        mistake("some_of_the_equals", equal=len(equal))


# What a pixel counts


def _weights(
    mask: Array, distance: Array, power: float, positive_weight: float
) -> npt.NDArray[np.float64]:
    relative = distance / max(float(distance.max()), 1.0)
    return np.where(mask > 0, positive_weight * relative**power, 1.0)


def _on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(mask: Any, distance: Any, power: float, positive_weight: float) -> Any:
        arrays = np.asarray(mask), np.asarray(distance, dtype=np.float64)
        return function(*arrays, power, positive_weight)

    return call


def _by_rows(m: Array, d: Array, p: float, w: float) -> Array:
    weights = np.ones(m.shape)
    weights[m] = w * (d[m] / d.max()) ** p
    return weights


def check_distance_weights(answer: Any) -> None:
    mask = np.zeros((18, 24), np.int64)
    mask[2:13, 3:12] = 1
    mask[6:9, 15:20] = 1
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    empty = (np.zeros_like(mask), np.zeros_like(distance), 2.0, 3.0)
    settings = ((2.0, 3.0), (1.0, 20.0), (3.0, 0.5))
    *cases, empty = _in_a_kind_it_takes(answer, [*[(mask, distance, *s) for s in settings], empty])
    expect_function(
        answer,
        [(case, _on_arrays(_weights)) for case in cases],
        rtol=1e-4,
        atol=1e-6,
        mistakes={name: _on_arrays(wrong) for name, wrong in _MISTAKEN_WEIGHTS.items()},
    )
    _expect_ones(answer, empty)


_MISTAKEN_WEIGHTS: dict[str, Callable[..., Any]] = {
    "zeros_outside": lambda m, d, p, w: m * w * (d / d.max()) ** p,
    "no_power": lambda m, d, p, w: np.where(m > 0, w * d / d.max(), 1),
    "times_the_power": lambda m, d, p, w: np.where(m > 0, w * p * d / d.max(), 1),
    "by_the_sum": lambda m, d, p, w: np.where(m > 0, w * (d / d.sum()) ** p, 1),
    "by_the_mean": lambda m, d, p, w: np.where(m > 0, w * (d / d.mean()) ** p, 1),
    "by_the_mean_of_defects": lambda m, d, p, w: np.where(m > 0, w * (d / d[m > 0].mean()) ** p, 1),
    "by_columns": lambda m, d, p, w: np.where(m > 0, w * (d / np.maximum(d.max(0), 1)) ** p, 1),
    "sum_of_1": lambda m, d, p, w: _weights(m, d, p, w) / _weights(m, d, p, w).sum(),
    "mean_of_1": lambda m, d, p, w: _weights(m, d, p, w) / _weights(m, d, p, w).mean(),
    "never_below_1": lambda m, d, p, w: np.maximum(1, w * (d / d.max()) ** p),
    "not_divided": lambda m, d, p, w: np.where(m > 0, w * d**p, 1),
    "divided_afterwards": lambda m, d, p, w: np.where(m > 0, w * d**p / d.max(), 1),
    "outside_too": lambda m, d, p, w: np.where(m > 0, w * (d / d.max()) ** p, w),
    "weight_to_the_power": lambda m, d, p, w: np.where(m > 0, (w * d / d.max()) ** p, 1),
    "no_weight": lambda m, d, p, w: np.where(m > 0, (d / d.max()) ** p, 1),
    "all_alike": lambda m, d, p, w: np.where(m > 0, w, 1),
    "edge_counts": lambda m, d, p, w: np.where(m > 0, w * (1 - d / d.max()) ** p, 1),
    "1_minus_the_weight": lambda m, d, p, w: np.where(m > 0, w * (1 - (d / d.max()) ** p), 1),
    "1_added": lambda m, d, p, w: 1 + w * (d / d.max()) ** p,
    "exchanged": lambda m, d, p, w: np.where(m > 0, 1, w * (d / d.max()) ** p),
    "whole_numbers": lambda m, d, p, w: np.where(m > 0, np.trunc(w * (d / d.max()) ** p), 1),
    "rows": _by_rows,
}


def _expect_ones(answer: Any, args: tuple[Any, ...]) -> None:
    """Check the answer for a mask without a defect."""
    try:
        with np.errstate(all="ignore"):
            result = call_answer(answer, *_turned(_turned(args)))
    except AnswerRaised as raised:
        mistake("error_for_none", error=type(raised.error).__name__)
    weights = as_array(result)
    if weights is None or weights.shape != args[0].shape:
        mistake("a_number_for_none", got=describe(result))
    if np.isnan(weights).any():
        mistake("nan_for_none")
    if not weights.any():
        mistake("zeros_for_none")
    if not np.allclose(weights, 1, rtol=1e-4, atol=0):
        mistake("weight_for_none")
