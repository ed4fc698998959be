"""Built twice, proven equal: a difference in value or gradient is never overlooked."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from course_utils.lessons import prove_equal

X = torch.tensor([0.5, -1.0, 2.0])


def test_equal_functions_are_said_to_be_equal_without_unstable_digits(capsys):
    prove_equal(lambda x: x.exp().log1p(), functional.softplus, X)
    assert capsys.readouterr().out == "✔ softplus: equal in value and gradient (tolerance 1e-06)\n"


def test_modules_and_arguments_without_gradient_are_taken(capsys):
    target = torch.tensor([1, 0])
    logits = torch.tensor([[0.2, 1.0], [0.4, -1.0]])
    prove_equal(
        lambda x, y: -x.log_softmax(1)[torch.arange(2), y].mean(),
        nn.CrossEntropyLoss(),
        logits,
        target,
    )
    assert "CrossEntropyLoss" in capsys.readouterr().out
    assert not logits.requires_grad


def test_functions_of_integers_are_compared_in_value_only(capsys):
    prove_equal(lambda x: x + x, lambda x: 2 * x, torch.tensor([1, 2]))
    assert "equal in value (" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        (lambda x: x * x + 1e-3, "the values differ by up to 0.001"),
        (lambda x: x * x.detach(), "the gradients for argument 1 differ"),
        (lambda x: (x * x).detach(), "from scratch has no gradient"),
        (lambda x: (x * x)[:2], "differ in shape"),
        (lambda x: x * x * float("nan"), "the values differ"),
        # right values; the gradients go to the wrong elements and only their sum is right
        (lambda x: (x * x).detach() + (y := (x * x).flip(0)) - y.detach(), "the gradients"),
    ],
)
def test_any_difference_is_an_assertion_error(ours, said):
    with pytest.raises(AssertionError, match=said):
        prove_equal(ours, torch.square, X)


def test_what_returns_no_tensor_is_named_and_the_arguments_are_left_alone():
    with pytest.raises(TypeError, match="must return a tensor, got float"):
        prove_equal(lambda x: 1.0, torch.square, X)
    x = X.clone().requires_grad_()
    prove_equal(lambda x: x * x, torch.square, x)
    assert x.grad is None
