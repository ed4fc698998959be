"""What a network is shown, what it returns, and what it is to find."""

from typing import Protocol, TypeAlias

from torch import Tensor

Tensors: TypeAlias = Tensor | tuple["Tensors", ...]
"""A tensor, a tuple or a named tuple of tensors, or one of such tuples."""


class Batch(Protocol):
    """What `fit` needs of a batch; a collated `Sample` has it.

    What the network is to find is its `target`, a tensor or a tuple of tensors, or else its `mask`.
    """

    @property
    def image(self) -> Tensor:
        """Images, (N, C, H, W)."""


def target_of(batch: Batch) -> Tensors:
    """Return what a network is to find in the images of a batch.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> target_of(SimpleNamespace(image=torch.rand(2, 1, 4, 4), mask=torch.ones(2))).sum()
        tensor(2.)
    """
    found: Tensors = batch.target if hasattr(batch, "target") else getattr(batch, "mask")  # noqa: B009
    return found


def tensors_in(values: Tensors) -> list[Tensor]:
    """Return all tensors in `values`, in their order.

    Raises:
        TypeError: for anything but tensors and tuples or lists of them, such as a dict.

    Example:
        >>> import torch
        >>> len(tensors_in((torch.zeros(1), (torch.zeros(2), torch.zeros(3)))))
        3
    """
    if isinstance(values, Tensor):
        return [values]
    _require_tuple(values)
    return [tensor for part in values for tensor in tensors_in(part)]


def in_float32(values: Tensors) -> Tensors:
    """Return `values` with every tensor in single precision, named tuples as they were.

    Raises:
        TypeError: as `tensors_in` does.

    Example:
        >>> import torch
        >>> in_float32((torch.zeros(1, dtype=torch.bfloat16),))
        (tensor([0.]),)
    """
    if isinstance(values, Tensor):
        return values.float()
    _require_tuple(values)
    parts = [in_float32(part) for part in values]
    return type(values)(*parts) if hasattr(values, "_fields") else tuple(parts)


def _require_tuple(values: object) -> None:
    if not isinstance(values, tuple | list):
        raise TypeError(
            f"outputs and targets must be tensors or tuples of them, got {type(values).__name__}: "
            "return the tensors themselves"
        )
