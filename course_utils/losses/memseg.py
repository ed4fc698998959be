"""MemSeg's loss: how far the probabilities are from the mask, and focal loss.

Source: MemSeg (arXiv 2205.00908), training loss: .6 L1 + .4 focal, gamma = 4.
"""

from torch import Tensor, nn

from course_utils.losses.focal import softmax_focal_loss
from course_utils.losses.inputs import check_parameter, class_pair
from course_utils.losses.pitfalls import double_softmax_focal_loss


def memseg_loss(
    logits: Tensor,
    target: Tensor,
    *,
    l1_weight: float = 0.6,
    focal_weight: float = 0.4,
    gamma: float = 4.0,
    double_softmax: bool = False,
) -> Tensor:
    """Return l1_weight |p - mask| + focal_weight focal, each a mean over pixels.

    Args:
        logits: (N, 2, H, W), background and defect; not probabilities.
        target: (N, H, W), integers, 0 = background, 1 = defect.
        l1_weight: of the first part; the paper's by default, as the next two.
        focal_weight: of the second part.
        gamma: of the focal loss.
        double_softmax: repeat the mistake of the public code until December 2023, for comparison:
            its focal loss takes a softmax of what is a softmax already.

    Raises:
        ValueError: for other shapes, dtypes, ranges, and for logits that are not finite.

    Example:
        >>> import torch
        >>> logits, target = torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1, dtype=torch.long)
        >>> print(f"{memseg_loss(logits, target).item():.4f}")  # .6 * .5 + .4 * .5**4 * log(2)
        0.3173
    """
    check_parameter("l1_weight", l1_weight, 0)
    check_parameter("focal_weight", focal_weight, 0)
    check_parameter("gamma", gamma, 0)
    if logits.ndim < 2 or logits.shape[1] != 2:
        raise ValueError(f"logits must be (N, 2, H, W), got {tuple(logits.shape)}")
    logits, target, _ = class_pair(logits, target)
    l1 = (logits.softmax(1)[:, 1] - target).abs().mean()
    focal = double_softmax_focal_loss if double_softmax else softmax_focal_loss
    return l1_weight * l1 + focal_weight * focal(logits, target, gamma=gamma)


class MemSegLoss(nn.Module):
    """`memseg_loss` as a module.

    Example:
        >>> import torch
        >>> MemSegLoss()(torch.zeros(2, 2, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long)).shape
        torch.Size([])
    """

    def __init__(
        self,
        *,
        l1_weight: float = 0.6,
        focal_weight: float = 0.4,
        gamma: float = 4.0,
        double_softmax: bool = False,
    ) -> None:
        super().__init__()
        self.l1_weight, self.focal_weight, self.gamma = l1_weight, focal_weight, gamma
        self.double_softmax = double_softmax

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of `logits` for `target`, both as the function takes them."""
        return memseg_loss(
            logits,
            target,
            l1_weight=self.l1_weight,
            focal_weight=self.focal_weight,
            gamma=self.gamma,
            double_softmax=self.double_softmax,
        )

    def extra_repr(self) -> str:
        """Return the options, for `print`."""
        return (
            f"l1_weight={self.l1_weight}, focal_weight={self.focal_weight}, gamma={self.gamma}"
            + (", double_softmax=True" if self.double_softmax else "")
        )
