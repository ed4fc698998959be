"""Lesson 06, MemSeg training: a part's score, a loss with holes, a limited area, a threshold."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.lessons.expect import expect_function
from course_utils.losses import memseg_loss

# One score for a part


def _on_part(scores: Tensor, region: Tensor) -> Tensor:
    """Return the scores on the part, the largest first."""
    return scores[region > 0].sort(descending=True).values


def _score_of_part(scores: Tensor, region: Tensor, top: int) -> Tensor:
    return _on_part(scores, region)[:top].mean()


def check_image_score(answer: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for shape, share, top in (
        ((6, 8), 0.6, 5),
        ((9, 4), 0.4, 7),
        ((5, 5), 0.3, 20),
        ((16, 15), 0.6, 9),
    ):
        # Below 0 as well: 0 must not stand for "beside the part".
        scores = torch.rand(shape, generator=generator, dtype=torch.float64) - 0.9
        region = (torch.rand(shape, generator=generator) < share).long()
        scores[region == 0] += 0.4  # what lies beside the part scores higher than the part
        cases.append(((scores, region, top), _score_of_part))
    expect_function(
        answer,
        cases,
        mistakes={
            "ground_counts": lambda s, r, top: s.flatten().topk(top).values.mean(),
            "divided_by_top": lambda s, r, top: _on_part(s, r)[:top].sum() / top,
            "always_100": lambda s, r, top: _score_of_part(s, r, 100),
            "zeros_beside": [
                lambda s, r, top: (s * r).flatten().topk(min(top, int(r.sum()))).values.mean(),
                lambda s, r, top: (s * r).flatten().topk(top).values.mean(),
            ],
            "outside": lambda s, r, top: s[r == 0].sort(descending=True).values[:top].mean(),
            "maximum": lambda s, r, top: _on_part(s, r)[0],
            "mean": lambda s, r, top: _on_part(s, r).mean(),
            "smallest": lambda s, r, top: _on_part(s, r).flip(0)[:top].mean(),
            "sum": lambda s, r, top: _on_part(s, r)[:top].sum(),
            "one_of_them": lambda s, r, top: _on_part(s, r)[:top][-1],
            "unsorted": [
                lambda s, r, top: s[r > 0][:top].mean(),
                lambda s, r, top: s[r > 0][-top:].mean(),
            ],
        },
    )


# What a threshold costs

_GOOD = np.array([0.1, 0.35, 0.2, 0.35, 0.6, 0.15, 0.3, 0.5])
_TESTS = [
    (
        np.array([0.05, 0.6, 0.3, 0.55, 0.7, 0.5, 0.62, 0.9, 0.35, 0.6, 0.5, 0.1, 0.505]),
        np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0]),
    ),
    (np.array([0.6, 0.2, 0.35, 0.4, 0.3, 0.8, 0.36, 0.1]), np.array([1, 0, 1, 0, 1, 1, 0, 0])),
]
Counts = tuple[int, int]


def _count(scores: np.ndarray, labels: np.ndarray, limit: float, *, at: bool = False) -> Counts:
    alarm = scores >= limit if at else scores > limit
    return int((alarm & (labels == 0)).sum()), int((~alarm & (labels > 0)).sum())


def _limit(good: np.ndarray, allowed: int) -> float:
    return float(np.sort(good)[::-1][allowed])


def _costs(good: np.ndarray, allowed: int, scores: np.ndarray, labels: np.ndarray) -> Counts:
    return _count(scores, labels, _limit(good, allowed))


def check_count_errors(answer: Any) -> None:
    cases = [((_GOOD, k, *test), _costs) for test in _TESTS for k in (0, 1, 3)]

    def by(choose: Callable[..., float], *, at: bool = False) -> Callable[..., Counts]:
        return lambda g, k, s, y: _count(s, y, choose(g, k, s, y), at=at)

    right = by(lambda g, k, s, y: _limit(g, k))
    at_it = by(lambda g, k, s, y: _limit(g, k), at=True)
    expect_function(
        answer,
        cases,
        mistakes={
            "at_the_limit": at_it,
            "one_too_few": [
                by(lambda g, k, s, y: _limit(g, max(k - 1, 0))),
                by(lambda g, k, s, y: float(np.sort(g)[-max(k, 1)])),
                by(lambda g, k, s, y: float(np.sort(g)[-k])),
            ],
            "one_too_many": by(lambda g, k, s, y: _limit(g, k + 1)),
            "never_allowed": by(lambda g, k, s, y: g.max()),
            "from_below": by(lambda g, k, s, y: float(np.sort(g)[k])),
            "by_test": [
                by(lambda g, k, s, y: _limit(s[y == 0], k)),
                by(lambda g, k, s, y: _limit(s, k)),
            ],
            "between": by(lambda g, k, s, y: float(np.quantile(g, 1 - k / len(g)))),
            "unsorted": by(lambda g, k, s, y: float(g[k])),
            "exchanged": lambda *args: right(*args)[::-1],
            "labels_exchanged": lambda g, k, s, y: _count(s, 1 - y, _limit(g, k)),
            "hits": lambda g, k, s, y: (
                right(g, k, s, y)[0],
                int((y > 0).sum()) - right(g, k, s, y)[1],
            ),
            "shares": lambda g, k, s, y: (
                right(g, k, s, y)[0] / (y == 0).sum(),
                right(g, k, s, y)[1] / (y > 0).sum(),
            ),
            "together": lambda *args: sum(right(*args)),
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
        (np.array([0, 0.1, 0.4, 1.0]), np.array([0.2, 0.5, 0.6, 1.0]), 0.4),  # a point at the limit
        (np.array([0, 0.1, 0.4, 1.0]), np.array([0.2, 0.5, 0.6, 1.0]), 1.0),  # no point behind it
    )
    expect_function(
        answer,
        [(curve, _limited) for curve in curves],
        rtol=1e-3,  # a fine grid is right, too
        mistakes={
            "not_divided": lambda x, y, limit: _limited(x, y, limit) * limit,
            "no_limit": lambda x, y, limit: _area(x, y),
            "whole_divided": lambda x, y, limit: _area(x, y) / limit,
            "last_piece_missing": lambda x, y, limit: _area(*_below(x, y, limit)) / limit,
            "divided_by_the_last_point": lambda x, y, limit: (
                _area(*_below(x, y, limit)) / x[x <= limit][-1]
            ),
            "last_piece_and_division_missing": lambda x, y, limit: _area(*_below(x, y, limit)),
            "axes_exchanged": lambda x, y, limit: (
                _area(
                    np.append(y[x < limit], np.interp(limit, x, y)), np.append(x[x < limit], limit)
                )
                / limit
            ),
            "held": lambda x, y, limit: _limited(x, y, limit, y[x < limit][-1]),
            "mean": lambda x, y, limit: y[x <= limit].mean(),
            "height": lambda x, y, limit: np.interp(limit, x, y),
        },
    )


# The loss, where there is a truth

UNKNOWN = 255
Loss = Callable[[Tensor, Tensor], Tensor]


def _known(loss: Callable[..., Tensor], **settings: Any) -> Loss:
    """Return a loss of the known pixels alone, made of one of all pixels."""

    def of_known(logits: Tensor, mask: Tensor) -> Tensor:
        pixels = logits.movedim(1, -1)[mask != UNKNOWN]  # (K, 2)
        return loss(pixels.T[None, :, None], mask[mask != UNKNOWN][None, None], **settings)

    return of_known


def _parts(logits: Tensor, mask: Tensor, gamma: float = 4) -> tuple[Tensor, Tensor]:
    p = logits.softmax(1)[:, 1]
    right = torch.where(mask == 1, p, 1 - p)
    return (p - mask).abs().mean(), ((1 - right) ** gamma * -right.log()).mean()


def _taken_as(value: int) -> Loss:
    return lambda z, m: memseg_loss(z, torch.where(m == UNKNOWN, value, m))


def check_anomaly_loss(answer: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 5, 6, generator=generator, dtype=torch.float64)
    mask = (torch.rand(2, 5, 6, generator=generator) < 0.3).long()
    mask[:, 1:3, 2:5] = UNKNOWN
    mask[0, 4, 0] = UNKNOWN  # not equally many in both images
    right = _known(memseg_loss)
    share = float((mask != UNKNOWN).double().mean())
    expect_function(
        answer,
        [((logits.requires_grad_(), mask), right)],
        rtol=1e-4,
        mistakes={
            "unknown_counts": [_parts_sum, _taken_as(0)],
            "unknown_is_defect": _taken_as(1),
            "divided_by_all": lambda z, m: right(z, m) * share,
            "mean_of_means": lambda z, m: torch.stack(
                [right(z[i : i + 1], m[i : i + 1]) for i in range(len(z))]
            ).mean(),
            "softmax_twice": _known(memseg_loss, double_softmax=True),
            "weights_exchanged": _known(memseg_loss, l1_weight=0.4, focal_weight=0.6),
            "no_weights": _known(memseg_loss, l1_weight=1.0, focal_weight=1.0),
            "gamma_2": _known(memseg_loss, gamma=2.0),
            "cross_entropy": _known(memseg_loss, gamma=0.0),
            "channel_0": lambda z, m: right(z.flip(1), m),
            "sigmoid": lambda z, m: right(torch.stack([torch.zeros_like(z[:, 1]), z[:, 1]], 1), m),
            "no_focal": _known(lambda z, m: _parts(z, m)[0] * 0.6),
            "no_l1": _known(lambda z, m: _parts(z, m)[1] * 0.4),
            "sum": lambda z, m: right(z, m) * int((m != UNKNOWN).sum()),
            "defects_only": _known(_focal_of_defects),
            "focal_of_the_mean": _known(_focal_of_the_mean),
            "sign": _known(lambda z, m: 0.6 * _parts(z, m)[0] - 0.4 * _parts(z, m)[1]),
            "squared": _known(
                lambda z, m: 0.6 * (z.softmax(1)[:, 1] - m).square().mean() + 0.4 * _parts(z, m)[1]
            ),
            "each_pixel": lambda z, m: _pixels(z, m)[m != UNKNOWN],
        },
    )


def _pixels(logits: Tensor, mask: Tensor) -> Tensor:
    p = logits.softmax(1)[:, 1]
    right = torch.where(mask == 1, p, 1 - p)
    return 0.6 * (p - mask).abs() + 0.4 * (1 - right) ** 4 * -right.log()


def _parts_sum(logits: Tensor, mask: Tensor) -> Tensor:
    return _pixels(logits, mask).mean()


def _focal_of_defects(logits: Tensor, mask: Tensor) -> Tensor:
    p = logits.softmax(1)[:, 1]
    return (0.6 * (p - mask).abs() - 0.4 * mask * (1 - p) ** 4 * p.log()).mean()


def _focal_of_the_mean(logits: Tensor, mask: Tensor) -> Tensor:
    l1, entropy = _parts(logits, mask, gamma=0)
    return 0.6 * l1 + 0.4 * (1 - torch.exp(-entropy)) ** 4 * entropy
