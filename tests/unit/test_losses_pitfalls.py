"""Every published mistake fails the check that the course's own loss passes."""

import math

import pytest
import torch
from torch.nn import functional as F

from course_utils.losses import binary_focal_loss, softmax_focal_loss, weighted_cross_entropy
from course_utils.losses.pitfalls import (
    clipped_focal_loss,
    cross_entropy_weighted_by_prediction,
    double_softmax_focal_loss,
    focal_loss_alpha_first,
    focal_loss_of_recovered_logits,
    focal_loss_with_two_minus_signs,
    inverted_cross_entropy,
    per_batch_class_weights,
)


def pull(loss_function, *logits: float) -> float:
    """Gradient at the last logit of one pixel."""
    x = torch.tensor([logits], requires_grad=True)
    return torch.autograd.grad(loss_function(x), x)[0][0, -1].item()


DEFECT = torch.tensor([1])


@pytest.mark.parametrize("logit", [-20.0, -9.0])
def test_the_clip_leaves_the_worst_pixels_without_gradient(logit):
    clipped = pull(lambda x: clipped_focal_loss(x.softmax(1), DEFECT), 0.0, logit)
    right = pull(lambda x: softmax_focal_loss(x, DEFECT), 0.0, logit)
    assert clipped == 0.0
    assert right == pytest.approx(-1.0, abs=0.01)


def test_raw_logits_are_taken_for_probabilities():
    logits = torch.tensor([[-3.0, 4.0]])
    assert clipped_focal_loss(logits, DEFECT) == clipped_focal_loss(10 * logits, DEFECT)
    assert softmax_focal_loss(logits, DEFECT) != softmax_focal_loss(10 * logits, DEFECT)


def test_an_unused_alpha_changes_nothing():
    p = torch.tensor([[0.7, 0.3]])
    assert clipped_focal_loss(p, DEFECT, alpha=0.1) == clipped_focal_loss(p, DEFECT, alpha=0.9)
    logit = torch.tensor([0.3]).logit()
    assert binary_focal_loss(logit, DEFECT, alpha=0.1) != binary_focal_loss(
        logit, DEFECT, alpha=0.9
    )


def test_recovered_logits_agree_where_nothing_was_lost_and_have_no_gradient_where_it_was():
    p = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    for target in (torch.zeros(99), torch.ones(99)):
        torch.testing.assert_close(
            focal_loss_of_recovered_logits(p, target), binary_focal_loss(p.logit(), target)
        )
    lost = pull(lambda x: focal_loss_of_recovered_logits(x.sigmoid(), torch.zeros(1, 1)), 17.0)
    kept = pull(lambda x: binary_focal_loss(x, torch.zeros(1, 1)), 17.0)
    assert lost == 0.0
    assert kept == pytest.approx(0.75, rel=1e-3)
    assert torch.tensor(17.0).sigmoid() == 1.0


def test_two_minus_signs_make_a_negative_loss():
    p, background = torch.tensor([0.1], dtype=torch.float64), torch.tensor([0.0])
    assert focal_loss_with_two_minus_signs(p, background).item() == pytest.approx(-0.0157, abs=5e-5)
    assert binary_focal_loss(p.logit(), background) > 0


def test_inverted_weights_damp_the_defect_ninefold():
    logits = torch.zeros(2, 2)
    both = torch.tensor([0, 1])
    x = logits.clone().requires_grad_()
    defect, background = (
        torch.autograd.grad(inverted_cross_entropy(x, both), x)[0].abs().sum(1).flip(0)
    )
    assert (background / defect).item() == pytest.approx(9)
    named = torch.tensor([0.2, 0.8])  # background, defect: the cited paper's own values
    x = logits.clone().requires_grad_()
    right = torch.autograd.grad(weighted_cross_entropy(x, both, named), x)[0].abs().sum(1)
    assert (right[1] / right[0]).item() == pytest.approx(4)


def test_a_scalar_alpha_in_first_place_weighs_the_background():
    logits = torch.zeros(1, 2)
    background, defect = torch.tensor([0]), torch.tensor([1])
    ratio = focal_loss_alpha_first(logits, defect) / focal_loss_alpha_first(logits, background)
    assert ratio.item() == pytest.approx(3)
    one = torch.zeros(1)
    right = binary_focal_loss(one, defect) / binary_focal_loss(one, background)
    assert right.item() == pytest.approx(1 / 3)


def test_double_softmax_never_reaches_certainty():
    perfect = torch.tensor([[-100.0, 100.0]])
    assert double_softmax_focal_loss(perfect, DEFECT).item() == pytest.approx(0.00164, abs=5e-6)
    assert softmax_focal_loss(perfect, DEFECT, gamma=4).item() == 0
    best = perfect.softmax(1).softmax(1)[0, 1].item()
    assert best == pytest.approx(math.e / (1 + math.e))


@pytest.mark.parametrize(
    ("margin", "double", "right"), [(-5.0, -0.008, -1.10), (-20.0, -2.5e-9, -1.0)]
)
def test_double_softmax_has_next_to_no_gradient_at_the_worst_pixels(margin, double, right):
    assert pull(lambda x: double_softmax_focal_loss(x, DEFECT), 0.0, margin) == pytest.approx(
        double, rel=0.1
    )
    assert pull(lambda x: softmax_focal_loss(x, DEFECT, gamma=4), 0.0, margin) == pytest.approx(
        right, rel=0.01
    )


def test_weights_per_batch_explode():
    target = torch.zeros(8, 128, 128, dtype=torch.long)
    full = per_batch_class_weights(target, 2)
    assert full[0].item() == pytest.approx(6.1e-5, rel=0.01)
    assert full[1].item() == pytest.approx(8e7, rel=0.01)
    target[0, 0, 0] = 1
    one_pixel = per_batch_class_weights(target, 2)
    assert one_pixel[1].item() == pytest.approx(8.0)
    assert (one_pixel[1] / full[0]).item() == pytest.approx(131_072, rel=1e-4)


def test_weighting_by_the_prediction_has_a_false_minimum_and_by_the_truth_has_none():
    weights = torch.tensor([1.0, 100.0], dtype=torch.float64)
    p = torch.logspace(-5, -1e-6, 200_001, dtype=torch.float64)
    logits = torch.stack([torch.zeros_like(p), p.logit()], 1)
    target = torch.ones(len(p), dtype=torch.long)
    wrong = cross_entropy_weighted_by_prediction(logits, target, weights)
    slope = wrong.diff()
    turns = ((slope[1:] * slope[:-1]) < 0).nonzero().flatten() + 1
    assert p[turns].tolist() == pytest.approx([0.0019, 0.358], rel=0.03)
    at = {x: wrong[(p - x).abs().argmin()].item() for x in (0.01, 0.5)}
    assert at == pytest.approx({0.01: 9.2, 0.5: 35.0}, rel=0.01)

    right = weighted_cross_entropy(logits, target, weights, reduction="none")
    assert (right.diff() < 0).all()
    at = {x: right[(p - x).abs().argmin()].item() for x in (0.01, 0.5)}
    assert at == pytest.approx({0.01: 460, 0.5: 69}, rel=0.01)


def test_sigmoid_focal_per_class_is_not_softmax_focal():
    logits, target = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([0])
    one_hot = F.one_hot(target, 3).float()
    per_class = 2 * binary_focal_loss(logits, one_hot, alpha=0.5, reduction="sum")
    assert per_class.item() > 2 * softmax_focal_loss(logits, target).item()
