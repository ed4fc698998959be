import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from course_utils.losses import (
    BinaryFocalLoss,
    SoftmaxFocalLoss,
    binary_focal_loss,
    softmax_focal_loss,
    weighted_cross_entropy,
)

WORKED = [  # target, p(defect), (1 - p_t)^2, cross entropy, focal without alpha, with alpha .25
    (1, 0.97, 0.0009, 0.0305, 2.74e-5, 6.85e-6),
    (1, 0.30, 0.49, 1.2040, 0.5899, 0.1475),
    (0, 0.80, 0.64, 1.6094, 1.0300, 0.7725),
    (0, 0.10, 0.01, 0.1054, 0.00105, 0.00079),
    (1, 0.50, 0.25, 0.6931, 0.1733, 0.0433),
]


def random_pair(seed: int = 0, classes: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(3, classes, 5, 7, generator=rng, dtype=torch.float64)
    if classes == 1:
        return logits, (torch.rand(3, 1, 5, 7, generator=rng) < 0.3).double()
    return logits, torch.randint(classes, (3, 5, 7), generator=rng)


def gradient(loss_function, logits: torch.Tensor) -> torch.Tensor:
    logits = logits.detach().clone().requires_grad_()
    return torch.autograd.grad(loss_function(logits), logits)[0]


@pytest.mark.parametrize(("y", "p", "weight", "ce", "focal", "with_alpha"), WORKED)
def test_the_worked_table(y, p, weight, ce, focal, with_alpha):
    logit = torch.tensor([p], dtype=torch.float64).logit()
    target = torch.tensor([y])
    # alpha = .5 halves both classes alike: twice that is the loss without alpha
    cross_entropy = 2 * binary_focal_loss(logit, target, alpha=0.5, gamma=0)
    without_alpha = 2 * binary_focal_loss(logit, target, alpha=0.5, gamma=2)
    assert cross_entropy.item() == pytest.approx(ce, abs=5e-5)
    assert without_alpha.item() == pytest.approx(focal, rel=6e-3)
    assert (without_alpha / cross_entropy).item() == pytest.approx(weight, rel=1e-9)
    published = binary_focal_loss(logit, target, alpha=0.25, gamma=2)
    assert published.item() == pytest.approx(with_alpha, rel=6e-3)


@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_binary_focal_equals_torchvision_in_value_and_gradient(alpha, gamma):
    logits, target = random_pair()

    def theirs(x):
        return sigmoid_focal_loss(x, target, alpha=alpha, gamma=gamma, reduction="mean")

    def ours(x):
        return binary_focal_loss(x, target, alpha=alpha, gamma=gamma)

    torch.testing.assert_close(ours(logits), theirs(logits))
    torch.testing.assert_close(gradient(ours, logits), gradient(theirs, logits))


def test_binary_focal_of_soft_targets_with_gamma_zero_equals_bce():
    logits, _ = random_pair()
    target = torch.rand(logits.shape, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(
        binary_focal_loss(logits, target, alpha=0.5, gamma=0),
        0.5 * F.binary_cross_entropy_with_logits(logits, target),
    )


@pytest.mark.parametrize("weights", [None, torch.tensor([0.1, 1.0, 3.0, 9.0])])
def test_softmax_gamma_zero_equals_weighted_cross_entropy_in_value_and_gradient(weights):
    logits, target = random_pair(classes=4)
    uniform = torch.ones(4) if weights is None else weights

    def focal(x):
        return softmax_focal_loss(x, target, gamma=0, class_weights=weights)

    def cross_entropy(x):
        return weighted_cross_entropy(x, target, uniform)

    torch.testing.assert_close(focal(logits), cross_entropy(logits))
    torch.testing.assert_close(gradient(focal, logits), gradient(cross_entropy, logits))


def test_softmax_focal_equals_the_loop_over_pixels():
    logits, target = random_pair(classes=3)
    weights = torch.tensor([0.5, 2.0, 7.0], dtype=torch.float64)
    total = 0.0
    p = logits.softmax(1)
    for n in range(3):
        for i in range(5):
            for j in range(7):
                y = target[n, i, j]
                total += -weights[y] * (1 - p[n, y, i, j]) ** 2 * p[n, y, i, j].log()
    ours = softmax_focal_loss(logits, target, gamma=2, class_weights=weights)
    torch.testing.assert_close(ours, total / target.numel())


@given(margin=st.floats(-30, 30), gamma=st.floats(0, 5), y=st.integers(0, 1))
def test_two_class_softmax_focal_equals_twice_the_binary_focal_of_the_margin(margin, gamma, y):
    two = softmax_focal_loss(
        torch.tensor([[0.0, margin]], dtype=torch.float64), torch.tensor([y]), gamma=gamma
    )
    one = binary_focal_loss(
        torch.tensor([margin], dtype=torch.float64), torch.tensor([y]), alpha=0.5, gamma=gamma
    )
    torch.testing.assert_close(two, 2 * one, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("size", [20.0, 100.0])
def test_at_huge_logits_the_loss_is_finite_and_wrong_pixels_still_pull(gamma, size):
    wrong = torch.tensor([[[[-size]]], [[[size]]]])
    target = torch.tensor([[[[1.0]]], [[[0.0]]]])
    assert torch.isfinite(binary_focal_loss(wrong, target, gamma=gamma))
    pull = gradient(lambda x: binary_focal_loss(x, target, gamma=gamma, reduction="sum"), wrong)
    torch.testing.assert_close(pull.flatten(), torch.tensor([-0.25, 0.75]), rtol=1e-4, atol=0)

    logits = torch.tensor([[size, -size]])
    pull = gradient(lambda x: softmax_focal_loss(x, torch.tensor([1]), gamma=gamma), logits)
    torch.testing.assert_close(pull, torch.tensor([[1.0, -1.0]]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_at_huge_logits_right_pixels_have_finite_gradients(gamma):
    logits = torch.tensor([[100.0, -100.0]])
    assert torch.isfinite(
        gradient(lambda x: softmax_focal_loss(x, torch.tensor([0]), gamma=gamma), logits)
    ).all()
    one = torch.tensor([100.0])
    assert torch.isfinite(gradient(lambda x: binary_focal_loss(x, one / 100, gamma=gamma), one))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.75, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_finite_logit_gives_a_gradient_that_is_not_a_number(gamma, alpha, dtype):
    for share in (1.0, 0.5, 1e-10, 1e-20, 1e-35):
        size = share * torch.finfo(dtype).max
        logits = size * torch.tensor([1.0, 1.0, -1.0, -1.0, 0.0], dtype=dtype)
        for target in (torch.tensor([0.0, 1.0] * 2 + [0.5]), torch.full((5,), 0.3)):
            pull = gradient(
                lambda x, y=target: binary_focal_loss(x, y, gamma=gamma, alpha=alpha), logits
            )
            assert pull.isfinite().all()
        pairs = size * torch.tensor([[0.0, 1], [-1, 1], [1, 0], [1, -1], [1, 1]], dtype=dtype)
        pull = gradient(
            lambda x: softmax_focal_loss(
                x, torch.zeros(5, dtype=torch.long), gamma=gamma, reduction="sum"
            ),
            pairs,
        )
        assert pull.isfinite().all()
        if size > 1e10:  # what is hopeless is pulled as cross entropy pulls, what is right not
            wanted = torch.tensor([[-1.0, 1], [-1, 1], [0, 0], [0, 0]], dtype=dtype)
            torch.testing.assert_close(pull[:4], wanted)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradcheck(gamma):
    logits, target = random_pair()
    assert torch.autograd.gradcheck(
        lambda x: binary_focal_loss(x, target, gamma=gamma), logits.requires_grad_()
    )
    logits, target = random_pair(classes=3)
    weights = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: softmax_focal_loss(x, target, gamma=gamma, class_weights=weights),
        logits.requires_grad_(),
    )


def test_reductions_agree():
    logits, target = random_pair()
    each = binary_focal_loss(logits, target, reduction="none")
    assert each.shape == logits.shape
    torch.testing.assert_close(binary_focal_loss(logits, target), each.mean())
    torch.testing.assert_close(binary_focal_loss(logits, target, reduction="sum"), each.sum())
    logits, target = random_pair(classes=3)
    assert softmax_focal_loss(logits, target, reduction="none").shape == target.shape


def test_modules_equal_functions_and_keep_weights_as_a_buffer():
    logits, target = random_pair()
    assert BinaryFocalLoss(alpha=0.7, gamma=3)(logits, target) == binary_focal_loss(
        logits, target, alpha=0.7, gamma=3
    )
    logits, target = random_pair(classes=3)
    module = SoftmaxFocalLoss(gamma=1, class_weights=torch.tensor([1.0, 2.0, 3.0]))
    assert module.double().state_dict()["class_weights"].dtype == torch.float64
    assert module(logits, target) == softmax_focal_loss(
        logits, target, gamma=1, class_weights=torch.tensor([1.0, 2.0, 3.0]).double()
    )


BINARY = torch.zeros(2, 1, 4, 4)
CLASSES, INDICES = torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long)


def weighted(*weights: float) -> torch.Tensor:
    return softmax_focal_loss(CLASSES, INDICES, class_weights=torch.tensor(weights))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: binary_focal_loss(BINARY, BINARY[:, 0]), "same shape"),
        (lambda: binary_focal_loss(BINARY, BINARY + 255), r"\[0, 1\], got 255..255"),
        (lambda: binary_focal_loss(BINARY.long(), BINARY), "floating point"),
        (lambda: binary_focal_loss(BINARY * float("nan"), BINARY), "finite"),
        (lambda: binary_focal_loss(BINARY, BINARY, alpha=1.5), "alpha must be in"),
        (lambda: binary_focal_loss(BINARY, BINARY, gamma=-1), "gamma must be"),
        (lambda: binary_focal_loss(BINARY, BINARY, gamma=float("nan")), "gamma must be"),
        (lambda: binary_focal_loss(BINARY, BINARY, reduction="avg"), "reduction must be"),
        (lambda: binary_focal_loss(BINARY[:0], BINARY[:0]), "empty batch"),
        (lambda: softmax_focal_loss(BINARY, INDICES), "C >= 2"),
        (lambda: softmax_focal_loss(CLASSES, INDICES[:, :2]), "target must be"),
        (lambda: softmax_focal_loss(CLASSES, INDICES.float()), "threshold a soft mask"),
        (lambda: softmax_focal_loss(CLASSES, INDICES + 3), "0..2, got 3..3"),
        (lambda: softmax_focal_loss(CLASSES, INDICES - 1), "0..2, got -1..-1"),
        (lambda: weighted(1, 1), "each of the 3 classes"),
        (lambda: weighted(1, 1, -1), ">= 0"),
        (lambda: weighted(1, 1, float("inf")), "finite"),
    ],
)
def test_bad_input_is_refused_with_what_was_given(call, message):
    with pytest.raises(ValueError, match=message):
        call()
