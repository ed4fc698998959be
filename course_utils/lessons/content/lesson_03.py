"""Lesson 03, U-Net training: sizes, fields of view, parameters, and labels that fit."""

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
    """Lesson 03 takes no parameters of its own."""

    datasets = ("synthetic", "magnetic_tile", "sd_saliency_900", "folder")


def _valid_side(side: int) -> int:
    for _ in range(4):
        side = (side - 4) // 2
    side -= 4
    for _ in range(4):
        side = 2 * side - 4
    return side


def _without_bottom(side: int) -> int:
    for _ in range(4):
        side = (side - 4) // 2
    for _ in range(4):
        side = 2 * side - 4
    return side


def _halved_first(side: int) -> int:
    for _ in range(4):
        side = side // 2 - 4
    side -= 4
    for _ in range(4):
        side = 2 * side - 4
    return side


def _two_at_a_time(side: int) -> int:
    for _ in range(4):
        side = (side - 2) // 2
    side -= 2
    for _ in range(4):
        side = 2 * side - 2
    return side


def _examine_valid_side(answer: Any) -> None:
    expect_function(
        answer,
        [((side,), _valid_side) for side in (572, 512, 444, 188)],
        mistakes=[
            (
                _without_bottom,
                "Nearly: the bottom of the U has two convolutions as well, between the way down "
                "and the way up.",
            ),
            (
                _halved_first,
                "You halve before the convolutions. Each stage of the way down convolves first.",
            ),
            (
                _two_at_a_time,
                "You take 2 pixels off for a stage. *One* 3x3 convolution costs 2, and there are "
                "two.",
            ),
            (
                lambda side: side,
                "That is the size with padding. Here each convolution takes its border off.",
            ),
            (
                lambda side: side - 4 * 9,
                "Each stage costs 4 pixels **of its own map**: one pixel at the bottom is 16 "
                "pixels of the image. Follow the halvings and doublings.",
            ),
        ],
    )


def _field(layers: list[tuple[int, int, int]]) -> int:
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        field += (kernel - 1) * dilation * jump
        jump *= stride
    return field


def _field_without_jump(layers: list[tuple[int, int, int]]) -> int:
    return 1 + sum((kernel - 1) * dilation for kernel, _, dilation in layers)


def _field_jump_first(layers: list[tuple[int, int, int]]) -> int:
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        jump *= stride
        field += (kernel - 1) * dilation * jump
    return field


def _field_of_kernels(layers: list[tuple[int, int, int]]) -> int:
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        field += kernel * dilation * jump
        jump *= stride
    return field


def _field_undilated(layers: list[tuple[int, int, int]]) -> int:
    return _field([(kernel, stride, 1) for kernel, stride, _ in layers])


FIELDS = (
    [(3, 1, 1)],
    [(3, 1, 1), (3, 1, 1), (2, 2, 1), (3, 1, 1), (3, 1, 1)],
    [(3, 1, 1), (3, 1, 2), (3, 1, 4)],
    [(5, 2, 1), (3, 2, 1), (3, 1, 2)],
)


def _examine_field(answer: Any) -> None:
    expect_function(
        answer,
        [((list(layers),), _field) for layers in FIELDS],
        mistakes=[
            (
                _field_without_jump,
                "Right for layers without stride. After a stride of 2 neighbours of the map are 2 "
                "pixels of the image apart: each later layer then adds twice as much.",
            ),
            (
                _field_jump_first,
                "Nearly: a layer's stride counts for the layers **after** it, not for itself.",
            ),
            (
                _field_of_kernels,
                "A kernel of 3 adds 2 pixels, one on each side: k - 1, not k.",
            ),
            (
                _field_undilated,
                "The dilation is missing: it moves the taps of a kernel apart.",
            ),
            (
                lambda layers: sum(kernel for kernel, _, _ in layers),
                "That adds up the kernels. They overlap: each adds (k - 1) pixels to the first.",
            ),
        ],
    )


def _double_parameters(inputs: int, outputs: int) -> int:
    return 9 * inputs * outputs + outputs + 9 * outputs * outputs + outputs


def _examine_parameters(answer: Any) -> None:
    expect_function(
        answer,
        [((i, o), _double_parameters) for i, o in ((1, 64), (64, 128), (1024, 512), (3, 16))],
        mistakes=[
            (
                lambda i, o: 9 * i * o + 9 * o * o,
                "Nearly: each convolution has a bias for each of its output channels.",
            ),
            (
                lambda i, o: 9 * i * o + o,
                "That is the first convolution alone. The block has two.",
            ),
            (
                lambda i, o: 2 * (9 * i * o + o),
                "The second convolution does not see `inputs` channels: it sees what the first "
                "gave out.",
            ),
            (
                lambda i, o: i * o + o + o * o + o,
                "A 3x3 kernel has nine numbers for each pair of channels.",
            ),
            (
                lambda i, o: 9 * i + o + 9 * o + o,
                "Each output channel has kernels of its own: 9 times inputs times outputs.",
            ),
        ],
    )


