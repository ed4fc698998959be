"""MemSeg's loss against numbers worked by hand, its formula in a loop, and its published form."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from course_utils.losses import MemSegLoss, memseg_loss, softmax_focal_loss


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 2, 4, 5, generator=random)
    return logits, torch.randint(2, (2, 4, 5), generator=random)


def by_loop(logits: Tensor, target: Tensor, *, twice: bool = False) -> float:
    l1 = focal = 0.0
    for n in range(2):
        for i in range(4):
            for j in range(5):
                a, b = logits[n, :, i, j].double().exp().tolist()
                background, defect = a / (a + b), b / (a + b)
                truth = int(target[n, i, j])
                l1 += abs(defect - truth)
                if twice:
                    a, b = math.exp(background), math.exp(defect)
                    background, defect = a / (a + b), b / (a + b)
                p = defect if truth else background
                focal -= (1 - p) ** 4 * math.log(p)
    return (0.6 * l1 + 0.4 * focal) / 40


def test_the_loss_and_its_published_double_softmax_are_what_a_loop_computes():
    pair = batch()
    plain, twice = memseg_loss(*pair).item(), memseg_loss(*pair, double_softmax=True).item()
    assert plain == pytest.approx(by_loop(*pair), rel=1e-5)
    assert twice == pytest.approx(by_loop(*pair, twice=True), rel=1e-5)
    assert twice != pytest.approx(plain, rel=0.01)


def test_a_perfect_answer_costs_nothing_and_with_double_softmax_it_still_does():
    target = torch.randint(2, (1, 4, 4), generator=torch.Generator().manual_seed(0))
    logits = 60.0 * torch.stack([1 - target, target], dim=1) - 30
    assert memseg_loss(logits, target).item() == pytest.approx(0, abs=1e-12)
    limit = 1 / (1 + math.e)  # what the second softmax leaves to the wrong class
    still = 0.4 * limit**4 * -math.log(1 - limit)
    assert memseg_loss(logits, target, double_softmax=True).item() == pytest.approx(still)


@given(seed=st.integers(0, 1000), l1=st.floats(0, 3), focal=st.floats(0, 3))
def test_each_part_counts_with_its_weight(seed, l1, focal):
    logits, target = batch(seed)
    distance = (logits.softmax(1)[:, 1] - target).abs().mean().item()
    wanted = l1 * distance + focal * softmax_focal_loss(logits, target, gamma=2).item()
    found = memseg_loss(logits, target, l1_weight=l1, focal_weight=focal, gamma=2)
    assert found.item() == pytest.approx(wanted, rel=1e-5, abs=1e-7)


def test_gradients_are_those_of_finite_differences():
    logits, target = batch()
    logits = logits.double()[:, :, :2, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: memseg_loss(x, target[:, :2, :2]), logits)


def test_the_module_hands_on_every_option():
    logits, target = batch()
    options = {"l1_weight": 0.1, "focal_weight": 2.0, "gamma": 1.0, "double_softmax": True}
    assert torch.equal(
        MemSegLoss(**options)(logits, target), memseg_loss(logits, target, **options)
    )
    assert torch.equal(MemSegLoss()(logits, target), memseg_loss(logits, target))
    assert "double_softmax=True" in repr(MemSegLoss(**options))


MASK = torch.zeros(1, 2, 2, dtype=torch.long)


@pytest.mark.parametrize(
    ("logits", "target", "options", "problem"),
    [
        (torch.zeros(1, 3, 2, 2), MASK, {}, r"\(N, 2, H, W\)"),
        (torch.zeros(1, 1, 2, 2), MASK, {}, r"\(N, 2, H, W\)"),
        (torch.zeros(1, 2, 2, 2), MASK.float(), {}, "integer class indices"),
        (torch.zeros(1, 2, 2, 2), MASK, {"l1_weight": -1}, "l1_weight"),
        (torch.zeros(1, 2, 2, 2), MASK, {"focal_weight": -1}, "focal_we"),
        (torch.zeros(1, 2, 2, 2), MASK, {"gamma": -1}, "gamma"),
    ],
)
def test_what_cannot_be_is_refused(logits, target, options, problem):
    with pytest.raises(ValueError, match=problem):
        memseg_loss(logits, target, **options)
