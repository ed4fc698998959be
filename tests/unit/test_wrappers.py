"""Data sets made of other data sets: binary masks, ellipses, some samples held in memory, parts."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.utils.data import DataLoader

from course_utils.data import (
    BinaryMasks,
    CachedDataset,
    DefectDataset,
    EllipseMasks,
    Sample,
    Subset,
    TransformedDataset,
)


class FourClasses:
    """Four images; image i has a row of i pixels of class i."""

    class_names = ("background", "a", "b", "c")
    channels = 1
    split_note = "Made for this test."

    def __init__(self):
        self.samples = [self._make(index) for index in range(4)]
        self.reads = []

    def _make(self, index):
        mask = torch.zeros(4, 4, dtype=torch.long)
        mask[index, :index] = index
        return Sample(torch.full((1, 4, 4), index / 4), mask, index, f"g{index}", f"n{index}")

    def __len__(self):
        return 4

    def __getitem__(self, index):
        self.reads.append(index)
        return self.samples[index]


@pytest.mark.parametrize(
    ("wrap", "class_names"),
    [
        (BinaryMasks, ("background", "defect")),
        (EllipseMasks, FourClasses.class_names),
        (TransformedDataset, FourClasses.class_names),
        (CachedDataset, FourClasses.class_names),
        (lambda data: Subset([data]), FourClasses.class_names),
    ],
)
def test_it_says_of_itself_what_its_data_set_says_and_leaves_that_as_it_is(wrap, class_names):
    data, plain = FourClasses(), FourClasses().samples
    wrapped = wrap(data)
    assert isinstance(wrapped, DefectDataset)
    assert (len(wrapped), wrapped.channels, tuple(wrapped.class_names)) == (4, 1, class_names)
    assert wrapped.split_note == "Made for this test."
    batch = next(iter(DataLoader(wrapped, batch_size=4)))
    assert isinstance(batch, Sample)
    assert list(batch.name) == ["n0", "n1", "n2", "n3"]
    assert list(batch.group) == ["g0", "g1", "g2", "g3"]
    for kept, sample in zip(data.samples, plain, strict=True):
        assert torch.equal(kept.mask, sample.mask)
        assert torch.equal(kept.image, sample.image)


def test_every_class_of_defect_becomes_1():
    plain, merged = FourClasses(), BinaryMasks(FourClasses())
    for index, found in enumerate(merged[i] for i in range(4)):
        assert found.mask.dtype == torch.long
        assert torch.equal(found.mask, (plain[index].mask > 0).long())
        assert torch.equal(found.image, plain[index].image)
        assert found.label == int(index > 0)
        assert type(found.label) is int


class One(FourClasses):
    """A data set of one image with this mask."""

    def __init__(self, mask):
        mask = torch.as_tensor(mask, dtype=torch.long)
        self.samples = [Sample(torch.rand(1, *mask.shape), mask, int(mask.max()), "g", "name")]
        self.reads = []

    def __len__(self):
        return 1


def coarse(mask):
    return EllipseMasks(One(mask))[0].mask


@settings(max_examples=60, deadline=None)
@given(mask=arrays(np.int64, (12, 16), elements=st.sampled_from([0] * 8 + [1, 2])))
@example(mask=np.zeros((8, 8), np.int64))
def test_every_pixel_of_a_defect_stays_one_and_no_class_is_new(mask):
    grown = coarse(mask)
    assert (grown.dtype, tuple(grown.shape)) == (torch.int64, mask.shape)
    assert (grown.numpy()[mask > 0] > 0).all()
    assert set(np.unique(grown)) <= set(np.unique(mask)) | {0}


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


def test_the_chosen_samples_are_held_in_the_given_order_and_read_once():
    data = FourClasses()
    held = CachedDataset(data, indices=[3, 1])
    assert [sample.name for sample in held.samples] == ["n3", "n1"]
    data.reads.clear()
    for _ in range(3):
        assert [list(batch.name) for batch in DataLoader(held, batch_size=1)] == [["n3"], ["n1"]]
    assert data.reads == []


def test_more_than_the_limit_is_refused_before_reading():
    data = FourClasses()
    with pytest.raises(MemoryError, match="more than the limit"):
        CachedDataset(data, limit=100)
    assert len(data.reads) == 1


def test_a_subset_shows_the_chosen_items_of_all_parts_in_order():
    few = Subset([FourClasses(), FourClasses()], [7, 1], split_note="Two.")
    assert [few[0].name, few[1].name, len(few)] == ["n3", "n1", 2]
    assert few.split_note == "Two."
    assert len(Subset([FourClasses(), FourClasses()])) == 8
    with pytest.raises(ValueError, match="cannot be joined"):
        Subset([FourClasses(), BinaryMasks(FourClasses())])


@pytest.mark.parametrize(
    "choose", [lambda d, i: CachedDataset(d, indices=i), lambda d, i: Subset([d], i)]
)
def test_indices_outside_the_data_set_are_refused(choose):
    for outside in (4, -1):
        with pytest.raises(IndexError, match=rf"0\.\.3, got \[{outside}\]"):
            choose(FourClasses(), [0, outside])
