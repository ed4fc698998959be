"""Batches without end, whose place can be noted and found again."""

import copy
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from course_utils.training.random_states import (
    Generator,
    generators_of,
    random_states,
    set_random_states,
)
from course_utils.training.tensors import Tensors, tensors_in

PARTS = ("batch_sampler", "sampler", "dataset", "transform", "collate_fn")
"""Attributes of a loader, and of what these are, that may draw random numbers or have a state."""


class Batch(Protocol):
    """What `fit` needs of a batch; a collated `Sample` has it.

    What the network is to find is its `target`, a tensor or a tuple of tensors, or else its `mask`.
    """

    @property
    def image(self) -> Tensor: ...


def target_of(batch: Batch) -> Tensors:
    """Return what a network is to find in the images of a batch.

    Example:
        >>> from types import SimpleNamespace
        >>> target_of(SimpleNamespace(image=torch.rand(2, 1, 4, 4), mask=torch.ones(2))).sum()
        tensor(2.)
    """
    found: Tensors = batch.target if hasattr(batch, "target") else getattr(batch, "mask")  # noqa: B009
    return found


class BatchStream:
    """`batches`, started anew whenever they run out.

    The place in a shuffled, augmented data set is found again by replay: the stream notes all
    random states at the start of each pass and before each batch. `go_to` starts the pass again,
    loads the batches that were used once more, each with the random states it had then, and puts
    back the random states of the noted moment. This takes at most the loading time of one pass.
    Where random numbers are drawn on the CPU, a place grows by some 5 kB per batch of a pass.
    A checksum of the images and targets of the pass tells whether the batches are the same again.

    What must be put back besides Python's, NumPy's and torch's global generators:

    - any torch, NumPy or Python generator that is an attribute of the loader, of its (batch)
      sampler, collate function, data set or transforms is found by itself, also in a list, tuple
      or dict of generators;
    - any of these that changes in other ways offers `state_dict()`, made of tensors and plain
      containers, and `load_state_dict(state)`;
    - `set_epoch(number)` of any of these is called at the start of each pass, from 0.

    Args:
        batches: a `DataLoader`, a list, or anything else that can be iterated again and again.
        device: the device of the training, whose random states belong to a place.
        notes: whether `place` and `go_to` will be used.

    Raises:
        ValueError: if places are to be noted in something that cannot start again; and when a pass
            has no batches.

    Example:
        >>> from types import SimpleNamespace
        >>> zero = torch.tensor(0)
        >>> batches = [SimpleNamespace(image=zero + i, mask=zero) for i in range(3)]
        >>> stream = BatchStream(batches, notes=True)
        >>> [int(next(stream).image) for _ in range(4)]
        [0, 1, 2, 0]
        >>> place = stream.place()
        >>> stream.go_to(place)
        >>> int(next(stream).image)
        1
    """

    def __init__(
        self,
        batches: Iterable[Batch],
        device: torch.device | str = "cpu",
        *,
        notes: bool = False,
    ) -> None:
        if notes:
            _require_repeatable(batches)
        self._batches = batches
        self._device = device
        self._notes = notes
        self._parts = _parts(batches)
        self._iterator: Iterator[Batch] = iter(())
        self._passes = 0
        self._used = 0
        self._checksum = 0
        self._start: dict[str, Any] = {}
        self._before: list[dict[str, Any]] = []

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        try:
            batch = self._load()
        except StopIteration:
            self._begin_pass()
            try:
                batch = self._load()
            except StopIteration:
                raise ValueError(
                    "there are no batches to train on: the data set is empty or used up, or "
                    "smaller than the batch size with drop_last=True"
                ) from None
        return batch

    def place(self) -> dict[str, Any]:
        """Return where the stream is, as tensors and plain containers."""
        return {
            "passes": self._passes,
            "used": self._used,
            "start": self._start,
            "before": self._before[: self._used],
            "random": self._random_states(),
            "parts": [_state(part) for part in self._parts],
            "checksum": self._checksum,
        }

    def go_to(self, place: dict[str, Any]) -> None:
        """Go on behind the batch after which `place` was noted.

        Raises:
            ValueError: when the batches are other ones than then.
        """
        self._passes = place["passes"] - 1
        states = place["start"]["parts"]
        if [state is not None for state in states] != [_has_state(part) for part in self._parts]:
            raise ValueError(
                "the loader, its sampler or its data set had a state_dict and has none now, or "
                "the other way round: build the data loader as before"
            )
        self._load_states(states)
        self._put_back(place["start"]["random"])
        self._begin_pass()
        for states in place["before"]:
            self._put_back(states)
            try:
                self._load()
            except StopIteration:
                raise ValueError(
                    f"a pass had at least {place['used']} batches and now has {self._used}: "
                    "the data set is another one"
                ) from None
        if self._checksum != place["checksum"]:
            raise ValueError(
                "the batches are other ones than before: build data and loader as before, with "
                "all that they draw from, or delete the checkpoint"
            )
        # What changed them between batches, such as an evaluation, is not replayed.
        self._load_states(place["parts"])
        self.set_random_states(place)

    def generators(self) -> list[Generator]:
        """Return the random generators that the batches have of their own."""
        return generators_of(self._parts)

    def set_random_states(self, place: dict[str, Any]) -> None:
        """Put back the random states of `place`, and nothing else."""
        self._put_back(place["random"])

    def _put_back(self, states: dict[str, Any]) -> None:
        set_random_states(states, self._device, self.generators())

    def _random_states(self) -> dict[str, Any]:
        return random_states(self._device, self.generators())

    def _load_states(self, states: list[Any]) -> None:
        for part, state in zip(self._parts, states, strict=True):
            if state is not None and not _equal(state, _state(part)):
                part.load_state_dict(copy.deepcopy(state))

    def _load(self) -> Batch:
        if self._notes:
            self._before.append(_shared(self._random_states(), self._before))
        batch = next(self._iterator)
        self._used += 1
        if self._notes:
            self._checksum = _checksum(batch, self._checksum)
        return batch

    def _begin_pass(self) -> None:
        # The workers of the last pass end here, before those of the next one start.
        self._iterator = iter(())
        if self._notes:
            self._start = {
                "random": self._random_states(),
                "parts": [_state(part) for part in self._parts],
            }
        for part in self._parts:
            if callable(getattr(part, "set_epoch", None)):
                part.set_epoch(self._passes)
        self._passes += 1
        self._used, self._checksum = 0, 0
        self._before = []
        self._iterator = iter(self._batches)


