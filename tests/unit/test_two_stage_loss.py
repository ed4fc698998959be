"""The two-stage loss against its formula in a loop, and its schedule against the paper's."""

import math
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from course_utils.losses import TwoStageLoss, TwoStageTarget, two_stage_loss
from course_utils.training import fit


def batch(seed: int = 0, images: int = 3, dtype=torch.float32):
    """Logits and targets; the last image is defective and has no mask."""
    random = torch.Generator().manual_seed(seed)
    shape = (images, 1, 3, 4)
    output = (
        2 * torch.randn(shape, generator=random, dtype=dtype),
        2 * torch.randn(images, generator=random, dtype=dtype),
    )
    label = torch.arange(images) % 2
    label[-1] = 1
    has_mask = torch.ones(images, dtype=torch.bool)
    has_mask[-1] = False
    mask, weight = torch.rand(shape, generator=random), 2 * torch.rand(shape, generator=random)
    return output, TwoStageTarget(mask, weight, label.float(), has_mask)


def cross_entropy(logit: float, target: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -target * math.log(p) - (1 - target) * math.log(1 - p)


def parts_by_loop(output, target) -> tuple[float, float]:
    """The two parts, from the formula."""
    images = len(output[1])
    segmentation = decision = 0.0
    for n in range(images):
        decision += cross_entropy(float(output[1][n]), float(target.label[n]))
        if target.has_mask[n]:
            for i in range(3):
                for j in range(4):
                    cell = cross_entropy(
                        float(output[0][n, 0, i, j]), float(target.mask[n, 0, i, j])
                    )
                    segmentation += float(target.weight[n, 0, i, j]) * cell / 12
    return segmentation / images, decision / images


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), lam=st.floats(0, 1), delta=st.floats(0, 2))
def test_the_loss_is_what_the_formula_gives_in_a_loop(seed, lam, delta):
    output, target = batch(seed)
    segmentation, decision = parts_by_loop(output, target)
    found = two_stage_loss(output, target, lam=lam, delta=delta).item()
    wanted = lam * segmentation + delta * (1 - lam) * decision
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    found = two_stage_loss(output, target, lam=None, delta=delta).item()
    assert found == pytest.approx(segmentation + delta * decision, rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), images=st.integers(2, 6), first=st.integers(1, 5))
def test_a_batch_costs_the_mean_of_its_shares_weighted_by_their_images(seed, images, first):
    first = min(first, images - 1)
    output, target = batch(seed, images)
    costs = []
    for share in (slice(first), slice(first, None)):
        part = TwoStageTarget(*(tensor[share] for tensor in target))
        logits = tuple(tensor[share] for tensor in output)
        costs.append(two_stage_loss(logits, part, lam=0.3, delta=0.5).item())
    wanted = (first * costs[0] + (images - first) * costs[1]) / images
    found = two_stage_loss(output, target, lam=0.3, delta=0.5).item()
    assert found == pytest.approx(wanted, rel=1e-5)


def test_an_image_without_a_mask_teaches_only_the_decision():
    output, target = batch()
    for logits in output:
        logits.requires_grad_()
    two_stage_loss(output, target, lam=0.5, delta=1.0).backward()
    segmentation, decision = output[0].grad, output[1].grad
    assert segmentation[-1].abs().max() == 0
    assert bool((segmentation[:-1].abs() > 0).all())
    assert bool((decision.abs() > 0).all())
    other = target._replace(mask=1 - target.mask, weight=target.weight.clone())
    other.mask[:-1] = target.mask[:-1]
    other.weight[-1] = 7
    costs = [two_stage_loss(output, each, lam=0.5).item() for each in (target, other)]
    assert costs[0] == costs[1]


@pytest.mark.parametrize(("lam", "idle"), [(1.0, 1), (0.0, 0)])
def test_at_both_ends_only_one_part_teaches(lam, idle):
    output, target = batch()
    for logits in output:
        logits.requires_grad_()
    two_stage_loss(output, target, lam=lam, delta=1.0).backward()
    assert output[idle].grad.abs().max() == 0
    assert output[1 - idle].grad.abs().max() > 0


