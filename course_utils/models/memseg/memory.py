"""The memory: features of a few normal images, the nearest of them, and whose features they are.

Source: MemSeg (arXiv 2205.00908), memory module. Its public re-implementations read the paper in
different ways; each way is an option here.
"""

import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

Nearest = Literal["joint", "joint_sum", "per_level"]
Difference = Literal["squared", "absolute"]


class MemoryBank(nn.Module):
    """Feature maps of normal images, and how new images differ from the nearest of them.

    Nearest means the smallest squared distance. One matrix product ranks all memories for the
    whole batch, |m|**2 - 2 f m, in float32 even under autocast; two memories whose distances
    differ by less than about 1e-5 of |m|**2 may change places (more where torch was allowed to
    multiply float32 with less precision, by `set_float32_matmul_precision`).

    Args:
        num_levels: feature maps per image.
        nearest: whether an image has one nearest memory or one at each level.

            - `"joint"`: one; each level counts with its mean over elements, so all levels count
              the same (`TooTouch/MemSeg`).
            - `"joint_sum"`: one; the sum over all elements, as in the paper's formula: the three
              levels then count 4 : 2 : 1, before the scale of their features.
            - `"per_level"`: one at each level (`souxun2015/MemSeg`).
        difference: `"squared"` returns (f - m)**2 (`TooTouch/MemSeg`), `"absolute"` |f - m|
            (`souxun2015/MemSeg`). The nearest memory is the same.

    The memory is part of the `state_dict` and moves with the module; a `state_dict` with another
    number of images, or none, fits as well. It does not say which network the features are of:
    only `MemSeg` keeps that, for its memory and its weights together. A bank that is saved alone
    belongs to the weights that filled it, and to no others.

    Example:
        >>> bank = MemoryBank(num_levels=1)
        >>> bank.fill([torch.arange(3.0).view(3, 1, 1, 1).expand(3, 2, 4, 4)])
        >>> features = [torch.full((1, 2, 4, 4), 1.25)]
        >>> len(bank), bank.nearest_indices(features).tolist()
        (3, [[1]])
        >>> bank.best_differences(features)[0].unique().tolist()
        [0.0625]
    """

    squared_norms: Tensor

    def __init__(
        self,
        num_levels: int = 3,
        *,
        nearest: Nearest = "joint",
        difference: Difference = "squared",
    ) -> None:
        super().__init__()
        if num_levels < 1:
            raise ValueError(f"num_levels must be at least 1, got {num_levels}")
        if nearest not in get_args(Nearest):
            raise ValueError(f"nearest must be one of {get_args(Nearest)}, got {nearest!r}")
        if difference not in get_args(Difference):
            raise ValueError(
                f"difference must be one of {get_args(Difference)}, got {difference!r}"
            )
        self.nearest, self.difference = nearest, difference
        self.names = [f"level{number + 1}" for number in range(num_levels)]
        for name in self.names:
            # (M, H, W * C). Three axes: channels-last training, which reorders tensors of four,
            # leaves them alone, and a channels-last feature map becomes such a row for free.
            self.register_buffer(name, torch.empty(0, 0, 0))
        self.register_buffer("squared_norms", torch.empty(num_levels, 0), persistent=False)
        self._channels: tuple[int, ...] = ()  # of each level, once they are known

    def __len__(self) -> int:
        """Return the number of images in the memory."""
        return len(self._levels()[0])

    def fill(self, features: Sequence[Tensor]) -> None:
        """Replace the memory by the feature maps (M, C_i, H_i, W_i) of M images, M >= 1."""
        if len(features) != len(self.names):
            raise ValueError(f"features must hold {len(self.names)} levels, got {len(features)}")
        if len({len(level) for level in features}) != 1 or not len(features[0]):
            raise ValueError(
                "features must hold the same images, one or more, at each level, got "
                f"{[len(level) for level in features]}"
            )
        for name, level in zip(self.names, features, strict=True):
            setattr(self, name, _rows(level.detach()).clone())
        self._channels = tuple(level.shape[1] for level in features)
        self._measure()

    def nearest_indices(self, features: Sequence[Tensor]) -> Tensor:
        """Return which memory is nearest: (N, levels); with a joint choice the columns are equal.

        N may be 0. Raises `ValueError` if the memory is empty or of maps of another shape.
        """
        self._require_fit(features)
        with torch.no_grad(), torch.autocast(features[0].device.type, enabled=False):
            ranks = torch.stack(
                [
                    (norms - 2 * _products(_rows(f), level))
                    / (level[0].numel() if self.nearest == "joint" else 1)
                    for f, level, norms in zip(
                        features, self._levels(), self.squared_norms, strict=True
                    )
                ],
                dim=1,
            )  # (N, levels, M): squared distance less |f|**2, which is the same for all memories
            if self.nearest != "per_level":
                ranks = ranks.sum(1, keepdim=True).expand_as(ranks)
            return ranks.argmin(2)

    def best_differences(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return how each image differs from its nearest memory, in float32 or wider.

        `features` and the result are (N, C_i, H_i, W_i), one for each level; N may be 0. Raises
        `ValueError` if the memory is empty or of maps of another shape.
        """
        indices = self.nearest_indices(features)
        found = []
        for f, level, index in zip(features, self._levels(), indices.unbind(1), strict=True):
            # One buffer for all: fresh memory costs more than the arithmetic in it.
            rows = _wide(level.index_select(0, index)).sub_(_wide(_rows(f)))  # (N, H, W * C)
            if self.difference == "squared":
                rows = rows.square() if rows.requires_grad else rows.square_()
            else:
                rows = rows.abs() if rows.requires_grad else rows.abs_()
            n, c, h, w = f.shape
            found.append(rows.view(n, h, w, c).permute(0, 3, 1, 2))  # (N, C, H, W)
        return found

    def get_extra_state(self) -> Tensor:
        """Return the channels of each level, which the rows of the memory do not tell."""
        return torch.tensor(self._channels, dtype=torch.long)

    def set_extra_state(self, state: Tensor) -> None:
        """Take the channels of each level from what `get_extra_state` gave."""
        self._channels = tuple(state.tolist())

    def extra_repr(self) -> str:
        """Return the options, for `print`."""
        return f"{len(self)} images, nearest={self.nearest!r}, difference={self.difference!r}"

    def _levels(self) -> list[Tensor]:
        return [getattr(self, name) for name in self.names]

    def _measure(self) -> None:
        with torch.no_grad():
            self.squared_norms = torch.stack(
                [_wide(level).flatten(1).square().sum(1) for level in self._levels()]
            )

    def _require_fit(self, features: Sequence[Tensor]) -> None:
        if not len(self):
            raise ValueError("the memory is empty: fill it with features of normal images first")
        given = [(f.shape[1], f.shape[2], f.shape[3] * f.shape[1]) for f in features]
        channels = self._channels or [c for c, _, _ in given]
        wanted = [(c, *level.shape[1:]) for c, level in zip(channels, self._levels(), strict=False)]
        if given != wanted:
            raise ValueError(
                f"features (C, H, W * C) {given} do not fit the memory's {wanted}: fill it with "
                "features of the same network and of images of the same size"
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "MemoryBank":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._measure()  # in float32, of the memory as it is after a change of precision
        return self

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *arguments: Any
    ) -> None:
        for name in self.names:
            given, own = state_dict.get(prefix + name), getattr(self, name)
            if isinstance(given, Tensor) and given.ndim == 3 and given.shape != own.shape:
                setattr(self, name, own.new_empty(given.shape))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        if prefix + "_extra_state" not in state_dict:  # the levels alone are a memory, too
            self._channels = ()
            missing: list[str] = arguments[2]
            missing[:] = [key for key in missing if key != prefix + "_extra_state"]
        lengths = [len(level) for level in self._levels()]
        if len(set(lengths)) == 1:
            self._measure()
        else:
            errors: list[str] = arguments[-1]
            errors.append(f"the levels of {prefix} hold different numbers of images, {lengths}")


def fingerprint(tensors: Iterable[Tensor]) -> int:
    """Return a number in 0 .. 2**32 - 1 that changes when a value or the precision does.

    It is a checksum (CRC-32) of the bytes, so it is the same on every device and in every memory
    format. It reads all values: about 10 ms for the frozen part of a ResNet-18.

    Example:
        >>> weights = torch.arange(4.0)
        >>> fingerprint([weights]) == fingerprint([weights.clone()])
        True
        >>> fingerprint([weights]) == fingerprint([weights + 1e-6])
        False
    """
    found = 0
    for tensor in tensors:
        values = tensor.detach().cpu().contiguous().flatten()
        found = zlib.crc32(str(values.dtype).encode(), found)
        found = zlib.crc32(values.view(torch.uint8).numpy().data, found)
    return found


def change_marks(tensors: Iterable[Tensor]) -> tuple[tuple[int, int], ...]:
    """Return what is cheap to compare: equal marks mean that nothing was written in between.

    Where each tensor lies and how often it was written to. Unequal marks mean "check again": a
    move to another device changes them, and no value. A write through `tensor.data` escapes them.

    Example:
        >>> weights = torch.zeros(2)
        >>> before = change_marks([weights])
        >>> _ = weights.add_(1)
        >>> change_marks([weights]) == before
        False
    """
    return tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)


def _rows(f: Tensor) -> Tensor:
    return f.permute(0, 2, 3, 1).flatten(2)  # (N, H, W * C)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _products(rows: Tensor, level: Tensor) -> Tensor:
    """Return all inner products, (N, M).

    A product of few rows by few columns, a hundred thousand long, leaves most of a processor
    idle: it is cut into parts along its length, which are then added.
    """
    parts = math.gcd(64, level[0].numel())
    length = level[0].numel() // parts
    # Shapes, not len(): it would fix the batch size of a traced or exported network.
    one = _wide(rows).reshape(rows.shape[0], parts, length).transpose(0, 1)
    other = _wide(level).reshape(level.shape[0], parts, length).permute(1, 2, 0)
    return torch.bmm(one, other).sum(0)
