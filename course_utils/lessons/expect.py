"""What examiners of exercises compare answers with; each raises `Incorrect` with a message."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from course_utils.lessons.equality import value_and_gradients
from course_utils.lessons.likeness import as_array, describe, same
from course_utils.lessons.verdicts import call_answer, incorrect, name_of

Case = tuple[tuple[Any, ...], Any]
"""Arguments, and the result that is wanted: a value, or a function of the same arguments."""


def expect_number(
    answer: Any,
    value: float,
    *,
    rtol: float = 1e-3,
    atol: float = 0.0,
    mistakes: Sequence[tuple[float, str]] = (),
) -> None:
    """Accept a single finite number close to `value`: Python, NumPy or tensor without axes.

    `mistakes` are typical wrong numbers with the message for each; the first that fits is said.
    A number that is right within the tolerances is never held to be a mistake.

    Example:
        >>> expect_number(0.0625, 1 / 16)
    """
    array = as_array(answer)
    if callable(answer) and not isinstance(answer, torch.Tensor):
        incorrect(f"Wanted a number, got {describe(answer)}: call it, with round brackets.")
    if array is None or array.ndim or isinstance(answer, bool):
        incorrect(f"Wanted a single number, got {describe(answer)}.")
    number = float(array)
    if not math.isfinite(number):
        incorrect(f"Wanted a finite number, got {describe(answer)}.")
    if math.isclose(number, value, rel_tol=rtol, abs_tol=atol):
        return
    for wrong, message in mistakes:
        if math.isclose(number, wrong, rel_tol=rtol, abs_tol=atol):
            incorrect(message)
    size = "large" if number > value else "small"
    incorrect(f"{describe(answer)} is too {size}.")


def expect_array(
    answer: Any,
    value: Any,
    *,
    rtol: float = 1e-3,
    atol: float = 1e-6,
    mistakes: Sequence[tuple[Any, str]] = (),
) -> None:
    """Accept numbers that equal `value` in shape and size: list, array or tensor.

    Example:
        >>> expect_array([0.25, 0.75], np.array([0.25, 0.75]))
    """
    got, wanted = as_array(answer), as_array(value)
    if wanted is None:
        raise TypeError(f"the value to compare with is no array of numbers: {value!r}")
    if got is None:
        incorrect(f"Wanted {wanted.size} numbers, got {describe(answer)}.")
    if same(got, wanted, rtol=rtol, atol=atol):
        return
    for wrong, message in mistakes:
        if same(got, wrong, rtol=rtol, atol=atol):
            incorrect(message)
    if got.shape != wanted.shape:
        incorrect(f"Wanted the shape {wanted.shape}, got the shape {got.shape}.")
    differing = int((~np.isclose(got, wanted, rtol=rtol, atol=atol)).sum())
    incorrect(f"{differing} of the {wanted.size} numbers differ from the right ones.")


def expect_choice(answer: Any, right: str, feedback: Mapping[str, str]) -> None:
    """Accept the text `right`, whatever its case; `feedback` has a message for each other choice.

    Example:
        >>> expect_choice(" Recall ", "recall", {"accuracy": "Accuracy stays high."})
    """
    known = ", ".join(f"`{choice!r}`" for choice in sorted({right, *feedback}))
    if not isinstance(answer, str):
        incorrect(f"Wanted one of {known}, got {describe(answer)}.")
    chosen = answer.strip().lower()
    if chosen == right.lower():
        return
    for choice, message in feedback.items():
        if chosen == choice.lower():
            incorrect(message)
    incorrect(f"Wanted one of {known}, got {describe(answer)}.")


def expect_function(
    answer: Any,
    cases: Sequence[Case],
    *,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    mistakes: Sequence[tuple[Callable[..., Any], str]] = (),
) -> None:
    """Accept a function that gives the wanted result for each of the `cases`.

    A case is `(arguments, wanted)`. Where `wanted` is a function (the reference), it gets the
    same arguments; if one of these is a tensor that requires a gradient, the gradients are
    compared as well. `mistakes` are typical wrong functions with the message for each: it is
    said when the answer agrees with the wrong function in all cases. A function that changes
    its arguments is incorrect too.

    Example:
        >>> expect_function(lambda x: x * x, [((3,), 9), ((torch.tensor(2.0),), torch.square)])
    """
    if not cases:
        raise ValueError("no cases to try the function on: give at least one")
    results = [_result(answer, args) for args, _ in cases]
    wanted = [_wanted(reference, args) for args, reference in cases]
    close = [same(r, w, rtol=rtol, atol=atol) for r, w in zip(results, wanted, strict=True)]
    if not all(close):
        for wrong, message in mistakes:
            pairs = zip(results, cases, strict=True)
            if all(same(r, wrong(*_copies(args)), rtol=rtol, atol=atol) for r, (args, _) in pairs):
                incorrect(message)
        first = close.index(False)
        incorrect(_difference(answer, cases[first][0], results[first], wanted[first]))
    for args, reference in cases:
        if callable(reference) and any(_wants_gradient(arg) for arg in args):
            _expect_gradients(answer, reference, args, rtol=rtol, atol=atol)


def _result(answer: Any, args: tuple[Any, ...]) -> Any:
    given = _copies(args)
    result = call_answer(answer, *given)
    for place, (before, after) in enumerate(zip(args, given, strict=True), start=1):
        if as_array(before) is not None and not same(before, after, rtol=0, atol=0):
            incorrect(f"`{name_of(answer)}` changes its argument {place}: work on a copy.")
    return result


def _wanted(reference: Any, args: tuple[Any, ...]) -> Any:
    is_function = callable(reference) and not isinstance(reference, torch.Tensor)
    return reference(*_copies(args)) if is_function else reference


def _difference(answer: Any, args: tuple[Any, ...], got: Any, wanted: Any) -> str:
    call = f"`{name_of(answer)}` of {', '.join(describe(arg) for arg in args)}"
    shown, right = as_array(got), as_array(wanted)
    if shown is not None and right is not None and shown.shape != right.shape:
        return f"{call} has the shape {shown.shape}, wanted the shape {right.shape}."
    if describe(got) == describe(wanted) and shown is not None and right is not None:
        gap = float(np.abs(shown - right).max())
        return f"{call} is off by up to `{gap:.2g}`."
    return f"{call} is {describe(got)}, wanted {describe(wanted)}."


def _expect_gradients(
    answer: Any, reference: Callable[..., Any], args: tuple[Any, ...], *, rtol: float, atol: float
) -> None:
    result = call_answer(answer, *_copies(args))
    if not isinstance(result, torch.Tensor) or not result.requires_grad:
        incorrect(
            "The value is right, but no gradient flows back: `.item()`, `.detach()`, NumPy and "
            "`torch.no_grad()` cut it off."
        )
    # Only these: torch refuses a gradient for some arguments, such as the weights of its losses.
    places = [place for place, arg in enumerate(args) if _wants_gradient(arg)]

    def of_these(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*chosen: torch.Tensor) -> Any:
            given = list(_copies(args))
            for place, one in zip(places, chosen, strict=True):
                given[place] = one
            return function(*given)

        return call

    chosen = tuple(args[place] for place in places)
    _, ours = value_and_gradients(of_these(lambda *given: call_answer(answer, *given)), chosen)
    _, theirs = value_and_gradients(of_these(reference), chosen)
    for place, got, wanted in zip(places, ours, theirs, strict=True):
        if wanted is None:
            continue
        if got is None or not same(got, wanted, rtol=rtol, atol=atol):
            incorrect(
                f"The value is right, but the gradient for argument {place + 1} is not: is a part "
                "of the calculation cut off, by `.detach()` or `.item()`?"
            )


def _wants_gradient(arg: Any) -> bool:
    return isinstance(arg, torch.Tensor) and arg.requires_grad


def _copies(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        arg.detach().clone().requires_grad_(arg.requires_grad)
        if isinstance(arg, torch.Tensor)
        else copy.deepcopy(arg)
        for arg in args
    )
