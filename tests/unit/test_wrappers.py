"""Data sets made of other data sets: binary masks, ellipses, samples held in memory, parts."""

import math
from types import SimpleNamespace

import cv2
import numpy as np
import psutil
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.utils.data import ConcatDataset, DataLoader, Subset

from course_utils.data import (
    BinaryMasks,
    CachedDataset,
    DefectCrops,
    DefectDataset,
    EllipseMasks,
    MappedDataset,
    Sample,
    SimulatedAnomalies,
    TransformedDataset,
    TwoStageTargets,
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
        (lambda data: MappedDataset(Subset(data, range(4))), FourClasses.class_names),
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


# In memory


class Pictures:
    """Images and masks that are given, as a data set."""

    class_names = ("background", "defect")
    channels = 1
    split_note = "Made for this test."

    def __init__(self, images, masks=None):
        self.images = images
        self.masks = masks or [torch.zeros(image.shape[1:], dtype=torch.long) for image in images]
        self.reads = []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.reads.append(index)
        mask = self.masks[index]
        return Sample(self.images[index], mask, int(mask.any()), f"g{index}", f"n{index}")


EVERY_LEVEL = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
BETWEEN = torch.linspace(0, 1, 300)[:256].reshape(1, 16, 16)


def bytes_of(held):
    return held._images.nbytes, held._masks.nbytes


def test_the_chosen_samples_are_held_in_the_given_order_and_read_once():
    data = FourClasses()
    held = CachedDataset(data, indices=[3, 1])
    assert [sample.name for sample in held] == ["n3", "n1"]
    data.reads.clear()
    for _ in range(3):
        assert [list(batch.name) for batch in DataLoader(held, batch_size=1)] == [["n3"], ["n1"]]
    assert data.reads == []


@pytest.mark.parametrize(
    ("images", "nbytes"),
    [
        ([EVERY_LEVEL.float().div(255), EVERY_LEVEL.float() / 255], 1),
        ([EVERY_LEVEL.float().mul(1 / 255)], None),
        ([BETWEEN, BETWEEN.flip(1)], 4),
        ([EVERY_LEVEL.float() / 255, BETWEEN], 4),
        ([BETWEEN, EVERY_LEVEL.float() / 255], 4),
        ([EVERY_LEVEL.float() / 255, 2 * EVERY_LEVEL.float() / 255], 4),
        ([EVERY_LEVEL.float() / 255, -EVERY_LEVEL.float() / 255], 4),
        ([(EVERY_LEVEL.float() / 255).fill_(math.nan)], 4),
    ],
)
def test_images_keep_every_bit_and_take_a_byte_a_value_on_256_levels(images, nbytes):
    held = CachedDataset(Pictures(images))
    for sample, image in zip(held, images, strict=True):
        assert sample.image.dtype == torch.float32
        assert sample.image.numpy().tobytes() == image.numpy().tobytes()
    if nbytes:
        assert bytes_of(held)[0] == 256 * len(images) * nbytes


@pytest.mark.parametrize(("largest", "nbytes"), [(1, 1), (255, 1), (256, 8), (-100, 8)])
def test_masks_keep_every_class_and_take_a_byte_a_pixel_up_to_255(largest, nbytes):
    masks = [torch.zeros(16, 16, dtype=torch.long), torch.full((16, 16), largest)]
    held = CachedDataset(Pictures([BETWEEN, BETWEEN], masks))
    for sample, mask in zip(held, masks, strict=True):
        assert sample.mask.dtype == torch.int64
        assert torch.equal(sample.mask, mask)
    assert torch.equal(held.masks.long(), torch.stack(masks))
    assert bytes_of(held)[1] == 512 * nbytes


def test_to_change_a_sample_from_disk_changes_nothing_that_is_held():
    held = CachedDataset(Pictures([EVERY_LEVEL.float() / 255]))
    held[0].image.zero_()
    held[0].mask.fill_(1)
    assert held[0].image.any()
    assert not held[0].mask.any()


def test_a_part_of_what_is_held_takes_no_memory_and_keeps_its_order():
    held = CachedDataset(FourClasses())
    few = held.subset([3, 0, 1]).subset([2, 0])
    assert [sample.name for sample in few] == ["n1", "n3"]
    assert few.labels == [1, 3]
    assert torch.equal(few.masks.long(), torch.stack([held[1].mask, held[3].mask]))
    assert few._images is held._images
    assert len(held) == 4
    with pytest.raises(IndexError, match=r"0\.\.1, got \[2\]"):
        few.subset([2])


def test_images_of_several_sizes_cannot_be_held():
    with pytest.raises(ValueError, match=r"of one size, got \(1, 8, 16\) after \(1, 16, 16\)"):
        CachedDataset(Pictures([BETWEEN, BETWEEN[:, :8]]))


def test_nothing_can_be_held():
    held = CachedDataset(FourClasses(), indices=[])
    assert (len(held), list(held), held.labels, len(held.masks)) == (0, [], [], 0)
    assert not held.masks.flatten(1).any()


@pytest.mark.parametrize(("image", "needed"), [(EVERY_LEVEL.float() / 255, 1), (BETWEEN, 4)])
def test_more_than_is_free_is_refused_with_both_numbers_before_reading(image, needed, monkeypatch):
    total = 100 * 256 * (needed + 1)
    data = Pictures([image] * 100)

    def free(amount):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=amount))

    free(total)
    assert sum(bytes_of(CachedDataset(data))) == total
    data.reads.clear()
    free(total - 1)
    with pytest.raises(MemoryError, match=r"100 images take .*kB of memory, and .*kB are free: ch"):
        CachedDataset(data)
    assert data.reads == [0]


