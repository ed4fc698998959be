"""Promises of `course_utils.anomaly.foreground`, on drawn objects and on real ones."""

import pickle

import cv2
import numpy as np
import pytest
from scipy import ndimage

from course_utils.anomaly import (
    MVTEC_FOREGROUNDS,
    FixedForeground,
    ForegroundRule,
    find_foreground,
    foreground_mask,
)
from course_utils.config import data_root


@pytest.fixture
def disc():
    return cv2.circle(np.zeros((80, 90), np.uint8), (45, 40), 25, 1, -1)


def picture(disc, inside, outside, noise=4):
    rng = np.random.default_rng(0)
    gray = np.where(disc == 1, inside, outside) + rng.normal(0, noise, disc.shape)
    return gray.clip(0, 255).astype(np.uint8)


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize(("inside", "outside"), [(40, 220), (220, 40), (120, 90)])
def test_bright_and_dark_objects_are_found_by_the_border(disc, inside, outside):
    image = picture(disc, inside, outside)
    before = image.copy()
    mask = foreground_mask(image)
    np.testing.assert_array_equal(image, before)
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}
    assert overlap(mask, disc) > 0.97


def test_an_object_that_touches_the_border_is_still_the_object():
    half = cv2.circle(np.zeros((80, 90), np.uint8), (5, 40), 30, 1, -1)
    assert overlap(foreground_mask(picture(half, 200, 60)), half) > 0.97


def test_the_declared_kind_wins_over_the_border(disc):
    image = picture(disc, 40, 220)
    np.testing.assert_array_equal(
        foreground_mask(image, bright=False, opening=1, closing=1),
        1 - foreground_mask(image, bright=True, opening=1, closing=1),
    )


def test_a_declared_threshold_is_the_highest_dark_gray():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (9, 1))
    for bright in (True, False):
        mask = foreground_mask(ramp, threshold=100, bright=bright, opening=1, closing=1)
        np.testing.assert_array_equal(mask[0], (np.arange(256) > 100) == bright)


def test_colors_count_by_luma():
    image = np.zeros((20, 20, 3), np.uint8)
    image[5:15, 5:15, 1] = 200  # green: luma 117
    image[..., 2] = 200  # blue everywhere: luma 23
    mask = foreground_mask(image, threshold=100)
    assert mask[5:15, 5:15].all()
    assert mask.sum() == 100


def test_specks_go_and_holes_are_filled_up_to_the_declared_size(disc):
    image = np.where(disc == 1, 40, 220).astype(np.uint8)
    image[5:9, 5:9] = 40  # dust of 4 pixels
    image[38:42, 40:44] = 220  # a reflex of 4 pixels
    assert foreground_mask(image)[5:9, 5:9].sum() == 0
    assert foreground_mask(image)[38:42, 40:44].all()
    assert foreground_mask(image, opening=3)[5:9, 5:9].all()
    assert not foreground_mask(image, closing=3)[38:42, 40:44].any()


def test_opening_comes_before_closing():
    image = np.full((40, 40), 220, np.uint8)
    image[22:38, 10:34] = 40
    image[4:7, 4:7] = image[8:11, 4:7] = image[4:7, 8:11] = image[8:11, 8:11] = 40
    # Four specks: closed first, they would grow together into one that survives.
    assert not foreground_mask(image)[:15].any()


def test_opening_and_closing_are_those_of_another_library(disc):
    rng = np.random.default_rng(3)
    raw = disc ^ (rng.random(disc.shape) < 0.05)
    mask = foreground_mask((raw * 200).astype(np.uint8), bright=True, opening=3, closing=5)
    # scipy takes what is outside of the picture for ground, which matters in the border alone
    expected = ndimage.binary_opening(raw, np.ones((3, 3)))
    expected = ndimage.binary_closing(expected, np.ones((5, 5)))
    np.testing.assert_array_equal(mask[4:-4, 4:-4], expected[4:-4, 4:-4])


def test_textures_and_cable_have_no_rule():
    assert not {"carpet", "grid", "leather", "tile", "wood", "cable"} & set(MVTEC_FOREGROUNDS)
    assert MVTEC_FOREGROUNDS["bottle"] == (250, False)
    assert MVTEC_FOREGROUNDS["hazelnut"] == (50, True)
    assert len(MVTEC_FOREGROUNDS) == 9


@pytest.mark.parametrize(("threshold", "bright"), [(250, False), (50, True), (200, True)])
def test_a_rule_is_called_with_an_image(threshold, bright):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (40, 1))
    rule = ForegroundRule(threshold, bright=bright)
    mask = rule(ramp)
    np.testing.assert_array_equal(mask[0], (np.arange(256) > threshold) == bright)
    np.testing.assert_array_equal(mask, foreground_mask(ramp, **rule._asdict()))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rule))(ramp), mask)


def test_a_rule_opens_and_closes(disc):
    image = np.where(disc == 1, 40, 255).astype(np.uint8)
    image[5:9, 5:9] = 40
    image[38:42, 40:44] = 255
    assert overlap(MVTEC_FOREGROUNDS["bottle"](image), disc) > 0.99
    assert not MVTEC_FOREGROUNDS["bottle"](image)[5:9, 5:9].any()


