"""Promises of the sources of anomalies: textures from files, textures made, shuffled structure."""

import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.anomaly import (
    PATTERNS,
    TextureFolder,
    TextureSource,
    augment_at_random,
    change_appearance,
    pitfall_structure_source,
    procedural_source,
    procedural_texture,
    shuffle_tiles,
    structure_source,
    textures,
)
from course_utils.anomaly.structure import color_matrix


@pytest.fixture
def rng():
    return np.random.default_rng(20)


PHOTO = np.random.default_rng(5).integers(0, 256, (48, 64, 3), dtype=np.uint8)


SOURCES = [
    procedural_source,
    structure_source,
    pitfall_structure_source,
    TextureSource([np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)]),
]


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=6, deadline=None)
@given(height=st.integers(8, 40), width=st.integers(8, 40), gray=st.booleans())
def test_every_source_gives_a_picture_of_the_image_s_shape(source, height, width, gray):
    shape = (height, width) if gray else (height, width, 3)
    image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    before = image.copy()
    result = source(image, np.random.default_rng(height))
    assert result.shape == shape
    assert result.dtype == np.uint8
    assert not np.shares_memory(result, image)
    np.testing.assert_array_equal(image, before)
    in_a_worker = pickle.loads(pickle.dumps(source))
    again = in_a_worker(image, np.random.default_rng(height))
    np.testing.assert_array_equal(result, again)


# Textures from pictures


def test_all_textures_are_drawn_equally_often(rng):
    source = TextureSource([np.full((4, 4, 3), value, np.uint8) for value in range(5)])
    image = np.zeros((4, 4, 3), np.uint8)
    values = [int(source(image, rng)[0, 0, 0]) for _ in range(400)]
    assert min(values.count(value) for value in range(5)) > 50  # 80 +- 8 expected


def test_a_texture_is_stretched_and_averaged():
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    image = np.zeros((8, 16, 3), np.uint8)
    result = TextureSource([checks])(image, np.random.default_rng(0))
    assert result.shape == image.shape
    assert (abs(result.astype(int) - 127.5) < 2).all(), "no pixel is left out"


def test_channels_are_those_of_the_image():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    gray = TextureSource([red])(np.zeros((4, 4), np.uint8), np.random.default_rng(0))
    assert gray[0, 0] == 76, "luma of red"
    color = TextureSource([red])(red, np.random.default_rng(0))
    np.testing.assert_array_equal(color, red)


def test_no_textures_and_wrong_textures_are_named(rng):
    with pytest.raises(ValueError, match="textures must hold at least one picture"):
        TextureSource([])
    with pytest.raises(ValueError, match=r"texture must be a uint8 array .*got float64"):
        TextureSource([PHOTO / 255])(PHOTO, rng)


@pytest.fixture
def folder(tmp_path):
    """Like DTD: images/<class>/*.jpg beside folders of text."""
    for name, value in (("b/b_2.jpg", 200), ("b/b_1.JPG", 100), ("a/a_1.jpg", 30)):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        color = np.full((16, 24, 3), (10, 20, value), np.uint8)  # OpenCV: blue, green, red
        path.write_bytes(cv2.imencode(".jpg", color, [cv2.IMWRITE_JPEG_QUALITY, 100])[1])
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "train1.txt").write_text("a/a_1.jpg")
    return tmp_path


@pytest.mark.parametrize("inner", ["", "images"])
def test_a_folder_is_read_in_the_order_of_its_names(folder, inner):
    textures = TextureFolder(folder / inner)
    assert [path.name for path in textures.paths] == ["a_1.jpg", "b_1.JPG", "b_2.jpg"]
    assert len(textures) == 3
    assert [picture.shape for picture in textures] == [(16, 24, 3)] * 3
    reds = [int(picture[0, 0, 0]) for picture in textures]
    assert np.abs(np.subtract(reds, [30, 100, 200])).max() <= 2, "RGB order"
    np.testing.assert_array_equal(textures[1:][1], textures[-1])


