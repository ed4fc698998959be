"""Batches whose every random draw is a function of (seed, epoch, index)."""

import signal
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    default_collate,
)

from course_utils.config import check_seed, seed_everything

ORDER, ITEM, STEP = range(3)  # what a key is for: each has random numbers of its own


class EpochLoader:
    """The batches of a map-style data set, epoch after epoch, equal at every start of a program.

    Python's, NumPy's and torch's global generators are seeded by `seed` and the epoch before the
    order of an epoch is drawn, by `seed`, epoch and index before an item is read, and by `seed`,
    epoch and batch before a batch is handed out. So shuffling, random transforms, and dropout in
    the step that follows draw the same whatever came before, with any number of workers; and a
    training goes on at any batch without loading those before it.

    Each `iter(loader)` is the rest of an epoch that was left, or else the next epoch.
    `state_dict()` says where that is: `fit` keeps it in its checkpoint.

    Args:
        dataset: a map-style data set. What it draws comes from the global generators, or follows
            from the index alone.
        batch_size, shuffle, sampler, batch_sampler, drop_last: as for torch's `DataLoader`. A
            (batch) sampler draws from the global generators, or by the number that its
            `set_epoch(number)` was called with; one that remembers more, such as
            `FrequencyOfUseSampler`, has `state_dict` and `load_state_dict`. Its indices may be
            tuples that end with the index, as those of `BalancedBatches`.
        seed: of all random numbers.
        workers: processes that read the items; they change no bit of the batches.

    Example:
        >>> loader = EpochLoader(torch.arange(6), batch_size=2, shuffle=True, seed=1)
        >>> first, state = next(iter(loader)), loader.state_dict()
        >>> rest = list(loader)
        >>> loader.load_state_dict(state)
        >>> all(map(torch.equal, loader, rest)), len(rest)
        (True, 2)
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        *,
        shuffle: bool = False,
        sampler: Sampler[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | None = None,
        drop_last: bool = False,
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        if batch_sampler is None:
            if sampler is None:
                # torch's RandomSampler refuses an empty data set.
                random = shuffle and len(dataset) > 0
                sampler = RandomSampler(dataset) if random else SequentialSampler(dataset)
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset, self.seed = dataset, check_seed(seed)
        self.batch_sampler = batch_sampler
        self.batch_size = getattr(batch_sampler, "batch_size", None)
        self.sampler: Any = getattr(batch_sampler, "sampler", batch_sampler)
        self._items = _SeededItems(dataset, self.seed)
        self._rank, self._processes = 0, 1
        self._epoch, self._used = -1, 0
        self._order: list[list[Any]] = []
        self._sampler_state = _state_of(self.sampler)
        self._rest: list[list[tuple[int, Any]]] = []
        self._loader: DataLoader[Any] = DataLoader(
            self._items,
            batch_sampler=self._rest,
            num_workers=workers,
            worker_init_fn=_leave_interrupts,
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self.batch_sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        if self._used == len(self._order):
            self._start(self._epoch + 1)
        self._rest[:] = [self._keys(batch) for batch in range(self._used, len(self._order))]
        for batch in self._loader:
            self._used += 1
            _seed_globals(STEP, self.seed, self._epoch, self._used, self._rank)
            yield batch

    def share(self, rank: int, processes: int) -> None:
        """Load only the share of process `rank`, of so many, of each batch.

        The batch size stays that of the whole training: of a batch of 8, each of two processes
        loads 4 images. An epoch whose batches cannot be shared evenly raises `ValueError` at its
        start.
        """
        self._rank, self._processes = rank, processes

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the batches, as tensors and plain containers.

        The checksum is of the last batch that was handed out, which is read once more for it.
        """
        return {
            "epoch": self._epoch,
            "used": self._used,
            "sampler": self._sampler_state,
            "checksum": self._checksum(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on behind the batch after which `state_dict` was called.

        Raises:
            ValueError: when that batch is another one now.
        """
        if state["sampler"] is not None:
            self.sampler.load_state_dict(state["sampler"])
        self._epoch, self._used, self._order = -1, 0, []
        if state["epoch"] < 0:  # before the first epoch
            return
        self._start(state["epoch"])
        self._used = state["used"]
        if self._used > len(self._order) or self._checksum() != state["checksum"]:
            raise ValueError(
                "the batches are other ones than before: build data and loader as before, or "
                "delete the checkpoint"
            )

    def _start(self, epoch: int) -> None:
        self._sampler_state = _state_of(self.sampler)
        set_epoch(self, epoch)
        _seed_globals(ORDER, self.seed, epoch)
        self._epoch, self._used, self._order = epoch, 0, list(self.batch_sampler)
        uneven = [len(batch) for batch in self._order if len(batch) % self._processes]
        if uneven:
            raise ValueError(
                f"a batch of {uneven[0]} cannot be shared evenly by {self._processes} devices: "
                f"choose a batch size that is a multiple of {self._processes}, and drop_last=True"
            )

    def _keys(self, batch: int, rank: int | None = None) -> list[tuple[int, Any]]:
        first = self._rank if rank is None else rank
        return [(self._epoch, index) for index in self._order[batch][first :: self._processes]]

    def _checksum(self) -> int:
        """Return the CRC-32 of the first process's share of the last batch."""
        if not self._used:
            return 0
        keys = self._keys(self._used - 1, rank=0)
        batch = default_collate([self._items[key] for key in keys])
        checksum = 0
        for content in _contents(batch):
            checksum = zlib.crc32(content, checksum)
        return checksum


def set_epoch(loader: Any, epoch: int) -> None:
    """Call `set_epoch(epoch)` of `loader` and of what it is made of, where they have one.

    Example:
        >>> from torch.utils.data.distributed import DistributedSampler
        >>> sampler = DistributedSampler(range(4), num_replicas=1, rank=0)
        >>> set_epoch(EpochLoader(range(4), sampler=sampler), 3)
        >>> sampler.epoch
        3
    """
    parts = (getattr(loader, name, None) for name in ("batch_sampler", "sampler", "dataset"))
    for part in (loader, *parts):
        if callable(getattr(part, "set_epoch", None)):
            part.set_epoch(epoch)


class _SeededItems(Dataset[Any]):
    """Items by (epoch, index), each read with global generators that were seeded by these."""

    def __init__(self, dataset: Dataset[Any], seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __getitem__(self, key: tuple[int, Any]) -> Any:
        epoch, index = key
        number = index[-1] if isinstance(index, tuple) else index
        _seed_globals(ITEM, self.seed, epoch, int(number))
        return self.dataset[index]


def _leave_interrupts(worker: int) -> None:
    # Ctrl-C reaches every process of a terminal: the training ends its step and then its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _state_of(sampler: Any) -> Any:
    return sampler.state_dict() if hasattr(sampler, "load_state_dict") else None


def _contents(batch: Any) -> Iterator[bytes]:
    if isinstance(batch, torch.Tensor):
        yield batch.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(batch, list | tuple):
        for part in batch:
            yield from _contents(part)
    else:
        yield repr(batch).encode()


def _seed_globals(*key: int) -> None:
    seed_everything(int(np.random.SeedSequence(key).generate_state(1)[0]))
