"""Losses as widely read sources publish them, mistakes included: for lessons and tests only.

Each function is the smallest faithful form of one mistake. The right version of each stands in
`focal.py` or `weighted.py`; `course_utils.losses` offers none of these.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def clipped_focal_loss(
    probabilities: Tensor, target: Tensor, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Focal loss of softmax probabilities (N, C, ...), clipped to [.001, .999]; mean over pixels.

    Two mistakes: where p_y < .001, at the worst pixels, the clip makes the gradient exactly 0;
    and `alpha` is accepted but never used.

    Example:
        >>> logits = torch.tensor([[9.0, 0.0]], requires_grad=True)
        >>> clipped_focal_loss(logits.softmax(1), torch.tensor([1])).backward()
        >>> logits.grad.abs().max().item()
        0.0
    """
    del alpha
    p = probabilities.clamp(1e-3, 1 - 1e-3).gather(1, target.unsqueeze(1)).squeeze(1)
    return (-((1 - p) ** gamma) * p.log()).mean()


def focal_loss_of_recovered_logits(
    probabilities: Tensor, target: Tensor, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Binary focal loss that turns probabilities, clipped to [1e-5, 1 - 1e-5], back into logits.

    The mistake is the round trip: in float32 sigmoid(17) is already 1, and outside the clip the
    gradient is 0. The lost logit cannot be recovered.
    """
    logits, a, b = _recovered(probabilities, target, alpha, gamma)
    return ((a + b) * torch.log1p(torch.exp(-logits)) + b * logits).mean()


def focal_loss_with_two_minus_signs(
    probabilities: Tensor, target: Tensor, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """The same as printed after a line break in the source: exp(--x) instead of exp(-x).

    It can be negative. Element-wise, without a mean.
    """
    logits, a, b = _recovered(probabilities, target, alpha, gamma)
    return (a + b) * torch.log1p(torch.exp(logits)) + b * logits


def inverted_cross_entropy(
    logits: Tensor, target: Tensor, *, weight_of_one: float = 0.1, weight_of_rest: float = 0.9
) -> Tensor:
    """Cross entropy with .1 for label 1 and .9 for label 0; mean over pixels.

    Right where label 1 is the background, as in the paper that it cites. Under the usual coding, in
    which 1 is the defect, it is inverted: a defect pixel gets a ninth of the background's gradient.
    """
    weight = torch.where(target == 1, weight_of_one, weight_of_rest)
    return (weight * F.cross_entropy(logits, target, reduction="none")).mean()


def focal_loss_alpha_first(
    logits: Tensor, target: Tensor, *, alpha: float | Sequence[float] = 0.25, gamma: float = 2.0
) -> Tensor:
    """Softmax focal loss in which a scalar alpha becomes the weights [alpha, 1 - alpha].

    So alpha weighs class 0, the background: the opposite of the paper's and torchvision's alpha.
    """
    weights = torch.tensor([alpha, 1 - alpha] if isinstance(alpha, float) else list(alpha))
    log_p = F.log_softmax(logits, dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
    return (-weights[target] * (1 - log_p.exp()) ** gamma * log_p).mean()


def double_softmax_focal_loss(logits: Tensor, target: Tensor, *, gamma: float = 4.0) -> Tensor:
    """Softmax focal loss of logits that the training loop has already sent through a softmax.

    A second softmax of numbers in [0, 1] never exceeds e / (1 + e) = .731 for two classes: a
    perfect pixel still costs, and one that is badly wrong has next to no gradient.
    """
    log_p = F.log_softmax(logits.softmax(1), dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
    return (-((1 - log_p.exp()) ** gamma) * log_p).mean()


def per_batch_class_weights(target: Tensor, num_classes: int) -> Tensor:
    """Class weights batch size / pixels of the class **in this batch**; (num_classes,).

    One stray pixel of a class weighs 131 072 times a pixel of an otherwise full background.
    """
    counts = torch.bincount(target.flatten(), minlength=num_classes)
    return target.shape[0] / (counts + 1e-7)


def cross_entropy_weighted_by_prediction(
    logits: Tensor, target: Tensor, class_weights: Tensor
) -> Tensor:
    """Cross entropy times sum_c w_c p_c, element-wise: weighted by y_pred, not y_true.

    The network can lower it by moving probability to cheap classes, so a pixel of a rare class
    that starts out improbable is pushed further down, into a false minimum.
    """
    weights = class_weights.view(1, -1, *[1] * (logits.ndim - 2))
    weight_of_prediction = (weights * logits.softmax(1)).sum(1)
    return weight_of_prediction * F.cross_entropy(logits, target, reduction="none")


def _recovered(
    probabilities: Tensor, target: Tensor, alpha: float, gamma: float
) -> tuple[Tensor, Tensor, Tensor]:
    p = probabilities.clamp(1e-5, 1 - 1e-5)
    a = alpha * (1 - p) ** gamma * target
    b = (1 - alpha) * p**gamma * (1 - target)
    return (p / (1 - p)).log(), a, b
