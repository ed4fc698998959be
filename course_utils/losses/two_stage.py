"""The two-stage network's loss: segmentation first, then more and more the decision.

Source: Božič, Tabernik, Skočaj, "End-to-end training of a two-stage neural network for defect
detection", ICPR 2020 (arXiv 2007.07676): joint loss, schedule, pixel weights. "Mixed supervision
for surface-defect detection", Computers in Industry 2021 (arXiv 2104.06064): images without masks.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.losses.inputs import binary_pair, check_parameter, finite_and_not_negative
from course_utils.value_checks import values_can_be_read


class TwoStageTarget(NamedTuple):
    """What the two-stage network is taught about one image, or stacked, about N images."""

    mask: Tensor
    """float, (1, h, w) or (N, 1, h, w): how much of a cell's surroundings is defect, in [0, 1]."""
    weight: Tensor
    """float, the shape of `mask`, >= 0: how much a cell counts."""
    label: Tensor
    """float, () or (N,): 0 = good, 1 = defective."""
    has_mask: Tensor
    """bool, () or (N,): whether the mask teaches. Good images have one: it is empty."""


def two_stage_loss(
    output: tuple[Tensor, Tensor],
    target: TwoStageTarget,
    *,
    lam: float | None,
    delta: float = 0.01,
) -> Tensor:
    """Return lam * segmentation + delta * (1 - lam) * decision, both cross entropies.

    The segmentation part is the mean over cells of weight times cross entropy; an image without a
    mask puts 0 in its place. Both parts are means over all N images, so a batch costs the mean of
    what its images cost. `lam=1` gives the segmentation part alone; `lam=0, delta=1` the decision.

    Args:
        output: segmentation logits (N, 1, h, w) and decision logits (N,); not probabilities.
        target: of the same N images, stacked.
        lam: the papers' lambda, in [0, 1]; None: segmentation + delta * decision.
        delta: weight of the decision, >= 0. The paper's .01 is for KolektorSDD.

    Raises:
        ValueError: for other shapes, dtypes, ranges, for logits that are not finite, and for a good
            image without a mask.

    Example:
        >>> output = torch.zeros(2, 1, 4, 4), torch.zeros(2)
        >>> ones, label = torch.ones(2, 1, 4, 4), torch.tensor([0.0, 1.0])
        >>> target = TwoStageTarget(0 * ones, ones, label, torch.tensor([True, False]))
        >>> print(f"{two_stage_loss(output, target, lam=1.0).item():.4f}")  # log(2) of one of two
        0.3466
    """
    if lam is not None:
        check_parameter("lam", lam, 0, 1)
    check_parameter("delta", delta, 0)
    segmentation, decision = _both_parts(output, target)
    if lam is None:
        return segmentation + delta * decision
    return lam * segmentation + delta * (1 - lam) * decision


