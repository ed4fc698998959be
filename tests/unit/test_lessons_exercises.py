"""Every exercise of the course tells its stub, its solution and its typical mistakes apart.

An exercise without at least three wrong answers in `wrong_answers/lesson_NN.py` fails here: add
its typical mistakes there, each as a source text that defines its `answer_name`, or better as a
pair of this source and words that only the message for this mistake has.
"""

import runpy
from pathlib import Path

import numpy as np
import pytest

from course_utils.lessons import Outcome, all_exercises
from course_utils.lessons.content.lesson_00 import TINY_MASK

EXERCISES = all_exercises()
WRONG_ANSWERS = {
    id: cases
    for file in sorted((Path(__file__).parent / "wrong_answers").glob("lesson_*.py"))
    for id, cases in runpy.run_path(str(file))["WRONG_ANSWERS"].items()
}
tasks = pytest.mark.parametrize("task", EXERCISES.values(), ids=EXERCISES)


def answer_from(task, source):
    """Return what `source` defines as the answer, run after what the notebook gives."""
    names = {}
    exec(task.given, names)
    exec(source, names)
    return names[task.answer_name]


@tasks
def test_the_stub_is_not_attempted(task):
    assert task.judge(answer_from(task, task.stub)).outcome is Outcome.NOT_ATTEMPTED


@tasks
def test_the_solution_is_correct(task):
    verdict = task.judge(answer_from(task, task.solution_source))
    assert verdict.outcome is Outcome.CORRECT, verdict.message


@tasks
def test_three_typical_mistakes_have_cases(task):
    assert len(WRONG_ANSWERS.get(task.id, {})) >= 3, f"add {task.id} to wrong_answers/"


@tasks
def test_each_typical_mistake_is_incorrect_with_its_own_message(task):
    messages = {}
    for name, case in WRONG_ANSWERS.get(task.id, {}).items():
        source, words = (case, "") if isinstance(case, str) else case
        verdict = task.judge(answer_from(task, source))
        assert verdict.outcome is Outcome.INCORRECT, f"{name}: {verdict}"
        assert words in verdict.message, f"{name}: {verdict}"
        messages.setdefault(verdict.message, []).append(name)
    assert {m: names for m, names in messages.items() if len(names) > 1} == {}


@tasks
def test_an_exercise_has_all_its_parts(task):
    assert all((task.title, task.question, task.hints, task.why))
    assert task.answer_name in task.stub
    assert "..." in task.stub or "NotImplementedError" in task.stub


def test_all_cases_belong_to_an_exercise():
    assert set(WRONG_ANSWERS) <= set(EXERCISES)


def test_lesson_00_examines_the_mask_that_the_notebook_gives():
    names = {}
    exec(EXERCISES["defect_share"].given, names)
    assert np.array_equal(names["mask"], TINY_MASK)


@pytest.mark.parametrize("way", ["NEAREST", "NEAREST_EXACT", "LINEAR", "CUBIC", "AREA"])
@pytest.mark.parametrize(
    "body",
    [
        "(cv2.resize(label, (size, size), interpolation=way) >= 128).astype(np.float32)",
        "(cv2.resize(label / 255, (size, size), interpolation=way) > 0.5).astype(np.float32)",
        "np.round(cv2.resize((label > 127) * 1.0, (size, size), interpolation=way), 0)"
        ".clip(0, 1).astype(np.float32)",
    ],
)
def test_lesson_03_takes_any_resizing_that_ends_with_the_threshold(way, body):
    task = EXERCISES["clean_target"]
    source = f"def clean_target(label, size):\n    way = cv2.INTER_{way}\n    return {body}"
    verdict = task.judge(answer_from(task, source))
    assert verdict.outcome is Outcome.CORRECT, verdict.message
