"""Lesson 04, Perlin anomaly synthesis: masks, objects, blending, shuffled tiles."""

from typing import Any

import cv2
import numpy as np

from course_utils.lessons.exercise import Exercise
from course_utils.lessons.expect import expect_array, expect_function
from course_utils.lessons.outline import LessonOutline
from course_utils.lessons.parameters import LessonParameters
from course_utils.lessons.quiz import Choice, Question
from course_utils.lessons.verdicts import call_answer, incorrect


class Parameters(LessonParameters):
    """Lesson 04 takes no parameters of its own."""

    datasets = ("synthetic", "mvtec_ad/", "magnetic_tile", "folder")


def _examine_draw_until(answer: Any) -> None:
    masks = [np.zeros((100, 100), np.uint8) for _ in range(4)]
    for mask, side in zip(masks, (0, 2, 6, 40), strict=True):
        mask[:side, :side] = 1
    calls = 0

    def draw() -> np.ndarray:
        nonlocal calls
        calls += 1
        return masks[min(calls, len(masks)) - 1].copy()

    result = call_answer(answer, draw, 0.001)
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
                "You look at one mask and return another: keep the one that you looked at.",
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
                lambda i, s, m, d: i * (1 - m) + m * s,
                "The opacity is not used.",
            ),
            (
                lambda i, s, m, d: i * m + (1 - m) * (d * s + (1 - d) * i),
                "Turned over: you change everything but the mask.",
            ),
        ],
    )


def _cleaned(mask: np.ndarray) -> np.ndarray:
    kernel = np.ones((5, 5), np.uint8)
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
    return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, kernel)


def _morphology(*operations: int) -> Any:
    def run(mask: np.ndarray) -> np.ndarray:
        for operation in operations:
            mask = cv2.morphologyEx(mask, operation, np.ones((5, 5), np.uint8))
        return mask

    return run


def _raw_mask() -> np.ndarray:
    mask = np.zeros((60, 60), np.uint8)
    cv2.circle(mask, (30, 32), 18, 1, -1)
    mask[28:31, 26:29] = 0  # a reflex
    mask[40, 20:40] = 0  # a bright line across
    mask[4:7, 4:7] = 1  # dust on the ground
    mask[8:11, 6:9] = 1  # near enough to be joined with the dust above
    mask[52, 50:55] = 1
    return mask


def _examine_cleaned(answer: Any) -> None:
    mask = _raw_mask()
    result = call_answer(answer, mask.copy())
    values = np.unique(np.asarray(result)).tolist() if hasattr(result, "shape") else [0, 1]
    if not set(values) <= {0, 1}:
        incorrect(f"The mask holds {values[:4]}: 0 and 1 go in, 0 and 1 come out.")
    expect_array(
        result,
        _cleaned(mask),
        mistakes=[
            (mask, "That is the mask as it came: the dust is still there, and the reflex, too."),
            (
                _morphology(cv2.MORPH_OPEN)(mask),
                "The dust is gone, and the reflex is still a hole in the object. Now close.",
            ),
            (
                _morphology(cv2.MORPH_CLOSE)(mask),
                "The reflex is filled, and the dust is still there. Open first.",
            ),
            (
                _morphology(cv2.MORPH_CLOSE, cv2.MORPH_OPEN)(mask),
                "Closed first, neighbouring specks of dust grow together, and together they are "
                "large enough to survive the opening. Open, then close.",
            ),
            (
                cv2.medianBlur(mask, 5),
                "A median filter is a good idea, too, but it rounds corners: open, then close.",
            ),
        ],
    )


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


def _turned(image: np.ndarray, order: Any, rows: int, columns: int) -> np.ndarray:
    """Tiles counted down the columns and laid along the rows."""
    height, width = image.shape[0] // rows, image.shape[1] // columns
    tiles = (
        image.reshape(rows, height, columns, width).transpose(2, 0, 1, 3).reshape(-1, height, width)
    )
    chosen = tiles[np.asarray(order)].reshape(rows, columns, height, width)
    return chosen.transpose(0, 2, 1, 3).reshape(image.shape)


def _torn(image: np.ndarray, order: Any, rows: int, columns: int) -> np.ndarray:
    """A plain reshape: pixels of one line taken for a tile."""
    height, width = image.shape[0] // rows, image.shape[1] // columns
    tiles = image.reshape(rows * columns, height, width)[np.asarray(order)]
    return tiles.reshape(image.shape)


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
            (
                _turned,
                "Tiles are counted along the rows, from the upper left, like words on a page.",
            ),
            (
                _torn,
                "A plain `reshape` cuts lines, not tiles: neighbouring pixels of one line end in "
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
            "reflects, and specks of dust around it. Write a function that takes away whatever is "
            "smaller than a square of 5 x 5 pixels, and then fills the holes that such a square "
            "cannot get into."
        ),
        given="import cv2\nimport numpy as np",
        stub="def clean_foreground(mask):\n    return ...",
        answer_name="clean_foreground",
        hints=(
            "`cv2.morphologyEx(mask, operation, kernel)` with a kernel of ones, "
            "`np.ones((5, 5), np.uint8)`.",
            "`cv2.MORPH_OPEN` takes specks away, `cv2.MORPH_CLOSE` fills holes. The order matters.",
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

LESSON = LessonOutline(
    name="04_perlin_anomaly_synthesis",
    title="Perlin anomaly synthesis",
    parameters=Parameters,
    exercises=EXERCISES,
    quiz=QUIZ,
)
