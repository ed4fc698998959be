"""Promises of `course_utils.anomaly.augmenters`, checked against Pillow, OpenCV and formulas."""

import multiprocessing
import re
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from course_utils.anomaly import AUGMENTERS, augment, augment_at_random

CHECKOUT = Path(__file__).parents[2]
CALLS = 200


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@pytest.fixture(scope="module")
def photo():
    """Smooth shading with noise: an image whose histogram is neither flat nor full."""
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[0:48, 0:64]
    shade = 90 + 40 * np.sin(rows / 9) + 30 * np.cos(columns / 11)
    return (shade[..., None] + rng.normal(0, 8, (48, 64, 3))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def ramp():
    """Every value once, the same in all channels."""
    return np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)


def matches(result, candidates):
    """The keys of `candidates` whose image equals `result`."""
    return {key for key, image in candidates.items() if np.array_equal(result, image)}


# All ten work, always


@pytest.mark.parametrize("name", AUGMENTERS)
def test_each_augmenter_works_200_of_200_times_without_a_warning(name, photo, rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for call in range(CALLS):
            image = photo if call % 2 else photo[..., 0]
            result = augment(image, name, rng)
            assert result.shape == image.shape
            assert result.dtype == np.uint8


@settings(max_examples=60)
@given(
    name=st.sampled_from(AUGMENTERS),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    color=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_any_size_works_and_the_input_stays_as_it_is(name, shape, color, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, 3) if color else shape, dtype=np.uint8)
    before = image.copy()
    result = augment(image, name, rng)
    assert result.shape == image.shape
    assert not np.shares_memory(result, image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", AUGMENTERS)
def test_views_that_are_not_contiguous_give_what_their_copies_give(name, photo):
    for view in (photo[::-1, ::-1], photo.transpose(1, 0, 2), photo[..., ::-1], photo[::2, ::3]):
        np.testing.assert_array_equal(
            augment(view, name, np.random.default_rng(1)),
            augment(view.copy(), name, np.random.default_rng(1)),
        )


# Each does what its name says


def test_invert_is_255_minus_v(photo, rng):
    for _ in range(CALLS):
        np.testing.assert_array_equal(augment(photo, "Invert", rng), 255 - photo)


def test_solarize_equals_pillow_in_half_of_the_calls_and_changes_nothing_in_the_others(ramp, rng):
    pillow = {
        threshold: np.asarray(ImageOps.solarize(Image.fromarray(ramp), threshold))
        for threshold in range(257)  # 256: nothing is inverted
    }
    found = [matches(augment(ramp, "Solarize", rng), pillow) for _ in range(CALLS)]
    assert all(len(keys) == 1 for keys in found)
    thresholds = [keys.pop() for keys in found]
    inverted = [threshold for threshold in thresholds if threshold < 256]
    assert 70 <= len(inverted) <= 130  # of 200: 100 +- 7 expected
    assert 32 <= min(inverted) < 40
    assert 120 < max(inverted) <= 128


@pytest.mark.parametrize(
    ("name", "operation", "settings", "drawn"),
    [
        ("Posterize", ImageOps.posterize, range(1, 9), range(1, 9)),
        ("Autocontrast", ImageOps.autocontrast, range(50), range(21)),
    ],
)
def test_an_augmenter_equals_pillow_for_all_settings(name, operation, settings, drawn, photo, rng):
    pillow = {one: np.asarray(operation(Image.fromarray(photo), one)) for one in settings}
    found = [matches(augment(photo, name, rng), pillow) for _ in range(CALLS)]
    assert all(len(keys) == 1 for keys in found)
    assert set.union(*found) == set(drawn)


def test_equalize_equals_pillow(photo, rng):
    np.testing.assert_array_equal(
        augment(photo, "Equalize", rng), np.asarray(ImageOps.equalize(Image.fromarray(photo)))
    )


def test_gamma_contrast_is_a_power_of_each_channel(ramp, rng):
    values = np.arange(256) / 255
    gammas = []
    for _ in range(40):
        result = augment(ramp, "GammaContrast", rng).reshape(256, 3)
        for channel in result.T:
            inner = slice(20, 250)
            gamma = np.median(np.log((channel[inner] + 0.5) / 255) / np.log(values[inner]))
            assert np.abs(channel - 255 * values**gamma).max() < 1.5
            gammas.append(gamma)
    assert 0.49 < min(gammas) < 0.6
    assert 1.85 < max(gammas) < 2.01
    assert np.ptp(gammas[:3]) > 0.02, "each channel draws its own exponent"


def test_enhance_sharpness_equals_pillow_for_factors_of_0_to_2(photo, rng):
    pillow = Image.fromarray(photo)
    smooth = np.asarray(ImageEnhance.Sharpness(pillow).enhance(0.0)).astype(float)
    detail = photo - smooth
    factors = []
    for _ in range(30):
        result = augment(photo, "EnhanceSharpness", rng)
        factor = ((result - smooth) * detail).sum() / (detail**2).sum()
        expected = np.asarray(ImageEnhance.Sharpness(pillow).enhance(factor)).astype(float)
        assert np.abs(result - expected).max() <= 1
        factors.append(factor)
    assert -0.01 < min(factors) < 0.3
    assert 1.7 < max(factors) < 2.01


def test_add_to_hue_and_saturation_shifts_both_by_one_number_each(rng):
    hue, saturation = np.meshgrid(np.arange(0, 180, 6), np.arange(90, 160, 7))
    hsv = np.stack([hue, saturation, np.full_like(hue, 200)], axis=2).astype(np.uint8)
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    before = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(int)
    shifts = []
    for _ in range(60):
        result = augment(image, "AddToHueAndSaturation", rng)
        after = cv2.cvtColor(result, cv2.COLOR_RGB2HSV).astype(int)
        turn = np.exp(2j * np.pi * (after[..., 0] - before[..., 0]) / 180)
        assert abs(turn.mean()) > 0.98, "one turn for all hues"
        change = after[..., 1] - before[..., 1]
        assert np.percentile(change, 95) - np.percentile(change, 5) <= 5
        assert np.abs(after[..., 2] - 200).max() <= 1, "the value stays"
        shifts.append((np.angle(turn.mean(), deg=True) / 2, np.median(change)))
    hues, saturations = np.array(shifts).T
    # imgaug maps -255..255 of hue onto a full turn of 180: -50..50 becomes -35..35
    assert -37 < hues.min() < -25
    assert 25 < hues.max() < 37
    assert -52 < saturations.min() < -40
    assert 40 < saturations.max() < 52
    assert abs(np.corrcoef(hues, saturations)[0, 1]) < 0.5, "drawn apart from each other"


def test_brightness_of_gray_is_multiplied_and_shifted_and_stays_gray(ramp, rng):
    slopes, shifts = [], []
    for _ in range(60):
        result = augment(ramp, "MultiplyAndAddToBrightness", rng).reshape(256, 3).astype(int)
        assert np.ptp(result, axis=1).max() <= 6
        middle = result.mean(axis=1)[60:180]
        slope, at_60 = np.polyfit(np.arange(120), middle, 1)
        slopes.append(slope)
        shifts.append(at_60 - 60 * slope)
    assert 0.7 < min(slopes) < 0.9
    assert 1.1 < max(slopes) < 1.35
    assert -33 < min(shifts) < -20
    assert 20 < max(shifts) < 33


def test_affine_rotates_about_the_center_by_up_to_45_degrees(rng):
    bar = np.zeros((65, 65), np.uint8)
    bar[30:35, 5:60] = 200
    rows, columns = np.mgrid[-32:33, -32:33]
    angles = []
    for _ in range(60):
        result = augment(bar, "Affine", rng)
        weight = result / result.sum()
        assert abs((weight * rows).sum()) < 0.1
        assert abs((weight * columns).sum()) < 0.1
        along = (weight * (columns**2 - rows**2)).sum()
        across = (weight * 2 * rows * columns).sum()
        angle = np.rad2deg(np.arctan2(across, along) / 2)
        turn = cv2.getRotationMatrix2D((32, 32), -angle, 1.0)
        expected = cv2.warpAffine(bar, turn, (65, 65))
        assert np.abs(result.astype(float) - expected).mean() < 1.0
        angles.append(angle)
    assert -45.5 < min(angles) < -35
    assert 35 < max(angles) < 45.5


def test_affine_fills_the_corners_with_zero(rng):
    white = np.full((40, 40, 3), 255, np.uint8)
    results = np.array([augment(white, "Affine", rng) for _ in range(20)])
    assert (results[:, 20, 20] == 255).all()
    assert (results.min(axis=(1, 2, 3)) == 0).any()


@pytest.mark.parametrize("name", AUGMENTERS)
def test_a_gray_image_is_treated_as_color_with_equal_channels(name, photo):
    gray = photo[..., 1]
    for seed in range(5):
        color = augment(np.dstack([gray] * 3), name, np.random.default_rng(seed))
        luma = color @ np.array([0.299, 0.587, 0.114])
        result = augment(gray, name, np.random.default_rng(seed))
        assert np.abs(result - luma).max() < 0.6


# Randomness: from the passed generator and from nowhere else


@pytest.fixture
def imgaug_random(photo):
    """Of imgaug, which is imported; its global generator is put back after the test."""
    augment(photo, "Invert", np.random.default_rng(0))
    module = sys.modules["imgaug"].random
    before = module.GLOBAL_RNG
    yield module
    module.GLOBAL_RNG = before


@pytest.mark.parametrize("name", AUGMENTERS)
def test_equal_generators_give_equal_images_whatever_the_global_state(name, photo, imgaug_random):
    results = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002 (the global state is what this test is about)
        imgaug_random.GLOBAL_RNG = imgaug_random.RNG(seed)
        generator = np.random.default_rng(3)
        results.append([augment(photo, name, generator) for _ in range(6)])
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize("name", AUGMENTERS)
@pytest.mark.parametrize("exists", [False, True])
def test_the_global_generators_are_left_as_they_were(name, exists, photo, imgaug_random):
    mine = imgaug_random.GLOBAL_RNG = imgaug_random.RNG(7) if exists else None
    state = str(mine.state) if mine else None
    numpy_state = np.random.get_state()  # noqa: NPY002 (as above)
    augment(photo, name, np.random.default_rng(1))
    assert imgaug_random.GLOBAL_RNG is mine
    assert mine is None or str(mine.state) == state
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state[1])  # noqa: NPY002
    assert np.random.get_state()[2] == numpy_state[2]  # noqa: NPY002


def test_the_global_generator_comes_back_after_an_error(photo, monkeypatch, imgaug_random):
    before = imgaug_random.GLOBAL_RNG

    def break_down(*_args, **_keywords):
        raise RuntimeError("broken")

    monkeypatch.setattr(sys.modules["imgaug"].augmenters.Invert, "_augment_batch_", break_down)
    with pytest.raises(RuntimeError, match="broken"):
        augment(photo, "Invert", np.random.default_rng(0))
    assert imgaug_random.GLOBAL_RNG is before


def test_one_generator_gives_another_image_at_every_call(photo, rng):
    results = [augment_at_random(photo, rng) for _ in range(30)]
    assert {result.shape for result in results} == {photo.shape}
    assert len({result.tobytes() for result in results}) == 30


def _three_images(seed):
    rng = np.random.default_rng(seed)
    image = np.random.default_rng(5).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    return [augment_at_random(image, rng).tobytes() for _ in range(3)]


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_workers_differ_by_their_generator_alone():
    # each worker inherits imgaug's global state from this process, which has used it
    here = [_three_images(seed) for seed in (0, 1)]
    with multiprocessing.get_context("fork").Pool(2) as workers:
        there = workers.map(_three_images, [0, 1], chunksize=1)
    assert there == here
    assert not set(there[0]) & set(there[1])


# The pipeline


def test_the_pipeline_applies_different_augmenters_in_the_order_drawn(photo, monkeypatch):
    from course_utils.anomaly import augmenters

    drawn = []
    monkeypatch.setattr(augmenters, "augment", lambda image, name, rng: drawn.append(name) or image)
    rng = np.random.default_rng(0)
    for _ in range(600):
        augmenters.augment_at_random(photo, rng)
    runs = [tuple(drawn[start : start + 3]) for start in range(0, 1800, 3)]
    assert all(len(set(run)) == 3 for run in runs)
    for place in range(3):
        counts = [sum(run[place] == name for run in runs) for name in AUGMENTERS]
        assert min(counts) > 30, "every augmenter stands in every place"  # 60 +- 7 expected
        assert max(counts) < 95


def test_all_of_the_names_are_applied_when_count_is_their_number(photo, rng):
    result = augment_at_random(photo, rng, count=2, names=["Invert", "Equalize"])
    inverted = augment(photo, "Invert", rng)
    equalized = augment(photo, "Equalize", rng)
    orders = augment(inverted, "Equalize", rng), augment(equalized, "Invert", rng)
    assert any(np.array_equal(result, other) for other in orders)
    copy = augment_at_random(photo, rng, count=0)
    np.testing.assert_array_equal(copy, photo)
    assert not np.shares_memory(copy, photo)


# Errors say what was given and what is wanted


def test_unknown_names_and_names_given_twice_are_refused(photo, rng):
    with pytest.raises(ValueError, match=r"'invert' is unknown: choose from Gamma.*, Affine$"):
        augment(photo, "invert", rng)
    with pytest.raises(ValueError, match="'Blur' is unknown"):
        augment_at_random(photo, rng, names=["Invert", "Blur"])
    with pytest.raises(ValueError, match="names must differ"):
        augment_at_random(photo, rng, names=["Invert", "Invert"])


# Importing imgaug


def run_alone(program):
    """Run the program with warnings as errors; nothing may be written."""
    command = [sys.executable, "-W", "error", "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_package_is_imported_without_imgaug_and_both_silently_leave_numpy_as_found():
    run_alone("""
import numpy as np
before = dict(vars(np)), np.random.get_state()[1].tolist()
import sys
from course_utils.anomaly import AUGMENTERS, augment
assert "imgaug" not in sys.modules, "importing the package imported it"
for name in AUGMENTERS:
    augment(np.zeros((8, 8, 3), np.uint8), name, np.random.default_rng(0))
import imgaug
assert imgaug.random.GLOBAL_RNG is None, "imgaug made its global generator"
assert before[1] == np.random.get_state()[1].tolist(), "NumPy's global generator was used"
new = {name for name in vars(np) if name not in before[0]}
assert "sctypes" not in new, new
assert all(vars(np)[name] is value for name, value in before[0].items()), "NumPy was changed"
""")


def test_the_import_keeps_an_sctypes_that_is_there():
    run_alone("""
import numpy as np
kept = np.sctypes = {"float": [np.float32], "int": [np.int32], "uint": [np.uint8]}
from course_utils.anomaly import augment
augment(np.zeros((8, 8), np.uint8), "Invert", np.random.default_rng(0))
assert np.sctypes is kept
""")


def test_nothing_else_imports_imgaug():
    folders = ("course_utils", "notebooks", "data_scripts", "benchmarks", "docs")
    files = [path for folder in folders for path in sorted((CHECKOUT / folder).rglob("*.py"))]
    pattern = re.compile(r"^\s*(import|from) imgaug\b|import_module\(.imgaug\b", re.MULTILINE)
    importers = [path for path in files if pattern.search(path.read_text(encoding="utf-8"))]
    assert importers == [CHECKOUT / "course_utils" / "anomaly" / "augmenters.py"]
