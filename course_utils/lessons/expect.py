"""What checks of exercises compare answers with: each returns for a right answer.

`mistakes` are typical wrong answers by their name in the text of the exercise; a list holds
several of one name. The first that the answer agrees with is raised as `Mistake`, and never for
an answer that is right. Whatever else is wrong is raised as `Incorrect`, with a message.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from course_utils.lessons.answers import call_answer, incorrect, mistake, name_of
from course_utils.lessons.equality import value_and_gradients

Case = tuple[tuple[Any, ...], Any]
"""Arguments, and the result that is wanted: a value, or a function of the same arguments."""
Mistakes = Mapping[str, Any]
"""Name -> wrong answer, or a list of wrong answers."""

LONGEST_WHOLE = 1e12  # above it, digits say less than the size does
LONGEST_TABLE = 24  # numbers in a list of tuples


def expect_number(
    answer: Any, value: float, *, rtol: float = 1e-3, mistakes: Mistakes | None = None
) -> None:
    """Accept a single finite number close to `value`: Python, NumPy or tensor without axes.

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
    if math.isclose(number, value, rel_tol=rtol):
        return
    _name_mistake(mistakes, lambda wrong: math.isclose(number, wrong, rel_tol=rtol))
    incorrect(f"{describe(answer)} is too {'large' if number > value else 'small'}.")


