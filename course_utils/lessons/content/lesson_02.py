"""Lesson 02, focal and re-weighted losses: what they weigh, and how to write them down safely."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.lessons.answers import call_answer, mistake
from course_utils.lessons.expect import expect_array, expect_function
from course_utils.losses import binary_focal_loss, weighted_cross_entropy
from course_utils.losses.pitfalls import cross_entropy_weighted_by_prediction


def _focal_weight(p: float, y: int, gamma: float) -> float:
    return (1 - (p if y else 1 - p)) ** gamma


def check_focal_weight(answer: Any) -> None:
    expect_function(
        answer,
        [
            (pixel, _focal_weight)
            for pixel in (
                (0.97, 1, 2.0),
                (0.3, 1, 2.0),
                (0.8, 0, 2.0),
                (0.1, 0, 3.0),
                (0.6, 1, 0.0),
            )
        ],
        mistakes={
            "defects_only": lambda p, y, gamma: (1 - p) ** gamma,
            "mutes_the_hard_ones": lambda p, y, gamma: (p if y else 1 - p) ** gamma,
            "gamma_fixed": lambda p, y, gamma: (1 - (p if y else 1 - p)) ** 2,
            "gamma_missing": lambda p, y, gamma: 1 - (p if y else 1 - p),
            "whole_loss": lambda p, y, gamma: (
                -((1 - (p if y else 1 - p)) ** gamma) * np.log(p if y else 1 - p)
            ),
        },
    )


def _reference_focal(x: Tensor, y: Tensor) -> Tensor:
    return binary_focal_loss(x, y, alpha=0.25, gamma=2.0)


def check_stable_focal(answer: Any) -> None:
    easy = torch.tensor([-3.0, -1.0, 0.0, 0.5, 2.0, 3.0], requires_grad=True)
    truth = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    expect_function(
        answer,
        [((easy, truth), _reference_focal), ((easy, 1 - truth), _reference_focal)],
        mistakes={
            "alpha_on_the_background": lambda x, y: binary_focal_loss(x, y, alpha=0.75),
            "no_alpha": lambda x, y: 2 * binary_focal_loss(x, y, alpha=0.5),
            "no_focus": lambda x, y: binary_focal_loss(x, y, gamma=0.0),
            "sum": lambda x, y: binary_focal_loss(x, y, reduction="sum"),
            "double_sigmoid": lambda x, y: binary_focal_loss(x.sigmoid(), y),
        },
    )
    extreme = torch.tensor([-200.0, 200.0], requires_grad=True)
    wrong = torch.tensor([1.0, 0.0])
    value = call_answer(answer, extreme, wrong)
    if not isinstance(value, Tensor) or not value.requires_grad:
        mistake("no_gradient_at_extremes")
    if not bool(torch.isfinite(value)):
        mistake("naive", value=value.item())
    (gradient,) = torch.autograd.grad(value, extreme)
    if not bool(torch.isfinite(gradient).all()):
        mistake("infinite_gradient")
    if bool((gradient == 0).any()):
        mistake("clipped")
    wanted = _reference_focal(extreme.detach(), wrong)
    if not torch.isclose(value.detach(), wanted, rtol=1e-4):
        mistake("capped", wanted=wanted.item(), value=value.item())


def _capped(counts: np.ndarray, cap: float) -> np.ndarray:
    weights = counts.sum() / (len(counts) * counts)
    return np.minimum(weights, cap * weights.min())


def check_capped_weights(answer: Any) -> None:
    for given, cap in (([980_000, 15_000, 4_000, 1_000], 50.0), ([900, 100], 100.0)):
        counts = np.array(given)
        result = call_answer(answer, counts.copy(), cap)
        inverse = counts.sum() / counts
        plain = inverse / len(counts)
        expect_array(
            result,
            _capped(counts, cap),
            mistakes={
                "inverse": inverse,
                "inverse_capped": np.minimum(inverse, cap * inverse.min()),
                "not_capped": plain,
                "absolute_cap": np.minimum(plain, cap),
                "shares": counts / counts.sum(),
            },
        )


def check_repaired_weighting(answer: Any) -> None:
    rng = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 3, 4, 5, generator=rng)
    logits.requires_grad_()
    target = torch.randint(3, (2, 4, 5), generator=rng)
    weights = torch.tensor([0.1, 2.0, 9.0])
    expect_function(
        answer,
        [((logits, target, weights), weighted_cross_entropy)],
        mistakes={
            "as_published": lambda x, y, w: cross_entropy_weighted_by_prediction(x, y, w).mean(),
            "sum": lambda x, y, w: weighted_cross_entropy(x, y, w, reduction="sum"),
            "torchs_mean": lambda x, y, w: weighted_cross_entropy(x, y, w, normalise="weights"),
            "no_weights": lambda x, y, w: weighted_cross_entropy(x, y, torch.ones(3)),
        },
    )