def test_gradients_are_those_of_finite_differences():
    (segmentation, decision), target = batch(dtype=torch.float64)
    inputs = segmentation.requires_grad_(), decision.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *output: two_stage_loss(output, target, lam=0.4, delta=0.7), inputs
    )


def test_half_precision_logits_are_widened():
    output, target = batch()
    low = tuple(logits.bfloat16() for logits in output)
    found = two_stage_loss(low, target, lam=0.5, delta=1.0)
    assert found.dtype == torch.float32
    wanted = two_stage_loss(output, target, lam=0.5, delta=1.0).item()
    assert found.item() == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize("logit", [100.0, -100.0])
def test_very_sure_logits_have_a_finite_cost_and_teach_where_they_are_wrong(logit):
    _, target = batch()
    output = torch.full((3, 1, 3, 4), logit), torch.full((3,), logit)
    target = target._replace(mask=torch.full((3, 1, 3, 4), float(logit < 0)))
    for logits in output:
        logits.requires_grad_()
    loss = two_stage_loss(output, target, lam=0.5, delta=1.0)
    loss.backward()
    assert math.isfinite(loss.item())
    assert bool((output[0].grad[:-1] * logit > 0).all())


# The schedule


def lams(loss: TwoStageLoss, calls: int) -> list[float | None]:
    output, target = batch()
    found = []
    for _ in range(calls):
        found.append(loss.lam)
        cost = loss(output, target)
        wanted = two_stage_loss(output, target, lam=found[-1], delta=loss.delta)
        assert torch.equal(cost, wanted)
    return found


def test_lambda_is_one_minus_n_of_E_for_each_step_of_epoch_n():
    loss = TwoStageLoss(epochs=4, steps_per_epoch=3, delta=0.1)
    found = lams(loss, 15)
    assert found[:12] == [1 - n / 4 for n in range(4) for _ in range(3)]
    assert found[12:] == [0.25] * 3, "it stays at the value of the last epoch"


def test_without_the_schedule_both_parts_count_throughout():
    loss = TwoStageLoss(epochs=2, steps_per_epoch=1, dynamic=False)
    assert lams(loss, 3) == [None] * 3


def test_evaluations_do_not_move_the_schedule():
    loss = TwoStageLoss(epochs=2, steps_per_epoch=1)
    output, target = batch()
    loss.eval()
    loss(output, target)
    loss.train()
    with torch.no_grad():
        loss(output, target)
    with pytest.raises(ValueError, match="logits must be finite"):
        loss((output[0] * math.nan, output[1]), target)
    assert (loss.lam, int(loss.steps)) == (1.0, 0)
    loss(output, target)
    assert (loss.lam, int(loss.steps)) == (0.5, 1)


def test_the_place_in_the_schedule_is_part_of_its_state():
    loss, other = (TwoStageLoss(epochs=4, steps_per_epoch=2) for _ in range(2))
    lams(loss, 5)
    other.load_state_dict(loss.state_dict())
    assert lams(other, 3) == lams(loss, 3) == [0.5, 0.25, 0.25]


class TargetBatch(NamedTuple):
    image: Tensor
    target: TwoStageTarget