def test_a_folder_without_pictures_and_a_damaged_picture_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds no pictures .*procedural_source"):
        TextureFolder(tmp_path)
    with pytest.raises(ValueError, match="holds no pictures"):
        TextureFolder(tmp_path / "not there")
    for name, content in (("empty.jpg", b""), ("text.png", b"text")):
        (tmp_path / name).write_bytes(content)
    for index in range(2):
        with pytest.raises(ValueError, match=r"(empty|text)\.\w+ cannot be read as a picture"):
            TextureFolder(tmp_path)[index]


# Textures made


@pytest.mark.parametrize("pattern", PATTERNS)
def test_textures_are_not_plain_and_no_two_are_alike(pattern, rng):
    textures = [procedural_texture((64, 64), rng, pattern=pattern) for _ in range(8)]
    assert len({texture.tobytes() for texture in textures}) == 8
    spreads = [texture.std(axis=(0, 1)).max() for texture in textures]
    assert np.median(spreads) > 8


@settings(max_examples=30, deadline=None)
@given(
    pattern=st.sampled_from(PATTERNS),
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    seed=st.integers(0, 2**32),
)
def test_textures_of_any_size_can_be_made(pattern, shape, seed):
    texture = procedural_texture(shape, np.random.default_rng(seed), pattern=pattern)
    assert texture.shape == (*shape, 3)
    assert texture.dtype == np.uint8


def test_all_patterns_are_drawn(rng, monkeypatch):
    drawn = []
    for name in PATTERNS:
        draw = lambda shape, rng, name=name: drawn.append(name) or np.zeros(shape)  # noqa: E731
        monkeypatch.setitem(textures._PATTERNS, name, draw)
    for _ in range(300):
        procedural_texture((2, 2), rng)
    assert min(drawn.count(name) for name in PATTERNS) > 25  # 50 +- 6 expected


def test_an_unknown_pattern_lists_the_known_ones(rng):
    with pytest.raises(ValueError, match=r"'dots' is unknown: choose from clouds, .*grain"):
        procedural_texture((4, 4), rng, pattern="dots")


# Structure: the tiles


def slowly_shuffled(image, order, rows, columns):
    height, width = image.shape[0] // rows, image.shape[1] // columns
    result = image.copy()
    for place, tile in enumerate(order):
        to, of = divmod(place, columns), divmod(int(tile), columns)
        for i in range(height):
            for j in range(width):
                result[to[0] * height + i, to[1] * width + j] = image[
                    of[0] * height + i, of[1] * width + j
                ]
    return result


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    extra=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    color=st.booleans(),
    seed=st.integers(0, 99),
)
def test_place_k_shows_tile_order_k_and_no_pixel_is_lost(rows, columns, extra, color, seed):
    rng = np.random.default_rng(seed)
    shape = (rows + extra[0], columns + extra[1], *((3,) if color else ()))
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    order = rng.permutation(rows * columns)
    result = shuffle_tiles(image, order, rows=rows, columns=columns)
    np.testing.assert_array_equal(result, slowly_shuffled(image, order, rows, columns))
    pixels = [sorted(map(bytes, each.reshape(-1, 3 if color else 1))) for each in (result, image)]
    assert pixels[0] == pixels[1]


def test_the_grid_is_the_papers(rng):
    # Every tile of 64 x 32 pixels has a number of its own.
    numbers = np.arange(32, dtype=np.uint8).reshape(4, 8)
    image = np.kron(numbers, np.ones((64, 32), np.uint8))
    result = structure_source(image, rng, change=lambda image, rng: image)
    tiles = result[::64, ::32]
    np.testing.assert_array_equal(result, np.kron(tiles, np.ones((64, 32), np.uint8)))
    assert sorted(tiles.ravel()) == list(range(32))
    assert (tiles != numbers).sum() > 20


def test_the_pitfall_takes_three_of_ten_and_eight_by_eight():
    image = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    rng = np.random.default_rng(3)
    changed = augment_at_random(image, rng)
    expected = shuffle_tiles(changed, rng.permutation(64), rows=8, columns=8)
    found = pitfall_structure_source(image, np.random.default_rng(3))
    np.testing.assert_array_equal(found, expected)