def test_the_progress_bar_says_how_much_memory_it_takes(capsys):
    CachedDataset(Pictures([BETWEEN] * 50), progress=True)
    assert "reading 50 images into 64.0kB of memory" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["image", "mask", "label", "group", "name", "order", "number"])
def test_a_fingerprint_sees_each_pixel_and_each_word(what):
    plain = list(CachedDataset(FourClasses()))

    class Changed(FourClasses):
        def _make(self, index):
            sample = plain[index]
            if what == "order":
                return plain[3 - index]
            if index != 2 or what == "number":
                return sample
            if what in ("image", "mask"):
                values = getattr(sample, what).clone()
                values[..., 3, 3] += 1
                return sample._replace(**{what: values})
            value = getattr(sample, what)
            return sample._replace(**{what: value + type(value)("1")})

    changed = CachedDataset(Changed())
    if what == "number":
        assert changed.fingerprint() == CachedDataset(FourClasses()).fingerprint()
        changed = changed.subset(range(3))
    assert changed.fingerprint() != CachedDataset(FourClasses()).fingerprint()
    assert changed.fingerprint() == changed.subset(range(len(changed))).fingerprint()


def test_a_fingerprint_sees_the_names_of_the_classes():
    renamed = FourClasses()
    renamed.class_names = ("background", "a", "b", "d")
    assert CachedDataset(renamed).fingerprint() != CachedDataset(FourClasses()).fingerprint()


# Parts that torch makes


WRAPPERS = {
    "cached": CachedDataset,
    "binary": BinaryMasks,
    "ellipses": EllipseMasks,
    "transformed": TransformedDataset,
    "simulated": SimulatedAnomalies,
    "two stages": TwoStageTargets,
    "crops": lambda data: DefectCrops(data, min_area=1),
}


class Good(FourClasses):
    """The same without defects, and large enough for each wrapper."""

    def _make(self, index):
        image = torch.full((1, 64, 64), index / 4)
        return Sample(image, torch.zeros(64, 64, dtype=torch.long), 0, f"g{index}", f"n{index}")


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrappers_take_a_subset_and_a_concatenation_of_torch(wrap):
    kind = Good if wrap in ("simulated", "two stages") else FourClasses
    parts = ConcatDataset([kind(), Subset(Subset(kind(), [1, 3]), [1])])
    wrapped = WRAPPERS[wrap](Subset(parts, [4, 1]))
    assert wrapped.split_note == "Made for this test."
    assert wrapped.channels == 1
    assert wrapped[0].name.startswith("n3")
    assert wrapped[1].name.startswith("n1")


@pytest.mark.parametrize("data", [[1, 2], Subset([1, 2], [0]), ConcatDataset([[1, 2]])])
def test_what_is_no_defect_data_set_is_refused(data):
    with pytest.raises(TypeError, match=r"must have class_names.* got list"):
        BinaryMasks(data)


def test_data_sets_of_other_classes_are_not_laid_end_to_end():
    with pytest.raises(ValueError, match="cannot be joined"):
        BinaryMasks(ConcatDataset([FourClasses(), BinaryMasks(FourClasses())]))


def test_indices_outside_the_data_set_are_refused():
    for outside in (4, -1):
        with pytest.raises(IndexError, match=rf"0\.\.3, got \[{outside}\]"):
            CachedDataset(FourClasses(), indices=[0, outside])
