"""The four losses that lesson 03 compares, each under a short name."""

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.data import class_weights
from course_utils.losses import SoftmaxFocalLoss, WeightedCrossEntropy, dice_loss

LOSS_NAMES = {
    "cross_entropy": "cross entropy",
    "weighted": "weighted cross entropy",
    "focal": "focal loss",
    "dice": "cross entropy + Dice",
}
"""Each name and how people write it."""
FOCAL_GAMMA = 2.0


def segmentation_loss(name: str, counts: np.ndarray | Tensor) -> nn.Module:
    """Return the loss called `name`, of logits (N, K, H, W) and classes (N, H, W).

    - `"cross_entropy"`: each pixel counts the same.
    - `"weighted"`: each pixel counts with 1 / sqrt(pixels of its true class).
    - `"focal"`: gamma = 2, without weights (Lin et al. 2017).
    - `"dice"`: cross entropy plus the Dice loss of the defect classes (Isensee et al. 2021).

    Args:
        name: one of `LOSS_NAMES`.
        counts: pixels of each class in the training set, (K,), as `count_pixels` returns them.

    Raises:
        ValueError: for another name or counts that are no counts.

    Example:
        >>> import torch
        >>> loss = segmentation_loss("dice", np.array([90, 10]))
        >>> loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)).shape
        torch.Size([])
    """
    match name:
        case "cross_entropy":
            return nn.CrossEntropyLoss()
        case "weighted":
            # A class that training never shows cannot be weighed, and needs no weight.
            return WeightedCrossEntropy(class_weights(counts, "sqrt", absent="zero"))
        case "focal":
            return SoftmaxFocalLoss(gamma=FOCAL_GAMMA)
        case "dice":
            return CrossEntropyAndDice()
    raise ValueError(f"loss {name!r} is unknown: choose one of {', '.join(LOSS_NAMES)}")


class CrossEntropyAndDice(nn.Module):
    """Cross entropy plus Dice loss: one is steady, the other does not care how rare defects are.

    Example:
        >>> import torch
        >>> CrossEntropyAndDice()(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)).shape
        torch.Size([])
    """

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target) + dice_loss(logits, target)
