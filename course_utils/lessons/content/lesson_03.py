"""Lesson 03, U-Net training: sizes, fields of view, parameters, and labels that fit."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import torch

from course_utils.lessons.exercise import Exercise
from course_utils.lessons.expect import expect_array, expect_function
from course_utils.lessons.likeness import as_array, describe, same
from course_utils.lessons.outline import LessonSpec
from course_utils.lessons.parameters import LessonParameters
from course_utils.lessons.quiz import Choice, Question
from course_utils.lessons.verdicts import call_answer, incorrect


class Parameters(LessonParameters):
    """Lesson 03 takes no parameters of its own."""

    datasets = ("synthetic", "magnetic_tile", "sd_saliency_900", "folder")


def _side(
    down: Callable[[float], float] = lambda side: (side - 4) // 2,
    bottom: Callable[[float], float] = lambda side: side - 4,
    up: Callable[[float], float] = lambda side: 2 * side - 4,
    stages: int = 4,
) -> Callable[[float], float]:
    """Return what a U of these steps makes of a side; by default the right one."""

    def through(side: float) -> float:
        for _ in range(stages):
            side = down(side)
        side = bottom(side)
        for _ in range(stages):
            side = up(side)
        return side

    return through


def _examine_valid_side(answer: Any) -> None:
    # Without rounding the U takes 184 pixels off any side: only the type tells who halves by `/`.
    halves = isinstance(call_answer(answer, 512), float)
    rounds_down = "Nearly: pooling rounds down, and 121 gives 60. Halve with `//`."
    expect_function(
        answer,
        [((side,), _side()) for side in (572, 512, 444, 188, 570)],
        mistakes=[
            (
                _side(bottom=lambda side: side),
                "Nearly: the bottom of the U has two convolutions as well, between the way down "
                "and the way up.",
            ),
            (
                _side(down=lambda side: side // 2 - 4),
                "You halve before the convolutions. Each stage of the way down convolves first.",
            ),
            (
                _side(lambda s: (s - 2) // 2, lambda s: s - 2, lambda s: 2 * s - 2),
                "You take 2 pixels off for a stage. *One* 3x3 convolution costs 2, and there are "
                "two.",
            ),
            (
                _side(up=lambda side: 2 * (side - 4)),
                "The way down is right. Going up doubles first, then convolves.",
            ),
            (
                _side(down=lambda side: (side - 4) / 2),
                rounds_down
                if halves
                else "Right for 572, but odd sides lose a pixel at pooling: on the way down from "
                "512, 121 gives 60. Follow the stages, there is no constant.",
            ),
            (_side(down=lambda side: round((side - 4) / 2)), rounds_down),
            (_side(down=lambda side: math.ceil((side - 4) / 2)), rounds_down),
            (_side(stages=3), "Three stages down and up. This U-Net has depth 4: four of each."),
            *[
                (
                    _side(bottom=bottom, up=lambda side: side),
                    "That is the side at the bottom of the U. The way up is missing: four times, "
                    "double and take 4 off.",
                )
                for bottom in (lambda side: side - 4, lambda side: side)
            ],
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


Layers = list[tuple[int, int, int]]
"""(kernel, stride, dilation) of each layer, first layer first."""


def _field(layers: Layers) -> int:
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        field += (kernel - 1) * dilation * jump
        jump *= stride
    return field


def _field_without_jump(layers: Layers) -> int:
    return 1 + sum((kernel - 1) * dilation for kernel, _, dilation in layers)


def _field_jump_first(layers: Layers) -> int:
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        jump *= stride
        field += (kernel - 1) * dilation * jump
    return field


def _field_of_kernels(layers: Layers) -> int:
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        field += kernel * dilation * jump
        jump *= stride
    return field


def _field_undilated(layers: Layers) -> int:
    return _field([(kernel, stride, 1) for kernel, stride, _ in layers])


def _field_of_own_strides(layers: Layers) -> int:
    return 1 + sum((kernel - 1) * dilation * stride for kernel, stride, dilation in layers)


def _field_of_last_strides(layers: Layers) -> int:
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        field += (kernel - 1) * dilation * jump
        jump = stride
    return field


def _field_of_added_strides(layers: Layers, unit: int = 0) -> int:
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        field += (kernel - 1) * dilation * jump
        jump += stride - unit
    return field


def _field_of_added_steps(layers: Layers) -> int:
    return _field_of_added_strides(layers, unit=1)


def _field_of_spread_kernels(layers: Layers) -> int:
    field, jump = 1, 1
    for kernel, stride, dilation in layers:
        field += (kernel * dilation - 1) * jump
        jump *= stride
    return field


def _field_without_pools(layers: Layers) -> int:
    return _field([layer for layer in layers if layer[:2] != POOL])


def _field_of_blind_pools(layers: Layers) -> int:
    return _field([(1 if (k, s) == POOL else k, s, d) for k, s, d in layers])


POOL = (2, 2)
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
                "Right for layers without stride. After a stride of 2 neighbors of the map are 2 "
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
            (lambda layers: _field(layers) - 1, "One pixel sees itself: start with 1."),
            *[
                (
                    wrong,
                    "One stride is not enough: all strides *before* a layer count, multiplied.",
                )
                for wrong in (_field_of_own_strides, _field_of_last_strides)
            ],
            *[
                (
                    wrong,
                    "Strides multiply: a stride of 1 changes nothing, and after two strides of 2 "
                    "neighbors of the map are 4 pixels of the image apart.",
                )
                for wrong in (_field_of_added_steps, _field_of_added_strides)
            ],
            (
                _field_of_spread_kernels,
                "Dilation spreads the k - 1 gaps between the taps: (k - 1) * d, not k * d - 1.",
            ),
            (
                _field_without_pools,
                "You leave the max-pools out. Each sees with its 2x2 kernel, and its stride "
                "doubles what later layers add.",
            ),
            (
                _field_of_blind_pools,
                "Nearly: you take a max-pool for its stride alone. It has a 2x2 kernel and sees, "
                "too.",
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
                lambda i, o: 9 * i * o + o + 9 * o * o,
                "Nearly: one bias is missing. Both convolutions have `outputs` of them, one for "
                "each channel that they give out.",
            ),
            (
                lambda i, o: 9 * i * o + i + 9 * o * o + o,
                "Nearly: both biases count `outputs`, one for each output channel. The first "
                "convolution has no bias for the channels that it takes in.",
            ),
            (
                lambda i, o: 3 * i * o + o + 3 * o * o + o,
                "3x3 is nine numbers, not three.",
            ),
            *[
                (
                    lambda i, o, biases=biases: 9 * i * o + 9 * o * o + (biases + 4) * o,
                    "That counts batch normalization as well, 2 numbers for each channel. Only "
                    "convolutions here.",
                )
                for biases in (2, 0)
            ],
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


NEAREST = (cv2.INTER_NEAREST, cv2.INTER_NEAREST_EXACT)  # two places of a pixel's center
SMOOTH = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_AREA)


def _noisy_label() -> np.ndarray:
    """Return a label as a lossy file leaves it: noise around both values."""
    rng = np.random.default_rng(0)
    label = np.zeros((100, 100), np.uint8)
    label[20:50, 30:70] = 255
    label[60:64, 5:90] = 255
    noise = rng.integers(0, 40, label.shape)
    return np.where(label > 0, 255 - noise, noise).astype(np.uint8)


def _examine_target(answer: Any) -> None:
    size = 40
    label = _noisy_label()
    result = call_answer(answer, label.copy(), size)
    shape = getattr(result, "shape", None)
    if shape is not None and tuple(shape) != (size, size):
        incorrect(
            f"The target has shape `{tuple(shape)}`, and the network gives `{(size, size)}`: "
            "resize to `size`."
        )
    given = as_array(result)
    # The smooth filters give one of these too, where the threshold comes last.
    right = [_resized(label, size, way) > 127 for way in NEAREST]
    accepted = next((target for target in right if given is not None and same(given, target)), None)
    expect_array(
        result,
        right[0] if accepted is None else accepted,
        mistakes=[*_wrong_targets(label, size), *_any_soft_target(given)],
    )
    if not isinstance(result, np.ndarray) or result.dtype != np.float32:
        incorrect(
            "The values are right, their type is not: wanted a NumPy array of float32, got "
            f"{_type_of(result)}."
        )


def _wrong_targets(label: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, str]]:
    soft = "The values are neither 0 nor 1. Resize with nearest, then compare with a threshold."
    hard = (label > 127).astype(np.float32)
    for way in SMOOTH:
        start = "That is the published reader. " if way == cv2.INTER_CUBIC else ""
        yield _resized(label, size, way) / 255, start + soft
        again = (
            "Soft again: the threshold came first, and resizing mixed 0 and 1 at the edges. "
            "Threshold last, or resize with nearest."
        )
        yield _resized(hard, size, way), again
        yield _resized((255 * hard).astype(np.uint8), size, way) / 255, again
    for way in NEAREST:
        small = _resized(label, size, way)
        yield small / 255, f"Nearest, but the file was lossy. {soft}"
        yield (
            small,
            "Nearest is right, but the values still run from 0 to 255, noise and all. The "
            "threshold is missing: `> 127`.",
        )
        yield (
            small > 0,
            "Every value above 0 counts as defect: the noise that JPEG leaves on the background, "
            "too. The middle, 127, is a safe threshold.",
        )
        yield (
            small == 255,
            "Almost nothing is left of the defects: JPEG leaves few pixels at exactly 255, and "
            "`.astype(int)` cuts all others down to 0. The middle, 127, is a safe threshold.",
        )
        yield (
            255 * (small > 127),
            "The classes are 0 and 255. A target of 255 is no probability: use 0 and 1.",
        )
        yield small <= 127, "Turned over: 1 is the defect."
    first = (len(label) - size) // 2
    for place, corner in (("middle", first), ("upper left corner", 0)):
        part = label[corner : corner + size, corner : corner + size]
        for cropped in (part > 127, part / 255, part):
            yield (
                cropped,
                f"That is the {place} of the label, cut out: the defects outside are lost. "
                "Resize, so that the target shows the whole label.",
            )


def _any_soft_target(given: np.ndarray | None) -> Iterator[tuple[np.ndarray, str]]:
    if given is not None and (others := given[(given != 0) & (given != 1)]).size:
        yield (
            given,
            f"The target holds other values than 0 and 1, such as {describe(others[0])}. Compare "
            "with a threshold, last of all.",
        )


def _resized(label: np.ndarray, size: int, way: int) -> np.ndarray:
    return cv2.resize(label, (size, size), interpolation=way)


def _type_of(result: Any) -> str:
    if isinstance(result, np.ndarray):
        return f"an array of {result.dtype}: end with `.astype(np.float32)`"
    if isinstance(result, torch.Tensor):
        return f"a tensor of {str(result.dtype).removeprefix('torch.')}"
    return describe(result)


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
            "neighbors of the map.",
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
                "It has, but that is not the main reason: at the bottom one cell stands for "
                "16 x 16 pixels, and more parameters would not tell which of them is the defect.",
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
                "The label must be cropped to the middle 324 pixels, not resized",
                True,
                "Resized, every defect stands at the wrong place.",
            ),
            Choice(
                "Nothing: the shapes agree",
                False,
                "Shapes do. But the output describes the *middle* of the image, and a resized "
                "label describes all of it.",
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
                "The optimizer would start without its averages, the schedule at its beginning.",
            ),
            Choice("Optimizer and schedule", False, "Nearly: and which images come next?"),
            Choice(
                "Optimizer, schedule, random numbers, and the place in the data",
                True,
                "Then the resumed weights are equal bit for bit, which can be tested.",
            ),
        ),
    ),
)

LESSON = LessonSpec(
    name="03_unet_training",
    title="U-Net training",
    parameters=Parameters,
    exercises=EXERCISES,
    quiz=QUIZ,
)
