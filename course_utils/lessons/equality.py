"""Built twice, proven equal: the derivation of a lesson against the block of the package."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def prove_equal(
    from_scratch: Callable[..., Tensor],
    building_block: Callable[..., Tensor],
    *args: Any,
    tolerance: float = 1e-6,
) -> None:
    """Show that two functions agree in value, and in the gradient of every floating argument.

    Both get fresh copies of `args`. Two numbers agree when they differ by at most
    `tolerance * max(1, |building block|)`. The gradient is that of a weighted sum of the
    results, so that errors of single elements cannot cancel. Prints one line without unstable
    digits. Raises `AssertionError` with the largest difference otherwise.

    Example:
        >>> prove_equal(lambda x: x * x, torch.square, torch.tensor([1.0, -2.0]))
        ✔ square: equal in value and gradient (tolerance 1e-06)
    """
    name = getattr(building_block, "__name__", type(building_block).__name__)
    value, gradients = value_and_gradients(from_scratch, args)
    wanted, wanted_gradients = value_and_gradients(building_block, args)
    _compare(f"{name}: the values", value, wanted, tolerance)
    for place, (gradient, reference) in enumerate(
        zip(gradients, wanted_gradients, strict=True), start=1
    ):
        if (gradient is None) != (reference is None):
            lacking = "from scratch" if gradient is None else name
            raise AssertionError(f"{lacking} has no gradient for argument {place}, the other has")
        if gradient is not None and reference is not None:
            what = f"{name}: the gradients for argument {place}"
            _compare(what, gradient, reference, tolerance)
    compared = "value" if all(g is None for g in gradients) else "value and gradient"
    print(f"✔ {name}: equal in {compared} (tolerance {tolerance:g})")


def value_and_gradients(
    function: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[Tensor, list[Tensor | None]]:
    """Call `function` on copies of `args`; return its value and one gradient per argument.

    A gradient is `None` where the argument is no floating tensor or does not influence the
    result. For results with several elements it is the gradient of a fixed weighted sum.

    Example:
        >>> value, gradients = value_and_gradients(torch.square, (torch.tensor(3.0),))
        >>> value.item(), gradients[0].item()
        (9.0, 6.0)
    """
    copies = [_fresh(arg) for arg in args]
    value = function(*copies)
    if not isinstance(value, Tensor):
        raise TypeError(f"the function must return a tensor, got {type(value).__name__}")
    if value.requires_grad:
        weights = torch.cos(torch.arange(value.numel(), device=value.device)).to(value.dtype)
        (value.flatten() * weights).sum().backward()
    gradients = [copy.grad if isinstance(copy, Tensor) else None for copy in copies]
    return value.detach(), gradients


def _fresh(arg: Any) -> Any:
    if not isinstance(arg, Tensor):
        return arg
    copy = arg.detach().clone()
    return copy.requires_grad_() if copy.is_floating_point() else copy


def _compare(what: str, ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    if ours.shape != theirs.shape:
        shapes = f"{tuple(ours.shape)} from scratch, {tuple(theirs.shape)} in the building block"
        raise AssertionError(f"{what} differ in shape: {shapes}")
    ours, theirs = ours.double(), theirs.double()
    difference = (ours - theirs).abs() / theirs.abs().clamp(min=1)
    # Written so that NaN on either side fails.
    if not bool((difference <= tolerance).all()):
        raise AssertionError(
            f"{what} differ by up to {difference.max().item():.3g}, tolerance {tolerance:g}"
        )
