"""Promises of `course_utils.anomaly.masks`."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.anomaly import draw_mask, empty_mask_chance, masks, perlin_mask

SIZE = (128, 128)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    low=st.floats(0, 0.03),
    seed=st.integers(0, 2**32),
)
def test_any_size_gives_zeros_and_ones_of_the_wanted_area(shape, low, seed):
    rng = np.random.default_rng(seed)
    mask = draw_mask(shape, rng)
    assert mask.shape == shape
    assert mask.dtype == np.uint8
    assert mask.max() <= 1
    if min(shape) >= 16:
        mask = perlin_mask(shape, rng, area=(low, 0.2))
        assert low <= mask.mean() <= 0.2


def test_the_chance_of_an_empty_mask_is_that_of_the_facts(rng):
    # 4.9 % at 256 x 256 before rotation; 600 draws: +- 0.9 % of standard deviation
    chance = empty_mask_chance((256, 256), np.random.default_rng(0), rotate=False, draws=600)
    assert 0.025 < chance < 0.08
    corner = np.zeros(SIZE, bool)
    corner[:20, :20] = True
    everywhere = empty_mask_chance(SIZE, rng, draws=150)
    assert empty_mask_chance(SIZE, rng, foreground=corner, draws=150) > everywhere + 0.1
    assert min(perlin_mask(SIZE, rng).mean() for _ in range(150)) >= 0.001, "never by default"


def test_masks_stay_within_the_foreground(rng):
    disc = cv2.circle(np.zeros(SIZE, np.uint8), (60, 70), 30, 1, -1)
    inside = np.zeros(SIZE, bool)
    for _ in range(60):
        mask = perlin_mask(SIZE, rng, foreground=disc)
        assert not mask[disc == 0].any()
        inside |= mask.astype(bool)
    assert inside[disc == 1].mean() > 0.8


def test_the_foreground_takes_away_and_changes_nothing_else():
    disc = cv2.circle(np.zeros(SIZE, np.uint8), (60, 70), 50, 1, -1)
    whole = draw_mask(SIZE, np.random.default_rng(3))
    part = draw_mask(SIZE, np.random.default_rng(3), foreground=disc)
    np.testing.assert_array_equal(part, whole * disc)


def record(monkeypatch, noise_of):
    """Record the grids and the angles that masks are drawn with."""
    grids, angles = [], []
    monkeypatch.setattr(
        masks, "perlin_noise", lambda shape, cells, rng: grids.append(cells) or noise_of(shape)
    )
    turn = cv2.getRotationMatrix2D
    monkeypatch.setattr(
        cv2, "getRotationMatrix2D", lambda c, a, s: angles.append(a) or turn(c, a, s)
    )
    return grids, angles


def test_grids_and_angles_are_the_published_ones(monkeypatch, rng):
    grids, angles = record(monkeypatch, lambda shape: np.zeros(shape, np.float32))
    for _ in range(720):
        draw_mask((64, 256), rng)
    counts = {grid: grids.count(grid) for grid in set(grids)}
    powers = [1, 2, 4, 8, 16, 32]
    assert set(counts) == {(down, across) for down in powers for across in powers}
    assert max(counts.values()) < 45  # 20 +- 4.4 expected
    assert -90 <= min(angles) < -80
    assert 80 < max(angles) <= 90
    assert abs(np.mean(angles)) < 8


def test_cells_have_two_pixels_at_least(monkeypatch, rng):
    grids, _ = record(monkeypatch, lambda shape: np.zeros(shape, np.float32))
    for _ in range(50):
        draw_mask((16, 3), rng)
    assert max(grid[0] for grid in grids) == 8
    assert max(grid[1] for grid in grids) == 1


def test_the_threshold_is_one_half_and_what_comes_from_outside_is_zero(monkeypatch, rng):
    record(monkeypatch, lambda shape: np.full(shape, 0.5, np.float32))
    assert not draw_mask(SIZE, rng, rotate=False).any()
    record(monkeypatch, lambda shape: np.full(shape, 0.51, np.float32))
    assert draw_mask(SIZE, rng, rotate=False).all()
    corners = [draw_mask(SIZE, rng)[[0, 0, -1, -1], [0, -1, 0, -1]] for _ in range(9)]
    assert not np.any(corners), "turned corners come from outside"


def test_rotation_is_about_the_center_and_keeps_thin_images_whole(monkeypatch, rng):
    def noise(shape):
        field = np.zeros(shape, np.float32)
        field[30:35, 30:35] = 1
        return field

    record(monkeypatch, noise)
    for _ in range(20):
        mask = draw_mask((65, 65), rng)
        rows, columns = np.nonzero(mask)
        assert abs(rows.mean() - 32) < 0.3
        assert abs(columns.mean() - 32) < 0.3


def test_equal_generators_give_equal_masks():
    first, second, other = (
        perlin_mask(SIZE, np.random.default_rng(seed)).tobytes() for seed in (1, 1, 2)
    )
    assert first == second != other


def test_a_foreground_that_is_too_small_is_named(rng):
    speck = np.zeros(SIZE, np.uint8)
    speck[0, :4] = 1
    with pytest.raises(ValueError, match=r"foreground covers 0\.02% .* at least 0\.10%: lower"):
        perlin_mask(SIZE, rng, foreground=speck)


def test_an_area_that_never_comes_is_given_up(rng, monkeypatch):
    monkeypatch.setattr(masks, "_TRIES", 5)
    with pytest.raises(ValueError, match=r"none of 5 masks covers .* within \(0\.9, 1\.0\): widen"):
        perlin_mask(SIZE, rng, area=(0.9, 1.0))
    whole = np.ones(SIZE, np.uint8)
    with pytest.raises(ValueError, match=r"within the foreground \(100\.0% of the image\) covers"):
        perlin_mask(SIZE, rng, foreground=whole, area=(0.9, 1.0))