def _as_target(label: np.ndarray, size: int) -> np.ndarray:
    small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    return (small > 127).astype(np.float32)


def _examine_target(answer: Any) -> None:
    rng = np.random.default_rng(0)
    label = np.zeros((100, 100), np.uint8)
    label[20:50, 30:70] = 255
    label[60:64, 5:90] = 255
    # What a lossy file leaves: noise around both values.
    noise = rng.integers(0, 40, label.shape)
    label = np.where(label > 0, 255 - noise, noise)
    label = label.astype(np.uint8)
    result = call_answer(answer, label.copy(), 40)
    shape = getattr(result, "shape", None)
    if shape is not None and tuple(shape) != (40, 40):
        incorrect(
            f"The target has shape `{tuple(shape)}`, and the network gives `(40, 40)`: resize to "
            "`size`."
        )
    bicubic = cv2.resize(label, (40, 40), interpolation=cv2.INTER_CUBIC)
    linear = cv2.resize(label, (40, 40), interpolation=cv2.INTER_LINEAR)
    nearest = cv2.resize(label, (40, 40), interpolation=cv2.INTER_NEAREST)
    exact = cv2.resize(label, (40, 40), interpolation=cv2.INTER_NEAREST_EXACT)
    soft = "The values are neither 0 nor 1. Resize with nearest, then compare with a threshold."
    accepted = _as_target(label, 40)
    if getattr(result, "shape", None) == (40, 40):
        given = np.asarray(result, dtype=np.float64)
        # Nearest has two conventions of where a pixel's centre lies: both are fine.
        if np.array_equal(given, (nearest > 127).astype(np.float64)):
            accepted = given
    expect_array(
        result,
        accepted,
        mistakes=[
            (bicubic / 255, f"That is the published reader. {soft}"),
            (linear / 255, soft),
            (nearest / 255, f"Nearest, but the file was lossy. {soft}"),
            (exact / 255, f"Nearest, but the file was lossy. {soft}"),
            (
                (nearest > 0).astype(np.float32),
                "Every value above 0 counts as defect: the noise that JPEG leaves on the "
                "background, too. The middle, 127, is a safe threshold.",
            ),
            (
                (exact > 0).astype(np.float32),
                "Every value above 0 counts as defect: the noise that JPEG leaves on the "
                "background, too. The middle, 127, is a safe threshold.",
            ),
            (
                255 * (nearest > 127).astype(np.float32),
                "The classes are 0 and 255. A target of 255 is no probability: use 0 and 1.",
            ),
            (1 - accepted, "Turned over: 1 is the defect."),
        ],
    )