class TwoStageLoss(nn.Module):
    """`two_stage_loss` whose lambda falls from 1 by 1 / epochs with each epoch.

    The module counts its calls in training mode with gradients enabled; an evaluation between
    them leaves the schedule alone. The count is a buffer: a checkpoint holds it, and a training
    goes on at its place in the schedule. After the last epoch lambda stays.

    Args:
        epochs: E; epoch n = 0 .. E - 1 has lambda 1 - n / E. So the decision counts nothing at
            first, and delta (E - 1) / E in the last epoch.
        steps_per_epoch: calls that make an epoch: the batches of a pass.
        delta: as in `two_stage_loss`.
        dynamic: False: segmentation + delta * decision throughout.

    Raises:
        ValueError: for fewer than one epoch or step, and as `two_stage_loss` does; a call that
            raises is not counted.

    Example:
        >>> loss = TwoStageLoss(epochs=2, steps_per_epoch=1)
        >>> ones, sure = torch.ones(1, 1, 2, 2), torch.tensor([True])
        >>> target = TwoStageTarget(ones, ones, torch.ones(1), sure)
        >>> for _ in range(3):
        ...     print(loss.lam, f"{loss((0 * ones, torch.zeros(1)), target).item():.4f}")
        1.0 0.6931
        0.5 0.3500
        0.5 0.3500
    """

    steps: Tensor

    def __init__(
        self, epochs: int, steps_per_epoch: int, *, delta: float = 0.01, dynamic: bool = True
    ) -> None:
        super().__init__()
        if min(epochs, steps_per_epoch) < 1:
            raise ValueError(
                f"epochs and steps_per_epoch must be at least 1, got {epochs} and {steps_per_epoch}"
            )
        check_parameter("delta", delta, 0)
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.delta, self.dynamic = delta, dynamic
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @property
    def lam(self) -> float | None:
        """Lambda of the next call; None if it is not dynamic."""
        return self._lam().item() if self.dynamic else None

    def forward(self, output: tuple[Tensor, Tensor], target: TwoStageTarget) -> Tensor:
        """Return the loss of `output` for `target`; count the call if it is one of a training."""
        segmentation, decision = _both_parts(output, target)
        if self.dynamic:
            lam = self._lam()
            segmentation = lam.to(segmentation) * segmentation
            decision = (1 - lam).mul(self.delta).to(decision) * decision
        else:
            decision = self.delta * decision
        if self.training and torch.is_grad_enabled():
            self.steps += 1
        return segmentation + decision

    def extra_repr(self) -> str:
        """Return the options, for `print`."""
        return (
            f"epochs={self.epochs}, steps_per_epoch={self.steps_per_epoch}, delta={self.delta}"
            + ("" if self.dynamic else ", dynamic=False")
        )

    def _lam(self) -> Tensor:
        # A tensor on the device of the count: a number would have to be fetched at each step.
        epoch = (self.steps // self.steps_per_epoch).clamp(max=self.epochs - 1)
        exact = torch.float32 if epoch.device.type == "mps" else torch.float64  # MPS has no float64
        return 1 - epoch.to(exact) / self.epochs


def _both_parts(output: tuple[Tensor, Tensor], target: TwoStageTarget) -> tuple[Tensor, Tensor]:
    """Return the segmentation part and the decision part, each a mean over the images."""
    segmentation, decision = output
    mask, weight, label, has_mask = target
    _check_shapes(segmentation, decision, label, has_mask)
    segmentation, mask, _ = binary_pair(segmentation, mask)
    decision, label, _ = binary_pair(decision, label)
    _check_values(mask, weight, label, has_mask)
    per_cell = F.binary_cross_entropy_with_logits(segmentation, mask, reduction="none")
    per_image = (weight.detach().to(per_cell) * per_cell).mean(dim=(1, 2, 3))
    segmentation_part = (has_mask.to(per_image) * per_image).mean()
    return segmentation_part, F.binary_cross_entropy_with_logits(decision, label)


def _check_shapes(segmentation: Tensor, decision: Tensor, label: Tensor, has_mask: Tensor) -> None:
    images = len(segmentation) if segmentation.ndim else 0
    if segmentation.ndim != 4 or segmentation.shape[1] != 1 or not segmentation.numel():
        raise ValueError(
            f"segmentation logits must be (N, 1, h, w), got {tuple(segmentation.shape)}"
        )
    for name, tensor in (("decision logits", decision), ("label", label), ("has_mask", has_mask)):
        if tensor.shape != (images,):
            raise ValueError(
                f"{name} must be ({images},), one for each image, got {tuple(tensor.shape)}"
            )


def _check_values(mask: Tensor, weight: Tensor, label: Tensor, has_mask: Tensor) -> None:
    if weight.shape != mask.shape:
        raise ValueError(
            f"weight {tuple(weight.shape)} and mask {tuple(mask.shape)} must have the same shape"
        )
    if has_mask.dtype != torch.bool:
        raise ValueError(f"has_mask must be bool, got {has_mask.dtype}")
    if not values_can_be_read(weight, label, has_mask):
        return
    if not finite_and_not_negative(weight):
        raise ValueError(
            f"weight must be finite and >= 0, got {weight.min().item():g}..{weight.max().item():g}"
        )
    if bool(((label == 0) & ~has_mask).any()):
        raise ValueError(
            "a good image (label 0) must have a mask: it is known to be empty; only defective "
            "images may lack one"
        )
