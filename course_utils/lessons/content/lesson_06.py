"""Lesson 06, MemSeg training: an honest checkpoint, an image's score, a limited area, a loss."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.lessons.answers import call_answer, mistake
from course_utils.lessons.expect import expect_function
from course_utils.losses import memseg_loss
from course_utils.losses.pitfalls import double_softmax_focal_loss

# Which checkpoint?

_EVALUATIONS = [
    [{"step": step, "val": val, "test": test} for step, val, test in scores]
    for scores in (
        ((100, 0.71, 0.80), (200, 0.86, 0.78), (300, 0.84, 0.91), (400, 0.83, 0.88)),
        ((50, 0.5, 0.6), (90, 0.4, 0.5), (120, 0.9, 0.4), (130, 0.1, 0.3)),
        ((10, 0.7, 0.1), (20, 0.9, 0.95), (30, 0.2, 0.3)),
    )
]


def _best(score: Callable[[dict[str, float]], float]) -> Callable[..., float]:
    return lambda rows: max(rows, key=score)["step"]


def check_checkpoint(answer: Any) -> None:
    if isinstance(call_answer(answer, copy.deepcopy(_EVALUATIONS[0])), dict):
        mistake("the_evaluation")
    expect_function(
        answer,
        [((rows,), _best(lambda row: row["val"])) for rows in _EVALUATIONS],
        mistakes={
            "by_test": _best(lambda row: row["test"]),
            "by_both": _best(lambda row: row["val"] + row["test"]),
            "the_last": lambda rows: rows[-1]["step"],
            "the_worst": _best(lambda row: -row["val"]),
            "the_score": lambda rows: max(row["val"] for row in rows),
            "the_first": lambda rows: rows[0]["step"],
            "the_place": lambda rows: int(np.argmax([row["val"] for row in rows])),
        },
    )


# One score for an image


def _top_mean(scores: np.ndarray, top: int) -> float:
    return float(np.sort(scores.ravel())[-top:].mean())


def check_image_score(answer: Any) -> None:
    rng = np.random.default_rng(0)
    expect_function(
        answer,
        [((rng.random(shape), top), _top_mean) for shape, top in (((6, 8), 5), ((9, 4), 11))],
        mistakes={
            "maximum": lambda scores, top: scores.max(),
            "mean": lambda scores, top: scores.mean(),
            "smallest": lambda scores, top: np.sort(scores.ravel())[:top].mean(),
            "sum": lambda scores, top: np.sort(scores.ravel())[-top:].sum(),
            "one_of_them": lambda scores, top: np.sort(scores.ravel())[-top],
            "all_of_them": lambda scores, top: np.sort(scores.ravel())[-top:],
            "by_rows": lambda scores, top: np.sort(scores)[:, -top:].mean(),
            "by_columns": lambda scores, top: np.sort(scores, axis=0)[-top:].mean(),
            "unsorted": lambda scores, top: scores.ravel()[-top:].mean(),
        },
    )


# The area below a curve, up to a limit


def _area(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def _below(fpr: np.ndarray, pro: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    return fpr[fpr <= limit], pro[fpr <= limit]


def _limited(fpr: np.ndarray, pro: np.ndarray, limit: float, height: float | None = None) -> float:
    """Return the right area, or that with another height at the limit."""
    inside = fpr < limit
    at_limit = np.interp(limit, fpr, pro) if height is None else height
    return _area(np.append(fpr[inside], limit), np.append(pro[inside], at_limit)) / limit


def check_limited_area(answer: Any) -> None:
    curves = (
        (np.array([0, 0.05, 0.2, 0.5, 1.0]), np.array([0, 0.4, 0.7, 0.9, 1.0]), 0.3),
        (np.array([0, 0.1, 0.4, 1.0]), np.array([0.2, 0.5, 0.6, 1.0]), 0.25),
    )
    expect_function(
        answer,
        [(curve, _limited) for curve in curves],
        mistakes={
            "not_divided": lambda x, y, limit: _limited(x, y, limit) * limit,
            "no_limit": lambda x, y, limit: _area(x, y),
            "whole_divided": lambda x, y, limit: _area(x, y) / limit,
            "last_piece_missing": lambda x, y, limit: _area(*_below(x, y, limit)) / limit,
            "divided_by_the_last_point": lambda x, y, limit: (
                _area(*_below(x, y, limit)) / x[x <= limit][-1]
            ),
            "last_piece_and_division_missing": lambda x, y, limit: _area(*_below(x, y, limit)),
            "held": lambda x, y, limit: _limited(x, y, limit, y[x < limit][-1]),
            "mean": lambda x, y, limit: y[x <= limit].mean(),
            "height": lambda x, y, limit: np.interp(limit, x, y),
        },
    )


# The loss


def _parts(logits: Tensor, mask: Tensor, gamma: float = 4) -> tuple[Tensor, Tensor]:
    p = logits.softmax(1)[:, 1]
    right = torch.where(mask == 1, p, 1 - p)
    return (p - mask).abs().mean(), ((1 - right) ** gamma * -right.log()).mean()


def check_anomaly_loss(answer: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 5, 6, generator=generator, dtype=torch.float64)
    mask = (torch.rand(2, 5, 6, generator=generator) < 0.3).long()
    expect_function(
        answer,
        [((logits.requires_grad_(), mask), memseg_loss)],
        rtol=1e-4,
        mistakes={
            "softmax_twice": lambda z, m: memseg_loss(z, m, double_softmax=True),
            "focal_of_softmax_twice": lambda z, m: double_softmax_focal_loss(z, m, gamma=4.0),
            "weights_exchanged": lambda z, m: memseg_loss(z, m, l1_weight=0.4, focal_weight=0.6),
            "half_and_half": lambda z, m: memseg_loss(z, m, l1_weight=0.5, focal_weight=0.5),
            "no_weights": lambda z, m: memseg_loss(z, m, l1_weight=1, focal_weight=1),
            "gamma_2": lambda z, m: memseg_loss(z, m, gamma=2.0),
            "cross_entropy": lambda z, m: memseg_loss(z, m, gamma=0.0),
            "channel_0": lambda z, m: memseg_loss(z.flip(1), m),
            "sigmoid": lambda z, m: memseg_loss(
                torch.stack([torch.zeros_like(z[:, 1]), z[:, 1]], 1), m
            ),
            "no_focal": lambda z, m: _parts(z, m)[0] * 0.6,
            "no_l1": lambda z, m: _parts(z, m)[1] * 0.4,
            "sum": lambda z, m: memseg_loss(z, m) * m.numel(),
            "sign": lambda z, m: 0.6 * _parts(z, m)[0] - 0.4 * _parts(z, m)[1],
            "defects_only": lambda z, m: 0.6 * _parts(z, m)[0] + 0.4 * _defects_only(z, m),
            "squared": lambda z, m: (
                0.6 * (z.softmax(1)[:, 1] - m).square().mean() + 0.4 * _parts(z, m)[1]
            ),
        },
    )


def _defects_only(logits: Tensor, mask: Tensor) -> Tensor:
    p = logits.softmax(1)[:, 1]
    return (mask * (1 - p) ** 4 * -p.log()).mean()
