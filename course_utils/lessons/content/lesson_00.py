"""Lesson 00, start here: reading a mask, and what answering "no defect" everywhere is worth."""

from typing import Any

import numpy as np

from course_utils.lessons.exercise import Exercise
from course_utils.lessons.expect import expect_function, expect_number
from course_utils.lessons.outline import LessonSpec
from course_utils.lessons.parameters import LessonParameters
from course_utils.lessons.quiz import Choice, Question

# Few enough pixels to count by eye. Two classes, so that adding up the mask is no way to count.
TINY_MASK_SOURCE = """\
import numpy as np

mask = np.array([
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 2, 2, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
])
"""
TINY_MASK = np.zeros((8, 10), dtype=np.int64)
TINY_MASK[[1, 2, 3], [1, 2, 3]] = 1
TINY_MASK[5, 7:9] = 2


class Parameters(LessonParameters):
    """Lesson 00 takes no parameters of its own."""

    datasets = ("synthetic", "magnetic_tile", "sd_saliency_900", "folder")


def _examine_defect_share(answer: Any) -> None:
    expect_number(
        answer,
        (TINY_MASK > 0).mean(),
        mistakes=[
            (5, "5 is the **number** of defect pixels. Which share of **all** pixels is that?"),
            (6.25, "Right in percent. We ask for a share between 0 and 1: divide by 100."),
            (3 / 80, "That is class 1 only. Class 2 is a defect too: only 0 is background."),
            (2 / 80, "That is class 2 only. Class 1 is a defect too: only 0 is background."),
            (
                TINY_MASK.mean(),
                "That is `mask.mean()`: it adds up class **numbers**, so a pixel of class 2 "
                "counts twice. Count the pixels that are not 0.",
            ),
            (75 / 80, "That is the share of the **background**. Which share is left?"),
            (5 / 75, "That is defect pixels per **background** pixel. Divide by all pixels."),
        ],
    )


def _accuracy_of_nothing(mask: np.ndarray) -> float:
    return float((mask == 0).mean())


def _examine_accuracy_of_nothing(answer: Any) -> None:
    rare = np.zeros((20, 50), dtype=np.int64)
    rare[3, 4:6] = 3
    masks = [TINY_MASK, rare, np.zeros((4, 4), dtype=np.int64), np.ones((3, 5), dtype=np.int64)]
    expect_function(
        answer,
        [((mask,), _accuracy_of_nothing) for mask in masks],
        mistakes=[
            (
                lambda mask: (mask > 0).mean(),
                "That is the share of pixels that the answer gets **wrong**. Accuracy is the "
                "share that it gets right.",
            ),
            (
                lambda mask: (mask == 0).sum(),
                "That is the **number** of right pixels. Accuracy is their share of all pixels.",
            ),
            (
                lambda mask: 100 * (mask == 0).mean(),
                "Right in percent. We ask for a share between 0 and 1.",
            ),
            (
                lambda mask: (mask != 1).mean(),
                "Only pixels of class 1 count as defect here. Every class above 0 is a defect.",
            ),
            (
                lambda mask: 1 - mask.mean(),
                "`mask.mean()` adds up class **numbers**. Compare with 0 first: `mask == 0`.",
            ),
            (
                lambda mask: 75 / 80,
                "That is right for the mask above, and for no other. Use the argument `mask`.",
            ),
        ],
    )


EXERCISES = (
    Exercise(
        id="defect_share",
        title="What share of this mask is defect?",
        question=(
            "In a mask, 0 is background and every other number is the class of a defect. "
            "Which share of the pixels of `mask` is defect? Give a number between 0 and 1."
        ),
        given=TINY_MASK_SOURCE,
        stub="share = ...",
        answer_name="share",
        hints=(
            "Count by eye first: how many entries of the array are not 0?",
            "`mask > 0` is an array of true and false, one for each pixel.",
            "The mean of true and false is the share of true: try `(mask > 0).mean()`.",
        ),
        solution_source="share = (mask > 0).mean()",
        examine=_examine_defect_share,
        why=(
            "5 of 80 pixels are defect. On real surfaces it is often less than 1 in 100, and "
            "that is where the trouble of lesson 01 begins."
        ),
    ),
    Exercise(
        id="accuracy_of_nothing",
        title="How good is the answer “no defect”?",
        question=(
            "A lazy inspector calls **every** pixel background. Write a function that takes a "
            "mask and returns the accuracy of this answer: the share of pixels that are right."
        ),
        given=TINY_MASK_SOURCE,
        stub="def accuracy_of_nothing(mask):\n    return ...",
        answer_name="accuracy_of_nothing",
        hints=(
            "For which pixels of the mask is “background” the right answer?",
            "`mask == 0` is true where the lazy inspector is right.",
        ),
        solution_source="def accuracy_of_nothing(mask):\n    return (mask == 0).mean()",
        examine=_examine_accuracy_of_nothing,
        why=(
            "The rarer the defects, the better the lazy inspector looks, without having found "
            "a single one. Accuracy alone says little here."
        ),
    ),
)

QUIZ = (
    Question(
        "A mask of 100 x 100 pixels holds 50 pixels of class 1 and 50 of class 3, and the rest "
        "is 0. What share is defect?",
        (
            Choice("2 %", False, "That adds up the class numbers: 50·1 + 50·3 = 200."),
            Choice("1 %", True, "100 of 10 000 pixels are not background, whatever their class."),
            Choice("0.5 %", False, "That counts class 1 only. Class 3 is a defect too."),
        ),
    ),
    Question(
        "On that mask, a network answers background everywhere. What is its accuracy?",
        (
            Choice("0 %, since it found no defect", False, "Accuracy counts background as well."),
            Choice("50 %, like a coin", False, "A coin would be right on half of the pixels."),
            Choice("99 %", True, "It is right on all 9 900 background pixels, and useless."),
        ),
    ),
    Question(
        "You change the seed, and a metric moves from 0.81 to 0.84. What do you conclude?",
        (
            Choice(
                "The new seed is better: keep it",
                False,
                "The seed only deals the cards anew. Choosing the luckiest is no improvement.",
            ),
            Choice(
                "Differences of this size can be chance",
                True,
                "That is why the course runs several seeds before it calls one method better.",
            ),
            Choice(
                "The code is broken: results must not move",
                False,
                "The same seed must repeat its result. Another seed may differ.",
            ),
        ),
    ),
)

LESSON = LessonSpec(
    name="00_start_here",
    title="Start here",
    parameters=Parameters,
    exercises=EXERCISES,
    quiz=QUIZ,
)
