"""What every loss accepts, and the errors for what it does not.

Shapes, dtypes and parameters are checked always, values in eager mode only (`value_checks`).

Void pixels: where the target is `ignore_index`, a pixel does not count. Its loss and its gradient
are 0, and sums and means go over the pixels that count. The default, None, ignores nothing: torch's
-100 would let a value pass without a word that no mask should hold. Where nothing counts, a loss is
0 with gradient 0 (torch's mean is NaN): one void image must not end a training.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from course_utils.value_checks import check_unit_range, values_can_be_read

Reduction = Literal["mean", "sum", "none"]


def binary_pair(
    logits: Tensor, target: Tensor, ignore_index: int | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Check logits and a target of the same shape with values in [0, 1]; return both as floats.

    The third is where pixels count, None for everywhere; both are 0 in the others.

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
    logits, target, counts = _without_void(logits, target.detach().to(logits.dtype), ignore_index)
    check_unit_range(
        "target", target, "divide or threshold it, or name the void value as ignore_index"
    )
    return logits, target, counts


def class_pair(
    logits: Tensor, target: Tensor, ignore_index: int | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Check logits (N, C, ...) and integer class indices (N, ...); return both ready to use.

    The third is where pixels count, None for everywhere; both are 0 in the others.
    """
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
    logits, target, counts = _without_void(_at_least_float32(logits), target.long(), ignore_index)
    if target.numel() and values_can_be_read(target):
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= logits.shape[1]:
            raise ValueError(
                f"target must hold class indices 0..{logits.shape[1] - 1}, got {low}..{high}: "
                "threshold or renumber it, or name the void value as ignore_index"
            )
    return logits, target, counts


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


def reduce(loss: Tensor, reduction: Reduction, counts: Tensor | None = None) -> Tensor:
    """Return `loss` as it is (`"none"`), its sum, or its mean, all over what counts."""
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction must be one of {get_args(Reduction)}, got {reduction!r}")
    if counts is not None:
        loss = loss * counts
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if not loss.numel():
        raise ValueError(f"the mean loss of an empty batch is undefined, got {tuple(loss.shape)}")
    return loss.mean() if counts is None else loss.sum() / counts.sum().clamp_min(1)


def _check_logits(logits: Tensor) -> None:
    if not logits.is_floating_point():
        raise ValueError(f"logits must be floating point, got {logits.dtype}")
    if values_can_be_read(logits) and not bool(torch.isfinite(logits).all()):
        raise ValueError(
            "logits must be finite, got NaN or infinity: look for a diverged step before the loss"
        )


def _without_void(
    logits: Tensor, target: Tensor, ignore_index: int | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    if ignore_index is None:
        return logits, target, None
    void = target == ignore_index
    of_logits = void if void.ndim == logits.ndim else void.unsqueeze(1)
    return logits.masked_fill(of_logits, 0), target.masked_fill(void, 0), ~void


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
