"""Are two results the same, and how to name one in a sentence."""

from typing import Any

import numpy as np
import torch


def same(a: Any, b: Any, *, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """Return whether two results agree: numbers, arrays, tensors, or tuples and lists of them.

    Shapes must be equal; a number equals an array or a tensor without axes. NaN equals nothing.

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

    >>> as_array(torch.tensor([1, 2]))
    array([1., 2.])
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().to(torch.float64).numpy()
    if isinstance(value, str | bytes) or value is None:
        return None
    try:
        array = np.asarray(value)
    except ValueError:  # ragged
        return None
    return array.astype(np.float64) if array.dtype.kind in "biuf" else None


def describe(value: Any) -> str:
    """Return a short name of a value for a message, as inline markdown.

    >>> describe(0.123456), describe(np.zeros((2, 3))), describe("dog")
    ('`0.1235`', 'an array of shape (2, 3)', "the text `'dog'`")
    """
    if isinstance(value, str):
        return f"the text `{value!r}`"
    if callable(value) and not isinstance(value, torch.Tensor):
        return f"the function `{getattr(value, '__name__', value)}`"
    array = as_array(value)
    if array is None:
        return f"{_with_article(type(value).__name__)}"
    if array.ndim == 0:
        return f"`{value}`" if isinstance(value, bool) else f"`{float(array):.4g}`"
    if array.ndim == 1 and array.size <= 8:
        return "`[" + ", ".join(f"{x:.4g}" for x in array) + "]`"
    kind = type(value).__name__.lower() if not isinstance(value, np.ndarray) else "array"
    return f"{_with_article(kind)} of shape {array.shape}"


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
