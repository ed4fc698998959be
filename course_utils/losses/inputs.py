"""What every loss accepts, and the errors for what it does not.

Shapes, dtypes and parameters are checked always, values in eager mode only (`value_checks`).
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from course_utils.value_checks import check_unit_range, values_can_be_read

Reduction = Literal["mean", "sum", "none"]


def binary_pair(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Check logits and a target of the same shape with values in [0, 1]; return both as floats.

    Half-precision logits (bf16 autocast) are widened to float32: a loss is a small sum of many
    numbers, the place where 8 bits of mantissa hurt most and cost least.
    """
    _check_logits(logits)
    if target.shape != logits.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} and target {tuple(target.shape)} must have the same "
            "shape, as (N, 1, H, W): for several classes use a softmax loss"
        )
    if target.is_complex():
        raise ValueError(f"target must be real, got {target.dtype}")
    logits = _at_least_float32(logits)
    target = target.detach().to(logits.dtype)
    check_unit_range("target", target, "divide or threshold it first")
    return logits, target


def class_pair(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Check logits (N, C, ...) and integer class indices (N, ...); return both ready to use."""
    _check_logits(logits)
    if logits.ndim < 2 or logits.shape[1] < 2:
        raise ValueError(
            f"logits must be (N, C, H, W) with C >= 2 classes, got {tuple(logits.shape)}: "
            "for one channel use a binary loss"
        )
    wanted = (logits.shape[0], *logits.shape[2:])
    if tuple(target.shape) != wanted:
        raise ValueError(
            f"target must be {wanted} for logits {tuple(logits.shape)}, got {tuple(target.shape)}"
        )
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise ValueError(
            f"target must hold integer class indices, got {target.dtype}: threshold a soft mask "
            "(mask > .5) before .long(), which would cut .99 down to 0"
        )
    target = target.long()
    if target.numel() and values_can_be_read(target):
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= logits.shape[1]:
            raise ValueError(
                f"target must hold class indices 0..{logits.shape[1] - 1}, got {low}..{high}: "
                "threshold or renumber it first"
            )
    return _at_least_float32(logits), target


def class_weight_vector(class_weights: Tensor, logits: Tensor) -> Tensor:
    """Check one finite weight >= 0 for each class of `logits`; return it on their device."""
    weights = torch.as_tensor(class_weights)
    if weights.shape != (logits.shape[1],):
        raise ValueError(
            f"class_weights must hold one weight for each of the {logits.shape[1]} classes, "
            f"got shape {tuple(weights.shape)}"
        )
    if values_can_be_read(weights) and not finite_and_not_negative(weights):
        raise ValueError(f"class_weights must be finite and >= 0, got {weights.tolist()}")
    return weights.to(logits)


def finite_and_not_negative(values: Tensor) -> bool:
    """Return whether all values are at least 0, and none is infinite or NaN."""
    return bool((torch.isfinite(values) & (values >= 0)).all())


def check_parameter(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raise `ValueError` unless low <= value <= high."""
    if not low <= value <= high or value == float("inf"):
        wanted = f"in [{low:g}, {high:g}]" if high != float("inf") else f"finite and >= {low:g}"
        raise ValueError(f"{name} must be {wanted}, got {value!r}")


def reduce(loss: Tensor, reduction: Reduction) -> Tensor:
    """Return `loss` as it is (`"none"`), its sum, or its mean over all elements."""
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction must be one of {get_args(Reduction)}, got {reduction!r}")
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if not loss.numel():
        raise ValueError(f"the mean loss of an empty batch is undefined, got {tuple(loss.shape)}")
    return loss.mean()


def _check_logits(logits: Tensor) -> None:
    if not logits.is_floating_point():
        raise ValueError(f"logits must be floating point, got {logits.dtype}")
    if values_can_be_read(logits) and not bool(torch.isfinite(logits).all()):
        raise ValueError(
            "logits must be finite, got NaN or infinity: look for a diverged step before the loss"
        )


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
