"""What shapes and run lengths of annotation tools cover."""

import annotated as make
import cv2
import numpy as np
import pytest
from annotated import BOX, COMPRESSED_BOX, corners, filled

from course_utils.data.annotations.regions import (
    box_points,
    decode_coco_string,
    decode_counts,
    draw_line,
    ellipse_points,
    fill_polygon,
)

COMPRESSED_NOISE = "\\91m20b20_20ZN0m70b>"


@pytest.mark.parametrize(
    "box", [(3, 4, 20, 10), (0, 0, 60, 40), (10, 10, 11, 11), (59, 39, 60, 40)]
)
def test_the_outline_of_pixels_gives_just_these_pixels(box):
    assert np.array_equal(fill_polygon(np.array(corners(box)), (40, 60)), filled(box))


def test_a_mask_traced_along_its_pixels_comes_back_as_it_was():
    rng = np.random.default_rng(3)
    for _ in range(5):
        blob = cv2.GaussianBlur(rng.random((40, 60)), (0, 0), 3)
        mask = (blob > np.quantile(blob, 0.6)).astype(np.uint8)
        # Eight times as large, contours through the middles of pixels run close to their edges.
        large = mask.repeat(8, 0).repeat(8, 1)
        found, hierarchy = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        drawn = np.zeros((40, 60), bool)
        for contour, links in zip(found, hierarchy[0], strict=True):
            if len(contour) > 2:
                area = fill_polygon((contour[:, 0] + 0.5) / 8, (40, 60))
                drawn = drawn | area if links[3] < 0 else drawn & ~area
        assert np.array_equal(drawn, mask)


def test_a_polygon_taller_than_a_band_has_no_seam():
    tall = np.array([[2, 3], [7, 3], [7, 1400], [2, 1400]])
    mask = fill_polygon(tall, (1500, 9))
    assert mask.sum() == 5 * 1397
    assert mask[3:1400, 2:7].all()


def test_a_scratch_thinner_than_a_pixel_is_not_lost():
    thin = np.array([[10, 10], [30, 10], [30, 10.2], [10, 10.2]])
    assert 20 <= fill_polygon(thin, (40, 60)).sum() <= 22
    assert fill_polygon(np.array([[5.2, 5.2], [5.4, 5.2], [5.4, 5.4]]), (40, 60)).sum() >= 1


def test_ellipses_turn_as_seen_and_have_their_area():
    flat, upright = (
        fill_polygon(ellipse_points((30, 20), (15, 6), degrees), (40, 60)) for degrees in (0, 90)
    )
    assert flat.sum() == pytest.approx(np.pi * 90, rel=0.03)
    assert (flat.any(axis=0).sum(), flat.any(axis=1).sum()) == (30, 12)
    assert (upright.any(axis=0).sum(), upright.any(axis=1).sum()) == (12, 30)
    tilted = fill_polygon(box_points(20, 18, 40, 22, 45), (40, 60))
    assert tilted[26, 36]  # clockwise where y points down: the right end sinks
    assert not tilted[14, 36]


def test_lines_have_their_width():
    line = draw_line(np.array([[5, 20.5], [50, 20.5]]), 5, (40, 60))
    assert np.array_equal(line[:, 6:49], filled((0, 18, 60, 23))[:, 6:49])
    assert not line[:, :5].any()


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ([[1, 1], [2, 2]], "2 points and wants 3"),
        ([[1, 1], [2, float("nan")], [3, 3]], "no finite number"),
        ([[1, 1], [1e9, 2], [3, 3]], "far outside the image of 60 x 40"),
        ([[-500, 1], [1, 2], [3, 3]], "far outside"),
    ],
)
def test_points_that_cannot_be_are_named(points, told):
    with pytest.raises(ValueError, match=told):
        fill_polygon(np.array(points, float), (40, 60))


def test_run_lengths_of_any_mask_come_back():
    rng = np.random.default_rng(1)
    for share in (0, 0.1, 0.5, 0.9, 1):
        mask = (rng.random((7, 5)) < share).astype(np.uint8)
        assert np.array_equal(decode_counts(make.coco_counts(mask), (7, 5), by="columns"), mask)
        assert np.array_equal(decode_counts(make.row_counts(mask), (7, 5), by="rows"), mask)


def test_compressed_run_lengths_are_those_of_pycocotools():
    # pycocotools 2.0.11: encode(np.asfortranarray(filled((10, 5, 40, 25)))), and a random mask.
    assert decode_coco_string(COMPRESSED_BOX) == make.coco_counts(filled(BOX))
    noise = (np.random.default_rng(7).random((40, 60)) < 0.004).astype(np.uint8)
    assert decode_coco_string(COMPRESSED_NOISE) == make.coco_counts(noise)


@pytest.mark.parametrize("counts", [[5, 5], [2399, 2], [-1, 2401], [2400.0], [True, 2399], []])
def test_run_lengths_that_make_up_no_mask_are_refused(counts):
    with pytest.raises(ValueError, match="do not make up the 2400 pixels of 60 x 40"):
        decode_counts(counts, (40, 60), by="columns")


@pytest.mark.parametrize("text", ["5 5", "5~", "ÿ", "5o", "o" * 40])
def test_letters_that_are_no_run_lengths_are_refused(text):
    with pytest.raises(ValueError, match="export it anew"):
        decode_coco_string(text)
