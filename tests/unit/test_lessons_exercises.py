"""Every exercise of the course tells its stub, its solution and its typical mistakes apart.

A mistake that has no case in `wrong_answers/lesson_NN.py` fails here. A case is the body of the
function that the stub begins, or a whole answer; it stands behind the name of its mistake, or
behind words of the message where the mistake has no name of its own. A list holds several cases.
"""

import re
import runpy
import textwrap
from pathlib import Path

import numpy as np
import pytest

from course_utils.lessons import Outcome, all_exercises
from course_utils.lessons.answers import Incorrect, Mistake
from course_utils.lessons.content.lesson_00 import TINY_MASK

EXERCISES = all_exercises()
WRONG_ANSWERS = {
    id: cases
    for file in sorted((Path(__file__).parent / "wrong_answers").glob("lesson_*.py"))
    for id, cases in runpy.run_path(str(file))["WRONG_ANSWERS"].items()
}
CASES = [
    pytest.param(EXERCISES[id], name, source, id=f"{id}-{name}")
    for id, cases in WRONG_ANSWERS.items()
    for name, sources in cases.items()
    for source in (sources if isinstance(sources, list) else [sources])
]
tasks = pytest.mark.parametrize("task", EXERCISES.values(), ids=EXERCISES)


def answer_from(task, source):
    """Return what `source` defines as the answer, run after what the notebook gives."""
    source = textwrap.dedent(source).strip()
    if not re.search(rf"^(def )?{task.answer_name}\b", source, re.M):
        source = f"{task.stub.splitlines()[0]}\n{textwrap.indent(source, '    ')}"
    names = {}
    exec(task.given, names)
    exec(source, names)
    return names[task.answer_name]


@tasks
def test_the_stub_is_not_attempted(task):
    assert task.grade(answer_from(task, task.stub)).outcome is Outcome.NOT_ATTEMPTED


@tasks
def test_the_solution_is_correct(task):
    verdict = task.grade(answer_from(task, task.solution_source))
    assert verdict.outcome is Outcome.CORRECT, verdict.message


@pytest.mark.parametrize(("task", "name", "source"), CASES)
def test_each_typical_mistake_is_told_from_the_others(task, name, source):
    with pytest.raises((Mistake, Incorrect)) as caught:
        task.check_answer(answer_from(task, source))
    if name in task.mistakes:
        assert caught.value.name == name
        assert "{" not in task.mistakes[name].format(**caught.value.values)
    else:
        assert " " in name, "no name, and no words either"
        assert name in str(caught.value)


@tasks
def test_each_mistake_that_has_a_message_has_a_case(task):
    cases = WRONG_ANSWERS[task.id]
    assert len(cases) >= 3
    assert set(task.mistakes) <= set(cases)
    assert len(set(task.mistakes.values())) == len(task.mistakes)


@tasks
def test_an_exercise_has_all_its_parts(task):
    assert all((task.title, task.question, task.hints, task.feedback))
    assert "..." in task.stub


@tasks
def test_cards_hold_no_formula_since_pages_could_not_show_it(task):
    texts = [task.question, task.feedback, *task.hints, *task.mistakes.values()]
    assert not [text for text in texts if "$" in text]


def test_all_cases_belong_to_an_exercise():
    assert set(WRONG_ANSWERS) <= set(EXERCISES)


def test_lesson_00_checks_the_mask_that_the_notebook_gives():
    names = {}
    exec(EXERCISES["defect_share"].given, names)
    assert np.array_equal(names["mask"], TINY_MASK)


def test_lesson_07_takes_a_hook_on_a_copy():
    body = """
    y = x.clone()
    if y.requires_grad:
        y.register_hook(lambda g: share * g)
    return y
    """
    task = EXERCISES["half_stop"]
    verdict = task.grade(answer_from(task, body))
    assert verdict.outcome is Outcome.CORRECT, verdict.message


def test_lesson_07_shows_a_wrong_value_and_no_shape():
    task = EXERCISES["half_stop"]
    verdict = task.grade(answer_from(task, "return share * x + (1 - share)"))
    assert "shape" not in verdict.message


@pytest.mark.parametrize("way", ["NEAREST_EXACT", "LINEAR", "CUBIC", "AREA"])
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
    verdict = task.grade(answer_from(task, f"way = cv2.INTER_{way}\nreturn {body}"))
    assert verdict.outcome is Outcome.CORRECT, verdict.message


RIGHT_ANSWERS = [
    (
        "draw_until",
        """
        for _ in range(most):
            mask, ones = draw(), 0
            for row in mask:
                for pixel in row:
                    if pixel == 1:
                        ones += 1
            if lowest <= ones / mask.size <= highest:
                return mask
        raise ValueError("none fits")
        """,
    ),
    (
        "item_generator",
        """
        numbers = hash((seed, epoch)) & 0xFFFFFFFFFFFF
        return np.random.default_rng([numbers, zlib.crc32(name.encode())])
        """,
    ),
    (
        "freeze",
        """
        import types

        layers.requires_grad_(False).eval()
        layers.train = types.MethodType(lambda self, mode=True: self, layers)
        return layers
        """,
    ),
    (
        "freeze",
        """
        layers.requires_grad_(False).eval()
        for part in layers.modules():
            part.train = lambda mode=True, part=part: part
        return layers
        """,
    ),
]


@pytest.mark.parametrize(("id", "source"), RIGHT_ANSWERS)
def test_a_right_answer_of_another_form_is_correct(id, source):
    verdict = EXERCISES[id].grade(answer_from(EXERCISES[id], source))
    assert verdict.outcome is Outcome.CORRECT, verdict.message


def test_lesson_05_takes_arrays_for_the_maps():
    task = EXERCISES["spatial_maps"]
    source = task.solution_source.replace("return [m /", "return [m.numpy() /").replace(
        "m.mean((2, 3), keepdim=True).clamp(min=1e-8)",
        "m.mean((2, 3), keepdim=True).clamp(min=1e-8).numpy()",
    )
    verdict = task.grade(answer_from(task, source))
    assert verdict.outcome is Outcome.CORRECT, verdict.message