def test_a_grid_finer_than_the_image_and_a_wrong_order_are_named():
    image = np.zeros((3, 20), np.uint8)
    with pytest.raises(ValueError, match=r"\(3, 20\) cannot be cut into 4 x 8 tiles"):
        shuffle_tiles(image, np.arange(32))
    for order in ([0, 1], [0, 0, 1, 2], [1, 2, 3, 4], [[0, 1], [2, 3]], [0.0, 1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match=r"order must hold each number of 0..3 once, got"):
            shuffle_tiles(image, np.array(order), rows=2, columns=2)
    with pytest.raises(ValueError, match=r"got \[True, False\]"):
        shuffle_tiles(image, np.array([True, False]), rows=1, columns=2)


# Structure: the changes


def test_hue_and_saturation_move_colors_about_the_axis_of_grays():
    for saturation, hue in ((0.5, 36.0), (1.5, -20.0), (1.0, 0.0)):
        matrix = color_matrix(saturation, hue)
        np.testing.assert_allclose(matrix @ [90, 90, 90], [90, 90, 90])
        color = np.array([120.0, 60.0, 30.0])
        moved = matrix @ color
        assert moved.mean() == pytest.approx(70)
        assert np.linalg.norm(moved - 70) == pytest.approx(saturation * np.linalg.norm(color - 70))
        # the angle, seen along the axis of grays
        red, green = np.array([2, -1, -1]) / np.sqrt(6), np.array([0, 1, -1]) / np.sqrt(2)
        angles = [np.rad2deg(np.arctan2(green @ each, red @ each)) for each in (color, moved)]
        assert angles[1] - angles[0] == pytest.approx(hue)


def test_brightness_saturation_and_hue_cover_their_ranges(rng):
    color = np.array([90.0, 60.0, 45.0])
    image = np.tile(color.astype(np.uint8), (9, 9, 1))
    found = []
    red, green = np.array([2, -1, -1]) / np.sqrt(6), np.array([0, 1, -1]) / np.sqrt(2)
    start = np.arctan2(green @ color, red @ color)
    for _ in range(300):
        changed = change_appearance(image, rng)
        assert np.ptp(changed, axis=(0, 1)).max() == 0, "a plain image stays plain"
        pixel = changed[4, 4].astype(float)
        brightness = pixel.mean() / color.mean()
        saturation = np.linalg.norm(pixel - pixel.mean()) / np.linalg.norm(color - 65) / brightness
        turn = np.rad2deg(np.arctan2(green @ pixel, red @ pixel) - start)
        found.append((brightness, saturation, turn))
    low, high = np.min(found, axis=0), np.max(found, axis=0)
    assert (abs(low - [0.5, 0.5, -36]) < [0.05, 0.08, 4]).all(), low
    assert (abs(high - [1.5, 1.5, 36]) < [0.05, 0.08, 4]).all(), high
    correlations = np.corrcoef(np.transpose(found)) - np.eye(3)
    assert np.abs(correlations).max() < 0.2, "drawn apart from each other"


def test_images_are_mirrored_and_turned_without_black_corners(rng):
    image = np.full((41, 41), 120, np.uint8)
    image[5:36, 18:23] = 180  # a bar ...
    image[5:9, 23:30] = 180  # ... with a flag at one end
    quarter, angles = set(), []
    for _ in range(200):
        changed = change_appearance(image, rng)
        background = np.bincount(changed.ravel()).argmax()
        assert changed.min() >= background - 1, "nothing darker than the ground comes in"
        weight = (changed > background * 1.2).astype(float)
        rows, columns = np.nonzero(weight)
        rows, columns = rows - 20, columns - 20
        angles.append(
            np.rad2deg(0.5 * np.arctan2(2 * (rows * columns).mean(), (rows**2 - columns**2).mean()))
        )
        quarter.add((rows.mean() > 0, columns.mean() > 0))
    assert len(quarter) == 4
    assert -60 < min(angles) < -35
    assert 35 < max(angles) < 60


def test_gray_images_change_in_brightness_alone(rng):
    plain = np.full((9, 9), 100, np.uint8)
    values = [change_appearance(plain, rng) for _ in range(100)]
    assert all(np.ptp(each) == 0 for each in values)
    assert min(each[0, 0] for each in values) < 56
    assert max(each[0, 0] for each in values) > 144
