"""The two-stage loss against its formula in a loop, and its schedule against the paper's."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.losses import TwoStageLoss, TwoStageTarget, two_stage_loss


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


def test_gradients_are_those_of_finite_differences():
    (segmentation, decision), target = batch(dtype=torch.float64)
    inputs = segmentation.requires_grad_(), decision.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *output: two_stage_loss(output, target, lam=0.4, delta=0.7), inputs
    )


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
    ("call", "problem"),
    [
        (lambda: two_stage_loss(*batch(), lam=1.1), r"lam must be in \[0, 1\]"),
        (lambda: two_stage_loss(*batch(), lam=-0.1), r"lam must be in \[0, 1\]"),
        (lambda: two_stage_loss(*batch(), lam=0.5, delta=-1), "delta must be finite and >= 0"),
        (lambda: TwoStageLoss(1, 1, delta=-1), "delta must be finite"),
        (lambda: TwoStageLoss(0, 1), "epochs and steps_per_epoch must be at least 1"),
        (lambda: TwoStageLoss(1, 0), "epochs and steps_per_epoch must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(call, problem):
    with pytest.raises(ValueError, match=problem):
        call()


def test_the_module_shows_its_settings():
    shown = repr(TwoStageLoss(3, 5, delta=0.5, dynamic=False))
    assert shown == "TwoStageLoss(epochs=3, steps_per_epoch=5, delta=0.5, dynamic=False)"
