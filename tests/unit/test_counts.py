"""Class counts from every kind of source, and the weights made from them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from course_utils.data.counts import class_weights, count_pixels
from course_utils.data.samples import Sample

SCHEMES = ("inverse", "balanced", "median_frequency", "sqrt", "effective_number")
MASKS = np.random.default_rng(0).choice(4, size=(10, 6, 5), p=[0.7, 0.15, 0.1, 0.05])
EXPECTED = np.unique(MASKS, return_counts=True)[1].tolist()


def samples():
    images = torch.zeros(len(MASKS), 1, *MASKS.shape[1:])
    return [
        Sample(image, torch.from_numpy(mask).long(), 0, "g", str(index))
        for index, (image, mask) in enumerate(zip(images, MASKS, strict=True))
    ]


class EndlessDataset:
    """Indexable, with a length, and without the IndexError that ends Python's own iteration."""

    def __len__(self):
        return len(MASKS)

    def __getitem__(self, index):
        return samples()[index % len(MASKS)]


class Stream(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.zeros(1, 2, 2), torch.ones(2, 2, dtype=torch.int64)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.uint64])
def test_arrays_of_any_integer_type_and_shape_are_counted(kind):
    assert count_pixels(MASKS.astype(kind), 4).tolist() == EXPECTED
    assert count_pixels(MASKS.astype(kind).ravel(), 4).tolist() == EXPECTED


def test_every_source_gives_the_counts_of_the_plain_array():
    tensors = torch.from_numpy(MASKS)
    loader = DataLoader(TensorDataset(torch.zeros(len(MASKS), 3), tensors), batch_size=4)
    sources = {
        "tensor": tensors,
        "list of masks": list(MASKS),
        "list of pairs": [(np.zeros(3), mask) for mask in MASKS],
        "samples": samples(),
        "data set": EndlessDataset(),
        "loader of pairs": loader,
        "loader of samples": DataLoader(samples(), batch_size=3),
    }
    for what, source in sources.items():
        counts = count_pixels(source, 4)
        assert counts.dtype == np.int64
        assert counts.tolist() == EXPECTED, what


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_one_hot_masks_count_along_the_named_axis(dtype):
    channels_first = one_hot(torch.from_numpy(MASKS), 4).movedim(-1, 1).to(dtype)
    assert count_pixels(channels_first, 4, one_hot_axis=1).tolist() == EXPECTED
    assert count_pixels(channels_first.movedim(1, -1), 4, one_hot_axis=-1).tolist() == EXPECTED
    assert count_pixels(list(channels_first), 4, one_hot_axis=0).tolist() == EXPECTED


def test_nested_lists_of_numbers_are_masks_and_never_pairs():
    assert count_pixels([[0, 0], [0, 1]], 2).tolist() == [3, 1]
    assert count_pixels([[[0, 0], [0, 1]]], 2).tolist() == [3, 1]
    assert count_pixels([[0, 0, 1], [0, 1, 1]], 2).tolist() == [3, 3]
    assert count_pixels([[np.zeros(9), np.array([0, 1])]], 2).tolist() == [1, 1]


def test_an_iterator_is_read_for_exactly_the_number_of_batches():
    endless = (MASKS[index % len(MASKS)] for index in iter(int, 1))
    assert count_pixels(endless, 4, batches=3).sum() == 3 * MASKS[0].size
    drawn = iter(range(100))
    count_pixels((np.array([next(drawn)]) for _ in range(50)), 100, batches=7)
    assert next(drawn) == 7
    assert count_pixels(DataLoader(Stream(), batch_size=2), 2, batches=3).tolist() == [0, 24]


@pytest.mark.parametrize(
    ("source", "classes", "options", "message"),
    [
        ((mask for mask in MASKS), 4, {}, "generator does not say where the set ends: pass batch"),
        (DataLoader(Stream(), batch_size=2), 2, {}, "pass batches="),
        (iter(MASKS), 4, {"batches": 11}, "ended after 10 of 11 batches"),
        (iter(MASKS), 4, {"batches": 0}, "batches must be at least 1"),
        (np.array([0, 255, -1, 3]), 4, {}, "the mask holds -1, 255, outside the classes 0..3"),
        ([np.array([0]), np.array([1]), np.array([4])], 4, {}, "item 2 holds 4"),
        (np.full((4, 2, 2), 0.25), 4, {"one_hot_axis": 0}, "not one-hot along axis 0"),
        (np.zeros((4, 2, 2)), 4, {"one_hot_axis": 0}, "not one-hot"),
        (np.zeros((4, 2, 2)), 4, {"one_hot_axis": 1}, r"\(4, 2, 2\): axis 1 must hold the 4 cl"),
        (np.array([0.0, 1.0]), 2, {}, "float64 values, classes must be whole numbers"),
        ([], 2, {}, "holds no pixels"),
        (np.zeros((0, 4), int), 2, {}, "holds no pixels"),
        ([(1, 2, 3)], 2, {}, "got 3 things"),
    ],
)
def test_what_cannot_be_counted_is_refused(source, classes, options, message):
    with pytest.raises(ValueError, match=message):
        count_pixels(source, classes, **options)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(1, 9))
