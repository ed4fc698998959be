"""Four outcomes, kept apart: nobody is blamed for a mistake of somebody else."""

import linecache
import sys

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.lessons import Exercise, Outcome, exercise
from course_utils.lessons.answers import (
    Incorrect,
    Mistake,
    TooLong,
    call_answer,
    is_stub,
    step_limit,
)
from course_utils.lessons.expect import describe, expect_array, expect_function, expect_number


def square_task(check_answer=None):
    return Exercise(
        id="square",
        title="Square",
        question="Square a number.",
        stub="def square(x):\n    ...",
        hints=("Multiply.", "`x * x`"),
        solution_source="def square(x):\n    return x * x",
        feedback="Squares are everywhere.",
        check_answer=check_answer or (lambda f: expect_function(f, [((3,), 9), ((-2,), 4)])),
        mistakes={"doubled": "You double {number}."},
    )


def student(source):
    """Define a function as a notebook cell does: its source can be looked up by its file name."""
    file = "ipykernel/cell.py"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = {"np": np, "torch": torch, "nn": nn}
    exec(compile(source, file, "exec"), names)
    return names["square"]


@pytest.mark.parametrize(
    "source",
    [
        "def square(x):\n    ...",
        "def square(x):\n    pass",
        'def square(x):\n    """Square x."""',
        "def square(x):\n    return ...",
        "def square(x):\n    return None",
        "def square(x):\n    result = ...\n    return result",
        "def square(x):\n    result = ...",
        "def square(x):\n    result = ...\n    return result + x",
        "def square(x):\n    raise NotImplementedError",
        "def square(x):\n    raise NotImplementedError('to do')",
        "def helper(x):\n    raise NotImplementedError\n\ndef square(x):\n    return helper(x)",
        "square = ...",
        "class Square(nn.Module):\n    def forward(self, x):\n        ...\nsquare = Square()",
    ],
)
def test_a_stub_is_not_attempted(source):
    assert square_task().grade(student(source)).outcome is Outcome.NOT_ATTEMPTED


def test_an_unfinished_collection_is_not_attempted():
    assert is_stub({"recall": ...})
    assert is_stub((..., ...))


@pytest.mark.parametrize(
    "source",
    [
        "def square(x):\n    return x",
        "def square(x):\n    return 0",
        "def square(x):\n    y = x * x",
        "square = 9",
        "square = None",
        "square = 'x * x'",
        "def square(x, y):\n    return x * y",
        "def square():\n    return 9",
    ],
)
def test_work_that_is_wrong_is_incorrect_and_no_stub(source):
    verdict = square_task().grade(student(source))
    assert verdict.outcome is Outcome.INCORRECT
    assert verdict.message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "def helper(x):\n    return x / 0\n\ndef square(x):\n    return helper(x)",
            "line 2 of the cell, in helper: return x / 0\nZeroDivisionError: division by zero",
        ),
        (  # inside a library
            "def square(x):\n    a = torch.zeros(2)\n    return a @ torch.zeros(3)",
            "line 3 of the cell, in square: return a @ torch.zeros(3)\nRuntimeError",
        ),
        (  # no wrong signature
            "def square(x):\n    return len(x)",
            "line 2 of the cell, in square: return len(x)\nTypeError",
        ),
        (  # raised in Python code of torch
            "def square(x):\n    return 1 - torch.ones(2).bool()",
            "line 2 of the cell, in square: return 1 - torch.ones(2).bool()\nNotImplementedError",
        ),
        (  # raised in its C code, with no frame between
            "def square(x):\n    return -torch.ones(2).bool()",
            "line 2 of the cell, in square: return -torch.ones(2).bool()\nNotImplementedError",
        ),
        (
            "def square(x):\n    raise ValueError('y' * 9999)",
            "line 2 of the cell, in square: raise ValueError('y' * 9999)\nValueError: yyy",
        ),
    ],
)
def test_an_error_shows_the_students_line_and_none_of_our_frames(source, said):
    verdict = square_task().grade(student(source))
    assert verdict.outcome is Outcome.ERROR
    assert verdict.code.startswith(said)
    assert "ipykernel" not in verdict.code
    assert len(verdict.code) < 1000


def test_a_named_mistake_has_the_message_of_the_exercise():
    def doubles(answer):
        expect_function(answer, [((3,), 9)], mistakes={"doubled": lambda x: 2 * x})

    with pytest.raises(KeyError, match="number"):  # a fault of ours is raised as such
        square_task(doubles).grade(lambda x: 2 * x)
    task = square_task(doubles)
    task.mistakes = {"doubled": "You double it."}
    assert task.grade(lambda x: 2 * x).message == "You double it."


def test_a_fault_of_the_check_is_raised_and_not_blamed_on_the_student():
    def faulty(answer):
        call_answer(answer, 2)
        raise KeyError("ours")

    def faulty_mistake(answer):
        expect_function(answer, [((2,), 4)], mistakes={"never": lambda x: 1 / 0})

    for check, error in ((faulty, KeyError), (faulty_mistake, ArithmeticError)):
        with pytest.raises(error):
            square_task(check).grade(lambda x: x)