class TwoHeads(nn.Module):
    """The least network that answers both questions."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image):
        segmentation = self.head(image)
        return segmentation, segmentation.amax(dim=(1, 2, 3))


class Stopped(Exception):
    pass


class StoppedLoss(TwoStageLoss):
    """Remember the lambdas and stops the training from outside."""

    stop_at: int | None = None

    def forward(self, output, target):
        if int(self.steps) == self.stop_at:
            raise Stopped
        self.seen = [*getattr(self, "seen", []), self.lam]
        return super().forward(output, target)


def train(path, stop_at=None):
    torch.manual_seed(0)
    model, loss = TwoHeads(), StoppedLoss(epochs=5, steps_per_epoch=2, delta=1.0)
    loss.stop_at = stop_at
    images = torch.rand(2, 3, 1, 3, 4, generator=torch.Generator().manual_seed(1))
    batches = [TargetBatch(image, batch(seed)[1]) for seed, image in enumerate(images)]
    fit(model, batches, loss, steps=10, checkpoint=path, checkpoint_every=1, device="cpu")
    return loss, torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_a_training_that_was_stopped_goes_on_at_its_place_in_the_schedule(tmp_path):
    loss, wanted = train(tmp_path / "whole.pt")
    assert loss.seen == [1 - n / 5 for n in range(5) for _ in range(2)]
    with pytest.raises(Stopped):
        train(tmp_path / "stopped.pt", stop_at=5)
    resumed, found = train(tmp_path / "stopped.pt")
    assert resumed.seen == loss.seen[5:]
    assert torch.equal(found, wanted)


# What is refused


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda o, t: (o, t._replace(label=t.label * 0)), "a good image .* must have a mask"),
        (lambda o, t: (o, t._replace(weight=-t.weight)), "weight must be finite and >= 0"),
        (lambda o, t: (o, t._replace(weight=t.weight / 0)), "weight must be finite and >= 0"),
        (lambda o, t: (o, t._replace(weight=t.weight[:, 0])), "must have the same shape"),
        (lambda o, t: (o, t._replace(mask=2 * t.mask + 1)), r"target must lie in \[0, 1\]"),
        (lambda o, t: (o, t._replace(mask=t.mask[..., :2])), "must have the same shape"),
        (lambda o, t: (o, t._replace(label=t.label + 1)), r"target must lie in \[0, 1\]"),
        (lambda o, t: (o, t._replace(label=t.label[:, None])), r"label must be \(3,\), one for"),
        (lambda o, t: (o, t._replace(has_mask=t.has_mask.long())), "has_mask must be bool"),
        (lambda o, t: (o, t._replace(has_mask=t.has_mask[:2])), r"has_mask must be \(3,\)"),
        (lambda o, t: ((o[0][:, 0], o[1]), t), r"must be \(N, 1, h, w\), got \(3, 3, 4\)"),
        (lambda o, t: ((o[0].expand(3, 2, 3, 4), o[1]), t), r"must be \(N, 1, h, w\)"),
        (lambda o, t: ((o[0], o[1][:, None]), t), r"decision logits must be \(3,\)"),
        (lambda o, t: ((o[0], o[1] / 0), t), "logits must be finite"),
        (lambda o, t: ((o[0][:0], o[1][:0]), t), r"must be \(N, 1, h, w\)"),
    ],
)
def test_outputs_and_targets_that_cannot_be_are_refused(change, problem):
    output, target = change(*batch())
    with pytest.raises(ValueError, match=problem):
        two_stage_loss(output, target, lam=0.5)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"lam": 1.1}, r"lam must be in \[0, 1\]"),
        ({"lam": -0.1}, r"lam must be in \[0, 1\]"),
        ({"lam": 0.5, "delta": -1}, "delta must be finite and >= 0"),
    ],
)
def test_options_out_of_range_are_refused(options, problem):
    with pytest.raises(ValueError, match=problem):
        two_stage_loss(*batch(), **options)


@pytest.mark.parametrize("settings", [(0, 1), (1, 0)])
def test_a_schedule_needs_epochs_and_steps(settings):
    with pytest.raises(ValueError, match="epochs and steps_per_epoch must be at least 1"):
        TwoStageLoss(*settings)


def test_a_delta_out_of_range_is_refused_when_the_module_is_made():
    with pytest.raises(ValueError, match="delta must be finite"):
        TwoStageLoss(1, 1, delta=-1)


def test_the_module_shows_its_settings():
    shown = repr(TwoStageLoss(3, 5, delta=0.5, dynamic=False))
    assert shown == "TwoStageLoss(epochs=3, steps_per_epoch=5, delta=0.5, dynamic=False)"
