import pytest
import torch
from torch import nn

from course_utils.models.blocks import init_prior_bias


@pytest.mark.parametrize("prior", [0.5, 0.01, 1e-6, 0.999])
@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_without_a_signal_defects_have_the_prior(prior, outputs):
    head = nn.Conv2d(3, outputs, 1)
    init_prior_bias(head, prior)
    logits = head(torch.zeros(1, 3, 1, 1)).flatten().double().detach()
    defects = logits.sigmoid() if outputs == 1 else logits.softmax(0)[1:]
    assert defects.sum().item() == pytest.approx(prior, rel=1e-4)
    assert defects.max().item() == pytest.approx(defects.min().item())


def test_weights_stay_and_the_bias_learns():
    head = nn.Conv2d(3, 2, 1)
    before = head.weight.clone()
    init_prior_bias(head, 0.1)
    assert torch.equal(head.weight, before)
    head(torch.zeros(1, 3, 1, 1)).softmax(1)[:, 1].sum().backward()
    assert head.bias.grad.any()


def test_the_bias_keeps_the_type_and_the_device_of_the_layer():
    head = nn.Conv2d(1, 2, 1, dtype=torch.float64, device="meta")
    init_prior_bias(head, 0.1)
    assert (head.bias.dtype, head.bias.device.type) == (torch.float64, "meta")


@pytest.mark.parametrize("prior", [0, 1, -0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(prior):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        init_prior_bias(nn.Conv2d(1, 1, 1), prior)
