from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from sklearn import metrics

from course_utils.evaluation import aupro, pro_curve


def slow_curve(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From the definition: at each threshold, the coverage of each component, then the mean."""
    regions = []
    for number, mask in enumerate(masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(number, labels == region) for region in range(1, count + 1)]
    fpr, pro = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        found = maps >= threshold
        fpr.append(float(found[masks == 0].mean()))
        pro.append(float(np.mean([found[number][region].mean() for number, region in regions])))
    return np.array(fpr), np.array(pro)


def slow_aupro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    fpr, pro = slow_curve(maps, masks)
    # A rising curve without its vertical pieces: interpolation is then unambiguous.
    grid = np.unique(np.append(fpr[fpr <= limit], limit))
    area = 0.0
    for left, right in pairwise(grid):
        start = pro[np.flatnonzero(fpr == left)[-1]]
        after = int(np.flatnonzero(fpr > left)[0])
        slope = (pro[after] - start) / (fpr[after] - left)
        area += (right - left) * (start + slope * (right - left) / 2)
    return area / limit


@st.composite
def scored_masks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(2, 7)))
    maps = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 6))) / 8
    masks = draw(hnp.arrays(np.bool_, shape))
    masks[0, 0, 0], masks[0, 0, 1] = True, False
    return maps, masks


@given(scored_masks(), st.sampled_from([0.05, 0.3, 0.5, 1.0]))
def test_one_sort_equals_the_definition(data, limit):
    assert aupro(*data, fpr_limit=limit) == pytest.approx(slow_aupro(*data, limit))
    fpr, pro = slow_curve(*data)
    curve = pro_curve(*data)
    np.testing.assert_allclose(curve.fpr, fpr, atol=1e-12)
    np.testing.assert_allclose(curve.pro, pro, atol=1e-12)


def test_equal_regions_make_it_the_partial_area_of_the_roc_curve():
    rng = np.random.default_rng(3)
    masks = np.zeros((4, 16, 16), dtype=bool)
    masks[:, 3:7, 3:7] = masks[:, 9:13, 9:13] = True
    maps = rng.normal(size=masks.shape) + masks
    fpr, tpr, _ = metrics.roc_curve(masks.ravel(), maps.ravel(), drop_intermediate=False)
    inside = fpr <= 0.3
    area = metrics.auc(
        np.append(fpr[inside], 0.3), np.append(tpr[inside], np.interp(0.3, fpr, tpr))
    )
    assert aupro(maps, masks) == pytest.approx(area / 0.3)


def test_constant_scores_have_half_the_limit():
    mask = np.zeros((1, 4, 4))
    mask[0, 1, 1] = 1
    assert aupro(np.full((1, 4, 4), 0.7), mask) == pytest.approx(0.15)


def test_images_of_different_sizes_and_tensors_of_short_floats_are_taken():
    rng = np.random.default_rng(5)
    maps = [rng.integers(0, 9, (6, 9)) / 8, rng.integers(0, 9, (4, 5)) / 8]
    masks = [rng.random((6, 9)) < 0.2, np.zeros((4, 5), dtype=bool)]
    expected = aupro(maps, masks)
    assert 0 < expected < 1
    tensors = [torch.from_numpy(one).to(torch.bfloat16)[None] for one in maps]
    assert aupro(tensors, [torch.from_numpy(one)[None] for one in masks]) == expected
    assert aupro(torch.from_numpy(maps[0])[None, None].half(), masks[0][None, None]) == aupro(
        maps[0], masks[0]
    )


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), "without a defect"),
        (np.zeros((1, 2, 2)), np.ones((1, 2, 2)), "without a clean pixel"),
        (np.full((1, 2, 2), np.nan), np.eye(2)[None], "finite"),
        (np.zeros((1, 2, 2)), 255 * np.eye(2)[None], r"masks > 0"),
        (np.zeros((1, 2, 2)), np.eye(3)[None], r"\(2, 2\) and \(3, 3\)"),
        (np.zeros((2, 2, 2)), np.eye(2)[None], "2 images and masks 1"),
        (np.zeros(4), np.eye(4)[0], r"\(H, W\), \(N, H, W\)"),
        (np.zeros((1, 3, 2, 2)), np.zeros((1, 3, 2, 2)), r"\(N, 1, H, W\)"),
        (np.zeros((0, 2, 2)), np.zeros((0, 2, 2)), "got nothing"),
    ],
)
def test_broken_input_is_an_error_that_says_what_is_wanted(maps, masks, message):
    with pytest.raises(ValueError, match=message):
        aupro(maps, masks)


@pytest.mark.parametrize("limit", [0, -0.1, 1.1, float("nan")])
def test_the_limit_must_be_a_rate(limit):
    with pytest.raises(ValueError, match="fpr_limit"):
        aupro(np.zeros((1, 2, 2)), np.eye(2)[None], fpr_limit=limit)


# Unchecked, OpenCV ends the whole process here.
@pytest.mark.parametrize("empty", [(0, 4), (4, 0), (1, 0, 4)])
def test_an_image_without_pixels_is_an_error(empty):
    whole = np.eye(4)
    for images in (np.zeros(empty), [whole, np.zeros(empty)], [whole, torch.zeros(empty)]):
        for metric in (aupro, pro_curve):
            with pytest.raises(ValueError, match="maps must hold at least one value, got shape"):
                metric(images, images)
