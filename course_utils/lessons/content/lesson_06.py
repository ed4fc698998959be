"""Lesson 06, MemSeg training: an honest checkpoint, an image's score, a limited area, a loss."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.lessons.exercise import Exercise
from course_utils.lessons.expect import expect_function
from course_utils.lessons.outline import LessonSpec
from course_utils.lessons.parameters import LessonParameters
from course_utils.lessons.quiz import Choice, Question
from course_utils.lessons.verdicts import call_answer, incorrect
from course_utils.losses import memseg_loss
from course_utils.losses.pitfalls import double_softmax_focal_loss


class Parameters(LessonParameters):
    """Lesson 06 takes no parameters of its own."""

    datasets = ("synthetic", "mvtec_ad/", "magnetic_tile")


# Which checkpoint?

_LOOKS = [
    {"step": 100, "val": 0.71, "test": 0.80},
    {"step": 200, "val": 0.86, "test": 0.78},
    {"step": 300, "val": 0.84, "test": 0.91},
    {"step": 400, "val": 0.83, "test": 0.88},
]
_ALIKE = [
    {"step": 10, "val": 0.7, "test": 0.1},
    {"step": 20, "val": 0.9, "test": 0.95},
    {"step": 30, "val": 0.2, "test": 0.3},
]
_LATE = [
    {"step": 50, "val": 0.5, "test": 0.6},
    {"step": 90, "val": 0.4, "test": 0.5},
    {"step": 120, "val": 0.9, "test": 0.4},
    {"step": 130, "val": 0.1, "test": 0.3},
]


def _best_by(name: str) -> Any:
    return lambda looks: max(looks, key=lambda look: look[name])["step"]


def _examine_checkpoint(answer: Any) -> None:
    if isinstance(call_answer(answer, [dict(look) for look in _LOOKS]), dict):
        incorrect("That is the whole look; asked is its `step`.")
    expect_function(
        answer,
        [((looks,), _best_by("val")) for looks in (_LOOKS, _LATE, _ALIKE)],
        mistakes=[
            (
                _best_by("test"),
                "You chose by the test images. What is left to score the choice with?",
            ),
            (
                lambda looks: max(looks, key=lambda look: (look["val"] + look["test"]) / 2)["step"],
                "Half of your choice is made by the test images: that is still a choice by them.",
            ),
            (
                lambda looks: looks[-1]["step"],
                "The last one is honest, too, but asked is the best by the validation images.",
            ),
            (
                lambda looks: min(looks, key=lambda look: look["val"])["step"],
                "That is the worst: a higher score is better.",
            ),
            (
                lambda looks: max(look["val"] for look in looks),
                "That is the score; asked is the step.",
            ),
            (lambda looks: looks[0]["step"], "That is the first look, whatever it scored."),
            (
                lambda looks: int(np.argmax([look["val"] for look in looks])),
                "That is the place in the list; asked is the step.",
            ),
        ],
    )


# One score for an image


def _top_mean(scores: np.ndarray, top: int) -> float:
    return float(np.sort(scores.ravel())[-top:].mean())


def _examine_image_score(answer: Any) -> None:
    rng = np.random.default_rng(0)
    expect_function(
        answer,
        [((rng.random(shape), top), _top_mean) for shape, top in (((6, 8), 5), ((9, 4), 11))],
        mistakes=[
            (
                lambda scores, top: scores.max(),
                "That is the largest pixel alone: one pixel of noise decides.",
            ),
            (
                lambda scores, top: scores.mean(),
                "A mean over all pixels: a small defect drowns in it.",
            ),
            (
                lambda scores, top: np.sort(scores.ravel())[:top].mean(),
                "Those are the *smallest*: `np.sort` goes upwards.",
            ),
            (
                lambda scores, top: np.sort(scores.ravel())[-top:].sum(),
                "That is their sum: it grows with `top`, and is no probability.",
            ),
            (
                lambda scores, top: np.sort(scores.ravel())[-top],
                "That is one pixel, the smallest of the largest `top`: take the mean of them all.",
            ),
            (
                lambda scores, top: np.sort(scores.ravel())[-top:],
                "Those are the right pixels: now take their mean.",
            ),
            (
                lambda scores, top: np.sort(scores)[:, -top:].mean(),
                "`np.sort` of a map sorts each row by itself: flatten it first, `scores.ravel()`.",
            ),
            (
                lambda scores, top: np.sort(scores, axis=0)[-top:].mean(),
                "You sort each column by itself: flatten the map first, `scores.ravel()`.",
            ),
            (
                lambda scores, top: scores.ravel()[-top:].mean(),
                "Those are the last pixels of the image, not the largest: sort first.",
            ),
        ],
    )


# The area below a curve, up to a limit


def _area(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def _limited(fpr: np.ndarray, pro: np.ndarray, limit: float) -> float:
    inside = fpr < limit
    x = np.append(fpr[inside], limit)
    y = np.append(pro[inside], np.interp(limit, fpr, pro))
    return _area(x, y) / limit


def _examine_limited_area(answer: Any) -> None:
    curves = (
        (np.array([0, 0.05, 0.2, 0.5, 1.0]), np.array([0, 0.4, 0.7, 0.9, 1.0]), 0.3),
        (np.array([0, 0.1, 0.4, 1.0]), np.array([0.2, 0.5, 0.6, 1.0]), 0.25),
    )
    expect_function(
        answer,
        [(curve, _limited) for curve in curves],
        mistakes=[
            (
                lambda x, y, limit: _limited(x, y, limit) * limit,
                "Without the division no detector can score more than `limit`: divide by it.",
            ),
            (
                lambda x, y, limit: _area(x, y),
                "That is the area below the whole curve: the limit is not used.",
            ),
            (
                lambda x, y, limit: _area(x, y) / limit,
                "You divide the area below the *whole* curve by the limit: cut the curve off.",
            ),
            (
                lambda x, y, limit: _area(x[x <= limit], y[x <= limit]) / limit,
                "The piece between the last point below the limit and the limit is missing: add "
                "a point at `limit`, `np.interp(limit, fpr, pro)`.",
            ),
            (
                lambda x, y, limit: _area(x[x <= limit], y[x <= limit]) / x[x <= limit][-1],
                "You cut at the last point below the limit, and divide by where it stands. Two "
                "detectors would be cut at different places: add a point at `limit` itself.",
            ),
            (
                lambda x, y, limit: _area(x[x <= limit], y[x <= limit]),
                "The last piece up to the limit is missing, and so is the division by it.",
            ),
            (
                lambda x, y, limit: (
                    _area(np.append(x[x < limit], limit), np.append(y[x < limit], y[x < limit][-1]))
                    / limit
                ),
                "You hold the last value up to the limit. The curve rises in a straight line to "
                "its next point: `np.interp(limit, fpr, pro)`.",
            ),
            (
                lambda x, y, limit: y[x <= limit].mean(),
                "That is a mean of the points, and they are not evenly spaced: use the area.",
            ),
            (
                lambda x, y, limit: np.interp(limit, x, y),
                "That is the height of the curve at the limit, not the area up to there.",
            ),
        ],
    )


# The loss


def _parts(logits: Tensor, mask: Tensor, gamma: float = 4) -> tuple[Tensor, Tensor]:
    p = logits.softmax(1)[:, 1]
    right = torch.where(mask == 1, p, 1 - p)
    return (p - mask).abs().mean(), ((1 - right) ** gamma * -right.log()).mean()


def _examine_loss(answer: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 5, 6, generator=generator, dtype=torch.float64)
    mask = (torch.rand(2, 5, 6, generator=generator) < 0.3).long()
    expect_function(
        answer,
        [((logits.requires_grad_(), mask), memseg_loss)],
        rtol=1e-4,
        mistakes=[
            (
                lambda z, m: memseg_loss(z, m, double_softmax=True),
                "Your focal loss takes the softmax of what is a softmax already: the mistake of "
                "the public code. Take the probabilities once, and use them twice.",
            ),
            (
                lambda z, m: double_softmax_focal_loss(z, m, gamma=4.0),
                "Only the focal loss, and of a softmax taken twice.",
            ),
            (
                lambda z, m: memseg_loss(z, m, l1_weight=0.4, focal_weight=0.6),
                "The weights are exchanged: .6 belongs to L1.",
            ),
            (
                lambda z, m: memseg_loss(z, m, l1_weight=0.5, focal_weight=0.5),
                "Half and half: wanted are .6 L1 and .4 focal.",
            ),
            (
                lambda z, m: memseg_loss(z, m, l1_weight=1, focal_weight=1),
                "The weights .6 and .4 are missing.",
            ),
            (
                lambda z, m: memseg_loss(z, m, gamma=2.0),
                "That is a focal loss with gamma 2: MemSeg takes 4.",
            ),
            (
                lambda z, m: memseg_loss(z, m, gamma=0.0),
                "Your second part is cross entropy: the factor `(1 - right) ** 4` is missing.",
            ),
            (
                lambda z, m: memseg_loss(z.flip(1), m),
                "Channel 1 is the defect; you took channel 0 for it.",
            ),
            (
                lambda z, m: memseg_loss(torch.stack([torch.zeros_like(z[:, 1]), z[:, 1]], 1), m),
                "You take the sigmoid of channel 1, as if channel 0 were always 0: take the "
                "softmax over both channels.",
            ),
            (lambda z, m: _parts(z, m)[0] * 0.6, "The focal part is missing."),
            (lambda z, m: _parts(z, m)[1] * 0.4, "The L1 part is missing."),
            (
                lambda z, m: memseg_loss(z, m) * m.numel(),
                "You sum over the pixels: take the mean.",
            ),
            (
                lambda z, m: 0.6 * _parts(z, m)[0] - 0.4 * _parts(z, m)[1],
                "The sign of the focal part is wrong: a logarithm of a probability is negative.",
            ),
            (
                lambda z, m: 0.6 * _parts(z, m)[0] + 0.4 * _defects_only(z, m),
                "Your focal part hears the pixels of defects alone: the good ones count, too, with "
                "the probability of channel 0.",
            ),
            (
                lambda z, m: 0.6 * (z.softmax(1)[:, 1] - m).square().mean() + 0.4 * _parts(z, m)[1],
                "You square the difference: L1 takes its absolute value.",
            ),
        ],
    )


def _defects_only(logits: Tensor, mask: Tensor) -> Tensor:
    p = logits.softmax(1)[:, 1]
    return (mask * (1 - p) ** 4 * -p.log()).mean()


EXERCISES = (
    Exercise(
        id="checkpoint",
        title="Which checkpoint?",
        question=(
            "`looks` is a list of dicts, one for each look at the network while it trained: "
            '`{"step": 100, "val": .71, "test": .80}`, scores on validation and test images, '
            "higher is better. Write a function that returns the step whose checkpoint you keep, "
            "the best one that may be chosen and scored on the test images afterwards."
        ),
        stub="def checkpoint(looks):\n    return ...",
        answer_name="checkpoint",
        hints=(
            "What has chosen cannot judge any more.",
            '`max(looks, key=lambda look: look["val"])` is the look; it has a step.',
        ),
        solution_source=(
            'def checkpoint(looks):\n    return max(looks, key=lambda look: look["val"])["step"]'
        ),
        examine=_examine_checkpoint,
        why="MemSeg's best known re-implementation gains about a point by doing otherwise.",
    ),
    Exercise(
        id="image_score",
        title="One score for an image",
        question=(
            "`scores` is a map (H, W) of how abnormal each pixel is. Write a function that "
            "returns the mean of its `top` largest values."
        ),
        given="import numpy as np",
        stub="def image_score(scores, top):\n    return ...",
        answer_name="image_score",
        hints=(
            "Forget rows and columns first: `scores.ravel()`.",
            "`np.sort` goes upwards: the largest stand at the end, `[-top:]`.",
        ),
        solution_source=(
            "def image_score(scores, top):\n    return np.sort(scores.ravel())[-top:].mean()"
        ),
        examine=_examine_image_score,
        why="A compromise between the maximum, which is noise, and the mean, which is deaf.",
    ),
    Exercise(
        id="limited_area",
        title="Up to here",
        question=(
            "`fpr` and `pro` are the points of a curve, both rising, `fpr` from 0 to 1. Between "
            "points the curve is straight. Write a function that returns the area below the curve "
            "from 0 to `limit`, divided by `limit`. There need not be a point at the limit."
        ),
        given="import numpy as np",
        stub="def limited_area(fpr, pro, limit):\n    return ...",
        answer_name="limited_area",
        hints=(
            "Keep the points below the limit, and append one at the limit: its height is "
            "`np.interp(limit, fpr, pro)`.",
            "The area below straight pieces is `np.trapezoid(y, x)`: first the heights.",
        ),
        solution_source=(
            "def limited_area(fpr, pro, limit):\n"
            "    x = np.append(fpr[fpr < limit], limit)\n"
            "    y = np.append(pro[fpr < limit], np.interp(limit, fpr, pro))\n"
            "    return np.trapezoid(y, x) / limit"
        ),
        examine=_examine_limited_area,
        why="This is AUPRO. Without the limit the same maps get a better number.",
    ),
    Exercise(
        id="anomaly_loss",
        title="MemSeg's loss",
        question=(
            "`logits` (N, 2, H, W) are of background and defect, `mask` (N, H, W) holds 0 and 1. "
            "With p the probability of a defect (softmax, channel 1) and q the probability of what "
            "is right, p where the mask is 1 and 1 - p where it is 0, return the mean over all "
            "pixels of .6 |p - mask| + .4 (1 - q)^4 (-log q)."
        ),
        given="import torch",
        stub="def anomaly_loss(logits, mask):\n    return ...",
        answer_name="anomaly_loss",
        hints=(
            "`p = logits.softmax(1)[:, 1]` has the shape of the mask.",
            "`q = torch.where(mask == 1, p, 1 - p)`",
        ),
        solution_source=(
            "def anomaly_loss(logits, mask):\n"
            "    p = logits.softmax(1)[:, 1]\n"
            "    q = torch.where(mask == 1, p, 1 - p)\n"
            "    return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 4 * q.log()).mean()"
        ),
        examine=_examine_loss,
        why="One softmax, used twice. The course's `memseg_loss` takes the logarithm of the "
        "softmax in one step, so that very small probabilities stay finite.",
    ),
)

QUIZ = (
    Question(
        "A network trained on simulated anomalies scores an AUROC of .999 on simulated anomalies "
        "of validation images. What follows for defects?",
        (
            Choice(
                "Nearly the same score",
                False,
                "Only if the fakes are like the defects, and lesson 04 measured that they are not.",
            ),
            Choice(
                "Nothing, until defects are scored",
                True,
                "It is good enough to compare settings with, and no promise.",
            ),
            Choice(
                "The network overfits", False, "The validation images are not those it trained on."
            ),
        ),
    ),
    Question(
        "Two papers report AUPRO of 96 and of 90 on the same images. What do you ask first?",
        (
            Choice(
                "Up to which false positive rate, and whether it is divided by it",
                True,
                "Without the limit even random maps get about one half.",
            ),
            Choice("How many parameters they have", False, "That explains no number of a metric."),
            Choice("Which GPU they used", False, "The maps do not depend on it."),
        ),
    ),
    Question(
        "A checkpoint is chosen every 100 steps by its score on the test images. The reported "
        "score is",
        (
            Choice("right: they are test images", False, "They have helped to choose: no longer."),
            Choice(
                "too low", False, "The best of many looks is at least as high as any one of them."
            ),
            Choice(
                "too high, by how much the looks scatter",
                True,
                "The more looks and the fewer images, the more.",
            ),
        ),
    ),
    Question(
        "A detector that trains nothing, the distance to the nearest normal patch, finds as many "
        "defects as your network. What now?",
        (
            Choice(
                "Hide it", False, "Somebody else will find it, and wonder what your network is for."
            ),
            Choice(
                "Report both, with their costs, and look at where they differ",
                True,
                "A simple baseline is the price that a method must beat.",
            ),
            Choice(
                "Train longer until the network wins",
                False,
                "Watched on test images, that is a choice by the test images once more.",
            ),
        ),
    ),
)

LESSON = LessonSpec(
    name="06_memseg_training",
    title="MemSeg training",
    parameters=Parameters,
    exercises=EXERCISES,
    quiz=QUIZ,
)
