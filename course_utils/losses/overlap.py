"""Dice and Tversky losses: one minus a soft overlap of prediction and truth.

Sources: Milletari et al., "V-Net", 3DV 2016 (Dice, here with plain sums in the denominator);
Salehi et al., "Tversky loss function for image segmentation", MLMI 2017, equation 3.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.losses.inputs import binary_pair, check_parameter, class_pair


def tversky_loss(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1.0,
    background: bool = False,
    ignore_index: int | None = None,
) -> Tensor:
    """Return 1 - (TP + s) / (TP + alpha FP + beta FN + s), with soft counts over the batch.

    Args:
        logits: (N, 1, H, W) for two classes, (N, C, H, W) for more; not probabilities.
        target: (N, 1, H, W) in [0, 1], or (N, H, W) integer class indices.
        alpha: price of a false positive.
        beta: price of a false negative; beta > alpha asks for recall.
        smooth: pixels added above and below; > 0 keeps the loss of a batch without defect
            defined, and then pushes its false positives down.
        background: with several classes, whether class 0 takes part in the mean over classes.
        ignore_index: target value of pixels that do not count, such as 255; None: all count.

    Raises:
        ValueError: for other shapes, dtypes, ranges, and for logits that are not finite.

    Example:
        >>> import torch
        >>> target = torch.zeros(1, 1, 4, 4)
        >>> target[..., :2] = 1
        >>> print(f"{tversky_loss(100 * (2 * target - 1), target).item():.3f}")
        0.000
    """
    check_parameter("alpha", alpha, 0)
    check_parameter("beta", beta, 0)
    check_parameter("smooth", smooth, 0)
    if alpha + beta == 0 or smooth == 0:
        raise ValueError(
            "smooth and alpha + beta must be > 0: the loss of a batch without defect would be 0 / 0"
        )
    prediction, truth = _one_map_per_class(logits, target, background, ignore_index)
    axes = (0, *range(2, prediction.ndim))
    tp = (prediction * truth).sum(axes) + smooth
    fp = (prediction * (1 - truth)).sum(axes)
    fn = ((1 - prediction) * truth).sum(axes)
    return (1 - tp / (tp + alpha * fp + beta * fn)).mean()


def dice_loss(
    logits: Tensor,
    target: Tensor,
    *,
    smooth: float = 1.0,
    background: bool = False,
    ignore_index: int | None = None,
) -> Tensor:
    """Return 1 - (2 TP + s) / (2 TP + FP + FN + s), with soft counts over the batch.

    Arguments and errors are those of `tversky_loss`, of which this is the case
    alpha = beta = 1/2 with half the smoothing.

    Example:
        >>> import torch
        >>> print(f"{dice_loss(torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)).item():.3f}")
        0.320
    """
    return tversky_loss(
        logits,
        target,
        alpha=0.5,
        beta=0.5,
        smooth=smooth / 2,
        background=background,
        ignore_index=ignore_index,
    )


class DiceLoss(nn.Module):
    """`dice_loss` as a module.

    Example:
        >>> import torch
        >>> DiceLoss()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)).shape
        torch.Size([])
    """

    def __init__(
        self, *, smooth: float = 1.0, background: bool = False, ignore_index: int | None = None
    ) -> None:
        super().__init__()
        self.smooth, self.background, self.ignore_index = smooth, background, ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of `logits` for `target`, both as the function takes them."""
        return dice_loss(
            logits,
            target,
            smooth=self.smooth,
            background=self.background,
            ignore_index=self.ignore_index,
        )

    def extra_repr(self) -> str:
        """Return the options, for `print`."""
        return (
            f"smooth={self.smooth}, background={self.background}, ignore_index={self.ignore_index}"
        )


def _one_map_per_class(
    logits: Tensor, target: Tensor, background: bool, ignore_index: int | None
) -> tuple[Tensor, Tensor]:
    """Return probabilities and truth, both (N, maps, ...), both 0 where a pixel does not count."""
    if logits.ndim < 2 or logits.shape[1] == 1:
        logits, truth, counts = binary_pair(logits, target, ignore_index)
        if logits.ndim < 2:
            raise ValueError(f"logits must be (N, 1, H, W), got {tuple(logits.shape)}")
        prediction = logits.sigmoid()
    else:
        logits, target, counts = class_pair(logits, target, ignore_index)
        first = 0 if background else 1
        prediction = logits.softmax(1)[:, first:]
        truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1)[:, first:].to(logits)
        counts = None if counts is None else counts.unsqueeze(1)
    return (prediction, truth) if counts is None else (prediction * counts, truth * counts)
