"""Run a network over images of any size, tile by tile, without a seam."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_utils.data.tiles import tile_starts


def predict_in_tiles(
    model: Callable[[Tensor], Any],
    images: Tensor,
    tile: int,
    overlap: int | None = None,
    *,
    batch_size: int = 8,
) -> Any:
    """Return what `model` says of whole images, though it is only shown square tiles of them.

    What comes back has the form of what `model` returns. Its maps are mixed where tiles overlap,
    each tile with a weight that falls from its middle to its edges, where a network sees least
    around a pixel; logits are mixed as logits. A number for each image, such as the decision of
    the two-stage network, is that of its most suspicious tile: the largest.

    Besides images and maps, memory holds the work on `batch_size` tiles, whatever the image's size.

    Args:
        model: takes (N, C, h, w) and returns maps (N, ..., h / s, w / s) with a whole number s
            that divides 8, or a named tuple of such maps and of numbers (N,). It is called as it
            is: see `evaluating`.
        images: (N, C, H, W).
        tile: side in pixels, a multiple of 8, as in training; 0 shows `model` whole images. So
            does a tile that covers the image, with the very same result.
        overlap: pixels that neighbors share at least; None: a quarter of the tile.
        batch_size: tiles at a time.

    Raises:
        ValueError: for a tile or an overlap that does not fit, see `tile_starts`, and for sides
            of the images on which coarse maps do not fit.

    Example:
        >>> images = torch.rand(2, 3, 80, 200)
        >>> whole = predict_in_tiles(lambda tiles: 2 * tiles, images, 64)
        >>> torch.allclose(whole, 2 * images)
        True
    """
    height, width = images.shape[-2:]
    if not tile or (height <= tile and width <= tile):
        return model(images)
    rows, columns = (_weights(side, tile, overlap) for side in (height, width))
    answers = [_answer(model, image, rows, columns, batch_size) for image in images]
    if isinstance(answers[0], Tensor):
        return torch.stack(answers)
    return type(answers[0])(*map(torch.stack, zip(*answers, strict=True)))


def _weights(length: int, tile: int, overlap: int | None) -> dict[int, Tensor]:
    """Return the weight of each pixel of each tile along one side, by its start; they sum to 1."""
    starts, total = tile_starts(length, tile, overlap), torch.zeros(length, dtype=torch.float64)
    tile = min(tile, length)
    middle = (tile + 1) / 2
    hat = middle - (torch.arange(1, tile + 1, dtype=torch.float64) - middle).abs()
    for start in starts:
        total[start : start + tile] += hat
    return {start: (hat / total[start : start + tile]).float() for start in starts}


def _answer(
    model: Callable[[Tensor], Any],
    image: Tensor,
    rows: dict[int, Tensor],
    columns: dict[int, Tensor],
    batch_size: int,
) -> Any:
    """Return what is said of one image (C, H, W), without the dimension of the batch."""
    height, width = len(next(iter(rows.values()))), len(next(iter(columns.values())))
    places = [(top, left) for top in rows for left in columns]
    wholes: list[Tensor] = []
    output: Any = None
    for first in range(0, len(places), batch_size):
        some = places[first : first + batch_size]
        tiles = [image[:, top : top + height, left : left + width] for top, left in some]
        output = model(torch.stack(tiles).contiguous(memory_format=torch.channels_last))
        parts = [output] if isinstance(output, Tensor) else list(output)
        scales = [1 if part.ndim == 1 else height // part.shape[-2] for part in parts]
        if not wholes:
            wholes = [_empty(*one, image) for one in zip(parts, scales, strict=True)]
        for whole, part, scale in zip(wholes, parts, scales, strict=True):
            if part.ndim == 1:
                whole.copy_(torch.maximum(whole, part.max()))
                continue
            for said, (top, left) in zip(part, some, strict=True):
                weight = rows[top][::scale, None] * columns[left][::scale]
                y, x = top // scale, left // scale
                window = whole[..., y : y + said.shape[-2], x : x + said.shape[-1]]
                window += weight.to(whole) * said
    return wholes[0] if isinstance(output, Tensor) else type(output)(*wholes)


def _empty(part: Tensor, scale: int, image: Tensor) -> Tensor:
    """Return what is said of a whole image before any tile has been looked at."""
    kind = torch.promote_types(part.dtype, torch.float32)
    if part.ndim == 1:
        return part.new_full((), -torch.inf, dtype=kind)
    height, width = image.shape[1:]
    if height % scale or width % scale:
        raise ValueError(
            f"height and width must be multiples of {scale}, the side of a cell of the map, got "
            f"{height} and {width}"
        )
    return part.new_zeros((*part.shape[1:-2], height // scale, width // scale), dtype=kind)
