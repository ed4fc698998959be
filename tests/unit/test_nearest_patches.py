"""Nearest patches: a distance to normal images that finds what they do not show."""

import copy
from functools import cache

import pytest
import torch

from course_utils.models import NearestPatches
from course_utils.models.encoders import ENCODERS


@pytest.fixture(scope="module")
def stripes():
    """Normal images: stripes, shifted; and one with a square in it."""
    ramp = torch.arange(128)
    images = torch.stack(
        [((ramp + shift) // 8 % 2).float().expand(1, 128, 128) for shift in range(0, 8, 2)]
    )
    spoiled = images[:1].clone()
    spoiled[..., 40:72, 64:96] = 0.5
    return images, spoiled


@cache
def _empty(**options) -> NearestPatches:
    return NearestPatches(weights="offline", **options)


def filled(images, **options) -> NearestPatches:
    detector = copy.deepcopy(_empty(**options))
    detector.fill(images, generator=torch.Generator().manual_seed(0))
    return detector


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_normal_images_do_not_show_is_far(stripes, encoder):
    images, spoiled = stripes
    distances = filled(images, encoder=encoder)(spoiled)[0]
    inside = torch.zeros(128, 128, dtype=torch.bool)
    inside[40:72, 64:96] = True
    assert distances[inside].median() > 3 * distances[~inside].median()
    row, column = divmod(int(distances.argmax()), 128)
    assert 40 <= row < 72
    assert 64 <= column < 96


def test_no_image_has_no_map(stripes):
    images, _ = stripes
    assert filled(images)(images[:0]).shape == (0, *images.shape[2:])


def test_a_list_of_images_fills_it_as_a_batch_does(stripes):
    images = torch.cat([stripes[0]] * 3)[:11]  # more than are taken at a time
    batch, one_by_one = filled(images, patches=100), filled(list(images), patches=100)
    assert torch.equal(one_by_one.patches, batch.patches)


def test_an_image_it_knows_is_at_no_distance(stripes):
    images, _ = stripes
    # cdist expands |a - b|^2, so a distance of 0 comes out as the rounding of features of size 50.
    assert filled(images, blur=0)(images).max() < 0.05 * filled(images[:1], blur=0)(images).max()


def test_the_distance_is_that_of_the_definition(stripes):
    images, spoiled = stripes
    detector = filled(images, patches=50, blur=0)
    features = detector._features(spoiled)[0]  # (C, 16, 16)
    slow = torch.stack(
        [
            torch.stack(
                [(patch - features[:, y, x]).square().sum().sqrt() for patch in detector.patches]
            ).min()
            for y in range(16)
            for x in range(16)
        ]
    ).view(1, 1, 16, 16)
    wanted = torch.nn.functional.interpolate(slow, size=(128, 128), mode="bilinear")
    torch.testing.assert_close(detector(spoiled), wanted[:, 0], rtol=1e-3, atol=1e-2)


def test_it_keeps_as_many_patches_as_asked_and_the_generator_draws_them(stripes):
    images, _ = stripes
    first, again = filled(images, patches=70), filled(images, patches=70)
    assert first.patches.shape == (70, 40 + 112)
    assert torch.equal(first.patches, again.patches)
    assert filled(images[:1], encoder="resnet18").patches.shape == (256, 128 + 256)


def test_its_patches_are_saved_with_it_and_it_never_trains(stripes):
    images, _ = stripes
    detector = filled(images, patches=70).train()
    assert not any(module.training for module in detector.modules())
    assert not any(p.requires_grad for p in detector.parameters())
    other = NearestPatches(weights=None)
    other.load_state_dict(detector.state_dict())
    assert torch.equal(other(images[:1]), detector(images[:1]))


def test_misuse_is_named():
    detector = NearestPatches(weights=None)
    with pytest.raises(RuntimeError, match="there are no patches: call fill"):
        detector(torch.rand(1, 3, 64, 64))
    with pytest.raises(ValueError, match="at least one normal image"):
        detector.fill(torch.rand(0, 3, 64, 64))
    with pytest.raises(ValueError, match="patches must be at least 1 and blur at least 0, got 0"):
        NearestPatches(weights=None, patches=0)