def _require_repeatable(batches: Iterable[Batch]) -> None:
    if isinstance(batches, Iterator):
        raise ValueError(
            f"a checkpoint needs batches that can start again, got a {type(batches).__name__}, "
            "which runs only once: pass the DataLoader or a list"
        )
    if getattr(batches, "persistent_workers", False):
        raise ValueError(
            "a checkpoint cannot hold the random states of workers that outlive a pass: "
            "build the DataLoader with persistent_workers=False"
        )


def _shared(states: dict[str, Any], earlier: list[dict[str, Any]]) -> dict[str, Any]:
    """`states`, whose entries are those of the last one of `earlier` where they are equal.

    Most generators rest most of the time; what is shared is kept and written once.
    """
    if not earlier:
        return states
    last = earlier[-1]
    return {
        name: last[name] if _equal(states[name], last[name]) else states[name] for name in states
    }


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one.cpu(), other.cpu())
    return bool(one == other)


def _checksum(batch: Batch, before: int) -> int:
    """The CRC-32 of the images and targets of all batches so far."""
    for tensor in tensors_in((batch.image, target_of(batch))):
        flat = tensor.detach().cpu().contiguous().flatten()
        before = zlib.crc32(flat.view(torch.uint8).numpy().data, before)
    return before


def _parts(batches: Any) -> list[Any]:
    """`batches` and what it is made of, as far as it may have a state."""
    found: list[Any] = []
    waiting = [batches]
    while waiting:
        part = waiting.pop(0)
        if part is not None and not any(part is other for other in found):
            found.append(part)
            waiting += [getattr(part, name, None) for name in PARTS]
            for name in ("datasets", "transforms"):
                several = getattr(part, name, None)
                waiting += several if isinstance(several, list | tuple) else [several]
    return found


def _has_state(part: Any) -> bool:
    return callable(getattr(part, "state_dict", None)) and hasattr(part, "load_state_dict")


def _state(part: Any) -> Any:
    if not _has_state(part):
        return None
    state = copy.deepcopy(part.state_dict())
    _require_plain(state, f"{type(part).__name__}.state_dict()")
    return state


def _require_plain(state: Any, name: str) -> None:
    if isinstance(state, Mapping):
        for key, value in state.items():
            _require_plain(key, f"{name}, a key")
            _require_plain(value, f"{name}[{key!r}]")
    elif isinstance(state, list | tuple):
        for value in state:
            _require_plain(value, f"{name}, an entry")
    elif type(state) not in (Tensor, bool, int, float, str, type(None)):
        raise ValueError(
            f"{name} must be made of tensors, numbers, text, lists and dicts, "
            f"got {type(state).__name__}"
        )