def test_counts_do_not_depend_on_how_the_set_is_cut_into_batches(values, batch):
    array = np.array(values)
    pieces = [array[start : start + batch] for start in range(0, len(array), batch)]
    counts = count_pixels(pieces, 7)
    assert counts.tolist() == count_pixels(array, 7).tolist()
    assert counts.sum() == len(values)


def test_schemes_give_the_numbers_worked_by_hand():
    counts = [900, 64, 36]  # N = 1000, K = 3, square roots 30 + 8 + 6 = 44
    hand = {
        "inverse": [1000 / 900, 1000 / 64, 1000 / 36],
        "balanced": [1000 / 2700, 1000 / 192, 1000 / 108],
        "median_frequency": [64 / 900, 1, 64 / 36],
        "sqrt": [1000 / 44 / 30, 1000 / 44 / 8, 1000 / 44 / 6],
    }
    for scheme, weights in hand.items():
        assert class_weights(counts, scheme).numpy() == pytest.approx(weights, rel=1e-6), scheme
    # beta = .5, n = 1 and 2: effective numbers 1 and 1.5, weights 1 and 2/3, scaled to sum 2.
    assert class_weights([1, 2], "effective_number", beta=0.5).tolist() == pytest.approx([1.2, 0.8])


def test_balanced_equals_scikit_learn():
    labels = np.repeat([0, 1, 2], [70, 25, 5])
    reference = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert class_weights(count_pixels(labels, 3)).numpy() == pytest.approx(reference, rel=1e-6)


counts_lists = st.lists(st.integers(1, 10**9), min_size=2, max_size=8)


@given(counts_lists, st.sampled_from(SCHEMES))
def test_rarer_classes_never_weigh_less(counts, scheme):
    weights = class_weights(counts, scheme)
    assert weights.dtype == torch.float32
    assert torch.isfinite(weights).all()
    assert (weights > 0).all()
    in_order = weights[np.argsort(counts, kind="stable")]
    assert (in_order.diff() <= 1e-6 * in_order[:-1]).all()


@given(counts_lists, st.sampled_from(("balanced", "sqrt")))
def test_the_average_pixel_weighs_one(counts, scheme):
    weights = class_weights(counts, scheme).double().numpy()
    assert (weights * counts).sum() / sum(counts) == pytest.approx(1, rel=1e-5)


@given(counts_lists)
def test_effective_number_goes_from_equal_weights_to_inverse_counts(counts):
    flat = class_weights(counts, "effective_number", beta=0.0)
    assert flat.tolist() == pytest.approx([1] * len(counts))
    small = [min(count, 1000) for count in counts]
    steep = class_weights(small, "effective_number", beta=1 - 1e-9).double().numpy()
    products = steep * small
    assert products == pytest.approx(np.full(len(small), products[0]), rel=1e-4)


@given(counts_lists, st.sampled_from(SCHEMES), st.floats(1, 100))
def test_cap_bounds_the_ratio_and_leaves_lighter_classes_alone(counts, scheme, cap):
    free, capped = class_weights(counts, scheme), class_weights(counts, scheme, cap=cap)
    assert capped.max() / capped.min() <= cap * (1 + 1e-5)
    untouched = free <= cap * free.min() * (1 - 1e-6)
    assert torch.equal(capped[untouched], free[untouched])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_absent_class_is_an_error_or_an_explicit_zero(scheme):
    with pytest.raises(ValueError, match="class 1 never occurs"):
        class_weights([90, 0, 10], scheme)
    weights = class_weights([90, 0, 10], scheme, absent="zero", cap=5)
    assert weights[1] == 0
    assert torch.equal(weights[[0, 2]], class_weights([90, 10], scheme, cap=5))


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ([1, -1], {}, "whole number >= 0 per class"),
        ([1, 0.5], {}, "whole number >= 0 per class"),
        ([1, float("nan")], {}, "whole number >= 0 per class"),
        ([0, 0], {"absent": "zero"}, "not all 0"),
        (np.ones((2, 2)), {}, "one whole number"),
        ([1, 2], {"scheme": "square"}, "'square' is unknown: choose one of inverse, balanced"),
        ([1, 2], {"cap": 0.5}, "cap must be at least 1"),
        ([1, 2], {"beta": 1.0}, r"beta must lie in \[0, 1\)"),
        ([1, 2], {"absent": "skip"}, "absent must be"),
    ],
)
def test_bad_weights_requests_say_what_is_wanted(counts, options, message):
    with pytest.raises(ValueError, match=message):
        class_weights(counts, **options)
