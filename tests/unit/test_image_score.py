"""The image score against sorting."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.evaluation import image_score


@given(seed=st.integers(0, 1000), top=st.integers(1, 48))
def test_it_is_the_mean_of_the_largest(seed, top):
    images = np.random.default_rng(seed).random((3, 6, 8))
    wanted = [np.mean(sorted(image.ravel().tolist())[-top:]) for image in images]
    np.testing.assert_allclose(image_score(images, top=top), wanted)


def test_a_hundred_pixels_are_the_default():
    image = torch.zeros(1, 1, 20, 20)
    image[0, 0, 0, :5] = 1
    assert image_score(image).tolist() == [0.05]


def test_one_pixel_is_the_maximum_and_all_are_the_mean():
    images = np.random.default_rng(0).random((4, 10, 10))
    np.testing.assert_array_equal(image_score(images, top=1), images.max(axis=(1, 2)))
    np.testing.assert_allclose(image_score(images, top=100), images.mean(axis=(1, 2)))


def test_the_order_of_pixels_does_not_count():
    image = np.random.default_rng(0).random((1, 12, 12))
    assert image_score(image) == image_score(image[:, ::-1, ::-1])


def test_images_may_differ_in_size_and_precision():
    images = [torch.full((10, 10), 0.5, dtype=torch.bfloat16), torch.full((20, 10), 0.25)]
    assert image_score(images).tolist() == [0.5, 0.25]
    assert image_score(images[1]).tolist() == [0.25]


@pytest.mark.parametrize(
    ("images", "top", "problem"),
    [
        (np.zeros((2, 9, 9)), 100, r"1\.\.81"),
        (np.zeros((2, 9, 9)), 0, r"1\.\.81"),
        (np.full((1, 10, 10), np.nan), 100, "finite"),
        (np.zeros(100), 100, r"\(H, W\)"),
        (np.zeros((1, 2, 10, 10)), 100, r"\(H, W\)"),
    ],
)
def test_what_cannot_be_is_refused(images, top, problem):
    with pytest.raises(ValueError, match=problem):
        image_score(images, top=top)


def test_the_input_is_left_as_it_is():
    images = np.random.default_rng(0).random((2, 10, 10))
    before = images.copy()
    image_score(images, top=7)
    np.testing.assert_array_equal(images, before)
