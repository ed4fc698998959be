"""Lesson 01, class imbalance: metrics that see a rare defect, and splits that do not leak."""

from typing import Any

import numpy as np

from course_utils.evaluation import accuracy, best_threshold, iou
from course_utils.lessons.exercise import Exercise
from course_utils.lessons.expect import expect_function, expect_number
from course_utils.lessons.outline import LessonSpec
from course_utils.lessons.parameters import LessonParameters
from course_utils.lessons.quiz import Choice, Question
from course_utils.lessons.verdicts import call_answer, incorrect


class Parameters(LessonParameters):
    """Lesson 01 takes no parameters of its own."""

    datasets = ("synthetic", "magnetic_tile", "sd_saliency_900", "folder")


def _iou_from_counts(tp: int, fp: int, fn: int, tn: int) -> float:
    return tp / (tp + fp + fn)


def _examine_iou_from_counts(answer: Any) -> None:
    expect_function(
        answer,
        [
            ((30, 20, 50, 900), _iou_from_counts),
            ((8, 0, 2, 990), _iou_from_counts),
            ((0, 5, 5, 90), _iou_from_counts),
        ],
        mistakes=[
            (
                lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn),
                "That is the Dice coefficient: it counts the overlap twice. In the IoU every "
                "pixel of the union counts once.",
            ),
            (
                lambda tp, fp, fn, tn: (tp + tn) / (tp + fp + fn + tn),
                "That is the accuracy. The IoU leaves the true negatives out: that is the point.",
            ),
            (
                lambda tp, fp, fn, tn: tp / (tp + fp) if tp else 0.0,
                "That is the precision: misses (`fn`) belong to the union too.",
            ),
            (
                lambda tp, fp, fn, tn: tp / (tp + fn),
                "That is the recall: false alarms (`fp`) belong to the union too.",
            ),
            (
                lambda tp, fp, fn, tn: tp / (tp + fp + fn + tn),
                "You divide by all pixels. Divide by the union: pixels that the truth **or** the "
                "prediction calls defect.",
            ),
        ],
    )


def _examine_ap_of_chance(answer: Any) -> None:
    expect_number(
        answer,
        0.004,
        rtol=0.03,
        mistakes=[
            (0.5, "One half is the **AUROC** of pure chance. AP depends on how rare defects are."),
            (
                0.996,
                "That is the accuracy of the silent answer. How precise is an alarm that is "
                "raised at random?",
            ),
            (0.4, "Right in percent. We ask for a number between 0 and 1."),
            (0.0, "Even a random alarm hits a defect now and then: how often?"),
        ],
    )


def _validation_cases() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(7)
    cases = []
    for shift, share in ((1.5, 0.03), (2.5, 0.01), (1.0, 0.1)):
        target = (rng.random((8, 40, 40)) < share).astype(np.int64)
        logits = rng.normal(size=target.shape) + shift * target - 4
        cases.append((1 / (1 + np.exp(-logits)), target))
    return cases


def _examine_choose_threshold(answer: Any) -> None:
    for scores, target in _validation_cases():
        given = call_answer(answer, scores.copy(), target.copy())
        if not np.isscalar(given) and np.ndim(given) != 0:
            incorrect(f"Wanted a single threshold, got something of shape {np.shape(given)}.")
        threshold = float(given)
        wanted = iou(scores >= best_threshold(scores, target, criterion="iou"), target)
        # A search over a grid may miss the best threshold by a step.
        reached = iou(scores >= threshold, target)
        if reached >= 0.95 * wanted:
            continue
        if np.isclose(threshold, 0.5):
            incorrect(
                "That is .5, whatever the scores. This network's scores stay far below: at .5 it "
                "says nothing."
            )
        if threshold > 1:
            incorrect(
                f"`{threshold:.4g}` is no threshold of scores between 0 and 1: is it the **index** "
                "of the best candidate?"
            )
        if np.isclose(threshold, wanted, rtol=0.05):
            incorrect("You return the best **IoU**. We ask for the threshold that reaches it.")
        if accuracy(scores >= threshold, target) >= 1 - target.mean():
            incorrect(
                "For **accuracy** this threshold is fine: it calls next to nothing a defect. Ask "
                "for the best IoU."
            )
        incorrect(
            f"The threshold `{threshold:.3g}` reaches an IoU of `{reached:.3f}`; `{wanted:.3f}` is "
            "possible. Try thresholds among the scores themselves, such as their quantiles."
        )


