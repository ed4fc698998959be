"""Lesson 04, Perlin anomaly synthesis: masks, objects, tiles, opacity, seeds of workers."""

import os
from collections.abc import Callable
from dataclasses import dataclass
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
MOST_STEPS = 2_000_000  # of Python, in an answer that draws a mask


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
    if isinstance(result, _Raised):
        mistake("gives_up_early", calls=calls)
    number = as_array(result)
    if number is not None and number.ndim == 0:
        mistake("truth_value")
    expect_array(
        result,
        right,
        mistakes={
            "the_first_one": empty,
            "not_empty": tiny,
            "no_upper_end": huge,
            "looks_at_another": other,
            "union": tiny | small,
        },
    )
    if calls != 5:
        mistake("draws_on", calls=calls)
    result, calls = _drawn(answer, [empty, tiny, right], most=3)
    if isinstance(result, _Raised) or calls != 3:
        mistake("one_draw_too_few", calls=calls)
    result, calls = _drawn(answer, [huge] * 4 + [right], most=4)
    if calls > 4:
        mistake("too_many", calls=calls)
    if isinstance(result, BaseException):
        mistake("returned_error")
    if not isinstance(result, _Raised):
        mistake("gives_up_silently")
    if not isinstance(result.error, ValueError):
        mistake("other_error", kind=type(result.error).__name__)
    # Shares that are exact in any arithmetic, in masks that are not square.
    half, exact = np.zeros((2, 32, 64), np.uint8)
    half[:2, :32], exact[:4, :32] = 1, 1  # 1/32 and 1/16 of the pixels
    for lowest, highest in ((1 / 16, 0.09), (0.05, 1 / 16)):
        result, _ = _drawn(answer, [half, exact], most=2, lowest=lowest, highest=highest)
        if isinstance(result, _Raised):
            mistake("ends_left_out")
        expect_array(result, exact, mistakes={"fixed_limits": half})


@dataclass
class _Raised:
    error: Exception


def _drawn(
    answer: Any, masks: list[np.ndarray], *, most: int, lowest: float = 0.001, highest: float = 0.1
) -> tuple[Any, int]:
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
            return call_answer(answer, draw, lowest, highest, most), calls
    except AnswerRaised as raised:
        if raises_it_itself(answer, raised.error):
            return _Raised(raised.error), calls
        raise  # what NumPy or Python has to say is shown as it is
    except TooLong:
        mistake("endless" if calls > MOST_DRAWS else "endless_without_drawing", most=MOST_DRAWS)


def _to_background(image: np.ndarray, background: Any) -> np.ndarray:
    return np.linalg.norm(image - background, axis=-1)


def _border(image: np.ndarray) -> np.ndarray:
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def _background_distance(image: np.ndarray) -> np.ndarray:
    return _to_background(image, np.median(_border(image), axis=0))


def _photograph(height: int, width: int, background: tuple[float, ...], seed: int) -> np.ndarray:
    """A part of many colors that leaves the image at the lower border, with dirt on the border.

    Dirt lies along the upper border and in all corners. More than half of the border is background.
    """
    rng = np.random.default_rng(seed)
    image = np.empty((height, width, 3))
    image[:] = background
    part = np.s_[1:, width // 7 : width // 7 + 3 * width // 5]
    image[part] = rng.uniform(-40, 90, 3) + rng.uniform(-9, 9, image[part].shape)
    dirty = 5 * width // 9
    image[0, :dirty] = rng.uniform(80, 99, (dirty, 3))
    for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        image[y, x] = rng.uniform(80, 99, 3)
    return image


def check_background_distance(answer: Any) -> None:
    def of(middle: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
        return lambda image: _to_background(image, middle(image))

    def corner(row: int, column: int) -> Callable[[np.ndarray], np.ndarray]:
        return of(lambda image: image[row, column])

    def side(place: Any) -> Callable[[np.ndarray], np.ndarray]:
        return of(lambda image: np.median(image[place], axis=0))

    def difference(image: np.ndarray) -> np.ndarray:
        return image - np.median(_border(image), axis=0)

    framed = np.random.default_rng(5).uniform(
        60, 90, (10, 12, 3)
    )  # background of one pixel's width
    framed[[0, -1]] = framed[:, [0, -1]] = (30.5, 7.25, -3.1)
    expect_function(
        answer,
        [
            ((_photograph(12, 28, (61.25, -4.5, 17.3), 3),), _background_distance),
            ((np.rot90(_photograph(20, 40, (20.4, 8.2, -11.7), 4)).copy(),), _background_distance),
            ((framed,), _background_distance),
        ],
        mistakes={
            "mean": of(lambda image: _border(image).mean(axis=0)),
            "corner": [corner(y, x) for y in (0, -1) for x in (0, -1)],
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
            "squared": lambda image: _background_distance(image) ** 2,
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
            "always_one": lambda i, s, m, c: 1.0,
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
    "doog/012.png", "Good/012.png", "good/012.png ", "gut/grün.png", "gut/grn.png", "", "1", "11",
    "111",
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
    before = _global_state()
    first, again = call_answer(answer, *key), call_answer(answer, *key)
    if _global_state() != before:
        mistake("global_one")
    if first is again and isinstance(first, np.random.Generator):
        mistake("one_for_all")
    wanted = stream(*key)
    if stream(*key) != wanted:
        mistake("unseeded")
    with patch("os.getpid", return_value=os.getpid() + 1):
        if stream(*key[:2], _ElsewhereText(key[2])) != wanted:
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
        other = seen.setdefault(stream(*one), one)
        if other != one:
            mistake("collision", one=other, other=one)


def _global_state() -> tuple[bytes, int]:
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return state["key"].tobytes(), state["pos"]


class _ElsewhereText(str):
    """A text as it is in another process: Python salts its `hash` anew there."""

    def __hash__(self) -> int:
        return hash(("another process", str(self)))


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
