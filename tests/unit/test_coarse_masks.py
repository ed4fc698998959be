"""Masks of ellipses: what they hold, what they leave alone, and how large they are."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from course_utils.data import DefectDataset, EllipseMasks, Sample


class One:
    """A data set of one image with this mask."""

    class_names = ("background", "scratch", "dent")
    channels = 1
    split_note = "There is one image."

    def __init__(self, mask):
        mask = torch.as_tensor(mask, dtype=torch.long)
        self.sample = Sample(torch.rand(1, *mask.shape), mask, int(mask.max()), "group", "name")

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return [self.sample][index]


def coarse(mask):
    return EllipseMasks(One(mask))[0].mask


@settings(max_examples=60, deadline=None)
@given(mask=arrays(np.int64, (12, 16), elements=st.sampled_from([0] * 8 + [1, 2])))
def test_every_pixel_of_a_defect_stays_one_and_no_class_is_new(mask):
    grown = coarse(mask)
    assert (grown.dtype, tuple(grown.shape)) == (torch.int64, mask.shape)
    assert (grown.numpy()[mask > 0] > 0).all()
    assert set(np.unique(grown)) <= set(np.unique(mask)) | {0}


def test_a_good_image_stays_empty():
    assert not coarse(np.zeros((8, 8))).any()


def test_all_but_the_mask_is_as_it_was():
    data = One(np.eye(9))
    kept = data.sample.mask.clone()
    grown = EllipseMasks(data)
    assert isinstance(grown, DefectDataset)
    assert (grown.class_names, grown.channels, grown.split_note, len(grown)) == (
        One.class_names, 1, One.split_note, 1,
    )  # fmt: skip
    assert grown[0].image is data.sample.image
    assert grown[0][2:] == data.sample[2:]
    assert torch.equal(data.sample.mask, kept)


def test_a_full_rectangle_gets_the_ellipse_through_its_corners():
    """The smallest ellipse around a rectangle has pi / 2 times its area."""
    mask = np.zeros((200, 300))
    mask[60:140, 50:250] = 1
    grown = coarse(mask)
    assert int(grown.sum()) == pytest.approx(80 * 200 * math.pi / 2, rel=0.02)
    assert grown[100, 20] == 1, "sqrt(2) times as long as the rectangle"
    assert grown[100, 5] == 0
    assert grown[62, 20] == 0, "not a rectangle"


def test_an_ellipse_lies_along_a_slanted_scratch():
    mask = np.zeros((120, 120), np.uint8)
    cv2.line(mask, (20, 20), (100, 100), 1, 3)
    grown = coarse(mask)
    assert grown[60, 60] == 1
    assert grown[80, 40] == grown[40, 80] == 0
    assert mask.sum() < grown.sum() < 5 * mask.sum(), "that of a straight box would be 25 times"


def test_defects_apart_get_ellipses_of_their_own_and_touching_corners_join():
    mask = np.zeros((40, 80))
    mask[10:20, 10:20] = mask[10:20, 60:70] = 1
    assert not coarse(mask)[:, 35:45].any()
    corners = np.zeros((40, 40))
    corners[10:18, 10:18] = corners[18:26, 18:26] = 1
    apart = corners.copy()
    apart[18:26, 18:26] = 2
    joined, two = coarse(corners), coarse(apart)
    assert set(two.unique().tolist()) == {0, 1, 2}, "classes are never joined"
    assert cv2.connectedComponents((joined > 0).numpy().astype(np.uint8))[0] == 2
    assert joined[14, 20] == 1, "one ellipse along both"
    assert two[14, 20] == 0


def test_where_two_classes_meet_the_smaller_ellipse_lies_on_top():
    mask = np.zeros((60, 60))
    mask[10:50, 10:50] = 1
    mask[28:32, 28:32] = 2
    grown = coarse(mask)
    assert (grown[28:32, 28:32] == 2).all()
    assert grown[12, 12] == 1
