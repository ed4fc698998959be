"""Lesson 02, focal and re-weighted losses: what they weigh, and how to write them down safely."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.lessons.answers import call_answer, mistake
from course_utils.lessons.expect import as_array, expect_array, expect_function
from course_utils.losses import binary_focal_loss

EXTREME = 200.0  # a logit at which exp overflows in float32


def check_balancing_weight(answer: Any) -> None:
    def weight(p: np.ndarray, y: np.ndarray) -> float:
        return p[y == 0].sum() / (1 - p[y == 1]).sum()

    def of_losses(p: np.ndarray, y: np.ndarray) -> float:
        return np.log(1 - p[y == 0]).sum() / np.log(p[y == 1]).sum()

    p = np.array([0.5, 0.1, 0.2, 0.3, 0.25, 0.05])
    image = np.linspace(0.02, 0.6, 20).reshape(4, 5)
    expect_function(
        answer,
        [
            ((p, np.array([1, 0, 0, 0, 1, 0])), weight),
            ((image, (np.arange(20).reshape(4, 5) % 7 == 3).astype(int)), weight),
        ],
        mistakes={
            "counts": lambda p, y: (y == 0).sum() / (y == 1).sum(),
            "upside_down": lambda p, y: 1 / weight(p, y),
            "means": lambda p, y: p[y == 0].mean() / (1 - p[y == 1]).mean(),
            "p_of_defects": lambda p, y: p[y == 0].sum() / p[y == 1].sum(),
            "alpha": lambda p, y: weight(p, y) / (1 + weight(p, y)),
            "signed": lambda p, y: -weight(p, y),
            "of_losses": of_losses,
        },
    )


def check_weights_for_shares(answer: Any) -> None:
    def weigh(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
        return np.divide(shares * counts.sum(), counts, out=np.zeros(len(counts)), where=counts > 0)

    for given, wanted in (
        ([980_000, 15_000, 4_000, 1_000], [0.4, 0.3, 0.2, 0.1]),
        ([900, 100, 0], [0.7, 0.3, 0.0]),
    ):
        counts, shares = np.array(given), np.array(wanted)
        result = call_answer(answer, counts.copy(), shares.copy())
        right = weigh(counts, shares)
        there = np.maximum(counts, 1)
        present = counts > 0
        got = as_array(result)
        if got is not None and got.shape == right.shape and not np.isfinite(got[~present]).all():
            mistake("absent_infinite")
        expect_array(
            result,
            right,
            mistakes={
                "balanced": present * counts.sum() / (present.sum() * there),
                "not_scaled": right / counts.sum(),
                "times_classes": right * len(counts),
                "divided": present * counts.sum() / (there * np.where(shares > 0, shares, 1)),
                "of_pixels": shares * counts / counts.sum(),
                "sum_of_one": right / right.sum(),
                "background_is_one": right / right[0],
                "mean_weight_is_one": [right / right.mean(), right / right[present].mean()],
                "root": present * shares * np.sqrt(counts.sum() / there),
            },
        )


def check_gamma_for(answer: Any) -> None:
    def p_t(p: float, y: int) -> float:
        return p if y == 1 else 1 - p

    def gamma(p: float, y: int, keep: float) -> float:
        return np.log(keep) / np.log(1 - p_t(p, y))

    pixels = ((0.9, 1, 0.01), (0.2, 0, 0.01), (0.3, 1, 0.5), (0.7, 0, 0.2))
    expect_function(
        answer,
        [(pixel, gamma) for pixel in pixels],
        mistakes={
            "defects_only": lambda p, y, keep: np.log(keep) / np.log(1 - p),
            "of_p_t": lambda p, y, keep: np.log(keep) / np.log(p_t(p, y)),
            "upside_down": lambda p, y, keep: 1 / gamma(p, y, keep),
            "no_logarithm": lambda p, y, keep: keep / (1 - p_t(p, y)),
            "negative": lambda p, y, keep: -gamma(p, y, keep),
            "weight": lambda p, y, keep: (1 - p_t(p, y)) ** keep,
            "removed": lambda p, y, keep: gamma(p, y, 1 - keep),
            "difference": lambda p, y, keep: np.log(keep) - np.log(1 - p_t(p, y)),
        },
    )


def _focal_per_defect(x: Tensor, y: Tensor, alpha: float, gamma: float) -> Tensor:
    total = binary_focal_loss(x, y, alpha=alpha, gamma=gamma, reduction="sum")
    return total / y.sum().clamp(min=1)


def check_focal_per_defect(answer: Any) -> None:
    x = torch.tensor([-3.0, -1.0, 0.0, 0.5, 2.0, 3.0, -0.5], requires_grad=True)
    y = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    right = _focal_per_defect

    def power_of_p_t(x: Tensor, y: Tensor, alpha: float, gamma: float) -> Tensor:
        p_t = torch.where(y == 1, x.sigmoid(), 1 - x.sigmoid())
        weight = torch.where(y == 1, alpha, 1 - alpha)
        return -(weight * p_t**gamma * p_t.log()).sum() / y.sum()

    expect_function(
        answer,
        [((x, y, 0.25, 2.0), right), ((x, 1 - y, 0.6, 3.0), right)],
        mistakes={
            "mean": lambda x, y, a, g: binary_focal_loss(x, y, alpha=a, gamma=g),
            "sum": lambda x, y, a, g: right(x, y, a, g) * y.sum(),
            "not_reduced": [
                lambda x, y, a, g: binary_focal_loss(x, y, alpha=a, gamma=g, reduction="none"),
                lambda x, y, a, g: (
                    binary_focal_loss(x, y, alpha=a, gamma=g, reduction="none") / y.sum()
                ),
            ],
            "per_background": lambda x, y, a, g: right(x, y, a, g) * y.sum() / (1 - y).sum(),
            "plus_one": lambda x, y, a, g: right(x, y, a, g) * y.sum() / (y.sum() + 1),
            "power_of_p_t": power_of_p_t,
            "alpha_on_both": lambda x, y, a, g: 2 * a * right(x, y, 0.5, g),
            "alpha_on_the_background": lambda x, y, a, g: right(x, y, 1 - a, g),
            "no_alpha": lambda x, y, a, g: 2 * right(x, y, 0.5, g),
            "alpha_fixed": lambda x, y, a, g: right(x, y, 0.25, g),
            "gamma_fixed": lambda x, y, a, g: right(x, y, a, 2.0),
            "no_focus": lambda x, y, a, g: right(x, y, a, 0.0),
            "double_sigmoid": lambda x, y, a, g: right(x.sigmoid(), y, a, g),
        },
    )
    empty = as_array(call_answer(answer, x.detach(), torch.zeros(7), 0.25, 2.0))
    wanted = right(x.detach(), torch.zeros(7), 0.25, 2.0).item()
    if empty is None or not np.allclose(empty, wanted, rtol=1e-4):
        value = float("nan") if empty is None or empty.ndim else float(empty)
        mistake("no_defect", wanted=wanted, value=value)
    _check_extremes(answer)


def _check_extremes(answer: Any) -> None:
    """Two pixels that are as wrong as can be: the loss is large and its gradient is not 0."""
    extreme = torch.tensor([-EXTREME, EXTREME], requires_grad=True)
    wrong = torch.tensor([1.0, 0.0])
    value = call_answer(answer, extreme, wrong, 0.25, 2.0)
    if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
        mistake("no_gradient_at_extremes")
    if not bool(torch.isfinite(value)):
        mistake("naive", value=value.item())
    (gradient,) = torch.autograd.grad(value, extreme)
    finite = torch.isfinite(gradient)
    if not bool(finite.all()):
        # exp(-x) overflows at -200 alone; a logarithm of 0 that `where` hides, at both.
        mistake("own_sigmoid" if bool(finite[1]) else "infinite_gradient")
    if bool((gradient == 0).any()):
        mistake("clipped")
    wanted = _focal_per_defect(extreme.detach(), wrong, 0.25, 2.0)
    if not torch.isclose(value.detach(), wanted, rtol=1e-4):
        mistake("capped", wanted=wanted.item(), value=value.item())


def _soft_counts(p: Tensor, y: Tensor, axes: Any) -> tuple[Tensor, Tensor]:
    """Return twice the soft true positives, and the sum of prediction and truth."""
    return 2 * (p * y).sum(axes), (p + y).sum(axes)


def check_dice_per_image(answer: Any) -> None:
    def dice(p: Tensor, y: Tensor, axes: Any = (1, 2, 3), above: float = 1.0) -> Tensor:
        twice, both = _soft_counts(p, y, axes)
        return 1 - (twice + above) / (both + 1)

    def jaccard(x: Tensor, y: Tensor) -> Tensor:
        twice, both = _soft_counts(x.sigmoid(), y, (1, 2, 3))
        return (1 - (twice / 2 + 1) / (both - twice / 2 + 1)).mean()

    def no_two(x: Tensor, y: Tensor) -> Tensor:
        twice, both = _soft_counts(x.sigmoid(), y, (1, 2, 3))
        return (1 - (twice / 2 + 1) / (both + 1)).mean()

    def no_smoothing(x: Tensor, y: Tensor) -> Tensor:
        twice, both = _soft_counts(x.sigmoid(), y, (1, 2, 3))
        return (1 - twice / both).mean()

    def squared(x: Tensor, y: Tensor) -> Tensor:
        p = x.sigmoid()
        twice, both = _soft_counts(p, y, (1, 2, 3))
        return (1 - (twice + 1) / (both - (p - p * p).sum((1, 2, 3)) + 1)).mean()

    rng = torch.Generator().manual_seed(0)
    x = (2 * torch.randn(3, 1, 4, 5, generator=rng)).requires_grad_()
    y = (torch.rand(3, 1, 4, 5, generator=rng) < 0.3).float()
    y[1] = 0  # an image without a defect
    expect_function(
        answer,
        [
            ((x, y), lambda x, y: dice(x.sigmoid(), y).mean()),
            ((x[:1].detach(), y[:1]), lambda x, y: dice(x.sigmoid(), y).mean()),
        ],
        mistakes={
            "pooled": lambda x, y: dice(x.sigmoid(), y, axes=(0, 1, 2, 3)),
            "similarity": lambda x, y: (1 - dice(x.sigmoid(), y)).mean(),
            "not_reduced": lambda x, y: dice(x.sigmoid(), y),
            "sum": lambda x, y: dice(x.sigmoid(), y).sum(),
            "no_two": no_two,
            "no_smoothing": no_smoothing,
            "smoothed_below": lambda x, y: dice(x.sigmoid(), y, above=0.0).mean(),
            "jaccard": jaccard,
            "squared": squared,
            "hard": lambda x, y: dice((x > 0).float(), y).mean(),
            "double_sigmoid": lambda x, y: dice(x.sigmoid().sigmoid(), y).mean(),
            "no_sigmoid": lambda x, y: dice(x, y).mean(),
        },
    )


def check_tversky_for(answer: Any) -> None:
    def prices(b: float) -> tuple[float, float]:
        return 1 / (1 + b * b), b * b / (1 + b * b)

    expect_function(
        answer,
        [((b,), prices) for b in (1.0, 2.0, 0.5, 3.0)],
        mistakes={
            "swapped": lambda b: prices(b)[::-1],
            "not_divided": lambda b: (1.0, b * b),
            "swapped_not_divided": lambda b: (b * b, 1.0),
            "no_square": lambda b: (1 / (1 + b), b / (1 + b)),
            "dice_only": lambda b: (0.5, 0.5),
            "multiplied": lambda b: (1 + b * b, b * b * (1 + b * b)),
        },
    )


def check_weight_map(answer: Any) -> None:
    def weigh(mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
        found = np.where(mask == 255, 0, weights[np.where(mask == 255, 0, mask)])
        return found / found[mask != 255].mean()

    def void_is(label: int) -> Any:
        def wrong(mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
            found = weights[np.where(mask == 255, label, mask)]
            return found / found.mean()

        return wrong

    def raw(mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.where(mask == 255, 0, weights[np.where(mask == 255, 0, mask)])

    def each_image(mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.stack([weigh(one, weights) for one in mask])

    mask = np.zeros((2, 3, 4), dtype=np.int64)
    mask[0, 0, :3], mask[0, 2, 1:], mask[1, 1, 1], mask[1, 2] = 1, 2, 1, 255
    expect_function(
        answer,
        [
            ((mask, np.array([0.5, 4.0, 9.0])), weigh),
            ((np.minimum(mask, 2), np.array([1.0, 2.0, 3.0])), weigh),
        ],
        mistakes={
            "not_scaled": raw,
            "void_is_background": void_is(0),
            "void_is_last": void_is(-1),
            "mean_over_all": lambda mask, w: raw(mask, w) / raw(mask, w).mean(),
            "each_image": each_image,
            "sum_of_one": lambda mask, w: raw(mask, w) / raw(mask, w).sum(),
            "mean_of_the_classes": lambda mask, w: raw(mask, w) / w.mean(),
            "largest_is_one": lambda mask, w: raw(mask, w) / raw(mask, w).max(),
            "one_number_for_each_image": lambda mask, w: weigh(mask, w).mean((1, 2)),
        },
    )
