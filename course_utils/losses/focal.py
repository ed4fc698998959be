"""Focal loss, binary and softmax: cross entropy in which well predicted pixels count less.

Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equations 4 and 5.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.losses.inputs import (
    Reduction,
    binary_pair,
    check_parameter,
    class_pair,
    class_weight_vector,
    reduce,
)


def binary_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    reduction: Reduction = "mean",
    ignore_index: int | None = None,
) -> Tensor:
    """Return the focal loss -alpha_t (1 - p_t)**gamma log(p_t) of a two-class problem.

    Args:
        logits: any shape, usually (N, 1, H, W); not probabilities.
        target: the same shape, 0 = background, 1 = defect; soft values in [0, 1] are allowed.
        alpha: weight of the **positive** class (the defect); the background gets 1 - alpha.
        gamma: 0 gives alpha-weighted cross entropy; the larger, the less easy pixels count.
        reduction: `"mean"` over the pixels that count, `"sum"` or `"none"`.
        ignore_index: target value of pixels that do not count, such as 255; None: all count.

    Raises:
        ValueError: for other shapes, ranges, and for logits that are not finite.

    Example:
        A pixel that is right with p = .97 counts .03**2 = .0009 times its cross entropy.

        >>> logits, target = torch.tensor([.97]).logit(), torch.tensor([1.])
        >>> print(f"{binary_focal_loss(logits, target, alpha=.25).item():.1e}")
        6.9e-06
    """
    logits, target, counts = binary_pair(logits, target, ignore_index)
    check_parameter("alpha", alpha, 0, 1)
    check_parameter("gamma", gamma, 0)
    minus_log_p = F.softplus(-logits)
    minus_log_not_p = F.softplus(logits)
    # Powers in log space, (1 - p)**gamma = exp(gamma log(1 - p)): their gradient stays finite
    # where 1 - p is 0 in floating point. A logarithm below the clamp is 0 to every digit, and so
    # is its slope, which would meet an infinity, and make NaN, at logits of 1e38.
    tiny = torch.finfo(logits.dtype).tiny
    weight_of_defect = alpha * torch.exp(-gamma * minus_log_not_p.clamp_min(tiny))
    weight_of_background = (1 - alpha) * torch.exp(-gamma * minus_log_p.clamp_min(tiny))
    defect = weight_of_defect * target * minus_log_p
    background = weight_of_background * (1 - target) * minus_log_not_p
    return reduce(defect + background, reduction, counts)


def softmax_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    class_weights: Tensor | None = None,
    reduction: Reduction = "mean",
    ignore_index: int | None = None,
) -> Tensor:
    """Return the focal loss -w_y (1 - p_y)**gamma log(p_y) of classes that exclude each other.

    Args:
        logits: (N, C, H, W), C >= 2; not probabilities.
        target: (N, H, W), integer class indices 0..C-1.
        gamma: 0 gives class-weighted cross entropy, divided by the number of pixels.
        class_weights: (C,), in the order of the class indices; None weighs all alike.
        reduction: `"mean"` over the pixels that count, `"sum"` or `"none"`.
        ignore_index: target value of pixels that do not count, such as 255; None: all count.

    Raises:
        ValueError: for other shapes, dtypes, ranges, and for logits that are not finite.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0, 0.0]])
        >>> print(f"{softmax_focal_loss(logits, torch.tensor([0]), gamma=0).item():.4f}")
        0.2395
        >>> print(f"{softmax_focal_loss(logits, torch.tensor([0]), gamma=2).item():.4f}")
        0.0109
    """
    logits, target, counts = class_pair(logits, target, ignore_index)
    check_parameter("gamma", gamma, 0)
    log_p = F.log_softmax(logits, dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
    # Below this clamp p is 0 to every digit; its slope there would meet an infinity at logits of
    # 1e38, and make NaN.
    not_p = -torch.expm1(log_p.clamp_min(-1e3))
    # Below the clamp the weight is 0 to every digit that float32 has; without it the slope of
    # not_p**gamma at 0 is infinite for gamma < 1, and infinity times 0 is NaN.
    weight = not_p.clamp_min(torch.finfo(log_p.dtype).tiny) ** gamma
    if class_weights is not None:
        weight = weight * class_weight_vector(class_weights, logits)[target]
    return reduce(-weight * log_p, reduction, counts)


class BinaryFocalLoss(nn.Module):
    """`binary_focal_loss` as a module.

    Example:
        >>> BinaryFocalLoss(gamma=1.0)(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)).shape
        torch.Size([])
    """

    def __init__(
        self,
        *,
        alpha: float = 0.25,
        gamma: float = 2.0,
        reduction: Reduction = "mean",
        ignore_index: int | None = None,
    ) -> None:
        super().__init__()
        self.alpha, self.gamma, self.reduction = alpha, gamma, reduction
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of `logits` for `target`, both as the function takes them."""
        return binary_focal_loss(
            logits,
            target,
            alpha=self.alpha,
            gamma=self.gamma,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
        )

    def extra_repr(self) -> str:
        """Return the options, for `print`."""
        return (
            f"alpha={self.alpha}, gamma={self.gamma}, reduction={self.reduction!r}, "
            f"ignore_index={self.ignore_index}"
        )


class SoftmaxFocalLoss(nn.Module):
    """`softmax_focal_loss` as a module; its class weights are a buffer and move with it.

    Example:
        >>> loss = SoftmaxFocalLoss(class_weights=torch.tensor([1.0, 9.0]))
        >>> loss(torch.zeros(2, 2, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long)).shape
        torch.Size([])
    """

    class_weights: Tensor | None

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        class_weights: Tensor | None = None,
        reduction: Reduction = "mean",
        ignore_index: int | None = None,
    ) -> None:
        super().__init__()
        self.gamma, self.reduction, self.ignore_index = gamma, reduction, ignore_index
        weights = (
            None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32)
        )
        self.register_buffer("class_weights", weights)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of `logits` for `target`, both as the function takes them."""
        return softmax_focal_loss(
            logits,
            target,
            gamma=self.gamma,
            class_weights=self.class_weights,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
        )

    def extra_repr(self) -> str:
        """Return the options, for `print`."""
        return f"gamma={self.gamma}, reduction={self.reduction!r}, ignore_index={self.ignore_index}"