def _examine_split_by_tile(answer: Any) -> None:
    rng = np.random.default_rng(3)
    for tiles in (40, 75):
        groups = rng.permutation(np.repeat(np.arange(tiles), rng.integers(1, 5, tiles)))
        test = np.asarray(call_answer(answer, groups.copy(), np.random.default_rng(1)))
        if test.shape != groups.shape or test.dtype != bool:
            incorrect(
                f"Wanted one `True` or `False` for each of the {len(groups)} images, got an array "
                f"of shape {test.shape} and type {test.dtype}."
            )
        if not test.any():
            incorrect("No image is in the test set.")
        if test.all():
            incorrect("All images are in the test set: nothing is left to train on.")
        torn = len(np.intersect1d(groups[test], groups[~test]))
        if torn:
            incorrect(
                f"{torn} tiles have images on both sides: the test set still knows its twins. "
                "Draw **tiles**, not images."
            )
        share = test.mean()
        if not 0.1 <= share <= 0.4:
            incorrect(f"About a quarter of the images should be test images, got {share:.0%}.")
        same = np.asarray(call_answer(answer, groups.copy(), np.random.default_rng(1)))
        if not np.array_equal(test, same):
            incorrect("The same `rng` gives another split: draw with `rng`, not with `np.random`.")
        other = np.asarray(call_answer(answer, groups.copy(), np.random.default_rng(2)))
        if np.array_equal(test, other):
            incorrect("Another generator gives the same split: draw with `rng`.")


EXERCISES = (
    Exercise(
        id="iou_from_counts",
        title="IoU from four numbers",
        question=(
            "A test set has `tp` pixels that are rightly called defect, `fp` false alarms, `fn` "
            "misses and `tn` pixels rightly called background. Write a function that returns the "
            "IoU."
        ),
        stub="def iou_from_counts(tp, fp, fn, tn):\n    return ...",
        answer_name="iou_from_counts",
        hints=(
            "Intersection: pixels that the truth **and** the prediction call defect.",
            "Union: pixels that the truth **or** the prediction calls defect. Three of the four.",
        ),
        solution_source=("def iou_from_counts(tp, fp, fn, tn):\n    return tp / (tp + fp + fn)"),
        examine=_examine_iou_from_counts,
        why="The true negatives, nearly all pixels of a surface, are gone: nothing to hide behind.",
    ),
    Exercise(
        id="ap_of_chance",
        title="What is chance worth?",
        question=(
            "4 of 1000 pixels are defect. Someone scores every pixel at random. Which average "
            "precision (AP) do you expect? (The AUROC would be .5.)"
        ),
        stub="ap = ...",
        answer_name="ap",
        hints=(
            "Precision: which share of the alarms is right?",
            "Raise an alarm at random pixels. Which share of these is defect, whatever the recall?",
        ),
        solution_source="ap = 4 / 1000",
        examine=_examine_ap_of_chance,
        why=(
            "The AP of chance is the share of defects, so an AP of .3 may be bad on one data set "
            "and splendid on another. Always say the share beside it."
        ),
    ),
    Exercise(
        id="choose_threshold",
        title="An honest threshold",
        question=(
            "Write a function that takes the scores and the truth (0 and 1, same shape) of "
            "**validation** images and returns the threshold at which `scores >= threshold` "
            "has the highest IoU. A search over a few hundred candidates will do."
        ),
        given="import numpy as np\nfrom course_utils.evaluation import iou",
        stub="def choose_threshold(scores, target):\n    return ...",
        answer_name="choose_threshold",
        hints=(
            "Which candidates? The scores are crowded near 0: ten evenly spaced thresholds are too "
            "coarse there.",
            "`np.quantile(scores, np.linspace(.5, 1, 300))` follows the crowd.",
            "Compute the IoU for each candidate and take the candidate at `np.argmax`.",
        ),
        solution_source=(
            "def choose_threshold(scores, target):\n"
            "    candidates = np.quantile(scores, np.linspace(0.5, 1, 300))\n"
            "    return candidates[np.argmax([iou(scores >= t, target) for t in candidates])]"
        ),
        examine=_examine_choose_threshold,
        why=(
            "Chosen on validation data and then kept, a threshold costs nothing and may be worth "
            "more than a new loss. Chosen on test data, it is a lie."
        ),
    ),
    Exercise(
        id="split_by_tile",
        title="A split that does not leak",
        question=(
            "`groups` holds the tile that each image shows. Write a function that returns a "
            "boolean array, `True` for the images of the test set: about a quarter of the images, "
            "drawn with `rng`, and no tile on both sides."
        ),
        given="import numpy as np",
        stub="def split_by_tile(groups, rng):\n    return ...",
        answer_name="split_by_tile",
        hints=(
            "Draw tiles first, then take all of their images.",
            "`np.unique(groups)` lists the tiles, `rng.choice(tiles, n, replace=False)` draws n.",
            "`np.isin(groups, chosen)` is true for each image of a chosen tile.",
        ),
        solution_source=(
            "def split_by_tile(groups, rng):\n"
            "    tiles = np.unique(groups)\n"
            "    chosen = rng.choice(tiles, size=len(tiles) // 4, replace=False)\n"
            "    return np.isin(groups, chosen)"
        ),
        examine=_examine_split_by_tile,
        why=(
            "The same holds for patients, for coils of steel and for frames of a video: what is "
            "drawn must be the thing, not its pictures."
        ),
    ),
)

