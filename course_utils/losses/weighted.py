"""Cross entropy with a weight for each class, with either of the two usual means."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.losses.inputs import Reduction, class_pair, class_weight_vector, reduce
from course_utils.value_checks import values_can_be_read

Normalise = Literal["pixels", "weights"]


def weighted_cross_entropy(
    logits: Tensor,
    target: Tensor,
    class_weights: Tensor,
    *,
    reduction: Reduction = "mean",
    normalise: Normalise = "pixels",
    ignore_index: int | None = None,
) -> Tensor:
    """Return cross entropy in which a pixel counts with the weight of its **true** class.

    Args:
        logits: (N, C, H, W), C >= 2; not probabilities.
        target: (N, H, W), integer class indices 0..C-1.
        class_weights: (C,), finite, >= 0, in the order of the class indices.
        reduction: `"mean"`, `"sum"` or `"none"`.
        normalise: what a mean divides by. `"pixels"` divides by their number (Keras, TensorFlow),
            so that doubling all weights doubles the loss; `"weights"` divides by the sum of the
            pixels' weights (`torch.nn.functional.cross_entropy`), so that it does not.
        ignore_index: target value of pixels that do not count, such as 255; None: all count.

    Raises:
        ValueError: for other shapes, dtypes, ranges, for logits that are not finite, and for
            `normalise="weights"` on a batch in which every pixel that counts weighs 0.

    Example:
        >>> logits, target = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
        >>> weights = torch.tensor([1.0, 9.0])
        >>> for by in ("pixels", "weights"):
        ...     loss = weighted_cross_entropy(logits, target, weights, normalise=by)
        ...     print(f"{by}: {loss.item():.3f}")
        pixels: 9.635
        weights: 1.927
    """
    if normalise not in get_args(Normalise):
        raise ValueError(f"normalise must be one of {get_args(Normalise)}, got {normalise!r}")
    logits, target, counts = class_pair(logits, target, ignore_index)
    weights = class_weight_vector(class_weights, logits)
    weight = weights[target] if counts is None else weights[target] * counts
    loss = weight * F.cross_entropy(logits, target, reduction="none")
    if reduction == "mean" and normalise == "weights":
        total = weight.sum()
        if counts is not None:
            total = torch.where(counts.any(), total, 1)
        if values_can_be_read(total) and not bool(total > 0):
            raise ValueError(
                "every pixel of this batch weighs 0, so a mean over weights is undefined: "
                "use normalise='pixels' or give each class of the batch a weight"
            )
        return loss.sum() / total
    return reduce(loss, reduction, counts)


class WeightedCrossEntropy(nn.Module):
    """`weighted_cross_entropy` as a module; its class weights are a buffer and move with it.

    Example:
        >>> loss = WeightedCrossEntropy(torch.tensor([0.2, 0.8]))
        >>> loss(torch.zeros(2, 2, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long)).shape
        torch.Size([])
    """

    class_weights: Tensor

    def __init__(
        self,
        class_weights: Tensor,
        *,
        reduction: Reduction = "mean",
        normalise: Normalise = "pixels",
        ignore_index: int | None = None,
    ) -> None:
        super().__init__()
        self.reduction, self.normalise, self.ignore_index = reduction, normalise, ignore_index
        self.register_buffer("class_weights", torch.as_tensor(class_weights, dtype=torch.float32))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of `logits` for `target`, both as the function takes them."""
        return weighted_cross_entropy(
            logits,
            target,
            self.class_weights,
            reduction=self.reduction,
            normalise=self.normalise,
            ignore_index=self.ignore_index,
        )

    def extra_repr(self) -> str:
        """Return the options, for `print`."""
        return (
            f"reduction={self.reduction!r}, normalise={self.normalise!r}, "
            f"ignore_index={self.ignore_index}"
        )
