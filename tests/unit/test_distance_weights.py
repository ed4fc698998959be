"""Weights of defect pixels against loops, another distance transform, and measured numbers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from course_utils.data import distance_weights

MASKS = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=8))


def two_defects() -> torch.Tensor:
    """One of 20 x 60 pixels and one of 6 x 6."""
    mask = torch.zeros(64, 96, dtype=torch.long)
    mask[10:30, 10:70] = 1
    mask[50:56, 80:86] = 2
    return mask


def by_loop(mask: np.ndarray, power: float, positive_weight: float) -> np.ndarray:
    """The formula with every pair of pixels."""
    background = np.argwhere(~mask)
    distance = np.zeros(mask.shape)
    for i, j in np.argwhere(mask):
        distance[i, j] = min((math.hypot(i - k, j - m) for k, m in background), default=1.0)
    weights = np.ones(mask.shape)
    for i, j in np.argwhere(mask):
        weights[i, j] = positive_weight * (distance[i, j] / distance.max()) ** power
    return weights


@settings(deadline=None)
@given(mask=MASKS, power=st.sampled_from([0.0, 1.0, 2.0]), positive_weight=st.floats(0, 20))
@example(mask=np.ones((5, 7), bool), power=2, positive_weight=2)
def test_weights_are_what_the_formula_gives_for_every_pair_of_pixels(mask, power, positive_weight):
    found = distance_weights(torch.from_numpy(mask), power=power, positive_weight=positive_weight)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, by_loop(mask, power, positive_weight), 1e-5, 1e-30)


@settings(deadline=None)
@given(mask=MASKS, positive_weight=st.floats(0, 20))
@example(mask=np.eye(4, dtype=bool), positive_weight=1)
@example(mask=np.ones((5, 7), bool), positive_weight=2)
def test_each_component_alone_weighs_as_it_does_beside_others(mask, positive_weight):
    weights = {"positive_weight": positive_weight, "per": "component"}
    found = distance_weights(torch.from_numpy(mask), **weights)
    # Pixels that touch at corners are connected.
    components, count = ndimage.label(mask, structure=np.ones((3, 3)))
    wanted = np.ones(mask.shape)
    for number in range(1, count + 1):
        alone = components == number
        distance = np.ones(mask.shape) if alone.all() else ndimage.distance_transform_edt(alone)
        wanted[alone] = positive_weight * (distance[alone] / distance.max()) ** 2
    np.testing.assert_allclose(found, wanted, 1e-5, 1e-30)


def test_beside_a_large_defect_a_small_one_weighs_next_to_nothing():
    small = np.s_[50:56, 80:86]
    published = distance_weights(two_defects())
    assert float(published[small].max()) == pytest.approx(0.09)
    assert float(published[small].mean()) == pytest.approx(0.029, abs=0.0005)
    assert float(published[10, 40]) == pytest.approx(0.01), "the edge of a strip of 20 pixels"
    assert float(published[10:30, 10:70].max()) == pytest.approx(1)
    each = distance_weights(two_defects(), per="component")
    assert float(each[small].max()) == pytest.approx(1)
    assert float(each[small].mean()) == pytest.approx(0.32, abs=0.005)
    large = np.s_[10:30, 10:70]
    assert torch.equal(each[large], published[large])


def test_a_mask_is_not_changed_and_its_classes_and_memory_make_no_difference():
    mask = two_defects()
    before = mask.clone()
    wanted = distance_weights(mask > 0)
    assert torch.equal(distance_weights(mask), wanted)
    assert torch.equal(distance_weights(mask.to(torch.uint8)), wanted)
    assert torch.equal(distance_weights(mask.T.contiguous().T), wanted)
    assert torch.equal(mask, before)


@pytest.mark.parametrize(
    ("mask", "options", "problem"),
    [
        (torch.zeros(4, 4), {}, "mask must be bool or integers, got torch.float32: threshold"),
        (torch.zeros(1, 4, 4).long(), {}, r"mask must be \(H, W\), got \(1, 4, 4\)"),
        (torch.zeros(0, 4).long(), {}, r"mask must be \(H, W\), got \(0, 4\)"),
        (-torch.ones(4, 4).long(), {}, "mask must be >= 0, got -1"),
        (torch.zeros(4, 4).long(), {"power": -1}, "power must be finite and >= 0, got -1"),
        (torch.zeros(4, 4).long(), {"power": math.inf}, "power must be finite"),
        (torch.zeros(4, 4).long(), {"positive_weight": -1}, "positive_weight must be finite"),
        (torch.zeros(4, 4).long(), {"positive_weight": math.nan}, "positive_weight must be fin"),
        (torch.zeros(4, 4).long(), {"per": "defect"}, "per must be one of .*got 'defect'"),
    ],
)
def test_what_cannot_be_is_refused(mask, options, problem):
    with pytest.raises(ValueError, match=problem):
        distance_weights(mask, **options)
