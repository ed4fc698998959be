"""Promises of `course_utils.anomaly.synthesis`: what is changed, by how much, and what is said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.anomaly import (
    SOURCES,
    AnomalySynthesizer,
    ForegroundRule,
    blend,
    foreground_mask,
    procedural_source,
    structure_source,
)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def picture(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def white(image, rng):
    return np.full_like(image, 255)


def black(image, rng):
    return np.zeros_like(image)


def simulate(image, rng, **settings):
    return AnomalySynthesizer(**settings)(image, rng)


@settings(max_examples=60, deadline=None)
@given(
    opacity=st.floats(0, 1),
    color=st.booleans(),
    kind=st.sampled_from([np.uint8, bool]),
    seed=st.integers(0, 999),
)
def test_blending_is_the_papers_formula_rounded(opacity, color, kind, seed):
    rng = np.random.default_rng(seed)
    shape = (13, 17, 3) if color else (13, 17)
    image, source = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    mask = rng.integers(0, 2, shape[:2]).astype(kind)
    before = image.copy(), source.copy(), mask.copy()
    result = blend(image, source, mask, opacity)
    m = mask[..., None].astype(float) if color else mask.astype(float)
    exact = (1 - m) * image + opacity * m * source + (1 - opacity) * m * image
    assert result.dtype == np.uint8
    assert np.abs(result - exact).max() <= 0.5 + 1e-3
    np.testing.assert_array_equal(result[mask == 0], image[mask == 0])
    for array, copy in zip((image, source, mask), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((picture(4, 4), picture(4, 5), np.ones((4, 4), bool), 0.5), r"shape \(4, 4\), got \(4, 5"),
        ((picture(4, 4), picture(4, 4, 3), np.ones((4, 4), bool), 0.5), "source_image must have"),
        ((picture(4, 4), picture(4, 4), np.ones((2, 4), bool), 0.5), "mask must hold 0 and 1"),
        ((picture(4, 4), picture(4, 4), np.full((4, 4), 255, np.uint8), 0.5), "threshold it"),
        ((picture(4, 4), picture(4, 4), np.ones((4, 4), bool), 1.5), "opacity must lie in 0..1"),
        ((picture(4, 4), picture(4, 4), np.ones((4, 4), bool), float("nan")), "opacity must lie"),
    ],
)
def test_what_cannot_be_blended_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        blend(*arguments)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(24, 70), st.integers(24, 70)),
    color=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_an_anomaly_is_what_it_says_it_is(shape, color, seed):
    image = picture(*shape, *((3,) if color else ()))
    before = image.copy()
    anomaly = simulate(image, np.random.default_rng(seed))
    assert anomaly.image.shape == image.shape
    assert anomaly.image.dtype == anomaly.mask.dtype == np.uint8
    assert 0.001 <= anomaly.mask.mean() < 1
    assert 0.15 <= anomaly.opacity <= 1
    assert anomaly.source in (0, 1)
    np.testing.assert_array_equal(
        anomaly.image, blend(image, anomaly.source_image, anomaly.mask, anomaly.opacity)
    )
    np.testing.assert_array_equal(image, before)


def test_the_label_holds_what_cannot_be_seen_too(rng):
    image = np.zeros((64, 64), np.uint8)
    anomaly = simulate(image, rng, sources=[black])
    np.testing.assert_array_equal(anomaly.image, image)
    assert anomaly.mask.any()


def test_opacity_is_even_between_its_limits_and_sources_are_equally_likely(rng):
    image = np.full((32, 32), 100, np.uint8)
    drawn = [simulate(image, rng, sources=[white, black]) for _ in range(400)]
    opacities = np.array([anomaly.opacity for anomaly in drawn])
    counts, _ = np.histogram(opacities, 4, (0.15, 1.0))
    assert counts.sum() == 400
    assert counts.min() > 65  # 100 +- 9 expected
    sources = np.array([anomaly.source for anomaly in drawn])
    assert 150 < sources.sum() < 250  # 200 +- 10 expected
    assert all(anomaly.source_image.max() == 255 * (1 - anomaly.source) for anomaly in drawn)
    assert abs(np.corrcoef(opacities, sources)[0, 1]) < 0.2


def test_area_and_opacity_are_kept(rng):
    image = picture(64, 64)
    for _ in range(20):
        anomaly = simulate(image, rng, area=(0.03, 0.06), opacity=(0.5, 0.5))
        assert 0.03 <= anomaly.mask.mean() <= 0.06
        assert anomaly.opacity == 0.5


def test_the_default_is_made_textures_and_the_image_in_disorder():
    assert (procedural_source, structure_source) == SOURCES


def test_equal_generators_give_equal_anomalies_and_one_gives_different_ones():
    image = picture(48, 48, 3)
    first, second = (simulate(image, np.random.default_rng(4)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    rng = np.random.default_rng(4)
    assert len({simulate(image, rng).image.tobytes() for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sources": []}, "sources must hold at least one source"),
        ({"opacity": (0.5, 0.1)}, r"opacity must be \(lowest, highest\) within 0..1"),
        ({"opacity": 0.5}, r"opacity must be \(lowest, highest\) .*got 0.5"),
        ({"sources": [lambda image, rng: image[1:]]}, r"have the image's shape \(32, 32\)"),
        ({"foreground": lambda image: image[1:] > 9}, r"foreground must .*got \(31, 32\)"),
    ],
)
def test_unusable_settings_are_named(settings, message, rng):
    with pytest.raises(ValueError, match=message):
        simulate(picture(32, 32), rng, **settings)


@pytest.mark.parametrize("foreground", [foreground_mask, ForegroundRule(100, bright=False)])
def test_a_synthesizer_keeps_anomalies_on_the_object(foreground, rng):
    image = np.full((80, 80, 3), 240, np.uint8)
    image[20:60, 20:60] = picture(40, 40, 3) // 4
    inside = np.zeros((80, 80), bool)
    inside[20:60, 20:60] = True
    for _ in range(20):
        anomaly = simulate(image, rng, foreground=foreground, sources=[white])
        assert anomaly.mask[inside].any()
        assert not anomaly.mask[~inside].any()
