import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.models.blocks import standardize


def test_each_image_by_itself_gets_mean_0_and_spread_1():
    torch.manual_seed(0)
    images = torch.rand(3, 2, 16, 16) * torch.tensor([0.3, 1, 5]).view(3, 1, 1, 1) + 4
    found = standardize(images)
    assert found.shape == images.shape
    assert found.mean(dim=(1, 2, 3)).abs().max() < 1e-5
    spreads = images.flatten(1).std(1)
    torch.testing.assert_close(found.flatten(1).std(1), spreads / (spreads + 0.01))
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
