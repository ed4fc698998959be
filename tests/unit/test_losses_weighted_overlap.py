import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from course_utils.losses import (
    DiceLoss,
    WeightedCrossEntropy,
    dice_loss,
    tversky_loss,
    weighted_cross_entropy,
)

WEIGHTS = torch.tensor([1.0, 5.0, 10.0, 100.0], dtype=torch.float64)


@pytest.fixture
def pair():
    rng = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, 4, 6, 5, generator=rng, dtype=torch.float64)
    return logits, torch.randint(4, (3, 6, 5), generator=rng)


def test_normalized_by_weights_it_equals_torch_and_by_pixels_the_mean_over_pixels(pair):
    logits, target = pair
    torch.testing.assert_close(
        weighted_cross_entropy(logits, target, WEIGHTS, normalise="weights"),
        F.cross_entropy(logits, target, weight=WEIGHTS),
    )
    each = WEIGHTS[target] * F.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(weighted_cross_entropy(logits, target, WEIGHTS), each.mean())


def test_gradcheck_of_all(pair):
    logits, target = pair
    logits.requires_grad_()
    for normalise in ("pixels", "weights"):
        assert torch.autograd.gradcheck(
            lambda x, n=normalise: weighted_cross_entropy(x, target, WEIGHTS, normalise=n), logits
        )
    assert torch.autograd.gradcheck(lambda x: tversky_loss(x, target), logits)


def test_a_batch_whose_pixels_all_weigh_nothing_is_an_error_only_where_it_is_undefined(pair):
    logits, _ = pair
    target = torch.zeros(3, 6, 5, dtype=torch.long)
    no_background = torch.tensor([0.0, 1.0, 1.0, 1.0])
    assert weighted_cross_entropy(logits, target, no_background) == 0
    with pytest.raises(ValueError, match="every pixel of this batch weighs 0"):
        weighted_cross_entropy(logits, target, no_background, normalise="weights")


def test_weighted_module_equals_function_and_keeps_weights_as_a_buffer(pair):
    module = WeightedCrossEntropy(WEIGHTS, normalise="weights")
    assert "class_weights" in module.state_dict()
    torch.testing.assert_close(
        module(*pair), weighted_cross_entropy(*pair, WEIGHTS, normalise="weights")
    )


def half_right() -> tuple[torch.Tensor, torch.Tensor]:
    """Certain logits: tp 4, fp 2, fn 6, tn 4."""
    target = torch.zeros(1, 1, 4, 4)
    target.view(-1)[:10] = 1
    answer = torch.zeros(16)
    answer[:4] = 1
    answer[10:12] = 1
    return (200 * answer - 100).view(1, 1, 4, 4), target


def test_dice_and_tversky_loss_by_hand():
    loss = dice_loss(*half_right(), smooth=1e-9)
    assert loss.item() == pytest.approx(1 - 2 * 4 / (2 * 4 + 2 + 6), abs=1e-6)
    assert dice_loss(*half_right(), smooth=1).item() == pytest.approx(1 - 9 / 17, abs=1e-6)
    loss = tversky_loss(*half_right(), alpha=0.3, beta=0.7, smooth=1)
    assert loss.item() == pytest.approx(1 - 5 / (5 + 0.3 * 2 + 0.7 * 6), abs=1e-6)


@given(seed=st.integers(0, 10_000), classes=st.integers(1, 4))
def test_overlap_losses_lie_in_0_to_1(seed, classes):
    rng = torch.Generator().manual_seed(seed)
    logits = 50 * torch.randn(2, classes, 3, 3, generator=rng)
    if classes == 1:
        target = (torch.rand(2, 1, 3, 3, generator=rng) < 0.2).float()
    else:
        target = torch.randint(classes, (2, 3, 3), generator=rng)
    for loss in (dice_loss(logits, target), tversky_loss(logits, target)):
        assert 0 <= loss <= 1


def test_a_batch_without_defect_is_finite_and_pushes_false_positives_down():
    logits = torch.zeros(2, 1, 4, 4, requires_grad=True)
    dice_loss(logits, torch.zeros(2, 1, 4, 4)).backward()
    assert logits.grad is not None
    assert (logits.grad > 0).all()
    silent = torch.full((2, 1, 4, 4), -100.0)
    assert dice_loss(silent, torch.zeros(2, 1, 4, 4)) == 0


def test_only_on_request_does_the_background_take_part():
    logits = torch.full((1, 3, 4, 4), -100.0)
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    target[:, :2] = 1
    target[:, 2] = 2
    logits[:, 1] = 100  # calls all of it class 1: tp 8, fp 8; class 2: fn 4
    one, two, background = 1 - 16 / 24, 1.0, 1.0
    tiny = 1e-9
    assert dice_loss(logits, target, smooth=tiny).item() == pytest.approx((one + two) / 2)
    assert dice_loss(logits, target, smooth=tiny, background=True).item() == pytest.approx(
        (one + two + background) / 3
    )


def test_overlap_modules_equal_functions(pair):
    assert DiceLoss(smooth=2)(*pair) == dice_loss(*pair, smooth=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: weighted_cross_entropy(x, y, WEIGHTS, normalise="mean"), "one of"),
        (lambda x, y: tversky_loss(x, y, alpha=-1), "alpha must be"),
        (lambda x, y: tversky_loss(x, y, smooth=0), "0 / 0"),
        (lambda x, y: tversky_loss(x, y, alpha=0, beta=0), "0 / 0"),
        (lambda x, y: dice_loss(x, y.float()), "integer class indices"),
        (lambda x, y: dice_loss(x[:, :1], y), "same shape"),
    ],
)
def test_bad_input_is_refused_with_what_was_given(pair, call, message):
    with pytest.raises(ValueError, match=message):
        call(*pair)
