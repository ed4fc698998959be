"""Runs of pixels, against loops that count pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from course_utils.data.run_lengths import decode_runs, encode_runs, run_bounds

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


def slow_pixels(mask):
    """Numbers of the pixels that are set, counted from 1, down each column."""
    height, width = mask.shape
    return [1 + y + x * height for x in range(width) for y in range(height) if mask[y, x]]


def slow_runs(mask):
    runs = []
    for pixel in slow_pixels(mask):
        if runs and pixel == sum(runs[-1]):
            runs[-1][1] += 1
        else:
            runs.append([pixel, 1])
    return runs


def text_of(runs):
    return " ".join(f"{start} {length}" for start, length in runs)


@settings(max_examples=40, deadline=None)
@given(MASKS)
def test_a_mask_is_written_as_its_fewest_runs_in_order(mask):
    assert encode_runs(mask) == text_of(slow_runs(mask))
    assert encode_runs(mask.astype(np.uint8)) == encode_runs(mask)


@settings(max_examples=40, deadline=None)
@given(MASKS)
def test_decoding_gives_back_the_mask_that_was_encoded(mask):
    decoded = decode_runs(encode_runs(mask), mask.shape, allow_empty=True)
    assert decoded.dtype == bool
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, mask)


@settings(max_examples=40, deadline=None)
@given(MASKS, st.randoms(use_true_random=False), st.integers(1, 3))
def test_runs_are_read_in_any_order_and_where_they_touch(mask, random, longest):
    runs = []
    for start, length in slow_runs(mask):
        runs += [
            [s, min(longest, start + length - s)] for s in range(start, start + length, longest)
        ]
    random.shuffle(runs)
    decoded = decode_runs(text_of(runs), mask.shape, allow_empty=True)
    assert slow_pixels(decoded) == slow_pixels(mask)


def test_pixels_are_counted_from_one_and_down_the_columns():
    decoded = decode_runs("1 3 10 5", (4, 5)).astype(int)
    assert decoded.tolist() == [
        [1, 0, 0, 1, 0],
        [1, 0, 1, 1, 0],
        [1, 0, 1, 0, 0],
        [0, 0, 1, 0, 0],
    ]


@settings(max_examples=40, deadline=None)
@given(MASKS)
def test_bounds_are_those_of_the_runs(mask):
    starts, ends = run_bounds(encode_runs(mask), mask.shape)
    expected = [(start - 1, start - 1 + length) for start, length in slow_runs(mask)]
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == expected


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_no_runs_are_an_empty_mask_only_if_asked_for(text):
    with pytest.raises(ValueError, match="there are no runs"):
        decode_runs(text, (2, 3))
    empty = decode_runs(text, (2, 3), allow_empty=True)
    assert empty.shape == (2, 3)
    assert not empty.any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 5", "3 values are no pairs"),
        ("1", "1 values are no pairs"),
        ("0 2", "'0' is no start or length: both are whole numbers from 1 on"),
        ("1 0", "'0' is no start or length"),
        ("1 -2", "'-2' is no start or length"),
        ("1 2.0", r"'2\.0' is no start or length"),
        ("1,2", "'1,2' is no start or length"),
        ("1 ²", "'²' is no start or length"),
        ("nan", "'nan' is no start or length"),
        ("1 2 6 2", "the run '6 2' ends beyond the 6 pixels of a mask of 3 x 2"),
        ("7 1", "the run '7 1' ends beyond"),
        ("5 1 1 99999999999999999999", "the run '1 99999999999999999999' ends beyond"),
        ("1 3 3 1", "two runs hold pixel 3"),
        ("3 1 1 3", "two runs hold pixel 3"),
        ("2 1 2 1", "two runs hold pixel 2"),
        ("1 4 2 1 5 1", "two runs hold pixel 2"),
    ],
)
def test_faulty_runs_say_what_is_wrong(text, message):
    for read in (decode_runs, run_bounds):
        with pytest.raises(ValueError, match=message):
            read(text, (2, 3))


@pytest.mark.parametrize(
    "mask",
    [np.array([[0, 255]]), np.array([[1, 2]]), np.array([[0.5]]), np.ones(3), np.ones((1, 2, 3))],
)
def test_what_is_not_one_mask_of_0_and_1_is_refused(mask):
    with pytest.raises(ValueError, match=r"want one mask \(H, W\) of 0 and 1"):
        encode_runs(mask)
