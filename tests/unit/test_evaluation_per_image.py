"""The image score against sorting, and a row of the table worked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.evaluation import ImageRow, image_score, per_image_table


@given(seed=st.integers(0, 1000), top=st.integers(1, 48))
def test_it_is_the_mean_of_the_largest(seed, top):
    images = np.random.default_rng(seed).random((3, 6, 8))
    wanted = [np.mean(sorted(image.ravel().tolist())[-top:]) for image in images]
    np.testing.assert_allclose(image_score(images, top=top), wanted)


def test_a_hundred_pixels_are_the_default():
    image = torch.zeros(1, 1, 20, 20)
    image[0, 0, 0, :5] = 1
    assert image_score(image).tolist() == [0.05]


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


# The table


def test_the_table_has_one_row_for_each_image():
    target = [np.array([[1, 1, 1, 0, 0]]), np.zeros((2, 2), dtype=int)]
    pred = [np.array([[0, 0, 1, 1, 0]]), np.zeros((2, 2), dtype=int)]
    rows = per_image_table(["a", "b"], torch.tensor([2, 0]), [0.9, 0.25], pred, target, empty=0.5)
    assert rows[0] == ImageRow("a", 2, 0.9, 0.25, 0.4, 2, 1)
    assert rows[1] == ImageRow("b", 0, 0.25, 0.5, 0.5, 0, 0)


@pytest.mark.parametrize(
    ("names", "labels", "message"),
    [
        (["a"], [0, 1], "names 1, labels 2, scores 2, pred 2"),
        (["a", "b"], [0, -1], "whole numbers"),
        (["a", "b"], [0, 0.5], "whole numbers"),
    ],
)
def test_the_table_wants_one_entry_for_each_image(names, labels, message):
    masks = np.zeros((2, 2, 2))
    with pytest.raises(ValueError, match=message):
        per_image_table(names, labels, [0.1, 0.2], masks, masks)
