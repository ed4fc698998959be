"""Targets of the two-stage network: small masks, labels, weak supervision, and other views."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from course_utils.data import (
    DefectDataset,
    Sample,
    TransformedDataset,
    TwoStageSample,
    TwoStageTargets,
    distance_weights,
    downsample_mask,
    two_stage_target,
    upsample_map,
)
from course_utils.inference.networks import read_output
from course_utils.losses import TwoStageTarget, two_stage_loss
from course_utils.models import TwoStageOutput


class Surfaces:
    """Good images at even places, a square defect at odd ones."""

    class_names = ("background", "scratch", "hole")
    channels = 1
    split_note = "Made for this test."

    def __init__(self, count=8, lost=(), swapped=()):
        self.count, self.lost, self.swapped = count, lost, swapped
        self.reads = 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < self.count:
            raise IndexError(index)
        self.reads += 1
        mask = torch.zeros(32, 48, dtype=torch.long)
        label = 0
        if index % 2:
            label = 1 + index % 3 // 2
            if index not in self.lost:
                mask[8 : 8 + 3 * index, 5:15] = label
        if index in self.swapped:
            label = 0
        image = torch.rand(1, 32, 48, generator=torch.Generator().manual_seed(index))
        return Sample(image, mask, label, f"g{index}", f"n{index}")


def square(side: int, offset: int = 0) -> torch.Tensor:
    mask = torch.zeros(128, 128, dtype=torch.long)
    mask[56 + offset : 56 + offset + side, 56 + offset : 56 + offset + side] = 1
    return mask


def same(one: TwoStageTarget, other: TwoStageTarget) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# Making masks smaller


def shrunk_by_loop(image: np.ndarray) -> np.ndarray:
    """Mirror an index at the borders, without the border pixel twice, and take means."""
    height, width = image.shape

    def mirrored(place, side):
        place = abs(place)
        return min(place, 2 * (side - 1) - place)

    found = np.zeros((height // 8, width // 8))
    for i, j in np.ndindex(found.shape):
        rows = [mirrored(8 * i + step, height) for step in range(-8, 9)]
        columns = [mirrored(8 * j + step, width) for step in range(-8, 9)]
        found[i, j] = sum(image[row, column] for row in rows for column in columns)
    return found / 17**2


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100), rows=st.integers(2, 4), columns=st.integers(2, 4))
def test_a_cell_is_the_mean_of_17_x_17_pixels_around_every_eighth(seed, rows, columns):
    image = np.random.default_rng(seed).random((8 * rows, 8 * columns), np.float32)
    found = downsample_mask(torch.from_numpy(image))
    assert (found.shape, found.dtype) == ((1, rows, columns), torch.float32)
    np.testing.assert_allclose(found[0], shrunk_by_loop(image), rtol=1e-5)
    for value in (0, 1):  # exactly
        assert bool((downsample_mask(torch.full(image.shape, float(value))) == value).all())


@pytest.mark.parametrize("shape", [(36, 48), (48, 36), (8, 48), (1, 32, 48)])
def test_sizes_that_have_no_eighth_are_refused(shape):
    with pytest.raises(ValueError, match="divisible by 8 and at least 16"):
        downsample_mask(torch.zeros(shape))


def center(image):
    """Center of mass, (row, column)."""
    total = image.sum()
    rows, columns = (torch.arange(side, dtype=image.dtype) for side in image.shape)
    return ((image.sum(1) @ rows) / total).item(), ((image.sum(0) @ columns) / total).item()


@pytest.mark.parametrize("corner", [(16, 24), (19, 30), (23, 21)])
def test_a_map_of_cells_lies_over_the_mask_that_it_was_made_of(corner):
    top, left = corner
    mask = torch.zeros(64, 72)
    mask[top : top + 15, left : left + 15] = 1
    larger = upsample_map(downsample_mask(mask))
    assert larger.shape == (1, 64, 72)
    assert center(larger[0]) == pytest.approx(center(mask), abs=0.5)
    # Every eighth pixel is the cell itself.
    torch.testing.assert_close(larger[:, ::8, ::8], downsample_mask(mask))


def test_an_answer_lies_where_the_two_stage_network_was_taught():
    mask = torch.zeros(64, 72)
    mask[16:33, 32:49] = 1  # the window of cell (3, 5)
    logits = downsample_mask(mask).logit(1e-6)[:, None]
    answer = read_output(TwoStageOutput(logits, torch.zeros(1)))
    assert center((answer.maps[0] > 0.5).float()) == pytest.approx(center(mask), abs=0.5)


# One target


@settings(max_examples=40, deadline=None)
@given(
    side=st.integers(1, 40),
    top=st.integers(0, 127),
    left=st.integers(0, 127),
    dilate=st.sampled_from([1, 7]),
)
def test_any_defect_pixel_makes_the_label_1(side, top, left, dilate):
    mask = torch.zeros(128, 128, dtype=torch.long)
    mask[top : top + side, left : left + side] = 3
    target = two_stage_target(mask, dilate=dilate)
    assert float(target.label) == 1
    assert 0 <= float(target.mask.min()) <= float(target.mask.max()) <= 1
    assert float(two_stage_target(mask * 0, dilate=dilate).label) == 0


def pitfall_labels(side):
    """Labels of a square of that side, at each of eight places within a cell."""
    squares = [square(side, offset) for offset in range(8)]
    return [float(two_stage_target(one, pitfall_label=True).label) for one in squares]


@pytest.mark.parametrize(
    ("side", "least", "most"),
    [(1, 0.0035, 0.0035), (5, 0.087, 0.087), (9, 0.28, 0.28), (11, 0.35, 0.42), (17, 0.58, 1.0)],
)
def test_the_pitfall_label_falls_with_the_size_of_the_defect(side, least, most):
    labels = pitfall_labels(side)
    assert min(labels) == pytest.approx(least, rel=0.02)
    assert max(labels) == pytest.approx(most, rel=0.02)


def test_the_pitfall_label_is_1_wherever_it_lies_from_24_pixels_on():
    assert min(pitfall_labels(23)) < 1
    assert pitfall_labels(24) == [1] * 8


def test_masks_are_soft_and_weights_are_made_smaller_alike():
    mask = square(30)
    target = two_stage_target(mask, weights="component", power=1.0, positive_weight=5.0)
    assert torch.equal(target.mask, downsample_mask(mask))
    weights = distance_weights(mask, power=1.0, positive_weight=5.0, per="component")
    assert torch.equal(target.weight, downsample_mask(weights))
    assert target.weight.max() > 1
    assert bool(target.has_mask)
    plain = two_stage_target(mask, weights=None)
    assert torch.equal(plain.weight, torch.ones(1, 16, 16))
    assert torch.equal(plain.mask, target.mask)


def test_each_defect_pixel_grows_to_a_square_before_all_else():
    grown = two_stage_target(square(11), dilate=7)
    wanted = torch.zeros(128, 128, dtype=torch.long)
    wanted[53:70, 53:70] = 1
    assert same(grown, two_stage_target(wanted))
    published = two_stage_target(square(11), dilate=7, pitfall_label=True)
    assert float(published.label) == float(grown.mask.max()) != 1


@pytest.mark.parametrize("mask", [square(9), square(9) * 0])
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"dilate": 2}, "dilate must be odd and at least 1, got 2"),
        ({"dilate": -1}, "dilate must be odd and at least 1, got -1"),
        ({"weights": "pixel"}, "per must be one of"),
        ({"power": -1}, "power must be finite"),
        ({"positive_weight": -1}, "positive_weight must be finite"),
    ],
)
def test_options_out_of_range_are_refused_for_all_masks(mask, options, problem):
    with pytest.raises(ValueError, match=problem):
        two_stage_target(mask, **options)
    with pytest.raises(ValueError, match="divisible by 8"):
        two_stage_target(mask[:, :100])
    with pytest.raises(ValueError, match="threshold a soft mask first"):
        two_stage_target(mask.float())


# The data set


def test_it_says_of_itself_what_the_data_set_says_with_one_class_of_defects():
    data = TwoStageTargets(Surfaces())
    assert isinstance(data, DefectDataset)
    assert (len(data), data.channels, data.split_note) == (8, 1, "Made for this test.")
    assert data.class_names == ("background", "defect")
    assert data.labels == [0, 1] * 4


def test_images_and_names_are_those_of_the_data_set_and_targets_those_of_its_masks():
    surfaces = Surfaces()
    options = {"weights": "component", "power": 1.0, "positive_weight": 2.0, "dilate": 3}
    data = TwoStageTargets(surfaces, **options)
    for index in range(8):
        sample = data[index]
        assert torch.equal(sample.image, surfaces[index].image)
        assert sample.name == f"n{index}"
        assert same(sample.target, two_stage_target(surfaces[index].mask, **options))
        assert float(sample.target.label) == data.labels[index]
    with pytest.raises(IndexError):
        data[8]


def test_its_batches_are_what_the_loss_wants():
    data = TwoStageTargets(Surfaces(), segmented=["n1"])
    batch = next(iter(DataLoader(data, batch_size=8)))
    assert isinstance(batch, TwoStageSample)
    assert isinstance(batch.target, TwoStageTarget)
    assert batch.target.mask.shape == batch.target.weight.shape == (8, 1, 4, 6)
    assert batch.target.label.tolist() == [0, 1] * 4
    assert batch.target.has_mask.tolist() == [True, True] + 3 * [True, False]
    output = torch.zeros(8, 1, 4, 6), torch.zeros(8)
    loss = two_stage_loss(output, batch.target, lam=None, delta=1.0)
    assert bool(torch.isfinite(loss))


def test_nothing_of_a_mask_reaches_the_target_of_an_image_that_has_none():
    data = TwoStageTargets(Surfaces(), segmented=["n3"])
    full = TwoStageTargets(Surfaces())
    for index in range(8):
        target = data[index].target
        if index in (1, 5, 7):
            assert not target.has_mask
            assert float(target.label) == 1
            assert not target.mask.any()
            assert not target.weight.any()
        else:
            assert same(target, full[index].target)


def test_a_defect_that_no_pixel_shows_teaches_only_the_decision_or_with_the_pitfall_good():
    data = TwoStageTargets(Surfaces(lost=(3,)))
    assert data.labels == [0, 1] * 4
    target = data[3].target
    assert (float(target.label), bool(target.has_mask)) == (1, False)
    assert not target.weight.any()
    assert bool(data[1].target.has_mask)
    pitfall = TwoStageTargets(Surfaces(lost=(3,)), pitfall_label=True)
    assert same(pitfall[3].target, pitfall[0].target)
    assert pitfall.labels == data.labels


def test_the_published_labels_are_soft_and_the_sampler_still_knows_the_true_ones():
    true, data = (
        TwoStageTargets(Surfaces(), **options)
        for options in ({}, {"pitfall_label": True, "segmented": ["n3"]})
    )
    for index in (0, 1, 3):
        expected = float(true[index].target.mask.max())
        assert float(data[index].target.label) == expected < 1
    assert data.labels == true.labels


def test_targets_are_made_once_and_again_for_another_view_of_the_image(monkeypatch):
    made = []

    def counted(mask, **options):
        made.append(mask)
        return two_stage_target(mask, **options)

    monkeypatch.setattr("course_utils.data.two_stage_targets.two_stage_target", counted)
    surfaces = Surfaces()
    data = TwoStageTargets(surfaces)
    assert (len(made), surfaces.reads) == (8, 8)
    first = data[1].target
    assert same(data[1].target, first)
    assert len(made) == 8

    class Turned(v2.Transform):
        turned = False

        def transform(self, inpt, params):
            return inpt.flip(-1) if Turned.turned else inpt

    data = TwoStageTargets(TransformedDataset(surfaces, Turned()))
    Turned.turned = True
    for index in range(8):
        assert same(data[index].target, two_stage_target(surfaces[index].mask.flip(-1)))


def test_another_size_of_the_same_pixels_is_another_mask():
    class Reshaped(Surfaces):
        shape = (32, 48)

        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return sample._replace(mask=sample.mask.reshape(self.shape))

    surfaces = Reshaped()
    data = TwoStageTargets(surfaces)
    surfaces.shape = (48, 32)
    assert data[1].target.mask.shape == (1, 6, 4)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_and_pickling_change_nothing():
    data = TwoStageTargets(Surfaces(), segmented=["n1"])
    alone = next(iter(DataLoader(data, batch_size=8)))
    copy = pickle.loads(pickle.dumps(data))
    shared = next(iter(DataLoader(copy, batch_size=8, num_workers=2)))
    assert torch.equal(alone.image, shared.image)
    assert same(alone.target, shared.target)


@pytest.mark.parametrize(
    ("surfaces", "options", "problem"),
    [
        (Surfaces(), {"segmented": ["n1", "n0"]}, r"segmented names \['n0'\], which are not"),
        (Surfaces(), {"segmented": ["x"]}, r"segmented names \['x'\]"),
        (Surfaces(lost=(3,)), {"segmented": ["n3"]}, r"segmented names \['n3'\]"),
        (Surfaces(), {"segmented": "n1"}, "segmented must be a collection of names, got 'n1'"),
        (Surfaces(swapped=(3,)), {}, "'n3' is labeled good, but its mask is not empty"),
        (Surfaces(), {"weights": "pixel"}, "per must be one of"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(surfaces, options, problem):
    with pytest.raises(ValueError, match=problem):
        TwoStageTargets(surfaces, **options)
