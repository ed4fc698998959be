"""Lesson 07, two-stage training: a stop that is half open, a fair draw, weights by distance."""

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from course_utils.lessons.answers import AnswerRaised, TooLong, call_answer, mistake, step_limit
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


# A stop that is half open

SHARES = (0.0, 0.25, 1.0, 0.6)


def check_half_stop(answer: Any) -> None:
    """Compare values and gradients, and name a mistake by what both have become."""
    kept, passed = [], []
    arriving = torch.tensor([[1.0, -2.0, 0.5], [3.0, 1.5, -1.0]], dtype=torch.float64)
    first = torch.tensor([[2.0, -1.0, 0.5], [4.0, -3.0, 1.0]], dtype=torch.float64)
    for step, share in enumerate(SHARES):
        values = (
            1 + step
        ) * first  # others each time, so that an answer cannot keep the first ones
        x = values.clone().requires_grad_()
        given = 1.0 * x  # no leaf, so that writing into it is seen here and not refused by torch
        result = call_answer(answer, given, share)
        if not isinstance(result, Tensor) or result.shape != x.shape:
            mistake("no_tensor", got=describe(result))
        if not torch.equal(given.detach(), values):
            mistake("changed")
        ratios = result.detach().double() / values
        ratio = ratios.mean().item()
        if not torch.allclose(result.detach().double(), ratio * values, atol=1e-6):
            worst = (ratios.nan_to_num(1e9) - 1).abs().argmax()
            one, got = values.flatten()[worst], result.detach().flatten()[worst]
            mistake("other_values", x=describe(one), share=share, got=describe(got))
        kept.append(ratio)
        if not result.requires_grad:
            passed.append(0.0)
            continue
        (result * arriving).sum().backward(retain_graph=True)
        gradient = torch.zeros_like(x) if x.grad is None else x.grad
        each = gradient / arriving
        if not torch.allclose(each, each.mean(), atol=1e-3):
            mistake("some_elements", share=share)
        passed.append(each.mean().item())
        x.grad = None
        if given.requires_grad:
            given.sum().backward()  # what `x` gets on another way, such as the loss of the masks
            if x.grad is None or not bool((x.grad == 1).all()):
                mistake("other_ways")
    shares = np.array(SHARES)
    _name_stop(np.array(kept), np.array(passed), shares)


def _name_stop(kept: Array, passed: Array, shares: Array) -> None:
    """Name the first mistake in what the values and the gradients were multiplied by."""

    def is_(found: Array, wanted: Array | float) -> bool:
        return np.allclose(found, wanted, atol=1e-5)

    if is_(kept, shares):
        mistake("values_shrink")
    if not is_(kept, 1.0):
        worst = int(np.abs(kept - 1).argmax())
        if kept.min() > 1 - 1e-5:
            mistake("values_grow")
        mistake("other_values", x="1", share=shares[worst], got=f"{kept[worst]:.3g}")
    for name, wrong in (
        ("all_passes", np.ones(4)),
        ("nothing_passes", np.zeros(4)),
        ("turned_over", 1 - shares),
        ("squared", shares**2),
        ("negative", -shares),
        ("all_or_nothing", (shares > 0) * 1.0),
        ("all_or_nothing", np.round(shares)),
        ("all_or_nothing", np.floor(shares)),
    ):
        if is_(passed, wrong):
            mistake(name)
    if not is_(passed, shares):
        worst = int(np.abs(passed - shares).argmax())
        mistake("other_gradient", share=shares[worst], got=f"{passed[worst]:.3g}")


# The least used


def _uses() -> Array:
    """Return uses of 24 images; of seven that are taken, four are drawn from nine equal ones."""
    uses = np.repeat([0, 1, 2, 4, 30], [3, 9, 6, 3, 3])
    return np.random.default_rng(7).permutation(uses)


MOST_STEPS = 100_000  # of Python, in an answer that chooses a few of 24 images
DRAWS = 300
"""Generators that are tried: so many tell chances that fall steeply with use from a sort."""


