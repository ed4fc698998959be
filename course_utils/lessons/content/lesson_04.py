"""Lesson 04, Perlin anomaly synthesis: masks, objects, blending, shuffled tiles."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from einops import rearrange

from course_utils.lessons.answers import AnswerRaised, call_answer, mistake
from course_utils.lessons.expect import allclose, expect_array, expect_function

MOST_DRAWS = 50


def check_draw_until(answer: Any) -> None:
    # No two masks share a pixel: a union of draws is none of them.
    masks = [np.zeros((100, 100), np.uint8) for _ in range(4)]
    for mask, (corner, side) in zip(masks, ((0, 0), (5, 2), (15, 6), (40, 40)), strict=True):
        mask[corner : corner + side, corner : corner + side] = 1
    calls = 0

    def draw() -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls > MOST_DRAWS:
            raise RuntimeError(f"draw() was called more than {MOST_DRAWS} times")
        return masks[min(calls, len(masks)) - 1].copy()

    try:
        result = call_answer(answer, draw, 0.001)
    except AnswerRaised:
        if calls <= MOST_DRAWS:
            raise
        mistake("never_replaced", most=MOST_DRAWS)
    if calls > 4 and allclose(result, masks[3]):
        mistake("a_later_one", calls=calls)
    expect_array(
        result,
        masks[2],
        mistakes={
            "the_first_one": masks[0],
            "not_empty": masks[1],
            "looks_at_another": masks[3],
            "union": masks[1] | masks[2],
            "truth_value": 1,
        },
    )
    if calls != 3:
        mistake("draws_on", calls=calls)


def _blend(image: np.ndarray, source: np.ndarray, mask: np.ndarray, opacity: float) -> np.ndarray:
    return image * (1 - mask) + mask * (opacity * source + (1 - opacity) * image)


def check_blend(answer: Any) -> None:
    rng = np.random.default_rng(0)
    image, source = rng.random((2, 12, 10))
    mask = np.zeros((12, 10))
    mask[3:8, 2:7] = 1
    first = call_answer(answer, image.copy(), source.copy(), mask.copy(), 0.3)
    if np.asarray(first).dtype.kind in "iu":
        mistake("whole_numbers", kind=np.asarray(first).dtype)
    expect_function(
        answer,
        [((image, source, mask, opacity), _blend) for opacity in (0.3, 0.8, 1.0)],
        mistakes={
            "exchanged": lambda i, s, m, d: i * (1 - m) + m * ((1 - d) * s + d * i),
            "everywhere": lambda i, s, m, d: d * s + (1 - d) * i,
            "black_outside": lambda i, s, m, d: m * (d * s + (1 - d) * i),
            "added": lambda i, s, m, d: i + d * m * s,
            "nothing_of_the_image": lambda i, s, m, d: i * (1 - m) + d * m * s,
            "image_twice": lambda i, s, m, d: i + m * (d * s + (1 - d) * i),
            "hole": lambda i, s, m, d: i * (1 - m),
            "pasted": lambda i, s, m, d: i * (1 - m) + m * s,
            "mask_turned_over": lambda i, s, m, d: i * m + (1 - m) * (d * s + (1 - d) * i),
        },
    )


def _cleaned(mask: np.ndarray, opening: int = 5, closing: int = 5) -> np.ndarray:
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((opening, opening), np.uint8))
    return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((closing, closing), np.uint8))


def _morphology(mask: np.ndarray, *operations: int, shape: int = cv2.MORPH_RECT) -> np.ndarray:
    for operation in operations:
        mask = cv2.morphologyEx(mask, operation, cv2.getStructuringElement(shape, (5, 5)))
    return mask


def _without_small_pieces(mask: np.ndarray, fewest: int) -> np.ndarray:
    """Keep the pieces of 1 that have at least `fewest` pixels."""
    _, pieces, numbers, _ = cv2.connectedComponentsWithStats(mask)
    large = numbers[:, cv2.CC_STAT_AREA] >= fewest
    large[0] = False  # the ground
    return large[pieces].astype(np.uint8)


def _filled(mask: np.ndarray) -> np.ndarray:
    """Fill all holes, however large."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(mask.copy(), outlines, -1, 1, -1)


def _raw_mask() -> np.ndarray:
    mask = np.zeros((80, 80), np.uint8)
    cv2.circle(mask, (42, 42), 26, 1, -1)
    mask[34:37, 32:35] = 0  # a reflex
    mask[58, 32:52] = 0  # a bright line across
    mask[42:51, 44:53] = 0  # a real hole
    mask[40:42, 66:74] = 1  # a hair on the object
    for row, column in ((8, 8), (8, 12), (12, 8), (12, 12)):
        mask[row : row + 3, column : column + 3] = 1  # dust: closed, it is a single large piece
    mask[73, 10:15] = 1
    mask[6:8, 40:60] = 1  # a fibre, of more pixels than the square
    return mask


def check_clean_foreground(answer: Any) -> None:
    mask = _raw_mask()
    result = call_answer(answer, mask.copy())
    values = np.unique(np.asarray(result)).tolist() if hasattr(result, "shape") else [0, 1]
    if not set(values) <= {0, 1}:
        mistake("other_values", values=values[:4])
    expect_array(result, _cleaned(mask), mistakes=_mistakes_in_cleaning(mask))


def _mistakes_in_cleaning(mask: np.ndarray) -> dict[str, Any]:
    opening, closing = cv2.MORPH_OPEN, cv2.MORPH_CLOSE

    def finished(piece: np.ndarray) -> list[np.ndarray]:
        return [piece, _filled(piece), _morphology(piece, closing)]

    return {
        "unchanged": mask,
        "turned_over": [1 - mask, 1 - _cleaned(mask)],
        "opened": _morphology(mask, opening),
        "closed": _morphology(mask, closing),
        "closed_first": _morphology(mask, closing, opening),
        "eroded": _morphology(mask, cv2.MORPH_ERODE),
        "dilated": _morphology(mask, cv2.MORPH_DILATE),
        "square_of_3": _cleaned(mask, 3, 3),
        "hole_filled": [
            _filled(_morphology(mask, opening)),
            *[_cleaned(mask, side, side) for side in (11, 13, 15)],
        ],
        "square_of_7": _cleaned(mask, 7, 7),
        "square_of_9": _cleaned(mask, 9, 9),
        "no_square": [
            _morphology(mask, opening, closing, shape=shape)
            for shape in (cv2.MORPH_ELLIPSE, cv2.MORPH_CROSS)
        ],
        "by_area": finished(_without_small_pieces(mask, 25)),
        "largest_piece": finished(_without_small_pieces(mask, 200)),
        "median": cv2.medianBlur(mask, 5),
    }


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
