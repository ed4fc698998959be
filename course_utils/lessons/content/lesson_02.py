"""Lesson 02, focal and re-weighted losses: what they weigh, and how to write them down safely."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.lessons.exercise import Exercise
from course_utils.lessons.expect import expect_array, expect_function
from course_utils.lessons.outline import LessonSpec
from course_utils.lessons.parameters import LessonParameters
from course_utils.lessons.quiz import Choice, Question
from course_utils.lessons.verdicts import call_answer, incorrect
from course_utils.losses import binary_focal_loss, weighted_cross_entropy
from course_utils.losses.pitfalls import cross_entropy_weighted_by_prediction


class Parameters(LessonParameters):
    """Lesson 02 takes no parameters of its own."""

    datasets = ("synthetic", "magnetic_tile", "sd_saliency_900", "folder")


def _focal_weight(p: float, y: int, gamma: float) -> float:
    return (1 - (p if y else 1 - p)) ** gamma


def _examine_focal_weight(answer: Any) -> None:
    expect_function(
        answer,
        [
            ((p, y, gamma), _focal_weight)
            for p, y, gamma in (
                (0.97, 1, 2.0),
                (0.3, 1, 2.0),
                (0.8, 0, 2.0),
                (0.1, 0, 3.0),
                (0.6, 1, 0.0),
            )
        ],
        mistakes=[
            (
                lambda p, y, gamma: (1 - p) ** gamma,
                "Right for defects (y = 1). For background the probability of the **true** class "
                "is 1 - p.",
            ),
            (
                lambda p, y, gamma: (p if y else 1 - p) ** gamma,
                "That is p_t to the power of gamma: it mutes the *hard* pixels. Use 1 - p_t.",
            ),
            (
                lambda p, y, gamma: (1 - (p if y else 1 - p)) ** 2,
                "Right for gamma = 2 only: use the argument.",
            ),
            (
                lambda p, y, gamma: 1 - (p if y else 1 - p),
                "Gamma is missing: the weight is (1 - p_t) to the power of gamma.",
            ),
            (
                lambda p, y, gamma: (
                    -((1 - (p if y else 1 - p)) ** gamma) * np.log(p if y else 1 - p)
                ),
                "That is the whole loss. We ask for the weight in front of the logarithm.",
            ),
        ],
    )


def _reference_focal(x: Tensor, y: Tensor) -> Tensor:
    return binary_focal_loss(x, y, alpha=0.25, gamma=2.0)


def _examine_stable_focal(answer: Any) -> None:
    easy = torch.tensor([-3.0, -1.0, 0.0, 0.5, 2.0, 3.0], requires_grad=True)
    truth = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    expect_function(
        answer,
        [((easy, truth), _reference_focal), ((easy, 1 - truth), _reference_focal)],
        mistakes=[
            (
                lambda x, y: binary_focal_loss(x, y, alpha=0.75),
                "Right formula, but alpha = .25 sits on the background. It weighs the **defect** "
                "(y = 1).",
            ),
            (
                lambda x, y: 2 * binary_focal_loss(x, y, alpha=0.5),
                "Alpha is missing: .25 for defects, .75 for background.",
            ),
            (
                lambda x, y: binary_focal_loss(x, y, gamma=0.0),
                "The focus is missing: multiply each pixel by (1 - p_t) squared.",
            ),
            (
                lambda x, y: binary_focal_loss(x, y, reduction="sum"),
                "That is the sum over the pixels. We ask for the mean.",
            ),
            (
                lambda x, y: binary_focal_loss(x.sigmoid(), y),
                "`x` goes through a sigmoid twice: is it applied again inside?",
            ),
        ],
    )
    extreme = torch.tensor([-200.0, 200.0], requires_grad=True)
    wrong = torch.tensor([1.0, 0.0])
    value = call_answer(answer, extreme, wrong)
    if not isinstance(value, Tensor) or not value.requires_grad:
        incorrect("No gradient flows back: stay with torch, without `.item()` or `.detach()`.")
    if not bool(torch.isfinite(value)):
        incorrect(
            f"At logits of ±200 your loss is `{value.item()}`: log(0). Do not take the logarithm "
            "of a probability; `softplus` gives it from the logit."
        )
    (gradient,) = torch.autograd.grad(value, extreme)
    if not bool(torch.isfinite(gradient).all()):
        incorrect("The value at logits of ±200 is finite, but the gradient is not: where is a log?")
    if bool((gradient == 0).any()):
        incorrect(
            "At logits of ±200 your gradient is 0: a clip, or an epsilon inside a logarithm, has "
            "silenced the two worst pixels. Work without."
        )
    wanted = _reference_focal(extreme.detach(), wrong)
    if not torch.isclose(value.detach(), wanted, rtol=1e-4):
        incorrect(
            f"At logits of ±200 the loss should be `{wanted.item():.1f}`, yours is "
            f"`{value.item():.1f}`: something is capped."
        )


def _capped(counts: np.ndarray, cap: float) -> np.ndarray:
    weights = counts.sum() / (len(counts) * counts)
    return np.minimum(weights, cap * weights.min())


def _examine_capped_weights(answer: Any) -> None:
    for given, cap in (([980_000, 15_000, 4_000, 1_000], 50.0), ([900, 100], 100.0)):
        counts = np.array(given)
        result = call_answer(answer, counts.copy(), cap)
        plain = counts.sum() / (len(counts) * counts)
        expect_array(
            result,
            _capped(counts, cap),
            mistakes=[
                (counts.sum() / counts, "The K is missing, and the cap: N / (K n_c) first."),
                (
                    np.minimum(counts.sum() / counts, cap * (counts.sum() / counts).min()),
                    "The number of classes is missing: balanced weights are N / (K n_c).",
                ),
                (plain, "Right, but not capped: no weight may exceed `cap` times the smallest."),
                (
                    np.minimum(plain, cap),
                    "You cap at `cap` itself. The cap is a ratio: `cap` times the smallest weight.",
                ),
                (
                    counts / counts.sum(),
                    "These are the shares: they weigh the background most. Turn them over.",
                ),
            ],
        )


def _examine_repaired(answer: Any) -> None:
    rng = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 3, 4, 5, generator=rng)
    logits.requires_grad_()
    target = torch.randint(3, (2, 4, 5), generator=rng)
    weights = torch.tensor([0.1, 2.0, 9.0])
    expect_function(
        answer,
        [((logits, target, weights), weighted_cross_entropy)],
        mistakes=[
            (
                lambda x, y, w: cross_entropy_weighted_by_prediction(x, y, w).mean(),
                "That is still the published version: the weights meet the **prediction**. Take "
                "the weight of the true class.",
            ),
            (
                lambda x, y, w: weighted_cross_entropy(x, y, w, reduction="sum"),
                "That is a sum: the learning rate would depend on the image size. Take the mean.",
            ),
            (
                lambda x, y, w: weighted_cross_entropy(x, y, w, normalise="weights"),
                "That divides by the sum of the weights, as torch's `weight=` does. We ask for the "
                "mean over pixels.",
            ),
            (
                lambda x, y, w: weighted_cross_entropy(x, y, torch.ones(3)),
                "That is cross entropy without weights.",
            ),
        ],
    )


EXERCISES = (
    Exercise(
        id="focal_weight",
        title="The weight in front",
        question=(
            "`p` is the predicted probability of a defect, `y` is 1 for a defect and 0 for "
            "background. Write a function that returns the weight that the focal loss puts in "
            "front of the cross entropy of this pixel (without alpha)."
        ),
        stub="def focal_weight(p, y, gamma):\n    return ...",
        answer_name="focal_weight",
        hints=(
            "The probability of the true class, p_t, is `p` for a defect. And for background?",
            "The weight is (1 - p_t) to the power of gamma.",
        ),
        solution_source=(
            "def focal_weight(p, y, gamma):\n"
            "    p_t = p if y == 1 else 1 - p\n"
            "    return (1 - p_t) ** gamma"
        ),
        examine=_examine_focal_weight,
        why="A pixel that is right with .97 keeps .0009 of its loss, one at .3 keeps .49.",
    ),
    Exercise(
        id="stable_focal",
        title="A focal loss that survives",
        question=(
            "Write the mean binary focal loss with alpha = .25 and gamma = 2 from **logits** `x` "
            "and targets `y`. It must stay finite, and must still pull, at logits of ±200."
        ),
        given="import torch\nfrom torch.nn.functional import softplus",
        stub="def stable_focal(x, y):\n    return ...",
        answer_name="stable_focal",
        hints=(
            "-log p is `softplus(-x)`, and -log(1 - p) is `softplus(x)`.",
            "p itself may be computed with `torch.sigmoid(x)`: only its logarithm is dangerous.",
            "Defects: .25 (1 - p)² softplus(-x). Background: .75 p² softplus(x). Then the mean.",
        ),
        solution_source=(
            "def stable_focal(x, y):\n"
            "    p = torch.sigmoid(x)\n"
            "    defect = 0.25 * (1 - p) ** 2 * softplus(-x)\n"
            "    background = 0.75 * p**2 * softplus(x)\n"
            "    return (y * defect + (1 - y) * background).mean()"
        ),
        examine=_examine_stable_focal,
        why="The worst mistakes are the ones with huge logits: there a loss must not go deaf.",
    ),
    Exercise(
        id="capped_weights",
        title="Weights with a ceiling",
        question=(
            "`counts` is an array with the pixels of each class over the training set. Write a "
            "function that returns balanced weights, N / (K n_c), in which none exceeds `cap` "
            "times the smallest one."
        ),
        given="import numpy as np",
        stub="def capped_weights(counts, cap):\n    return ...",
        answer_name="capped_weights",
        hints=(
            "N is `counts.sum()`, K is `len(counts)`.",
            "`np.minimum(weights, limit)` lowers what exceeds the limit.",
        ),
        solution_source=(
            "def capped_weights(counts, cap):\n"
            "    weights = counts.sum() / (len(counts) * counts)\n"
            "    return np.minimum(weights, cap * weights.min())"
        ),
        examine=_examine_capped_weights,
        why="A class with a handful of pixels then no longer decides the direction of every step.",
    ),
    Exercise(
        id="repaired_weighting",
        title="Repair the published weighting",
        question=(
            "The published answer multiplies the cross entropy by the weights of what the network "
            "**predicts**. Repair it: take the weight of the **true** class of each pixel, and the "
            "mean over the pixels. `logits` (N, C, H, W), `target` (N, H, W), `weights` (C,)."
        ),
        given="import torch\nfrom torch.nn.functional import cross_entropy",
        stub="def repaired(logits, target, weights):\n    return ...",
        answer_name="repaired",
        hints=(
            '`cross_entropy(logits, target, reduction="none")` is the loss of each pixel.',
            "`weights[target]` is the weight of each pixel's true class.",
        ),
        solution_source=(
            "def repaired(logits, target, weights):\n"
            '    each = cross_entropy(logits, target, reduction="none")\n'
            "    return (weights[target] * each).mean()"
        ),
        examine=_examine_repaired,
        why=(
            "The weight is now a constant of the pixel: no gradient flows into it, and the false "
            "minimum is gone."
        ),
    ),
)

QUIZ = (
    Question(
        "In `binary_focal_loss`, what does alpha = .75 do?",
        (
            Choice("It weighs the background by .75", False, "That gets 1 - alpha = .25."),
            Choice(
                "It weighs the defect by .75 and the background by .25",
                True,
                "Alpha weighs the positive class. Other code means class 0: look, always.",
            ),
            Choice("It sets how strongly easy pixels are muted", False, "That is gamma."),
        ),
    ),
    Question(
        "A loss clips probabilities to [.001, .999] “to be safe”. What is lost?",
        (
            Choice(
                "The gradient of the worst pixels",
                True,
                "Outside the clip the slope is exactly 0: the network never hears of them.",
            ),
            Choice("Nothing: log(0) must be avoided", False, "log_softmax and softplus avoid it."),
            Choice(
                "A little precision for easy pixels",
                False,
                "These hardly matter. The pixels at the other end do.",
            ),
        ),
    ),
    Question(
        "Class weights of N / n_c for each batch, or once over the training set?",
        (
            Choice(
                "Each batch, since it adapts to the data",
                False,
                "One stray pixel of a rare class then weighs as much as all background together.",
            ),
            Choice(
                "Once, over the whole training set",
                True,
                "Then a weight is a property of the class, and does not jump from step to step.",
            ),
            Choice(
                "Over the test set, where it counts",
                False,
                "Nothing may be tuned to the test set, not even by counting.",
            ),
        ),
    ),
    Question(
        "A weighted loss has a much better IoU at threshold .5 than plain cross entropy, and the "
        "same AP. What did it change?",
        (
            Choice(
                "It found defects that the other cannot see",
                False,
                "Then its ranking, and so its AP, would be better.",
            ),
            Choice(
                "It moved all scores up: a threshold would have done the same",
                True,
                "A useful thing, if you cannot choose thresholds. But no better eye.",
            ),
            Choice("It trained longer", False, "Both had the same steps."),
        ),
    ),
)

LESSON = LessonSpec(
    name="02_focal_and_reweighted_losses",
    title="Focal and re-weighted losses",
    parameters=Parameters,
    exercises=EXERCISES,
    quiz=QUIZ,
)