def test_bottles_are_found_with_and_without_their_rule():
    folder = data_root() / "mvtec_ad" / "bottle" / "train" / "good"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    for path in sorted(folder.iterdir())[:10]:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        found = foreground_mask(image)
        rule = MVTEC_FOREGROUNDS["bottle"](image)
        assert overlap(found, rule) > 0.95
        assert found[128, 128] == 1
        assert found[[0, 0, -1, -1], [0, -1, 0, -1]].sum() == 0


def test_an_image_without_an_object_is_named():
    plain = np.full((20, 20), 128, np.uint8)
    with pytest.raises(ValueError, match=r"no pixel is left .*grays are 128..128.*textures"):
        foreground_mask(plain, threshold=200, bright=True)
    with pytest.raises(ValueError, match="no pixel is left"):
        foreground_mask(plain)


@pytest.mark.parametrize(
    ("given_what", "message"),
    [
        ({"threshold": 0.4}, r"threshold must be .*got 0.4: give a gray"),
        ({"opening": 0}, r"opening must be an odd number of pixels, or 1, got 0"),
        ({"opening": 4}, r"opening must be an odd number .*got 4"),
        ({"closing": 2.5}, r"closing must be an odd number .*got 2.5"),
    ],
)
def test_unusable_settings_are_named(given_what, message):
    with pytest.raises(ValueError, match=message):
        foreground_mask(np.zeros((8, 8), np.uint8), **given_what)


# Decided from images


def plates(inside: int, outside: int, *, count: int = 10, radius: int = 30, noise: int = 4):
    """Round plates that lie a little elsewhere each time, in light that changes, in color."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        center = (48 + int(rng.integers(-6, 7)), 44 + int(rng.integers(-6, 7)))
        disc = cv2.circle(np.zeros((90, 96), np.uint8), center, radius, 1, -1)
        gray = np.where(disc == 1, inside, outside) * rng.uniform(0.85, 1)
        gray = gray + rng.normal(0, noise, disc.shape)
        found.append(np.repeat(gray.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return found


@pytest.mark.parametrize(
    ("inside", "outside", "radius", "bright"),
    [(40, 220, 30, False), (220, 40, 30, True), (150, 90, 30, True), (60, 120, 12, False)],
)
def test_an_object_on_a_ground_is_found_and_it_is_said(inside, outside, radius, bright):
    rule, note = find_foreground(plates(inside, outside, radius=radius))
    assert rule == ForegroundRule(None, bright)
    kind = "bright" if bright else "dark"
    assert note == f"a {kind} object stands out from the ground in 10 of 10 training images"
    assert all(rule(image).any() for image in plates(inside, outside, radius=radius))


def holes() -> np.ndarray:
    """A perforated sheet."""
    image = np.full((90, 96), 220, np.uint8)
    for y in range(15, 80, 20):
        for x in range(15, 90, 20):
            cv2.circle(image, (x, y), 7, 40, -1)
    return image


def lamp() -> np.ndarray:
    """A plain surface, lit in the middle."""
    y, x = np.mgrid[:90, :96]
    return (200 - 0.05 * ((y - 45) ** 2 + (x - 48) ** 2)).clip(0, 255).astype(np.uint8)


def stripes(_: int) -> np.ndarray:
    return np.tile((np.arange(96) // 12 % 2 * 150).astype(np.uint8), (90, 1))


@pytest.mark.parametrize(
    "images",
    [
        [picture(np.zeros((80, 90)), 0, 120, noise=20)],  # a plain surface
        [np.full((80, 90), 7, np.uint8)],
        [holes()],
        [lamp()],
        [np.tile(np.arange(90, dtype=np.uint8) * 2, (80, 1))],  # light from one side
        list(map(stripes, range(5))),  # a pattern
        [np.where(np.arange(90) < 45, 40, 220).astype(np.uint8)[None].repeat(80, 0)],  # two halves
        plates(40, 220, radius=3),  # dust
        plates(100, 110, noise=20),  # hardly to be seen
        plates(40, 220)[:5] + plates(220, 40)[:5],  # sometimes dark, sometimes bright
        plates(40, 220, count=8) + [np.full((90, 96, 3), 200, np.uint8)] * 2,  # sometimes nothing
    ],
)
def test_where_no_object_stands_out_there_is_none_and_it_is_said(images):
    rule, note = find_foreground(images)
    assert rule is None
    assert note.startswith("none: ")
    assert note.endswith("anomalies lie anywhere")


def test_one_image_that_shows_nothing_is_enough_for_none():
    images = [*plates(40, 220, count=20), np.full((90, 96, 3), 200, np.uint8)]
    rule, note = find_foreground(images)
    assert rule is None
    assert "some have none at all" in note


def test_no_image_decides_nothing():
    with pytest.raises(ValueError, match="at least one image"):
        find_foreground([])


def test_a_fixed_region_is_scaled_to_each_image_and_goes_to_workers():
    region = np.zeros((10, 20), np.uint8)
    region[:5, :10] = 1
    rule = pickle.loads(pickle.dumps(FixedForeground(region)))
    mask = rule(np.zeros((40, 60, 3), np.uint8))
    assert mask[:20, :30].all()
    assert mask.sum() == 600
