"""Lesson 04, Perlin anomaly synthesis: masks, objects, tiles, opacity, seeds of workers."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from einops import rearrange

from course_utils.lessons.answers import (
    AnswerRaised,
    TooLong,
    call_answer,
    mistake,
    raises_it_itself,
    step_limit,
)
from course_utils.lessons.expect import as_array, describe, expect_array, expect_function

MOST_DRAWS = 50
MOST_STEPS = 100_000  # of Python, in an answer that draws a mask


def check_draw_until(answer: Any) -> None:
    # Of 10 000 pixels. No two masks share one; the small ones together are large enough.
    places = ((0, 0, 0, 0), (5, 5, 2, 2), (5, 9, 1, 7), (30, 0, 49, 100), (10, 10, 18, 20))
    masks = [np.zeros((100, 100), np.uint8) for _ in places]
    for mask, (y, x, height, width) in zip(masks, places, strict=True):
        mask[y : y + height, x : x + width] = 1
    empty, tiny, small, huge, right = masks
    other = np.zeros((100, 100), np.uint8)
    other[80:] = 1
    result, calls = _drawn(answer, [*masks, other], most=10)
    if isinstance(result, Exception):
        mistake("gives_up_early", calls=calls)
    expect_array(
        result,
        right,
        mistakes={
            "the_first_one": empty,
            "not_empty": tiny,
            "no_upper_end": huge,
            "looks_at_another": other,
            "union": tiny | small,
            "truth_value": 1,
        },
    )
    if calls != 5:
        mistake("draws_on", calls=calls)
    result, calls = _drawn(answer, [empty, tiny, right], most=3)
    if isinstance(result, Exception) or calls != 3:
        mistake("one_draw_too_few", calls=calls)
    result, calls = _drawn(answer, [huge] * 4 + [right], most=4)
    if calls > 4:
        mistake("too_many", calls=calls)
    if not isinstance(result, Exception):
        mistake("gives_up_silently")
    if not isinstance(result, ValueError):
        mistake("other_error", kind=type(result).__name__)


def _drawn(answer: Any, masks: list[np.ndarray], *, most: int) -> tuple[Any, int]:
    """What an answer returns or raises for these draws, and how often it drew."""
    calls = 0

    def draw() -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls > MOST_DRAWS:
            raise TooLong
        return masks[min(calls, len(masks)) - 1].copy()

    try:
        with step_limit(answer, MOST_STEPS):
            return call_answer(answer, draw, 0.001, 0.1, most), calls
    except AnswerRaised as raised:
        if raises_it_itself(answer, raised.error):
            return raised.error, calls
        raise  # what NumPy or Python has to say is shown as it is
    except TooLong:
        mistake("endless" if calls > MOST_DRAWS else "endless_without_drawing", most=MOST_DRAWS)


def _to_ground(image: np.ndarray, ground: Any) -> np.ndarray:
    return np.linalg.norm(image - ground, axis=-1)


def _border(image: np.ndarray) -> np.ndarray:
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def _ground_distance(image: np.ndarray) -> np.ndarray:
    return _to_ground(image, np.median(_border(image), axis=0))


def _photograph(height: int, width: int, ground: tuple[float, ...], seed: int) -> np.ndarray:
    """A part of many colors that leaves the image at the lower border, and dirt along the upper."""
    rng = np.random.default_rng(seed)
    image = np.empty((height, width, 3))
    image[:] = ground
    part = np.s_[height // 8 :, width // 7 : width // 7 + 3 * width // 4]
    image[part] = rng.uniform(-40, 90, 3) + rng.uniform(-9, 9, image[part].shape)
    image[0, : 2 * width // 3] = rng.uniform(80, 99, (2 * width // 3, 3))
    return image


def check_ground_distance(answer: Any) -> None:
    def of(middle: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
        return lambda image: _to_ground(image, middle(image))

    def corner(column: int) -> Callable[[np.ndarray], np.ndarray]:
        return of(lambda image: image[0, column])

    def side(place: Any) -> Callable[[np.ndarray], np.ndarray]:
        return of(lambda image: np.median(image[place], axis=0))

    def difference(image: np.ndarray) -> np.ndarray:
        return image - np.median(_border(image), axis=0)

    expect_function(
        answer,
        [
            ((_photograph(24, 30, (61.0, -4.0, 17.0), 3),), _ground_distance),
            ((_photograph(40, 21, (20.0, 8.0, -11.0), 4),), _ground_distance),
        ],
        mistakes={
            "mean": of(lambda image: _border(image).mean(axis=0)),
            "corner": [corner(0), corner(-1)],
            "one_side": [side(0), side(-1), side(np.s_[:, 0]), side(np.s_[:, -1])],
            "whole_image": [
                of(lambda image: np.median(image, axis=(0, 1))),
                of(lambda image: image.mean(axis=(0, 1))),
            ],
            "one_number": of(lambda image: np.median(_border(image))),
            "sum": [
                lambda image: np.abs(difference(image)).sum(axis=-1),
                lambda image: np.abs(difference(image)).mean(axis=-1),
            ],
            "signed": [
                lambda image: difference(image).sum(axis=-1),
                lambda image: difference(image).mean(axis=-1),
                lambda image: np.abs(difference(image).sum(axis=-1)),
                lambda image: np.abs(difference(image).mean(axis=-1)),
            ],
            "squared": lambda image: _ground_distance(image) ** 2,
            "largest": lambda image: np.abs(difference(image)).max(axis=-1),
            "per_channel": [difference, lambda image: np.abs(difference(image))],
        },
    )


def _opacity_for(image: np.ndarray, source: np.ndarray, mask: np.ndarray, change: float) -> float:
    full = np.abs(source - image)[mask == 1].mean()
    return float(min(1.0, change / full)) if full > 0 else 1.0


def check_opacity_for(answer: Any) -> None:
    rng = np.random.default_rng(0)
    image, source = rng.uniform(40, 200, (2, 14, 11))
    mask = np.zeros((14, 11))
    mask[3:9, 2:7] = 1
    source[mask == 0] += 90  # what lies outside the mask must not count

    def mean(values: np.ndarray, mask: np.ndarray) -> Any:
        return values[mask == 1].mean()

    right = _opacity_for
    expect_function(
        answer,
        [((image, source, mask, change), right) for change in (5.0, 20.0, 31.0)],
        mistakes={
            "everywhere": lambda i, s, m, c: c / np.abs(s - i).mean(),
            "divided_by_all": lambda i, s, m, c: min(1.0, c / (m * np.abs(s - i)).mean()),
            "cancels": [
                lambda i, s, m, c: min(1.0, abs(c / mean(s - i, m))),
                lambda i, s, m, c: min(1.0, c / mean(s - i, m)),
                lambda i, s, m, c: c / mean(s - i, m),
                lambda i, s, m, c: abs(c / mean(s - i, m)),
            ],
            "upside_down": [
                lambda i, s, m, c: mean(np.abs(s - i), m) / c,
                lambda i, s, m, c: min(1.0, mean(np.abs(s - i), m) / c),
            ],
            "rest": lambda i, s, m, c: 1 - right(i, s, m, c),
            "squares": lambda i, s, m, c: c / np.sqrt(mean((s - i) ** 2, m)),
            "largest": lambda i, s, m, c: c / np.abs(s - i)[m == 1].max(),
            "of_255": lambda i, s, m, c: c / 255,
        },
    )
    full = np.abs(source - image)[mask == 1].mean()
    capped = as_array(call_answer(answer, image.copy(), source.copy(), mask.copy(), 1.5 * full))
    if capped is None or not np.allclose(capped, 1.0):
        mistake("above_one", full=full, change=1.5 * full)
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            same = as_array(call_answer(answer, image.copy(), image.copy(), mask.copy(), 5.0))
    except AnswerRaised as raised:
        if isinstance(raised.error, ZeroDivisionError):
            mistake("same_picture", value="an error")
        raise
    if same is None or not np.allclose(same, 1.0):
        mistake("same_picture", value=describe(same))


NAMES = (
    "good/000.png", "good/012.png", "good/021.png", "good/12.png", "good/012.jpg", "test/012.png",
    "doog/012.png", "", "1", "11", "111",
)  # fmt: skip


def check_item_generator(answer: Any) -> None:
    def stream(*key: Any) -> tuple[float, ...]:
        generator = call_answer(answer, *key)
        if not isinstance(generator, np.random.Generator):
            if generator is np.random or isinstance(generator, np.random.RandomState):
                mistake("global_one")
            mistake("no_generator", value=describe(generator))
        return tuple(generator.random(4).tolist())

    key = (5, 3, "good/012.png")
    first, again = call_answer(answer, *key), call_answer(answer, *key)
    if first is again and isinstance(first, np.random.Generator):
        mistake("one_for_all")
    wanted = stream(*key)
    if stream(*key) != wanted:
        mistake("unseeded")
    with _another_process(answer):
        if stream(*key) != wanted:
            mistake("salted")
    for name, other in (
        ("without_seed", (6, 3, key[2])),
        ("without_epoch", (5, 4, key[2])),
        ("without_name", (5, 3, "bad/7.bmp")),
    ):
        if stream(*other) == wanted:
            mistake(name)
    seen: dict[tuple[float, ...], tuple[Any, ...]] = {}
    numbers = (0, 1, 2, 3, 4, 10, 11, 12, 100, 101, 1000, 1001, 10_000, 65_536, 1_000_000)
    few = ((s, e, name) for s in numbers for e in numbers for name in NAMES)
    many = ((*key[:2], f"part_{number}.png") for number in range(2000))
    for one in (*few, *many):
        before = seen.setdefault(stream(*one), one)
        if before != one:
            mistake("collision", one=before, other=one)


@contextmanager
def _another_process(answer: Any) -> Iterator[None]:
    """Let `hash` and the process number be those of another process: Python salts texts anew."""
    names = getattr(answer, "__globals__", {})
    kept = names.get("hash")
    names["hash"] = lambda value: hash(("another process", value)) & (2**62 - 1)
    try:
        with patch("os.getpid", return_value=os.getpid() + 1):
            yield
    finally:
        del names["hash"]
        if kept is not None:
            names["hash"] = kept


def _shuffled(image: np.ndarray, order: Any, rows: int, columns: int) -> np.ndarray:
    height, width = image.shape[0] // rows, image.shape[1] // columns
    tiles = [
        image[r * height : (r + 1) * height, c * width : (c + 1) * width]
        for r in range(rows)
        for c in range(columns)
    ]
    lines = [
        np.concatenate([tiles[order[r * columns + c]] for c in range(columns)], axis=1)
        for r in range(rows)
    ]
    return np.concatenate(lines, axis=0)


def _inverse(image: np.ndarray, order: Any, rows: int, columns: int) -> np.ndarray:
    return _shuffled(image, np.argsort(order), rows, columns)


def _rearranged(there: str, back: str) -> Callable[..., np.ndarray]:
    """Return the function that cuts and lays tiles by these patterns of einops."""

    def shuffle(image: np.ndarray, order: Any, rows: int, columns: int) -> np.ndarray:
        tiles = rearrange(image, there, r=rows, c=columns)
        return rearrange(tiles[np.asarray(order)], back, r=rows, c=columns)

    return shuffle


def _torn(image: np.ndarray, order: Any, rows: int, columns: int) -> np.ndarray:
    """A plain reshape: pixels of one line taken for a tile."""
    height, width = image.shape[0] // rows, image.shape[1] // columns
    tiles = image.reshape(rows * columns, height, width)[np.asarray(order)]
    return tiles.reshape(image.shape)


def check_shuffle_tiles(answer: Any) -> None:
    rng = np.random.default_rng(1)
    cases = []
    for rows, columns, shape in ((2, 3, (8, 12)), (4, 8, (16, 16))):
        image = rng.integers(0, 256, shape).astype(np.uint8)
        order = rng.permutation(rows * columns)
        cases.append(((image, order, rows, columns), _shuffled))
    whole, places = "(r h) (c w)", "(r c) h w"
    cut_down, cut_lines = f"{whole} -> (c r) h w", f"(h r) (w c) -> {places}"
    laid_down, laid_lines = f"(c r) h w -> {whole}", f"{places} -> (h r) (w c)"
    cut, laid = f"{whole} -> {places}", f"{places} -> {whole}"
    expect_function(
        answer,
        cases,
        mistakes={
            "unchanged": lambda image, order, rows, columns: image,
            "sent_instead_of_shown": _inverse,
            "down_the_columns": _rearranged(cut_down, laid),
            "laid_down_the_columns": _rearranged(cut, laid_down),
            "down_the_columns_both_ways": _rearranged(cut_down, laid_down),
            "laid_line_by_line": _rearranged(cut, laid_lines),
            "cut_line_by_line": _rearranged(cut_lines, laid),
            "line_by_line_both_ways": _rearranged(cut_lines, laid_lines),
            "torn_lines": _torn,
        },
    )
