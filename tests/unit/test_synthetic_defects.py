"""Masks, weak labels, outlines and fields of the synthetic set."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data.synthetic import DEFECTS, SyntheticSurfaces
from course_utils.data.synthetic.fields import smooth, white
from course_utils.data.synthetic.labels import Footprint, ellipse_mask, exact_mask
from course_utils.data.synthetic.shapes import Box, blob, stroke, wander


def grown(mask: torch.Tensor, radius: int) -> np.ndarray:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate((mask.numpy() > 0).astype(np.uint8), disc) > 0


@pytest.mark.parametrize("kind", DEFECTS)
def test_the_mask_is_where_the_image_changes(kind):
    data = SyntheticSurfaces(size=192, defects=[kind], frequency=1.0, length=16, seed=2)
    inside, outside, contained = [], [], []
    for index in range(0, 16, 2):
        sample = data[index]
        change = (sample.image - data.clean(index)).abs().mean(0).numpy()
        mask, around = sample.mask.numpy() > 0, grown(sample.mask, 3)
        inside.append(change[mask].mean())
        outside.append(change[~around].mean())
        contained.append(change[around].sum() / change.sum())
    # Three pixels leave room for the lens's blur and for shading along the edge.
    assert max(outside) < 1e-3
    assert min(contained) > 0.95
    assert np.median(inside) > 0.02


def test_most_changed_pixels_are_in_the_mask_of_an_obvious_defect():
    data = SyntheticSurfaces(
        size=192, defects=["stain", "peeling", "pit"], frequency=1.0, contrast=2.0, length=24
    )
    overlaps = []
    for index in range(0, 24, 2):
        sample = data[index]
        change = (sample.image - data.clean(index)).abs().mean(0).numpy()
        mask = sample.mask.numpy() > 0
        changed = change > 0.25 * np.percentile(change[mask], 90)
        overlaps.append((changed & mask).sum() / (changed | mask).sum())
    assert np.median(overlaps) > 0.7


def test_the_ellipse_covers_the_exact_mask_and_is_larger():
    options = {"size": 128, "frequency": 1.0, "length": 30}
    exact, weak = SyntheticSurfaces(**options), SyntheticSurfaces(**options, labels="ellipse")
    areas = []
    for index in range(30):
        mask, ellipse = exact[index].mask, weak[index].mask
        assert torch.equal(exact[index].image, weak[index].image)
        assert (ellipse[mask > 0] > 0).all()
        assert set(mask.unique().tolist()) == set(ellipse.unique().tolist())
        areas.append(((ellipse > 0).sum() / (mask > 0).sum()).item())
    assert np.median(areas) > 1.2


@settings(max_examples=50, deadline=None)
@given(points=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 29)), min_size=1, max_size=12))
def test_an_ellipse_holds_any_set_of_pixels(points):
    covered = np.zeros((20, 30), bool)
    covered[tuple(np.transpose(points))] = True
    filled = ellipse_mask((20, 30), [Footprint(covered, 2)])
    assert (filled[covered] == 2).all()
    # An ellipse is convex: each row of it is one run.
    for row in filled > 0:
        assert np.abs(np.diff(row.astype(int), prepend=0, append=0)).sum() in (0, 2)


def test_a_small_ellipse_inside_a_large_one_stays_visible():
    large, tiny = np.zeros((30, 30), bool), np.zeros((30, 30), bool)
    large[4:26, 4:26], tiny[14:16, 14:16] = True, True
    for order in ([(large, 1), (tiny, 2)], [(tiny, 2), (large, 1)]):
        mask = ellipse_mask((30, 30), [Footprint(*item) for item in order])
        assert mask[15, 15] == 2
        assert mask[5, 15] == 1


def test_without_defects_both_masks_are_background():
    assert not exact_mask((4, 5), []).any()
    assert not ellipse_mask((4, 5), []).any()


@pytest.mark.parametrize(("angle", "width"), [(0.0, 3.0), (0.6, 2.0), (1.57, 5.0)])
def test_a_stroke_covers_its_length_times_its_width(angle, width):
    rng = np.random.default_rng(0)
    path = wander(rng, (50.0, 50.0), 60.0, angle=angle, step=5, bend=0, jag=0)
    cover = stroke(Box(0, 0, 100, 100), path, np.full(len(path), width / 2))
    assert cover.sum() == pytest.approx(60 * width, rel=0.08)
    assert cover.min() >= 0
    assert cover.max() == 1


def test_a_smooth_blob_is_an_ellipse_and_its_box_stays_in_the_picture():
    rng = np.random.default_rng(0)
    _, depth = blob(rng, (100, 100), (50, 50), (20, 10), 0.5, ragged=0.0)
    assert (depth > 0).sum() == pytest.approx(np.pi * 20 * 10, rel=0.02)
    box, depth = blob(rng, (40, 40), (1, 39), (9, 9), 0, 0.2)
    assert depth.shape == box.shape == np.zeros((40, 40))[box.slices].shape


@pytest.mark.parametrize("cell", [1.0, 3.0, 8.0, 40.0, (1.0, 30.0)])
def test_fields_have_about_zero_mean_and_unit_spread(cell):
    many = [smooth(np.random.default_rng(seed), (96, 120), cell) for seed in range(30)]
    assert np.mean(many) == pytest.approx(0, abs=0.12)
    assert np.std(many) == pytest.approx(1, abs=0.3)
    assert {field.dtype for field in many} == {np.dtype(np.float32)}


def test_white_noise_is_standard_and_uncorrelated():
    noise = white(np.random.default_rng(0), (300, 300))
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]) < 0.02
