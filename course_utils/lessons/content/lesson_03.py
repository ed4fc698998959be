"""Lesson 03, U-Net training: turned images, sizes, fields of view, inputs and labels that fit."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from course_utils.lessons.answers import Incorrect, call_answer, incorrect, mistake
from course_utils.lessons.expect import allclose, as_array, describe, expect_array, expect_function

Turned = tuple[Tensor, Tensor]


def _turn(x: Tensor, k: int) -> Tensor:
    x = torch.rot90(x, k % 4, dims=(-2, -1))
    return x.flip(-1) if k >= 4 else x


def _turned(
    of_image: Callable[[Tensor, int], Tensor] = _turn,
    of_mask: Callable[[Tensor, int], Tensor] = _turn,
) -> Callable[[Tensor, Tensor, int], Turned]:
    """Return a function that turns image and mask in these ways; by default the right ones."""
    return lambda image, mask, k: (of_image(image, k), of_mask(mask, k))


def _both(turn: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, Tensor, int], Turned]:
    return _turned(turn, turn)


def _stays(x: Tensor, k: int) -> Tensor:
    return x


def _rot(x: Tensor, turns: int) -> Tensor:
    return torch.rot90(x, turns, dims=(-2, -1))


def _mirrored(x: Tensor, k: int, axis: int = -1) -> Tensor:
    return x.flip(axis) if k >= 4 else x


def check_turn_both(answer: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(
        3, 3, 3, generator=generator
    )  # as many rows as channels: axes can be mixed up
    mask = torch.randint(0, 4, (3, 3), generator=generator)
    wide = (
        torch.rand(1, 2, 4, generator=generator),
        torch.randint(0, 2, (2, 4), generator=generator),
    )

    def first_axes(x: Tensor, k: int) -> Tensor:
        return _mirrored(torch.rot90(x, k % 4), k)

    cases = [(image, mask, k) for k in range(8)] + [(*wide, k) for k in (0, 5)]
    mistakes = {
        "mask_stays": [_turned(of_mask=_stays)],
        "image_stays": [_turned(of_image=_stays)],
        "wrong_axes": _turned(of_image=first_axes),
        "clockwise": _both(lambda x, k: _mirrored(_rot(x, -k), k)),
        "never_mirrored": _both(_rot),
        "always_mirrored": _both(lambda x, k: _rot(x, k).flip(-1)),
        "upside_down": _both(lambda x, k: _mirrored(_rot(x, k), k, -2)),
        "channels_mirrored": [
            _turned(of_image=lambda x, k: _mirrored(_rot(x, k), k, 0)),
            _both(lambda x, k: _mirrored(_rot(x, k), k, 0)),
        ],
        "mirrored_first": _both(lambda x, k: _rot(_mirrored(x, k), k)),
        "half_turns": _both(lambda x, k: _mirrored(_rot(x, 2 * k), k)),
        "exchanged": lambda image, mask, k: (_turn(mask, k), _turn(image, k)),
        "image_alone": lambda image, mask, k: _turn(image, k),
    }
    try:
        expect_function(answer, [(case, _turned()) for case in cases], mistakes=mistakes)
    except Incorrect:
        for case in cases:
            _compare_parts(call_answer(answer, *case), _turned()(*case), case[-1])
        raise


def _compare_parts(got: Any, wanted: Turned, k: int) -> None:
    """Say which of image and mask is wrong; a tuple as such has no better description."""
    if not isinstance(got, tuple | list) or len(got) != 2:
        incorrect(f"Wanted a pair `(image, mask)`, got {describe(got)} for `k = {k}`.")
    image, mask = (allclose(*pair) for pair in zip(got, wanted, strict=True))
    if not (image and mask):
        said = {(True, False): "image right, mask wrong", (False, True): "image wrong, mask right"}
        incorrect(f"For `k = {k}`: {said.get((image, mask), 'image and mask are both wrong')}.")


Side = Callable[[float], float]


def _half_up(side: float) -> float:
    return -(-(side + 4) // 2)


def _tile(
    up: Side = _half_up,
    bottom: Side = lambda side: side + 4,
    down: Side = lambda side: 2 * side + 4,
    stages: int = 4,
) -> Side:
    """Return what these steps, walked backwards, make of a side; by default the right ones."""

    def through(side: float) -> float:
        for _ in range(stages):
            side = up(side)
        side = bottom(side)
        for _ in range(stages):
            side = down(side)
        return side

    return through


def _forwards(side: float) -> float:
    for _ in range(4):
        side = (side - 4) // 2
    side = side - 4
    for _ in range(4):
        side = 2 * side - 4
    return side


def check_tile_side(answer: Any) -> None:
    sides = (388, 324, 256, 100, 325)
    given = [call_answer(answer, side) for side in sides]
    # Without rounding the U takes 184 pixels off any side: only the type tells who halves by `/`.
    halves = any(isinstance(one, float) for one in given)
    try:
        _expect_tile_side(answer, sides, "not_rounded" if halves else "a_constant")
    except Incorrect:
        pairs = zip(given, map(_tile(), sides), strict=True)
        if all(
            isinstance(one, int) and one > right and one % 16 == right % 16 for one, right in pairs
        ):
            mistake("a_large_one")
        raise


def _expect_tile_side(answer: Any, sides: tuple[int, ...], without_rounding: str) -> None:
    expect_function(
        answer,
        [((side,), _tile()) for side in sides],
        mistakes={
            without_rounding: lambda side: side + 184,
            "next_multiple": lambda side: -(-side // 16) * 16 + 184,
            "rounded_down": _tile(up=lambda side: (side + 4) // 2),
            "bottom_forgotten": _tile(bottom=lambda side: side),
            "halved_first": [
                _tile(up=lambda side: -(-side // 2) + 4),
                _tile(up=lambda side: side // 2 + 4),
            ],
            "down_reversed": _tile(down=lambda side: 2 * (side + 4)),
            "one_convolution": _tile(
                lambda s: -(-(s + 2) // 2), lambda s: s + 2, lambda s: 2 * s + 2
            ),
            "three_stages": _tile(stages=3),
            "way_up_only": [
                _tile(down=lambda side: side),
                _tile(down=lambda side: side, bottom=lambda side: side),
            ],
            "forwards": _forwards,
            "padding": [lambda side: side, lambda side: -(-side // 16) * 16],
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


MEAN, STD = [0.4, 0.5, 0.3], [0.2, 0.25, 0.3]


def check_encoder_input(answer: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    result = call_answer(answer, image.copy(), list(MEAN), list(STD))
    unit, mean, std = image / 255, np.array(MEAN), np.array(STD)

    def as_batch(x: np.ndarray) -> np.ndarray:
        return np.moveaxis(x, -1, 0)[None]

    right = (unit - mean) / std
    own = (unit - unit.mean((0, 1))) / unit.std((0, 1))
    expect_array(
        result,
        as_batch(right),
        atol=1e-5,
        mistakes={
            "not_divided": [as_batch((image - mean) / std), as_batch(image)],
            "not_normalized": as_batch(unit),
            "mean_only": as_batch(unit - mean),
            "std_only": as_batch(unit / std),
            "divided_first": as_batch(unit / std - mean),
            "own_statistics": [as_batch(own), as_batch((unit - unit.mean()) / unit.std())],
            "reversed_statistics": as_batch((unit - mean[::-1]) / std[::-1]),
            "minus_one_to_one": as_batch(2 * unit - 1),
            "exchanged_channels": [
                as_batch(right[..., ::-1]),
                as_batch((unit[..., ::-1] - mean) / std),
            ],
            "reshaped": right.reshape(1, 3, 4, 6),
            "rows_and_columns": np.swapaxes(as_batch(right), 2, 3),
            "channels_last": [right[None], right],
            "no_batch": as_batch(right)[0],
        },
    )
    if not isinstance(result, torch.Tensor):
        mistake("another_type", kind=describe(result))
    if result.dtype != torch.float32:
        mistake("another_type", kind=str(result.dtype).removeprefix("torch."))


NEAREST = (cv2.INTER_NEAREST_EXACT, cv2.INTER_NEAREST)  # the pixel in the middle, and beside it
SMOOTH = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_AREA)
SAFE = range(110, 145)  # thresholds above all noise on background, below all on defects


def _noisy_label() -> np.ndarray:
    """Return a label as a lossy file leaves it: noise around both values, strong in places.

    Edges at odd places and a slanted line of one pixel tell apart ways to resize that agree on
    straight edges at even places.
    """
    rng = np.random.default_rng(0)
    label = np.zeros((100, 100), np.uint8)
    label[21:52, 33:71] = 255
    label[88:93, 7:60] = 255
    cv2.line(label, (5, 61), (92, 83), 255, 1)
    noise = rng.integers(0, 40, label.shape) + 70 * (rng.random(label.shape) < 0.05)
    return np.where(label > 0, 255 - noise, noise).astype(np.uint8)


def check_clean_target(answer: Any) -> None:
    size, label = 40, _noisy_label()
    result = call_answer(answer, label.copy(), size)
    shape = getattr(result, "shape", None)
    if shape is not None and tuple(shape) != (size, size):
        squeezed = tuple(side for side in shape if side != 1)
        name = "extra_axis" if squeezed == (size, size) else "not_resized"
        mistake(name, got=tuple(shape), wanted=(size, size))
    given = as_array(result)
    right = _resized(label, size, NEAREST[0]) > 127
    wrong = _wrong_targets(label, size)
    if given is None or not _is_fair(given, label) or _agrees(given, wrong["median"]):
        try:
            expect_array(result, right, mistakes=wrong)
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


def _is_fair(target: np.ndarray, label: np.ndarray) -> bool:
    """Whether 0 and 1 stand wherever the area of a pixel is clearly background or defect.

    Nearest and a smooth filter with a threshold in the middle differ at edges: both are right.
    """
    size, fine = len(target), np.kron(label > 127, np.ones((2, 2)))
    cell = len(fine) // size
    share = fine.reshape(size, cell, size, cell).mean((1, 3))
    clear = np.abs(share - 0.5) > 0.3
    return bool(np.isin(target, (0, 1)).all() and (target == (share > 0.5))[clear].all())


def _agrees(target: np.ndarray, others: list[np.ndarray]) -> bool:
    return any(allclose(target, other) for other in others)


def _wrong_targets(label: np.ndarray, size: int) -> dict[str, Any]:
    hard = (label > 127).astype(np.float32)
    smooth = {way: _resized(label, size, way) / 255 for way in SMOOTH}
    small = [_resized(label, size, way) for way in NEAREST]
    every = [_resized(label, size, way) for way in (*NEAREST, *SMOOTH)]
    blurred = [cv2.medianBlur(label, width) for width in (3, 5, 7)]
    first = (len(label) - size) // 2
    middle, corner = label[first : first + size, first : first + size], label[:size, :size]
    return {
        "bicubic": smooth.pop(cv2.INTER_CUBIC),
        "smooth": list(smooth.values()),
        "threshold_first": [
            *[_resized(hard, size, way) for way in SMOOTH],
            *[_resized((255 * hard).astype(np.uint8), size, way) / 255 for way in SMOOTH],
        ],
        "thickened": [_resized(hard, size, way) > 0 for way in SMOOTH],
        "older_nearest": [small[1] > t for t in SAFE],
        "median": [
            _resized(one, size, way) > 127 for one in blurred for way in (*NEAREST, *SMOOTH)
        ],
        "soft_nearest": [one / 255 for one in small],
        "not_scaled": small,
        "above_zero": [one > 0 for one in every],
        "exactly_255": [one == 255 for one in every],
        "too_low": [one > t for one in every for t in range(1, SAFE.start)],
        "too_high": [one > t for one in every for t in range(SAFE.stop, 255)],
        "0_and_255": [255 * (one > 127) for one in small],
        "inverted": [one <= 127 for one in small],
        "middle_cut_out": [middle > 127, middle / 255, middle],
        "corner_cut_out": [corner > 127, corner / 255, corner],
    }


def _resized(label: np.ndarray, size: int, way: int) -> np.ndarray:
    return cv2.resize(label, (size, size), interpolation=way)