EXERCISES = (
    Exercise(
        id="valid_side",
        title="How much is left?",
        question=(
            "The original U-Net (depth 4) has no padding: each 3x3 convolution takes one pixel "
            "from every border. Write a function that returns the side of its output for an image "
            "of `side` pixels. Each stage has two convolutions; pooling halves (rounding down), "
            "going up doubles."
        ),
        stub="def valid_side(side):\n    return ...",
        answer_name="valid_side",
        hints=(
            "A stage of the way down: take 4 off, then halve. Four times.",
            "The bottom takes 4 off. A stage of the way up: double, then take 4 off.",
        ),
        solution_source=(
            "def valid_side(side):\n"
            "    for _ in range(4):\n"
            "        side = (side - 4) // 2\n"
            "    side = side - 4\n"
            "    for _ in range(4):\n"
            "        side = 2 * side - 4\n"
            "    return side"
        ),
        examine=_examine_valid_side,
        why="572 gives 388, and 512 gives the 324 that the published reader copied.",
    ),
    Exercise(
        id="field_of_view",
        title="How far does a layer see?",
        question=(
            "`layers` is a list of `(kernel, stride, dilation)`, first layer first; a max-pool is "
            "`(2, 2, 1)`. Write a function that returns the side of the receptive field of the "
            "last layer, in pixels of the image."
        ),
        stub="def field_of_view(layers):\n    return ...",
        answer_name="field_of_view",
        hints=(
            "Start with `field, jump = 1, 1`. The jump is how many pixels of the image lie between "
            "neighbours of the map.",
            "A layer adds `(kernel - 1) * dilation * jump` to the field. Afterwards the jump is "
            "multiplied by its stride.",
        ),
        solution_source=(
            "def field_of_view(layers):\n"
            "    field, jump = 1, 1\n"
            "    for kernel, stride, dilation in layers:\n"
            "        field = field + (kernel - 1) * dilation * jump\n"
            "        jump = jump * stride\n"
            "    return field"
        ),
        examine=_examine_field,
        why="Pooling makes every later layer see twice as far: that is why U-Net goes down.",
    ),
    Exercise(
        id="block_parameters",
        title="Where are 31 million parameters?",
        question=(
            "Write a function that returns the number of parameters of U-Net's block: two 3x3 "
            "convolutions with bias, the first from `inputs` to `outputs` channels."
        ),
        stub="def block_parameters(inputs, outputs):\n    return ...",
        answer_name="block_parameters",
        hints=(
            "A 3x3 convolution from a to b channels has 9 a b weights and b biases.",
            "The second convolution goes from `outputs` to `outputs`.",
        ),
        solution_source=(
            "def block_parameters(inputs, outputs):\n"
            "    first = 9 * inputs * outputs + outputs\n"
            "    second = 9 * outputs * outputs + outputs\n"
            "    return first + second"
        ),
        examine=_examine_parameters,
        why=(
            "The block at the bottom, from 512 to 1024 channels, has 14 157 824 of them: almost "
            "half of the network sees the smallest map."
        ),
    ),
    Exercise(
        id="clean_target",
        title="Repair the label",
        question=(
            "`label` is a uint8 mask, (H, W), that somebody stored as JPEG: about 0 on background, "
            "about 255 on defects, with noise. Write a function that returns a float32 target of "
            "`size` x `size` that holds nothing but 0 and 1."
        ),
        given="import cv2\nimport numpy as np",
        stub="def clean_target(label, size):\n    return ...",
        answer_name="clean_target",
        hints=(
            "`cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)` invents no values.",
            "The threshold lies in the middle: `> 127`. Then `.astype(np.float32)`.",
        ),
        solution_source=(
            "def clean_target(label, size):\n"
            "    small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)\n"
            "    return (small > 127).astype(np.float32)"
        ),
        examine=_examine_target,
        why="Better still: store masks as PNG, which loses nothing.",
    ),
)

QUIZ = (
    Question(
        "A U-Net without skip connections marks defects as blobs of the right place and the wrong "
        "shape. Why?",
        (
            Choice(
                "It has fewer parameters",
                False,
                "It has, but that is not why: at the bottom one cell stands for 16 x 16 pixels.",
            ),
            Choice(
                "The way up must guess details that pooling threw away",
                True,
                "Skips carry the fine maps across, from before the pooling.",
            ),
            Choice(
                "Its receptive field is smaller",
                False,
                "It is the same: the way down has not changed.",
            ),
        ),
    ),
    Question(
        "The code resizes each label to 324 x 324 since a valid-padding network gives 324 for 512. "
        "What is wrong?",
        (
            Choice(
                "Nothing: the shapes agree",
                False,
                "Shapes do. But the output describes the *middle* of the image, and a resized "
                "label describes all of it.",
            ),
            Choice(
                "The label must be cropped to the middle 324 pixels, not resized",
                True,
                "Resized, every defect stands at the wrong place.",
            ),
            Choice("Labels should be resized bicubically", False, "That makes them soft as well."),
        ),
    ),
    Question(
        "Loss A has a median IoU of .62 over three seeds (.58 to .64), loss B .63 (.57 to .66). "
        "What do you report?",
        (
            Choice("B is better", False, "The dots overlap: another seed may turn the order."),
            Choice(
                "No difference that three seeds could show",
                True,
                "And how far the seeds spread, so that readers see it.",
            ),
            Choice(
                "The best seed of each",
                False,
                "A maximum over seeds is a choice made on test images.",
            ),
        ),
    ),
    Question(
        "A training is killed in the night. What must its checkpoint hold, besides the weights, to "
        "go on as if nothing had happened?",
        (
            Choice(
                "Nothing: the weights are the network",
                False,
                "The optimiser would start without its averages, the schedule at its beginning.",
            ),
            Choice("Optimiser and schedule", False, "Nearly: and which images come next?"),
            Choice(
                "Optimiser, schedule, random numbers, and the place in the data",
                True,
                "Then the resumed weights are equal bit for bit, which can be tested.",
            ),
        ),
    ),
)

LESSON = LessonOutline(
    name="03_unet_training",
    title="U-Net training",
    parameters=Parameters,
    exercises=EXERCISES,
    quiz=QUIZ,
)
