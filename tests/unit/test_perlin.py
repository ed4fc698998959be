"""Promises of `course_utils.anomaly.perlin`, checked against the definition, pixel by pixel."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.anomaly import gradient_noise, perlin_noise


def defined(gradients, shape):
    """Gradient noise from its definition, in Python's floats: no array operations."""
    rows, columns = gradients.shape[0] - 1, gradients.shape[1] - 1
    cell = math.ceil(shape[0] / rows), math.ceil(shape[1] / columns)

    def fade(t):
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    noise = np.zeros(shape)
    for i in range(shape[0]):
        for j in range(shape[1]):
            row, y = i // cell[0], (i % cell[0]) / cell[0]
            column, x = j // cell[1], (j % cell[1]) / cell[1]
            total = 0.0
            for p in (0, 1):
                for q in (0, 1):
                    down, across = map(float, gradients[row + p, column + q])
                    share = (fade(y) if p else 1 - fade(y)) * (fade(x) if q else 1 - fade(x))
                    total += share * (down * (y - p) + across * (x - q))
            noise[i, j] = math.sqrt(2) * total
    return noise


def unit_gradients(rng, *points):
    angles = rng.uniform(0, 2 * np.pi, points)
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)


sizes = st.integers(1, 18)
cells = st.sampled_from([1, 2, 4, 8, 16])


@settings(max_examples=30, deadline=None)
@given(height=sizes, width=sizes, rows=cells, columns=cells, seed=st.integers(0, 99))
def test_every_pixel_is_that_of_the_definition(height, width, rows, columns, seed):
    gradients = unit_gradients(np.random.default_rng(seed), rows + 1, columns + 1)
    noise = gradient_noise(gradients, (height, width))
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise, defined(gradients, (height, width)), atol=2e-6)


def test_a_side_that_cells_do_not_divide_is_cut_from_the_next_multiple():
    # facts of the published function: each of these fails there
    for shape, cells, padded in (
        ((250, 250), (32, 32), (256, 256)),
        ((231, 630), (8, 8), (232, 632)),
        ((49, 103), (16, 4), (64, 104)),
    ):
        part = perlin_noise(shape, cells, np.random.default_rng(1))
        whole = perlin_noise(padded, cells, np.random.default_rng(1))
        np.testing.assert_array_equal(part, whole[: shape[0], : shape[1]])


def test_many_fields_at_once_are_those_of_their_gradients():
    gradients = unit_gradients(np.random.default_rng(0), 5, 3, 9)
    at_once = gradient_noise(gradients, (30, 50))
    one_by_one = [gradient_noise(field, (30, 50)) for field in gradients]
    np.testing.assert_array_equal(at_once, one_by_one)


@pytest.mark.parametrize("points", [(3, 5), (4, 3, 5)])
def test_a_tensor_gives_what_the_array_gives(points):
    gradients = unit_gradients(np.random.default_rng(0), *points)
    noise = gradient_noise(torch.from_numpy(gradients), (31, 52))
    assert noise.dtype == torch.float32
    np.testing.assert_allclose(noise.numpy(), gradient_noise(gradients, (31, 52)), atol=1e-6)


def generators(seed):
    return np.random.default_rng(seed), torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("which", [0, 1])
def test_count_says_how_many_different_fields_are_made(which):
    def noise(count, seed=0):
        return np.asarray(perlin_noise((24, 20), (4, 2), generators(seed)[which], count=count))

    assert noise(None).shape == (24, 20)
    assert noise(3).shape == (3, 24, 20)
    np.testing.assert_array_equal(noise(1)[0], noise(None))
    assert len({field.tobytes() for field in noise(5)}) == 5


@pytest.mark.parametrize("which", [0, 1])
def test_noise_comes_from_the_generator_alone(which):
    def noise(seed):
        made = perlin_noise((32, 32), (4, 4), generators(seed)[which])
        assert type(made) is (np.ndarray, torch.Tensor)[which]
        return np.asarray(made)

    first = noise(3)
    np.random.seed(0)  # noqa: NPY002 (the global state is what this test is about)
    torch.manual_seed(0)
    np.testing.assert_array_equal(noise(3), first)
    assert not np.array_equal(noise(4), first)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_noise_made_on_a_gpu_stays_there_and_is_the_same():
    noise = perlin_noise((64, 64), (8, 8), torch.Generator("cuda").manual_seed(0), count=4)
    assert noise.device.type == "cuda"
    gradients = unit_gradients(np.random.default_rng(0), 9, 9)
    on_gpu = gradient_noise(torch.from_numpy(gradients).cuda(), (64, 64)).cpu().numpy()
    np.testing.assert_allclose(on_gpu, gradient_noise(gradients, (64, 64)), atol=1e-5)


@pytest.mark.parametrize("which", [0, 1])
def test_gradients_are_units_in_all_directions(which):
    # At a grid point the noise is 0 and rises along the gradient, sqrt(2) times as steep.
    step, cells = 64, 8
    noise = perlin_noise((step * cells, step * cells), (cells, cells), generators(0)[which])
    noise = np.asarray(noise, np.float64)
    np.testing.assert_allclose(noise[::step, ::step], 0, atol=1e-6)
    inner = slice(step, None, step)
    down = step * (noise[step + 1 :: step, inner] - noise[step - 1 : -1 : step, inner]) / 2
    across = step * (noise[inner, step + 1 :: step] - noise[inner, step - 1 : -1 : step]) / 2
    length = np.hypot(down, across) / math.sqrt(2)
    np.testing.assert_allclose(length, 1, atol=0.02)
    octants = np.floor(np.arctan2(down, across) / (np.pi / 4)).astype(int) % 8
    assert np.bincount(octants.ravel(), minlength=8).min() >= 1


def test_range_and_spread_are_those_measured_on_the_published_function():
    noise = perlin_noise((256, 256), (8, 8), np.random.default_rng(0), count=20)
    assert 0.85 < noise.max() <= 1
    assert -1 <= noise.min() < -0.85
    assert abs(noise.mean()) < 0.01
    assert 0.29 < noise.std() < 0.33


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((8, 8), (2, 2.5)), r"resolution must be two whole numbers"),
        (((8, 8), (0, 2)), r"resolution must be two whole numbers"),
        (((8, 8), (2, 16)), r"\(2, 16\) cells is finer than the \(8, 8\) pixels: lower"),
    ],
)
def test_unusable_sizes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        perlin_noise(*arguments, np.random.default_rng(0))


@pytest.mark.parametrize("points", [(5, 2), (5, 5, 3), (1, 5, 2), (5, 1, 2), (2, 2, 5, 5, 2)])
def test_gradients_of_no_grid_are_named(points):
    with pytest.raises(ValueError, match=r"gradients must be \(R \+ 1, C \+ 1, 2\) or .*got \("):
        gradient_noise(np.zeros(points, np.float32), (8, 8))
    with pytest.raises(ValueError, match=r"gradients must be"):
        gradient_noise(torch.zeros(points), (8, 8))


def test_a_seed_in_place_of_a_generator_and_a_count_of_none_are_refused():
    with pytest.raises(ValueError, match=r"numpy.random.Generator or a torch.Generator, got int"):
        perlin_noise((8, 8), (2, 2), 3)
    for count in (0, 1.5, True):
        with pytest.raises(ValueError, match=r"count must be a whole number of at least 1, got"):
            perlin_noise((8, 8), (2, 2), np.random.default_rng(0), count=count)
