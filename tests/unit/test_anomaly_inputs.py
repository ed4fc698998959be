"""Unusable images, masks, shapes, numbers and generators are named by all that take them."""

import numpy as np
import pytest

from course_utils.anomaly import (
    AnomalySynthesizer,
    ForegroundRule,
    TextureSource,
    augment,
    augment_at_random,
    blend,
    change_appearance,
    draw_mask,
    empty_mask_chance,
    foreground_mask,
    gradient_noise,
    perlin_mask,
    perlin_noise,
    pitfall_structure_source,
    procedural_source,
    procedural_texture,
    shuffle_tiles,
    structure_source,
)

GRAY = np.random.default_rng(1).integers(0, 256, (40, 40), dtype=np.uint8)
DISC = np.where(np.hypot(*np.indices((40, 40)) - 20) < 12, 40, 220).astype(np.uint8)
TEXTURES = TextureSource([GRAY])

TAKE_IMAGE_AND_RNG = {
    "augment": lambda image, rng: augment(image, "Invert", rng),
    "augment_at_random": lambda image, rng: augment_at_random(image, rng, count=0),
    "change_appearance": change_appearance,
    "structure_source": structure_source,
    "pitfall_structure_source": pitfall_structure_source,
    "procedural_source": procedural_source,
    "TextureSource": TEXTURES,
    "AnomalySynthesizer": AnomalySynthesizer(),
}
TAKE_IMAGE = {
    **TAKE_IMAGE_AND_RNG,
    "foreground_mask": lambda image, rng: foreground_mask(image),
    "ForegroundRule": lambda image, rng: ForegroundRule(100, bright=True)(image),
    "shuffle_tiles": lambda image, rng: shuffle_tiles(image, np.arange(32)),
    "blend": lambda image, rng: blend(image, GRAY, np.ones((40, 40), bool), 0.5),
}
TAKE_SHAPE_AND_RNG = {
    "draw_mask": draw_mask,
    "perlin_mask": perlin_mask,
    "empty_mask_chance": empty_mask_chance,
    "procedural_texture": procedural_texture,
    "procedural_texture grain": lambda s, rng: procedural_texture(s, rng, pattern="grain"),
}
TAKE_SHAPE = {
    **TAKE_SHAPE_AND_RNG,
    "masked": lambda s, rng: draw_mask(s, rng, foreground=np.ones((64, 64), bool)),
    "perlin_noise": lambda s, rng: perlin_noise(s, (1, 1), rng),
    "gradient_noise": lambda s, rng: gradient_noise(np.zeros((2, 2, 2), np.float32), s),
}


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@pytest.mark.parametrize("name", TAKE_IMAGE)
@pytest.mark.parametrize(
    ("image", "given"),
    [
        ([[1, 2]], "list"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((3, 8, 8), np.uint8), r"\(3, 8, 8\)"),
        (np.zeros((8, 8, 1), np.uint8), r"\(8, 8, 1\)"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"\(2, 8, 8, 3\)"),
        (np.zeros((0, 8), np.uint8), r"\(0, 8\)"),
    ],
)
def test_a_wrong_image_is_named(name, image, given, rng):
    with pytest.raises(ValueError, match=rf"^image must be a uint8 array of shape .*got {given}"):
        TAKE_IMAGE[name](image, rng)


@pytest.mark.parametrize("name", [*TAKE_IMAGE_AND_RNG, *TAKE_SHAPE_AND_RNG])
def test_a_seed_in_place_of_a_generator_is_refused(name):
    if name in TAKE_IMAGE_AND_RNG:
        call, subject = TAKE_IMAGE_AND_RNG[name], GRAY
    else:
        call, subject = TAKE_SHAPE_AND_RNG[name], (40, 40)
    for wrong in (0, np.random.RandomState(0)):
        message = f"Generator, got {type(wrong).__name__}: make one with .*default_rng"
        with pytest.raises(ValueError, match=message):
            call(subject, wrong)


@pytest.mark.parametrize("name", TAKE_SHAPE)
@pytest.mark.parametrize("shape", [(64.0, 64), (64, 0.5), (0, 64), (64, 64, 3), 64, "64"])
def test_a_shape_that_is_none_is_named(name, shape, rng):
    with pytest.raises(ValueError, match="shape must be two whole numbers of at least 1, got"):
        TAKE_SHAPE[name](shape, rng)


AREA = r"area must be \(lowest, highest\) within 0..1, got"
MASK = "foreground must hold 0 and 1 in an array of shape .*"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"area": area}, AREA) for area in [(0.2, 0.1), (-0.1, 1), (0, 1.5), (0.5,), 0.5, "ab"]),
        ({"area": (0, float("nan"))}, AREA),
        ({"foreground": np.ones((4, 4), np.uint8)}, rf"{MASK}got \(4, 4\)"),
        ({"foreground": np.full((64, 64), 255, np.uint8)}, f"{MASK}got 255 in it: threshold"),
        ({"foreground": np.ones((64, 64))}, f"{MASK}got float64"),
        ({"foreground": [[1]]}, f"{MASK}got list"),
    ],
)
def test_an_area_that_is_no_range_and_a_wrong_foreground_are_named(options, message, rng):
    with pytest.raises(ValueError, match=message):
        perlin_mask((64, 64), rng, **options)


@pytest.mark.parametrize(
    ("call", "limit", "message"),
    [
        (lambda n, rng: empty_mask_chance((8, 8), rng, draws=n), 0, "draws .*at least 1"),
        (lambda n, rng: structure_source(GRAY, rng, rows=n), 0, "rows .*at least 1"),
        (lambda n, rng: structure_source(GRAY, rng, columns=n), 0, "columns .*at least 1"),
        (lambda n, rng: augment_at_random(GRAY, rng, count=n), 11, "count .*in 0..10"),
        (lambda n, rng: foreground_mask(GRAY, threshold=n), 256, "threshold .*in 0..255"),
    ],
)
def test_a_number_that_is_not_whole_or_out_of_range_is_named(call, limit, message, rng):
    for wrong in (limit, -1, 2.5, 2.0, True):
        with pytest.raises(ValueError, match=f"{message}, got {wrong}"):
            call(wrong, rng)


@pytest.mark.parametrize(
    "call",
    [
        # 200 + 200 is too much for a uint8, as is 255 + 1
        lambda n, rng: draw_mask((n(200), n(97)), rng),
        lambda n, rng: perlin_mask((n(200), n(97)), rng),
        lambda n, rng: empty_mask_chance((n(40), n(40)), rng, draws=n(20)),
        lambda n, rng: perlin_noise((n(255), n(250)), (n(255), n(4)), rng, count=n(2)),
        lambda n, rng: procedural_texture((n(250), n(64)), rng),
        lambda n, rng: structure_source(np.tile(GRAY, (8, 8)), rng, rows=n(16), columns=n(16)),
        lambda n, rng: foreground_mask(DISC, threshold=n(200), opening=n(3), closing=n(7)),
    ],
)
def test_the_whole_numbers_of_numpy_are_as_good(call):
    one, other = (call(number, np.random.default_rng(0)) for number in (int, np.uint8))
    np.testing.assert_array_equal(one, other)