def _draw(answer: Any, uses: Array, count: int, seed: int) -> Array:
    """Return the images that the answer chooses, after a look at this single choice."""
    given = uses.copy()
    fewest = int((uses == uses.min()).sum())
    try:
        result = call_answer(answer, given, count, np.random.default_rng(seed))
    except AnswerRaised as raised:
        said = str(raised.error)
        if "larger sample than population" in said:
            mistake("too_few_to_choose_from", fewest=fewest, count=count)
        if "probabilities" in said.lower() and "nan" in said.lower():
            mistake("one_over_uses", error=said)
        raise
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
        try:
            with step_limit(answer, MOST_STEPS):
                _draw(answer, uses, count, 0)
        except TooLong:
            mistake("endless", fewest=int((uses == uses.min()).sum()), count=count)
        with contextlib.redirect_stdout(io.StringIO()):  # what the first call printed is enough
            draws = [_draw(answer, uses, count, seed) for seed in range(DRAWS)]
            again = [_draw(answer, uses, count, seed) for seed in range(3)]
        _expect_least_used(uses, count, draws)
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
    if used.max() <= ascending[count - 1]:
        mistake("pool", most=used.max())
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
    # Five standard deviations: a right answer fails in one of 100,000 cases, a rough chance always.
    share = drawn.sum() / len(equal) / DRAWS
    if (np.abs(drawn - DRAWS * share) > 5 * np.sqrt(DRAWS * share * (1 - share))).any():
        mistake("some_of_the_equals", equal=len(equal))
    together = np.array([np.isin(equal, chosen) for chosen in draws]).astype(float)
    pairs = (together.T @ together)[np.triu_indices(len(equal), 1)] / DRAWS
    taken = round(share * len(equal))
    wanted = taken * (taken - 1) / len(equal) / (len(equal) - 1)
    if (np.abs(pairs - wanted) > 6 * np.sqrt(wanted * (1 - wanted) / DRAWS)).any():
        mistake("neighbors")


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


def _by_component(m: Array, d: Array, p: float, w: float) -> Array:
    count, labels = cv2.connectedComponents((m > 0).astype(np.uint8))
    weights = np.ones(m.shape)
    for label in range(1, count):
        one = labels == label
        weights[one] = w * (d[one] / d[one].max()) ** p
    return weights


def check_distance_weights(answer: Any) -> None:
    drawn = np.zeros((18, 24), np.uint8)
    cv2.circle(drawn, (7, 8), 6, 1, -1)
    drawn[6:9, 16:21] = 1
    mask = drawn.astype(np.int64)
    # Counted along rows and columns, so that an answer which measures for itself is told apart.
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L1, cv2.DIST_MASK_3)
    empty = (np.zeros_like(mask), np.zeros_like(distance), 2.0, 3.0)
    settings = ((2.0, 3.0), (1.0, 20.0), (3.0, 0.5))
    # Another largest distance in one case: no constant and no earlier image can stand for it.
    small = np.where(np.arange(24) > 14, mask, 0)
    images = (
        (mask, distance),
        (small, (distance * small).astype(distance.dtype)),
        (mask, distance),
    )
    given = [(*image, *s) for image, s in zip(images, settings, strict=True)]
    *cases, empty = _in_a_kind_it_takes(answer, [*given, empty])
    expect_function(
        answer,
        [(case, _on_arrays(_weights)) for case in cases],
        rtol=1e-4,
        atol=1e-6,
        mistakes={name: _on_arrays(wrong) for name, wrong in _MISTAKEN_WEIGHTS.items()},
    )
    _expect_ones(answer, empty)


def _measured(mask: Array) -> Array:
    defect = (mask > 0).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(defect, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


_MISTAKEN_WEIGHTS: dict[str, Callable[..., Any]] = {
    "own_distance": lambda m, d, p, w: _weights(m, _measured(m), p, w),
    "zeros_outside": lambda m, d, p, w: m * w * (d / d.max()) ** p,
    "no_power": lambda m, d, p, w: np.where(m > 0, w * d / d.max(), 1),
    "times_the_power": lambda m, d, p, w: np.where(m > 0, w * p * d / d.max(), 1),
    "by_the_sum": lambda m, d, p, w: np.where(m > 0, w * (d / d.sum()) ** p, 1),
    "by_the_mean": lambda m, d, p, w: np.where(m > 0, w * (d / d.mean()) ** p, 1),
    "by_the_mean_of_defects": lambda m, d, p, w: np.where(m > 0, w * (d / d[m > 0].mean()) ** p, 1),
    "by_component": _by_component,
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
