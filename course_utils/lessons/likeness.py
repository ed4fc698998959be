"""Are two results the same, and how to name one in a sentence."""

from typing import Any

import numpy as np
import torch

LONGEST_WHOLE = 1e12  # above it, digits say less than the size does
LONGEST_TABLE = 24  # numbers in a list of tuples


def same(a: Any, b: Any, *, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """Return whether two results agree: numbers, arrays, tensors, or tuples and lists of them.

    Shapes must be equal; a number equals an array or a tensor without axes. NaN equals nothing.

    Example:
        >>> same(0.5, torch.tensor(0.5)), same([1, 2], np.array([1, 2, 3]))
        (True, False)
    """
    x, y = as_array(a), as_array(b)
    if x is None or y is None:
        if isinstance(a, tuple | list) and isinstance(b, tuple | list):
            pairs = zip(a, b, strict=False)
            return len(a) == len(b) and all(same(p, q, rtol=rtol, atol=atol) for p, q in pairs)
        return isinstance(a, str) and a == b
    return x.shape == y.shape and bool(np.allclose(x, y, rtol=rtol, atol=atol))


def as_array(value: Any) -> np.ndarray | None:
    """Return numbers, arrays, tensors or lists of numbers as float64; anything else as `None`.

    Example:
        >>> as_array(torch.tensor([1, 2]))
        array([1., 2.])
    """
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
    if _is_short_table(value):
        return f"`{value}`"
    array = as_array(value)
    if array is None:
        return f"{_with_article(type(value).__name__)}"
    if array.ndim == 0:
        return f"`{value}`" if isinstance(value, bool) else f"`{_digits(float(array))}`"
    if array.ndim == 1 and array.size <= 8:
        return "`[" + ", ".join(_digits(float(x)) for x in array) + "]`"
    kind = type(value).__name__.lower() if not isinstance(value, np.ndarray) else "array"
    return f"{_with_article(kind)} of shape {array.shape}"


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