def expect_array(
    answer: Any,
    value: Any,
    *,
    rtol: float = 1e-3,
    atol: float = 1e-6,
    mistakes: Mistakes | None = None,
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
    if allclose(got, wanted, rtol=rtol, atol=atol):
        return
    _name_mistake(mistakes, lambda wrong: allclose(got, wrong, rtol=rtol, atol=atol))
    if got.shape != wanted.shape:
        incorrect(f"Wanted the shape {wanted.shape}, got the shape {got.shape}.")
    differing = int((~np.isclose(got, wanted, rtol=rtol, atol=atol)).sum())
    incorrect(f"{differing} of the {wanted.size} numbers differ from the right ones.")


def expect_function(
    answer: Any,
    cases: Sequence[Case],
    *,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    mistakes: Mistakes | None = None,
) -> None:
    """Accept a function that gives the wanted result for each of the `cases`.

    A case is `(arguments, wanted)`. Where `wanted` is a function (the reference), it gets the
    same arguments; if one of these is a tensor that requires a gradient, the gradients are
    compared as well. `mistakes` are wrong functions, and the answer makes one when both agree in
    all cases. A function that changes its arguments is incorrect too.

    Example:
        >>> expect_function(lambda x: x * x, [((3,), 9), ((torch.tensor(2.0),), torch.square)])
    """
    if not cases:
        raise ValueError("no cases to try the function on: give at least one")
    results = [_result(answer, args) for args, _ in cases]
    wanted = [_wanted(reference, args) for args, reference in cases]
    close = [allclose(r, w, rtol=rtol, atol=atol) for r, w in zip(results, wanted, strict=True)]

    def agrees(wrong: Callable[..., Any]) -> bool:
        pairs = zip(results, cases, strict=True)
        return all(
            allclose(r, wrong(*_copies(args)), rtol=rtol, atol=atol) for r, (args, _) in pairs
        )

    if not all(close):
        _name_mistake(mistakes, agrees)
        first = close.index(False)
        incorrect(_difference(answer, cases[first][0], results[first], wanted[first]))
    for args, reference in cases:
        if callable(reference) and any(_wants_gradient(arg) for arg in args):
            _expect_gradients(answer, reference, args, rtol=rtol, atol=atol)


def allclose(a: Any, b: Any, *, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """Return whether two results agree: numbers, arrays, tensors, or tuples and lists of them.

    Shapes must be equal; a number equals an array or a tensor without axes. NaN equals nothing.

    Example:
        >>> allclose(0.5, torch.tensor(0.5)), allclose([1, 2], np.array([1, 2, 3]))
        (True, False)
    """
    x, y = as_array(a), as_array(b)
    if x is None or y is None:
        if isinstance(a, tuple | list) and isinstance(b, tuple | list):
            pairs = zip(a, b, strict=False)
            return len(a) == len(b) and all(allclose(p, q, rtol=rtol, atol=atol) for p, q in pairs)
        return isinstance(a, str) and isinstance(b, str) and a == b
    return x.shape == y.shape and bool(np.allclose(x, y, rtol=rtol, atol=atol))


def as_array(value: Any) -> np.ndarray | None:
    """Return numbers, arrays, tensors or lists of numbers as float64; anything else as `None`."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().to(torch.float64).numpy()
    if isinstance(value, str | bytes) or value is None:
        return None
    try:
        array = np.asarray(value)
    except (ValueError, RuntimeError):  # ragged, or a list of tensors that want a gradient
        return None
    return array.astype(np.float64) if array.dtype.kind in "biuf" else None


def describe(value: Any) -> str:
    """Return a short name of a value for a message, as inline markdown.

    Numbers have four digits, whole numbers all of theirs. A short list of tuples is shown whole.

    Example:
        >>> describe(0.123456), describe(37568), describe("dog")
        ('`0.1235`', '`37568`', "the text `'dog'`")
        >>> describe(np.zeros((2, 3))), describe([(3, 1, 1), (2, 2, 1)])
        ('an array of shape (2, 3)', '`[(3, 1, 1), (2, 2, 1)]`')
    """
    if isinstance(value, str):
        return f"the text `{value!r}`"
    if callable(value) and not isinstance(value, torch.Tensor):
        return f"the function `{getattr(value, '__name__', value)}`"
    array = as_array(value)
    if _is_short_table(value) or isinstance(value, bool):
        return f"`{value}`"
    if array is None:
        return _with_article(type(value).__name__)
    if array.ndim == 0:
        return f"`{_digits(float(array))}`"
    if array.ndim == 1 and array.size <= 8:
        return "`[" + ", ".join(_digits(float(x)) for x in array) + "]`"
    kind = type(value).__name__.lower() if not isinstance(value, np.ndarray) else "array"
    return f"{_with_article(kind)} of shape {array.shape}"


def _name_mistake(mistakes: Mistakes | None, agrees: Callable[[Any], bool]) -> None:
    for name, wrong in (mistakes or {}).items():
        if any(agrees(one) for one in (wrong if isinstance(wrong, list) else [wrong])):
            mistake(name)


def _result(answer: Any, args: tuple[Any, ...]) -> Any:
    given = _copies(args)
    result = call_answer(answer, *given)
    for place, (before, after) in enumerate(zip(args, given, strict=True), start=1):
        if as_array(before) is not None and not allclose(before, after, rtol=0, atol=0):
            incorrect(f"`{name_of(answer)}` changes its argument {place}: work on a copy.")
    return result


def _wanted(reference: Any, args: tuple[Any, ...]) -> Any:
    is_function = callable(reference) and not isinstance(reference, torch.Tensor)
    return reference(*_copies(args)) if is_function else reference


def _difference(answer: Any, args: tuple[Any, ...], got: Any, wanted: Any) -> str:
    call = f"`{name_of(answer)}` of {', '.join(describe(arg) for arg in args)}"
    shown, right = as_array(got), as_array(wanted)
    if shown is not None and right is not None:
        if shown.shape != right.shape:
            return f"{call} has the shape {shown.shape}, wanted the shape {right.shape}."
        if describe(got) == describe(wanted):
            return f"{call} is off by up to `{float(np.abs(shown - right).max()):.2g}`."
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

    def gradients(function: Callable[..., Any]) -> list[torch.Tensor | None]:
        def of_these(*chosen: torch.Tensor) -> Any:
            given = dict(enumerate(_copies(args))) | dict(zip(places, chosen, strict=True))
            return function(*given.values())

        return value_and_gradients(of_these, tuple(args[place] for place in places))[1]

    ours = gradients(lambda *given: call_answer(answer, *given))
    for place, got, wanted in zip(places, ours, gradients(reference), strict=True):
        if wanted is None:
            continue
        if got is None or not allclose(got, wanted, rtol=rtol, atol=atol):
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


def _digits(number: float) -> str:
    whole = number.is_integer() and abs(number) < LONGEST_WHOLE
    return f"{number:.0f}" if whole else f"{number:.4g}"


def _is_short_table(value: Any) -> bool:
    """Whether `value` is a list of tuples of plain whole numbers that fits into a sentence."""
    if not isinstance(value, list) or not all(isinstance(row, tuple) for row in value):
        return False
    numbers = [number for row in value for number in row]
    return 0 < len(numbers) <= LONGEST_TABLE and all(type(number) is int for number in numbers)


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
