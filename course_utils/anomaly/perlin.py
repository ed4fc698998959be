"""Perlin noise: smooth random fields, as fast as a handful of array operations.

Source: Perlin, "Improving noise" (SIGGRAPH 2002): gradients at the points of a grid, quintic fade.
The range and the layout of the grid are those of DRAEM's public code, which MemSeg took over.
"""

import math
from typing import Any, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from course_utils.anomaly.inputs import Shape, check_shape, check_whole

Gradients = TypeVar("Gradients", NDArray[np.float32], Tensor)


@overload
def perlin_noise(
    shape: Shape, resolution: Shape, rng: np.random.Generator, *, count: int | None = None
) -> NDArray[np.float32]: ...


@overload
def perlin_noise(
    shape: Shape, resolution: Shape, rng: torch.Generator, *, count: int | None = None
) -> Tensor: ...


def perlin_noise(
    shape: Shape,
    resolution: Shape,
    rng: np.random.Generator | torch.Generator,
    *,
    count: int | None = None,
) -> NDArray[np.float32] | Tensor:
    """Return Perlin noise of `shape` (H, W): float32, mean 0, within about -1 .. 1.

    Args:
        shape: rows and columns, any.
        resolution: how many cells of the grid lie along the rows' and the columns' axis, at most
            one for each pixel. Where the number does not divide the side, cells are as large as
            if the side were the next multiple, and the last ones are cut off.
        rng: a NumPy generator gives an array. A torch generator gives a tensor, made on the
            generator's device: on a GPU, a batch of noise takes no way through the memory of the
            host.
        count: N gives N different fields at once, (N, H, W); None gives a single one, (H, W).

    Raises:
        ValueError: for sides, resolutions and counts that are no such numbers, and for an `rng`
            that is no generator.

    Example:
        >>> noise = perlin_noise((250, 200), (8, 4), np.random.default_rng(0))
        >>> noise.shape, noise.dtype, bool(abs(noise).max() < 1)
        ((250, 200), dtype('float32'), True)
        >>> perlin_noise((64, 64), (2, 2), torch.Generator().manual_seed(0), count=3).shape
        torch.Size([3, 64, 64])
    """
    shape, (rows, columns) = check_shape(shape), check_shape(resolution, "resolution")
    if rows > shape[0] or columns > shape[1]:
        raise ValueError(
            f"a grid of {(rows, columns)} cells is finer than the {shape} pixels: "
            "lower the resolution"
        )
    hint = ": None gives a single field"
    fields = () if count is None else (check_whole(count, "count", lowest=1, hint=hint),)
    points = (*fields, rows + 1, columns + 1)
    if isinstance(rng, np.random.Generator):
        turns = rng.random(points, np.float32)
        turns *= np.float32(2 * math.pi)
        return gradient_noise(np.stack([np.cos(turns), np.sin(turns)], axis=-1), shape)
    if isinstance(rng, torch.Generator):
        angles = torch.rand(points, generator=rng, device=rng.device) * (2 * math.pi)
        return gradient_noise(torch.stack([angles.cos(), angles.sin()], dim=-1), shape)
    raise ValueError(
        f"rng must be a numpy.random.Generator or a torch.Generator, got {type(rng).__name__}: "
        "make one with numpy.random.default_rng(seed)"
    )


def gradient_noise(gradients: Gradients, shape: Shape) -> Gradients:
    """Return the noise of `shape` (H, W) that belongs to the given gradients, times sqrt(2).

    Around a pixel at (y, x) of its cell, 0 <= y, x < 1, are four points of the grid. Each one has
    a plane through it: the scalar product of its gradient with the way from it to the pixel. The
    noise goes over from plane to plane along the fade curve 6 t^5 - 15 t^4 + 10 t^3.

    `gradients` is float32, (R + 1, C + 1, 2) or (N, R + 1, C + 1, 2), for a grid of R x C cells;
    its last axis holds the parts along the rows' and the columns' axis. With unit gradients the
    result lies within -1 .. 1. Array in, array out; tensor in, tensor out.

    Raises:
        ValueError: for gradients and shapes of another form.

    Example:
        >>> downward = np.broadcast_to(np.float32([1, 0]), (2, 2, 2))
        >>> gradient_noise(downward, (2, 1)) / np.sqrt(2, dtype=np.float32)  # y - fade(y)
        array([[0.],
               [0.]], dtype=float32)
    """
    height, width = check_shape(shape)
    if gradients.ndim not in (3, 4) or gradients.shape[-1] != 2 or min(gradients.shape[-3:-1]) < 2:
        raise ValueError(
            "gradients must be (R + 1, C + 1, 2) or (N, R + 1, C + 1, 2) for a grid of R x C "
            f"cells, got {tuple(gradients.shape)}"
        )
    rows, columns = gradients.shape[-3] - 1, gradients.shape[-2] - 1
    y, fade_y = _offsets(-(-height // rows), gradients)
    x, fade_x = _offsets(-(-width // columns), gradients)
    y, fade_y = y[:, None], fade_y[:, None]

    # Along a row of the grid the noise is `level`, and `slope` is how it rises across the row.
    # Both are worked out for the few rows of the grid only, (..., R + 1, C, cell width).
    scaled = gradients * math.sqrt(2)
    down, across = scaled[..., 0, None], scaled[..., 1, None]
    slope = _between(down[..., :-1, :], down[..., 1:, :], fade_x)
    level = _between(across[..., :-1, :] * x, across[..., 1:, :] * (x - 1), fade_x)
    slope = slope.reshape(*slope.shape[:-2], 1, -1)[..., :width]  # (..., R + 1, 1, W)
    level = level.reshape(*level.shape[:-2], 1, -1)[..., :width]

    above = slope[..., :-1, :, :] * y  # (..., R, cell height, W)
    above += level[..., :-1, :, :]
    below = slope[..., 1:, :, :] * (y - 1)
    below += level[..., 1:, :, :]
    below -= above
    below *= fade_y
    above += below
    return above.reshape(*above.shape[:-3], -1, width)[..., :height, :]


def _offsets(cell: int, like: Any) -> tuple[Any, Any]:
    """Where the pixels of a cell lie, in 0 .. 1, and the fade curve there."""
    t = np.arange(cell, dtype=np.float32) / np.float32(cell)
    fade = t * t * t * (t * (t * 6 - 15) + 10)
    if isinstance(like, Tensor):
        return torch.from_numpy(t).to(like.device), torch.from_numpy(fade).to(like.device)
    return t, fade


def _between(start: Any, end: Any, share: Any) -> Any:
    return start + (end - start) * share
