"""One loader's batches, shared among several processes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, IterableDataset

from course_utils.config import MAX_SEED, seed_everything
from course_utils.training.batch_stream import Batch
from course_utils.training.random_states import Generator, seed_generators


class SharedBatches:
    """The share of this process in every batch of `loader`.

    The batch size of `loader` stays that of the whole training: of a batch of 8, each of two
    processes loads and trains on 4 images, and their gradients are averaged. For a loss that is a
    mean over pixels, this is the gradient of the batch; for one that counts over the whole batch,
    such as Dice or weights divided by their sum, it is the mean of that of each share. The first
    process draws the order, for all; so any sampler serves, and a run on several devices sees the
    same batches as one on a single device.

    Raises:
        ValueError: for anything but a `DataLoader` of a map-style data set, and when a pass starts
            whose batches cannot be shared evenly.
    """

    def __init__(self, loader: Iterable[Batch], fabric: Fabric) -> None:
        if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
            raise ValueError(
                "several devices share the batches of a DataLoader of a map-style data set, "
                f"got {type(loader).__name__}"
            )
        if loader.batch_sampler is None:
            raise ValueError("several devices share batches: give the DataLoader a batch_size")
        self.batch_sampler = loader.batch_sampler
        self.sampler = loader.sampler
        self.dataset = loader.dataset
        self.collate_fn = loader.collate_fn
        self._loader = loader
        self._fabric = fabric

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        order: list[list[int]] = []
        if self._fabric.is_global_zero:
            order = [list(indices) for indices in self.batch_sampler]
        order = self._fabric.broadcast(order)
        processes, rank = self._fabric.world_size, self._fabric.global_rank
        odd = next((len(indices) for indices in order if len(indices) % processes), None)
        if odd is not None:
            raise ValueError(
                f"a batch of {odd} cannot be shared evenly by {processes} devices: choose a batch "
                f"size that is a multiple of {processes}, and drop_last=True"
            )
        loader = self._loader
        share: DataLoader[Any] = DataLoader(
            loader.dataset,
            batch_sampler=[indices[rank::processes] for indices in order],
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            prefetch_factor=loader.prefetch_factor,
        )
        return iter(share)


def draw_apart(fabric: Fabric, generators: Sequence[Generator]) -> None:
    """Give each process but the first random numbers of its own, also from `generators`.

    Processes start with the same random states, and would drop out and augment alike.
    """
    seed = fabric.broadcast(int(torch.randint(MAX_SEED, ())))
    if not fabric.is_global_zero:
        own = (seed + fabric.global_rank) % MAX_SEED
        seed_everything(own)
        seed_generators(generators, own)
