"""Lesson 04, Perlin anomaly synthesis: masks, objects, blending, shuffled tiles."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from einops import rearrange

from course_utils.lessons.exercise import Exercise
from course_utils.lessons.expect import expect_array, expect_function
from course_utils.lessons.outline import LessonSpec
from course_utils.lessons.parameters import LessonParameters
from course_utils.lessons.quiz import Choice, Question
from course_utils.lessons.verdicts import AnswerRaised, call_answer, incorrect


class Parameters(LessonParameters):
    """Lesson 04 takes no parameters of its own."""

    datasets = ("synthetic", "mvtec_ad/", "magnetic_tile", "folder")


MOST_DRAWS = 50


def _examine_draw_until(answer: Any) -> None:
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
        incorrect(
            f"The third mask was good enough, and you drew more than {MOST_DRAWS} times. If this "
            "is a loop, it looks at a mask that is never replaced: `draw()` alone throws the new "
            "mask away. Write `mask = draw()` in the loop."
        )
    expect_array(
        result,
        masks[2],
        mistakes=[
            (masks[0], "That is the first draw, and it is empty."),
            (
                masks[1],
                "Not empty, but it covers 4 of 10 000 pixels, less than `lowest`: compare "
                "`mask.mean()`, the share of the pixels.",
            ),
            (
                masks[3],
                "You look at one mask and return another: keep the one that you looked at."
                if calls == 4
                else f"That is a mask of a later draw, and you drew {calls} times. Return the "
                "first one that is large enough.",
            ),
            (
                masks[1] | masks[2],
                "You add each draw to the ones before. The mask shall be that of a single draw: "
                "a new one replaces the old one, `mask = draw()`.",
            ),
            (1, "Wanted the mask, got a truth value or a number."),
        ],
    )
    if calls != 3:
        incorrect(f"The third mask was good enough, and you drew {calls} times.")


def _blend(image: np.ndarray, source: np.ndarray, mask: np.ndarray, opacity: float) -> np.ndarray:
    return image * (1 - mask) + mask * (opacity * source + (1 - opacity) * image)


def _examine_blend(answer: Any) -> None:
    rng = np.random.default_rng(0)
    image, source = rng.random((2, 12, 10))
    mask = np.zeros((12, 10))
    mask[3:8, 2:7] = 1
    first = call_answer(answer, image.copy(), source.copy(), mask.copy(), 0.3)
    if np.asarray(first).dtype.kind in "iu":
        incorrect(
            f"Floats go in, and {np.asarray(first).dtype} comes out. Whole numbers lose what is "
            "behind the point, and uint8 starts again at 0 above 255: 200 + 100 is 44. Calculate "
            "in floats, and leave them as they are."
        )
    expect_function(
        answer,
        [((image, source, mask, opacity), _blend) for opacity in (0.3, 0.8, 1.0)],
        mistakes=[
            (
                lambda i, s, m, d: i * (1 - m) + m * ((1 - d) * s + d * i),
                "The shares are exchanged: `opacity` is that of the source. At 1 nothing of the "
                "image is left under the mask.",
            ),
            (
                lambda i, s, m, d: d * s + (1 - d) * i,
                "The mask is missing: you blend everywhere, and most of the picture is labelled "
                "good.",
            ),
            (
                lambda i, s, m, d: m * (d * s + (1 - d) * i),
                "Outside of the mask the image must stay as it is: add `(1 - mask) * image`.",
            ),
            (
                lambda i, s, m, d: i + d * m * s,
                "You add light on top of the image. Blending takes away what it covers: "
                "`(1 - opacity)` of the image is left under the mask.",
            ),
            (
                lambda i, s, m, d: i * (1 - m) + d * m * s,
                "Under the mask a part is missing: of the source you take `opacity`, of the image "
                "nothing. Add its share, `(1 - opacity) * image`, or the anomaly is too dark.",
            ),
            (
                lambda i, s, m, d: i + m * (d * s + (1 - d) * i),
                "Under the mask the image is there twice, in the mixture and once more in full: "
                "multiply the second one by `1 - mask`.",
            ),
            (
                lambda i, s, m, d: i * (1 - m),
                "Under the mask all is black: add `mask * mixture`.",
            ),
            (
                lambda i, s, m, d: i * (1 - m) + m * s,
                "The opacity is not used.",
            ),
            (
                lambda i, s, m, d: i * m + (1 - m) * (d * s + (1 - d) * i),
                "Turned over: you change everything but the mask.",
            ),
        ],
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


def _examine_cleaned(answer: Any) -> None:
    mask = _raw_mask()
    result = call_answer(answer, mask.copy())
    values = np.unique(np.asarray(result)).tolist() if hasattr(result, "shape") else [0, 1]
    if not set(values) <= {0, 1}:
        incorrect(f"The mask holds {values[:4]}: 0 and 1 go in, 0 and 1 come out.")
    expect_array(result, _cleaned(mask), mistakes=_mistakes_in_cleaning(mask))


def _mistakes_in_cleaning(mask: np.ndarray) -> list[tuple[np.ndarray, str]]:
    opening, closing = cv2.MORPH_OPEN, cv2.MORPH_CLOSE
    by_area = (
        "You take pieces away by the number of their pixels. A fibre of 2 x 20 pixels has more "
        "than the square, and the square does not fit on it all the same: go by the form, open."
    )
    largest = (
        "You keep the largest piece alone. A hair that hangs on the object is a part of that "
        "piece, and too thin for the square: open, then close."
    )
    pieces = [(_without_small_pieces(mask, fewest), fewest) for fewest in (25, 200)]
    return [
        (mask, "That is the mask as it came: the dust is still there, and the reflex, too."),
        *[
            (1 - one, "Turned over: that is the ground. 1 is the object, before and after.")
            for one in (mask, _cleaned(mask))
        ],
        (
            _morphology(mask, opening),
            "The dust is gone, and the reflex is still a hole in the object. Now close.",
        ),
        (
            _morphology(mask, closing),
            "The reflex is filled, and the dust is still there. Open first.",
        ),
        (
            _morphology(mask, closing, opening),
            "Closed first, neighboring specks of dust grow together, and together they are "
            "large enough to survive the opening. Open, then close.",
        ),
        (
            _morphology(mask, cv2.MORPH_ERODE),
            "Eroding takes the dust away, and 2 pixels all around the object as well. Dilate "
            "afterwards, and the object is back: together they are the opening.",
        ),
        (
            _morphology(mask, cv2.MORPH_DILATE),
            "Dilating fills the reflex, and adds 2 pixels all around the object and the dust. "
            "Erode afterwards: together they are the closing. And open before it.",
        ),
        (
            _cleaned(mask, 3, 3),
            "Your square has 3 x 3 pixels: it still fits on specks of dust of that size. Take "
            "`np.ones((5, 5), np.uint8)`.",
        ),
        *[
            (
                one,
                "The hole of 9 x 9 pixels is filled as well, and a square of 5 x 5 fits into that "
                "one. Close with the same square as you open.",
            )
            for one in (
                _filled(_morphology(mask, opening)),
                *[_cleaned(mask, side, side) for side in (11, 13, 15)],
            )
        ],
        *[
            (
                _cleaned(mask, side, side),
                f"Your square seems to have {side} x {side} pixels: wanted 5 x 5.",
            )
            for side in (7, 9)
        ],
        *[
            (
                _morphology(mask, opening, closing, shape=shape),
                "Your kernel is no square: an ellipse and a cross leave out the corners. Take "
                "`np.ones((5, 5), np.uint8)`.",
            )
            for shape in (cv2.MORPH_ELLIPSE, cv2.MORPH_CROSS)
        ],
        *[
            (way(piece), by_area if fewest == 25 else largest)
            for piece, fewest in pieces
            for way in (np.copy, _filled, lambda one: _morphology(one, closing))
        ],
        (
            cv2.medianBlur(mask, 5),
            "A median filter is a good idea, too, but it rounds corners: open, then close.",
        ),
    ]


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


_CUT, _LAID = "(r h) (c w) -> (r c) h w", "(r c) h w -> (r h) (c w)"
_MISTAKEN_PATTERNS = (
    (
        "(r h) (c w) -> (c r) h w",
        _LAID,
        "Tiles are counted along the rows, from the upper left, like words on a page: cut with "
        "`(r c)`, not with `(c r)`.",
    ),
    (
        _CUT,
        "(c r) h w -> (r h) (c w)",
        "The tiles are cut and chosen as they should be, but laid down the columns: on the way "
        "back it is `(r c)`, too, not `(c r)`.",
    ),
    (
        "(r h) (c w) -> (c r) h w",
        "(c r) h w -> (r h) (c w)",
        "You count down the columns on both ways. Places are counted along the rows, from the "
        "upper left: write `(r c)` twice.",
    ),
    (
        _CUT,
        "(r c) h w -> (h r) (w c)",
        "Cut well, laid badly: `(h r)` puts one line of each tile beside the next. In brackets "
        "the first name is the larger step: a row of tiles first, then a line in it, `(r h)`.",
    ),
    (
        "(h r) (w c) -> (r c) h w",
        _LAID,
        "`(h r)` takes every `r`-th line for a tile. In brackets the first name is the larger "
        "step: a row of tiles first, then a line in it. Cut with `(r h) (c w)`.",
    ),
    (
        "(h r) (w c) -> (r c) h w",
        "(r c) h w -> (h r) (w c)",
        "With `(h r) (w c)` on both ways a tile is not one piece of the image, but every `r`-th "
        "line and every `c`-th column of it. Write `(r h) (c w)`.",
    ),
)


def _examine_shuffled(answer: Any) -> None:
    rng = np.random.default_rng(1)
    cases = []
    for rows, columns, shape in ((2, 3, (8, 12)), (4, 8, (16, 16))):
        image = rng.integers(0, 256, shape).astype(np.uint8)
        order = rng.permutation(rows * columns)
        cases.append(((image, order, rows, columns), _shuffled))
    expect_function(
        answer,
        cases,
        mistakes=[
            (lambda image, order, rows, columns: image, "Nothing has moved."),
            (
                _inverse,
                "Turned over: place `k` shall *show* tile `order[k]`. You send tile `k` to place "
                "`order[k]`.",
            ),
            *[(_rearranged(there, back), message) for there, back, message in _MISTAKEN_PATTERNS],
            (
                _torn,
                "A plain `reshape` cuts lines, not tiles: neighboring pixels of one line end in "
                "different rows. Name the axes: `(r h) (c w) -> (r c) h w`.",
            ),
        ],
    )


EXERCISES = (
    Exercise(
        id="draw_until",
        title="Not an empty one, please",
        question=(
            "`draw()` returns a new random mask of 0 and 1 each time it is called. Write a "
            "function that draws until the mask covers at least the share `lowest` of the image, "
            "and returns that mask."
        ),
        stub="def draw_until(draw, lowest):\n    return ...",
        answer_name="draw_until",
        hints=(
            "The share of the pixels that are 1 is the mean of the mask.",
            "Draw once before the loop, and again in it: `while mask.mean() < lowest:`.",
        ),
        solution_source=(
            "def draw_until(draw, lowest):\n"
            "    mask = draw()\n"
            "    while mask.mean() < lowest:\n"
            "        mask = draw()\n"
            "    return mask"
        ),
        examine=_examine_draw_until,
        why="`perlin_mask` does this, and gives up with an error after a thousand draws.",
    ),
    Exercise(
        id="blend",
        title="Under the mask, and only there",
        question=(
            "Write a function that lays `source` over `image` where `mask` is 1, with the share "
            "`opacity` in 0..1. Where the mask is 0, the image stays as it is. All are float "
            "arrays of one shape."
        ),
        stub="def blend(image, source, mask, opacity):\n    return ...",
        answer_name="blend",
        hints=(
            "First the mixture of both pictures, as if there were no mask.",
            "Then `mask * mixture + (1 - mask) * image`.",
        ),
        solution_source=(
            "def blend(image, source, mask, opacity):\n"
            "    mixture = opacity * source + (1 - opacity) * image\n"
            "    return mask * mixture + (1 - mask) * image"
        ),
        examine=_examine_blend,
        why="Not a single pixel outside of the mask changes: that is what makes the mask a label.",
    ),
    Exercise(
        id="clean_foreground",
        title="Dust and reflexes",
        question=(
            "`mask` (uint8, 0 and 1) comes from a threshold: the object, with holes where it "
            "reflects, and specks of dust around it. Push a square of 5 x 5 pixels over the mask. "
            "Wherever it lies on ones alone, it covers pixels that may stay. Write a function that "
            "first sets all other ones to 0: dust, and what is too thin. Then the same the other "
            "way round: zeros that the square covers while it lies on zeros alone may stay, and "
            "the other zeros, which are small holes, become 1. Return the mask."
        ),
        given="import cv2\nimport numpy as np",
        stub="def clean_foreground(mask):\n    return ...",
        answer_name="clean_foreground",
        hints=(
            "`cv2.morphologyEx(mask, operation, kernel)` with a kernel of ones, "
            "`np.ones((5, 5), np.uint8)`.",
            "The first step is called opening, `cv2.MORPH_OPEN`, the second one closing, "
            "`cv2.MORPH_CLOSE`. The order matters.",
        ),
        solution_source=(
            "def clean_foreground(mask):\n"
            "    kernel = np.ones((5, 5), np.uint8)\n"
            "    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)\n"
            "    return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, kernel)"
        ),
        examine=_examine_cleaned,
        why="Without this, simulated defects float in the air beside the object.",
    ),
    Exercise(
        id="shuffle_tiles",
        title="A puzzle laid wrong",
        question=(
            "Cut the gray `image` into `rows` x `columns` equal tiles, counted along the rows from "
            "the upper left, and return the picture that shows tile `order[k]` at place `k`."
        ),
        given="import numpy as np\nfrom einops import rearrange",
        stub="def shuffle_tiles(image, order, rows, columns):\n    return ...",
        answer_name="shuffle_tiles",
        hints=(
            '`rearrange(image, "(r h) (c w) -> (r c) h w", r=rows, c=columns)` gives the tiles.',
            "`tiles[order]` puts them in order. The way back is the same sentence, read from right "
            "to left.",
        ),
        solution_source=(
            "def shuffle_tiles(image, order, rows, columns):\n"
            '    tiles = rearrange(image, "(r h) (c w) -> (r c) h w", r=rows, c=columns)\n'
            "    return rearrange(\n"
            '        tiles[order], "(r c) h w -> (r h) (c w)", r=rows, c=columns\n'
            "    )"
        ),
        examine=_examine_shuffled,
        why="Everything in it is real, and nothing is where it belongs: a structural anomaly.",
    ),
)

QUIZ = (
    Question(
        "You call `pnoise2` for a thousand images and get the same mask a thousand times. Why?",
        (
            Choice(
                "The random seed was set somewhere",
                False,
                "It has none: its gradients come from a fixed table.",
            ),
            Choice(
                "Its table of gradients is fixed; only place and `base` change the picture",
                True,
                "So draw gradients anew for each image, or move a long way each time.",
            ),
            Choice("Noise repeats itself by nature", False, "Only if its gradients do."),
        ),
    ),
    Question(
        "A draw leaves an empty mask, and the image is labelled as an anomaly. What suffers?",
        (
            Choice(
                "The pixel loss",
                False,
                "It sees a mask of zeros and an unchanged image: both are right.",
            ),
            Choice(
                "Everything that goes by the label of the image",
                True,
                "Balanced batches are not balanced, and statistics over images are wrong.",
            ),
            Choice("Nothing", False, "Count the anomalies in a batch: there are fewer than said."),
        ),
    ),
    Question(
        "At an opacity of .15 on a similar ground the source cannot be seen. What is the label?",
        (
            Choice(
                "The mask: it says where something was changed",
                True,
                "The label must not depend on what happens to be visible, or it has no rule. But a "
                "network cannot learn these, so they act as noise.",
            ),
            Choice(
                "Only the pixels that differ clearly",
                False,
                "Then a threshold decides the label. Where it changes, so does the truth.",
            ),
            Choice(
                "Good", False, "Then the same change is a defect on one ground and not another."
            ),
        ),
    ),
    Question(
        "A detector finds all simulated anomalies of its validation set. What do you know?",
        (
            Choice("That it will find real defects", False, "They were drawn by somebody else."),
            Choice(
                "That it learned what the simulation draws",
                True,
                "Whether that carries over, only real defects can tell.",
            ),
            Choice("That it is overfitted", False, "Not even that: fakes may just be easy."),
        ),
    ),
)

LESSON = LessonSpec(
    name="04_perlin_anomaly_synthesis",
    title="Perlin anomaly synthesis",
    parameters=Parameters,
    exercises=EXERCISES,
    quiz=QUIZ,
)
