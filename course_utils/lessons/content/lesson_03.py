"""Lesson 03, U-Net training: sizes, fields of view, parameters, and labels that fit."""

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch

from course_utils.lessons.answers import Incorrect, call_answer, mistake
from course_utils.lessons.expect import allclose, as_array, describe, expect_array, expect_function

Side = Callable[[float], float]


def _side(
    down: Side = lambda side: (side - 4) // 2,
    bottom: Side = lambda side: side - 4,
    up: Side = lambda side: 2 * side - 4,
    stages: int = 4,
) -> Side:
    """Return what a U of these steps makes of a side; by default the right one."""

    def through(side: float) -> float:
        for _ in range(stages):
            side = down(side)
        side = bottom(side)
        for _ in range(stages):
            side = up(side)
        return side

    return through


def check_valid_side(answer: Any) -> None:
    # Without rounding the U takes 184 pixels off any side: only the type tells who halves by `/`.
    halves = isinstance(call_answer(answer, 512), float)
    halved = _side(down=lambda side: (side - 4) / 2)
    expect_function(
        answer,
        [((side,), _side()) for side in (572, 512, 444, 188, 570)],
        mistakes={
            "bottom_forgotten": _side(bottom=lambda side: side),
            "halved_first": _side(down=lambda side: side // 2 - 4),
            "one_convolution": _side(lambda s: (s - 2) // 2, lambda s: s - 2, lambda s: 2 * s - 2),
            "way_up_turned_over": _side(up=lambda side: 2 * (side - 4)),
            "a_constant": [] if halves else halved,
            "no_rounding": [
                halved,
                _side(down=lambda side: round((side - 4) / 2)),
                _side(down=lambda side: math.ceil((side - 4) / 2)),
            ],
            "three_stages": _side(stages=3),
            "way_down_only": [
                _side(up=lambda side: side),
                _side(bottom=lambda side: side, up=lambda side: side),
            ],
            "padding": lambda side: side,
            "borders_of_the_image": lambda side: side - 4 * 9,
        },
    )


Layers = list[tuple[int, int, int]]
"""(kernel, stride, dilation) of each layer, first layer first."""
POOL = (2, 2)


def _field(
    adds: Callable[[int, int, int], int] = lambda kernel, dilation, jump: (
        (kernel - 1) * dilation * jump
    ),
    next_jump: Callable[[int, int], int] = lambda jump, stride: jump * stride,
    *,
    start: int = 1,
    stride_first: bool = False,
) -> Callable[[Layers], int]:
    """Return what layers see of the image by these rules; by default the right ones."""

    def through(layers: Layers) -> int:
        field, jump = start, 1
        for kernel, stride, dilation in layers:
            after = next_jump(jump, stride)
            field += adds(kernel, dilation, after if stride_first else jump)
            jump = after
        return field

    return through


def check_field_of_view(answer: Any) -> None:
    right = _field()
    examples: tuple[Layers, ...] = (
        [(3, 1, 1)],
        [(3, 1, 1), (3, 1, 1), (2, 2, 1), (3, 1, 1), (3, 1, 1)],
        [(3, 1, 1), (3, 1, 2), (3, 1, 4)],
        [(5, 2, 1), (3, 2, 1), (3, 1, 2)],
    )
    expect_function(
        answer,
        [((layers,), right) for layers in examples],
        mistakes={
            "no_jump": _field(next_jump=lambda jump, stride: 1),
            "stride_too_early": _field(stride_first=True),
            "whole_kernels": _field(lambda kernel, dilation, jump: kernel * dilation * jump),
            "no_dilation": _field(lambda kernel, dilation, jump: (kernel - 1) * jump),
            "starts_at_0": _field(start=0),
            "own_stride": [
                _field(next_jump=lambda jump, stride: stride, stride_first=True),
                _field(next_jump=lambda jump, stride: stride),
            ],
            "strides_added": [
                _field(next_jump=lambda jump, stride: jump + stride - 1),
                _field(next_jump=lambda jump, stride: jump + stride),
            ],
            "dilated_kernel": _field(lambda kernel, dilation, jump: (kernel * dilation - 1) * jump),
            "no_pools": lambda layers: right([layer for layer in layers if layer[:2] != POOL]),
            "pools_for_their_stride": lambda layers: right(
                [(1 if (k, s) == POOL else k, s, d) for k, s, d in layers]
            ),
            "sum_of_kernels": lambda layers: sum(kernel for kernel, _, _ in layers),
        },
    )


def _double_parameters(inputs: int, outputs: int) -> int:
    return 9 * inputs * outputs + outputs + 9 * outputs * outputs + outputs


def check_block_parameters(answer: Any) -> None:
    expect_function(
        answer,
        [((i, o), _double_parameters) for i, o in ((1, 64), (64, 128), (1024, 512), (3, 16))],
        mistakes={
            "no_biases": lambda i, o: 9 * i * o + 9 * o * o,
            "one_bias": lambda i, o: 9 * i * o + o + 9 * o * o,
            "bias_of_the_inputs": lambda i, o: 9 * i * o + i + 9 * o * o + o,
            "three": lambda i, o: 3 * i * o + o + 3 * o * o + o,
            "batch_norm": [
                lambda i, o: 9 * i * o + 9 * o * o + 6 * o,
                lambda i, o: 9 * i * o + 9 * o * o + 4 * o,
            ],
            "one_convolution": lambda i, o: 9 * i * o + o,
            "twice_the_first": lambda i, o: 2 * (9 * i * o + o),
            "kernels_of_one": lambda i, o: i * o + o + o * o + o,
            "kernels_shared": lambda i, o: 9 * i + o + 9 * o + o,
        },
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


def check_clean_target(answer: Any) -> None:
    size, label = 40, _noisy_label()
    result = call_answer(answer, label.copy(), size)
    shape = getattr(result, "shape", None)
    if shape is not None and tuple(shape) != (size, size):
        mistake("not_resized", got=tuple(shape), wanted=(size, size))
    given = as_array(result)
    # The smooth filters give one of these too, where the threshold comes last.
    right = [_resized(label, size, way) > 127 for way in NEAREST]
    accepted = (target for target in right if given is not None and allclose(given, target))
    try:
        expect_array(result, next(accepted, right[0]), mistakes=_wrong_targets(label, size))
    except Incorrect:
        if given is not None and (others := given[(given != 0) & (given != 1)]).size:
            mistake("other_values", value=describe(others[0]))
        raise
    if isinstance(result, torch.Tensor):
        mistake("tensor", kind=str(result.dtype).removeprefix("torch."))
    if not isinstance(result, np.ndarray):
        mistake("no_array", value=describe(result))
    if result.dtype != np.float32:
        mistake("another_type", kind=result.dtype)


def _wrong_targets(label: np.ndarray, size: int) -> dict[str, Any]:
    hard = (label > 127).astype(np.float32)
    smooth = {way: _resized(label, size, way) / 255 for way in SMOOTH}
    small = [_resized(label, size, way) for way in NEAREST]
    first = (len(label) - size) // 2
    middle, corner = label[first : first + size, first : first + size], label[:size, :size]
    return {
        "bicubic": smooth.pop(cv2.INTER_CUBIC),
        "smooth": list(smooth.values()),
        "threshold_first": [
            *[_resized(hard, size, way) for way in SMOOTH],
            *[_resized((255 * hard).astype(np.uint8), size, way) / 255 for way in SMOOTH],
        ],
        "soft_nearest": [one / 255 for one in small],
        "not_scaled": small,
        "above_zero": [one > 0 for one in small],
        "exactly_255": [one == 255 for one in small],
        "0_and_255": [255 * (one > 127) for one in small],
        "turned_over": [one <= 127 for one in small],
        "middle_cut_out": [middle > 127, middle / 255, middle],
        "corner_cut_out": [corner > 127, corner / 255, corner],
    }


def _resized(label: np.ndarray, size: int, way: int) -> np.ndarray:
    return cv2.resize(label, (size, size), interpolation=way)