QUIZ = (
    Question(
        "A network scores 99.2 % pixel accuracy. What do you ask first?",
        (
            Choice(
                "What share of the pixels is defect?",
                True,
                "If it is .8 %, a network that always says “no defect” scores the same.",
            ),
            Choice(
                "How many parameters does it have?",
                False,
                "Interesting later. First find out whether the number means anything.",
            ),
            Choice(
                "Which learning rate was used?",
                False,
                "No learning rate makes accuracy notice rare defects.",
            ),
        ),
    ),
    Question(
        "You add 1000 clean images to the test set. The detector stays the same and raises its "
        "usual share of false alarms on them. What happens?",
        (
            Choice(
                "AUROC and AP both stay",
                False,
                "AUROC stays: it divides the false alarms by the good pixels. AP does not.",
            ),
            Choice(
                "AUROC stays, AP falls",
                True,
                "There are more false alarms for the same hits, so each alarm is worth less.",
            ),
            Choice(
                "AUROC falls, AP stays",
                False,
                "The other way round: AUROC only knows rates, AP knows how many.",
            ),
        ),
    ),
    Question(
        "At a threshold of .5 your network finds nothing, yet its AP is far above chance. What do "
        "you do?",
        (
            Choice(
                "It has learned nothing: change the loss",
                False,
                "Its ranking is good. Only the cut is in the wrong place.",
            ),
            Choice(
                "Choose the threshold on validation data",
                True,
                "The scores of rare classes are low all over. Where to cut is your decision.",
            ),
            Choice(
                "Choose the threshold on test data",
                False,
                "Then the test set has helped to choose, and its result is no result.",
            ),
        ),
    ),
    Question(
        "Each tile was photographed under three exposures. You split the photographs at random, "
        "80 to 20. Why is the test result too good?",
        (
            Choice(
                "The test set is too small",
                False,
                "Then the result would be noisy, not too good.",
            ),
            Choice(
                "Twins of most test images were trained on",
                True,
                "The network may recall the tile in place of recognising the defect.",
            ),
            Choice(
                "Different exposures are harder to learn",
                False,
                "That would make the result worse, not better.",
            ),
        ),
    ),
)

LESSON = LessonSpec(
    name="01_class_imbalance",
    title="Class imbalance",
    parameters=Parameters,
    exercises=EXERCISES,
    quiz=QUIZ,
)
