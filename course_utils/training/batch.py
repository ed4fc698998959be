"""What a network is shown, what it returns, and what it is to find."""

from collections.abc import Sequence, Sized
from typing import Any, Protocol, TypeAlias

from torch import Tensor

Tensors: TypeAlias = Tensor | tuple["Tensors", ...]
"""A tensor, a tuple or a named tuple of tensors, or one of such tuples."""


class NamedBatch(Protocol):
    """A batch whose parts have names, as a collated `Sample`.

    What the network is to find is its `target`, a tensor or a tuple of tensors, or else its `mask`.
    """

    @property
    def image(self) -> Tensor:
        """Images, (N, C, H, W)."""


Batch: TypeAlias = NamedBatch | Sequence[Any]
"""What `fit` takes: a batch with names, or a pair of images and target, as torch's loaders make."""


def image_and_target(batch: Batch) -> tuple[Tensor, Tensors]:
    """Return the images of a batch, (N, C, H, W), and what a network is to find in them.

    Raises:
        TypeError: for a batch that has neither names nor two parts.

    Example:
        >>> import torch
        >>> image, target = image_and_target([torch.rand(2, 1, 4, 4), torch.ones(2, 4, 4)])
        >>> target.shape
        torch.Size([2, 4, 4])
    """
    if hasattr(batch, "image"):
        target = batch.target if hasattr(batch, "target") else getattr(batch, "mask", None)
        if target is not None:
            return batch.image, target
    elif isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    found = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, Sized) else repr(batch)
    raise TypeError(
        "a batch is a pair (image, target), or has .image and .target or .mask, got a "
        f"{found}: let the data set return pairs, or a named tuple with these names"
    )


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