def test_a_number_may_come_from_python_numpy_or_torch():
    expect_number(0.25, 0.25)
    for kind in (np.float32, np.array, torch.tensor, lambda x: torch.tensor(x, requires_grad=True)):
        expect_number(kind(0.25), 0.25)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "NoneType"),
        ("0.25", "text"),
        (True, "a single number, got `True`"),
        ([0.25], "0.25"),
        (np.zeros((2, 3)), r"shape \(2, 3\)"),
        (torch.zeros(2, 3), "a tensor of shape"),
        (float("nan"), "finite"),
        (len, "round brackets"),
        (0.3, "too large"),
        (0.2, "too small"),
        (1 + 2j, "complex"),
    ],
)
def test_what_is_no_right_number_is_told_why(answer, said):
    with pytest.raises(Incorrect, match=said):
        expect_number(answer, 0.25)


def test_a_typical_mistake_has_its_name_and_the_right_number_never_does():
    mistakes = {"inverted": [0.6, 0.75], "a mistake that equals the answer": 0.25}
    with pytest.raises(Mistake, match="inverted"):
        expect_number(0.75, 0.25, mistakes=mistakes)
    expect_number(0.25, 0.25, mistakes=mistakes)


def test_arrays_compare_in_shape_and_value():
    expect_array([1, 2], torch.tensor([1.0, 2.0]))
    with pytest.raises(Incorrect, match="shape"):
        expect_array([[1, 2]], [1, 2])
    with pytest.raises(Incorrect, match="1 of the 2"):
        expect_array([1, 3], [1, 2])
    with pytest.raises(Mistake, match="swapped"):
        expect_array([2, 1], [1, 2], mistakes={"swapped": np.array([2, 1])})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (37500, "`37500`"),
        (-37500.0, "`-37500`"),
        (np.int64(14_157_824), "`14157824`"),
        (torch.tensor(37568), "`37568`"),
        ([37500, 0.123456], "`[37500, 0.1235]`"),
        (37500.5, "`3.75e+04`"),
        (10**12, "`1e+12`"),
        (float("inf"), "`inf`"),
        (float("nan"), "`nan`"),
        (0.0, "`0`"),
        (True, "`True`"),
        ([(3, 1, 1)] * 9, "a list of shape (9, 3)"),
        ([(0.5, 0.25)] * 2, "a list of shape (2, 2)"),
        ([], "`[]`"),
    ],
)
def test_values_are_shown_in_few_words_and_whole_numbers_whole(value, said):
    assert describe(value) == said
    with pytest.raises(Incorrect, match=r"of `\[\(3, 1\)\]` is `37500`, wanted `37568`"):
        expect_function(lambda layers: 37500, [(([(3, 1)],), 37568)])


def test_a_function_that_changes_its_input_is_incorrect():
    def doubled(x):
        x *= 2
        return x

    with pytest.raises(Incorrect, match="changes its argument 1"):
        expect_function(doubled, [((np.array([1.0]),), np.array([2.0]))])


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (lambda x: (x * x).detach(), "no gradient flows"),
        (lambda x: (x * x).tolist(), "no gradient flows"),
        (lambda x: (x * x).numpy(force=True), "no gradient flows"),
        (lambda x: x * x.detach(), "gradient for argument 1"),
    ],
)
def test_a_right_value_with_a_wrong_gradient_is_incorrect(cut, said):
    x = torch.tensor([3.0, 1.0], requires_grad=True)
    expect_function(lambda x: x * x, [((x,), torch.square)])
    with pytest.raises(Incorrect, match=said):
        expect_function(cut, [((x,), torch.square)])


def test_a_mistake_is_only_said_when_it_fits_all_cases():
    cases = [((2,), 4), ((3,), 9)]
    mistakes = {"doubled": lambda x: 2 * x, "one more": lambda x: x + 1}
    with pytest.raises(Mistake, match="one more"):
        expect_function(lambda x: x + 1, cases, mistakes=mistakes)
    with pytest.raises(Incorrect, match="wanted"):  # agrees with "doubled" at 2 only
        expect_function(lambda x: 4, cases, mistakes=mistakes)


def test_hints_solution_and_verdict_are_printed_outside_of_notebooks(capsys):
    task = square_task()
    for _ in range(3):
        task.hint()
    shown = capsys.readouterr().out
    assert [shown.count(said) for said in ("Hint 1 of 2", "Hint 2 of 2", "last hint")] == [1, 2, 2]
    task.solution()
    assert "def square(x):\n      return x * x" in capsys.readouterr().out
    verdict = task.check(lambda x: x)
    shown = capsys.readouterr().out
    assert verdict.outcome is Outcome.INCORRECT
    assert "Not correct yet · Square" in shown
    assert verdict.message in shown


def test_an_unknown_exercise_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean defect_share"):
        exercise("defect_shar")


@pytest.mark.parametrize(
    "body",
    ["while True: pass", "while True:\n        x += 1", "return [x for x in iter(int, 1)]"],
)
def test_a_function_that_never_ends_is_ended(body):
    endless = student(f"def square(x):\n    {body}")
    with pytest.raises(TooLong), step_limit(endless, 10_000):
        call_answer(endless, 3)


def test_a_step_limit_counts_the_students_own_steps_and_gives_tracing_back():
    def before(*_):
        return None

    busy = student(
        "def square(x):\n    return np.median(np.arange(1000).reshape(10, -1), axis=0).sum()"
    )
    kept = sys.gettrace()
    sys.settrace(before)
    try:
        with step_limit(busy, 100):
            call_answer(busy, 3)
        assert sys.gettrace() is before
    finally:
        sys.settrace(kept)
