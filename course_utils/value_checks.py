"""Checks of a tensor's values, which are made in eager mode only.

To ask a tensor on a GPU whether its values are in range is to wait for the GPU. Where there are no
values yet, as under `torch.compile`, export, tracing and fake tensors, the question has no answer.
"""

import torch
from torch import Tensor


def values_can_be_read(*tensors: Tensor) -> bool:
    """Return whether all `tensors` hold values that Python may look at now.

    Not so while a graph is being made of the code (`torch.compile`, `torch.export`, ONNX export,
    `torch.jit.trace`), and not so for tensors that have a shape and no values: those on device
    "meta", and subclasses with a `__torch_dispatch__` of their own, such as fake tensors.

    Example:
        >>> values_can_be_read(torch.zeros(2)), values_can_be_read(torch.zeros(2, device="meta"))
        (True, False)
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return False
    return all(
        tensor.device.type != "meta"
        and type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__
        for tensor in tensors
    )


def check_unit_range(name: str, values: Tensor, cure: str, *, rounding: float = 0.0) -> None:
    """Raise `ValueError` unless all `values` lie in [0, 1], or at most `rounding` outside.

    Example:
        >>> check_unit_range("image", torch.tensor([0.0, 255.0]), "divide by 255 first")
        Traceback (most recent call last):
            ...
        ValueError: image must lie in [0, 1], got 0..255: divide by 255 first
    """
    if not values_can_be_read(values):
        return
    if not bool(((values >= -rounding) & (values <= 1 + rounding)).all()):
        low, high = values.min().item(), values.max().item()
        raise ValueError(f"{name} must lie in [0, 1], got {low:g}..{high:g}: {cure}")
