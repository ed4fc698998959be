"""Receptive fields, effective and possible, against intervals worked out by hand."""

import pytest
import torch
from network_facts import same, state
from torch import nn

from course_utils.models.casae import SegmentationAutoencoder
from course_utils.models.receptive_field import effective_receptive_field, receptive_field_side
from course_utils.models.small import SmallSegmenter
from course_utils.models.unet import UNet


def unet_side(depth):
    """The largest box of a U-Net, backwards from the output, worked out on paper.

    Two 3x3 convolutions read 4 pixels more, the 2x2 convolution 1 more. n neighboring pixels of
    an enlarged map come from n // 2 + 1 of the small one, if they lie badly; pooled ones from 2 n.
    """
    side = 1
    for _ in range(depth):
        side = (side + 4 + 1) // 2 + 1
    side += 4
    for _ in range(depth):
        side = 2 * side + 4
    return side


@pytest.mark.parametrize(("depth", "side"), [(1, 20), (2, 48), (3, 108), (4, 220)])
def test_the_field_of_a_unet_is_that_of_its_formula(depth, side):
    model = UNet(1, 1, width=2, depth=depth)
    assert receptive_field_side(model, height=2 * side + 32 - 2 * side % 16) == side
    assert unet_side(depth) == side


def test_skips_and_valid_padding_do_not_change_the_field():
    assert receptive_field_side(UNet(1, 1, width=2, depth=2, skips=False), height=128) == 48
    valid = UNet(1, 1, width=2, depth=2, padding="valid")
    assert receptive_field_side(valid, height=180, width=60) == 48


def test_the_field_of_the_small_segmenter_is_as_documented():
    # Two half-size pixels of the bilinear enlargement, 2 x (1 + 2 + 4 + 8 + 1) around them, and
    # a 3x3 convolution with stride 2 before: (2 + 2 x 16 - 1) x 2 + 3.
    assert receptive_field_side(SmallSegmenter(width=2), height=160) == 69


def test_dilation_widens_the_field():
    plain = SegmentationAutoencoder(1, 2, width=2, atrous=False)
    atrous = SegmentationAutoencoder(1, 2, width=2)
    assert receptive_field_side(plain, height=512) == 220
    # Layers 3, 5, 7, 9 at a half, a quarter ... of the size: 2 x (1 x 2 + 1 x 4 + 3 x 8 + 3 x 16).
    assert receptive_field_side(atrous, height=768) == 220 + 2 * (2 + 4 + 3 * 8 + 3 * 16)


def test_the_field_belongs_to_the_architecture_and_leaves_the_network_alone():
    model = UNet(1, 1, width=2, depth=1)
    with torch.no_grad():
        for weights in model.parameters():
            weights.zero_()
    assert receptive_field_side(model, height=64) == 20
    assert all(not weights.any() for weights in model.parameters())
    assert isinstance(model.pool, nn.MaxPool2d)
    assert model.training


def test_a_field_that_may_be_cut_and_dilated_pooling_are_refused():
    with pytest.raises(ValueError, match="larger height"):
        receptive_field_side(UNet(1, 1, width=2, depth=2), height=48)
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2, 1, dilation=4))
    with pytest.raises(ValueError, match="max-pooling with dilation cannot be measured"):
        receptive_field_side(model, height=64)


def test_the_effective_field_is_the_size_of_the_weights_of_a_single_convolution():
    layer = nn.Conv2d(2, 3, kernel_size=3, padding=1)
    found = effective_receptive_field(layer, torch.rand(2, 9, 9), (4, 5), output=1)
    wanted = torch.zeros(9, 9)
    wanted[3:6, 4:7] = layer.weight[1].detach().abs().sum(dim=0)
    torch.testing.assert_close(found, wanted)


def test_the_effective_field_agrees_with_moving_each_pixel():
    torch.manual_seed(0)
    model = UNet(1, 1, width=2, depth=1, standardize_input=False).double().eval()
    image = torch.rand(1, 8, 8, dtype=torch.float64)
    found = effective_receptive_field(model, image, (3, 4))
    slow = torch.zeros(8, 8, dtype=torch.float64)
    with torch.no_grad():
        for row in range(8):
            for column in range(8):
                step = torch.zeros_like(image)
                step[0, row, column] = 1e-6
                moved = model((image + step)[None]) - model((image - step)[None])
                slow[row, column] = moved[0, 0, 3, 4].abs() / 2e-6
    torch.testing.assert_close(found, slow, rtol=1e-5, atol=1e-8)


def test_the_effective_field_stays_inside_the_field_in_spite_of_standardized_images():
    torch.manual_seed(0)
    found = effective_receptive_field(UNet(1, 1, width=4, depth=1), torch.rand(1, 64, 64), (32, 32))
    rows = found.any(dim=1).nonzero()
    assert 1 < int(rows.max() - rows.min()) + 1 <= 20


def test_measuring_it_leaves_the_network_alone():
    model = UNet(1, 1, width=2, depth=1)
    before = state(model)
    effective_receptive_field(model, torch.rand(1, 16, 16), (3, 3))
    assert model.training
    assert all(weights.grad is None for weights in model.parameters())
    assert same(before, state(model))
    assert not any(module._forward_pre_hooks for module in model.modules())


class Shortcut(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 1)

    def forward(self, image):
        return self.convolution(image) + image


@pytest.mark.parametrize(
    ("model", "image", "pixel", "said"),
    [
        (nn.Conv2d(1, 1, 3), torch.rand(1, 1, 5, 5), (0, 0), r"image must be \(C, H, W\)"),
        (nn.Conv2d(1, 1, 3), torch.rand(1, 5, 5), (3, 0), "1 logits for each of 3 x 3 pixels"),
        (nn.Identity(), torch.rand(1, 5, 5), (3, 0), "no convolution"),
        (Shortcut(), torch.rand(1, 5, 5), (3, 0), "another way from the image"),
    ],
)
def test_what_cannot_be_measured_is_refused(model, image, pixel, said):
    with pytest.raises(ValueError, match=said):
        effective_receptive_field(model, image, pixel)
