"""The blocks of the networks: convolutions, start values, standardized images."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_utils.models.blocks import he_normal, init_prior_bias, standardize, up_convolution


def test_weights_start_as_a_normal_truncated_at_two_deviations():
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 200, 3)
    he_normal(layer)
    wanted = math.sqrt(2 / (64 * 9))
    weights = layer.weight.detach().flatten()
    assert weights.std().item() == pytest.approx(wanted, rel=0.01)
    assert weights.mean().item() == pytest.approx(0, abs=0.01 * wanted)
    # A normal of std s has std .8796 s once it is truncated at 2 s.
    cut = 2 * wanted / 0.8796256610342398
    assert 0.98 * cut < weights.abs().max().item() <= cut * (1 + 1e-6)
    # Of a whole normal, 68.3 % lie within one deviation; of a truncated one, 71.5 %.
    assert (weights.abs() < cut / 2).float().mean().item() == pytest.approx(0.7152, abs=0.005)
    assert not layer.bias.any()


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_a_two_by_two_convolution_pads_right_and_bottom_only():
    torch.manual_seed(0)
    up = up_convolution(3, 2, normalize=False)
    convolution = next(m for m in up if isinstance(m, nn.Conv2d))
    x = torch.randn(2, 3, 5, 6)
    large = F.interpolate(x, scale_factor=2)
    wanted = F.relu(F.conv2d(large, convolution.weight, convolution.bias, padding="same"))
    assert up(x).shape == (2, 2, 10, 12)
    torch.testing.assert_close(up(x), wanted)
    with torch.no_grad():
        convolution.weight.fill_(1.0)
        convolution.bias.zero_()
    assert up(torch.ones(1, 3, 1, 1))[0, 0].tolist() == [[12, 6], [6, 3]]


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


def test_each_image_by_itself_gets_mean_0_and_std_1():
    torch.manual_seed(0)
    images = torch.rand(3, 2, 16, 16) * torch.tensor([0.3, 1, 5]).view(3, 1, 1, 1) + 4
    found = standardize(images)
    assert found.shape == images.shape
    assert found.mean(dim=(1, 2, 3)).abs().max() < 1e-5
    stds = images.flatten(1).std(1)
    torch.testing.assert_close(found.flatten(1).std(1), stds / (stds + 0.01))
    torch.testing.assert_close(found[:1], standardize(images[:1]))


def test_channels_keep_their_relation():
    image = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)]).unsqueeze(0)
    found = standardize(image)
    assert (found[0, 1] > 0.9).all()
    assert (found[0, 0] < -0.9).all()


@given(level=st.floats(0, 1), shift=st.floats(-2, 2))
def test_a_plain_image_becomes_0_and_an_offset_does_not_matter(level, shift):
    assert standardize(torch.full((1, 1, 4, 4), level)).abs().max() < 1e-4
    image = torch.linspace(0, 1, 16).reshape(1, 1, 4, 4)
    torch.testing.assert_close(standardize(image + shift), standardize(image), rtol=0, atol=1e-4)
