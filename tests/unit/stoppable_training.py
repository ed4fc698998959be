"""A small training with everything that draws random numbers, for tests that stop it."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from course_utils.config import seed_everything
from course_utils.data import Sample
from course_utils.training import History, fit

STEPS = 11  # with 4 batches a pass, the third pass ends within


class Stopped(Exception):
    """The training was stopped from outside."""


class TransformedDataset(Dataset):
    """Images with noise from the three global generators."""

    def __len__(self) -> int:
        return 15

    def __getitem__(self, index: int) -> Sample:
        rng = torch.Generator().manual_seed(index)
        image = torch.rand(1, 8, 8, generator=rng)
        mask = (image[0] > 0.6).long()
        image = image + 0.2 * torch.rand(1, 8, 8) + 0.1 * random.random()
        image = image + 0.1 * float(np.random.rand())  # noqa: NPY002
        return Sample(image, mask, 1, "g", str(index))


class OwnNoise(TransformedDataset):
    """Images with noise from a generator of its own."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return sample._replace(image=sample.image + 0.3 * float(self.rng.random()))


class Shaken(TransformedDataset):
    """Images changed by a transform with a generator of its own."""

    def __init__(self) -> None:
        self.transform = Noise()

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return sample._replace(image=self.transform(sample.image))


class Noise:
    """Adds noise from generators of its own."""

    def __init__(self) -> None:
        self.rngs = [random.Random(5), np.random.default_rng(5)]

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return image + 0.3 * sum(float(rng.random()) for rng in self.rngs)


class NoisyCollate(Noise):
    """Adds noise to whole batches."""

    def __call__(self, samples: list[Sample]) -> Sample:
        batch = default_collate(samples)
        return batch._replace(image=super().__call__(batch.image))


class LeastSeen(Sampler[int]):
    """Draws what it drew least, with a little luck: it remembers more than random states."""

    def __init__(self, size: int) -> None:
        self.drawn = torch.zeros(size)

    def __len__(self) -> int:
        return len(self.drawn)

    def __iter__(self) -> Iterator[int]:
        for _ in range(len(self)):
            chosen = int((self.drawn + 2 * torch.rand(len(self))).argmin())
            self.drawn[chosen] += 1
            yield chosen

    def state_dict(self) -> dict[str, Any]:
        return {"drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.drawn = state["drawn"]


def loader(dataset: Dataset, batch_size: int = 4, **settings: Any) -> DataLoader:
    return DataLoader(dataset, batch_size=batch_size, **settings)


PREPARED = list(loader(TransformedDataset()))

SOURCES: dict[str, Callable[[], Any]] = {
    "shuffled": lambda: loader(TransformedDataset(), shuffle=True),
    "two workers": lambda: loader(TransformedDataset(), shuffle=True, num_workers=2),
    "own generator": lambda: loader(
        TransformedDataset(), shuffle=True, generator=torch.Generator().manual_seed(1)
    ),
    "noise of its own": lambda: loader(OwnNoise(), shuffle=True),
    "transform of its own": lambda: loader(Shaken(), shuffle=True),
    "collate function of its own": lambda: loader(
        TransformedDataset(), shuffle=True, collate_fn=NoisyCollate()
    ),
    "sampler with a state": lambda: loader(TransformedDataset(), sampler=LeastSeen(15)),
    "list": lambda: PREPARED,
}


class HiddenBuffer(nn.Module):
    """Adds the average of what it has seen, and keeps it out of the `state_dict`."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen.mul_(0.9).add_(0.1 * image.detach().float().mean())
        return image + self.seen


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.3),
        HiddenBuffer(),
        nn.Conv2d(8, 1, 1),
    )


def cross_entropy(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits, mask.unsqueeze(1).float())


def weights(model: nn.Module) -> torch.Tensor:
    """All parameters and buffers, as one vector."""
    tensors = [*model.parameters(), *model.buffers()]
    return torch.cat([tensor.detach().flatten().double() for tensor in tensors])


def train(
    make_batches: Callable[[], Any] = SOURCES["shuffled"],
    *,
    seed: int = 0,
    stop_after: int | None = None,
    make_model: Callable[[], nn.Module] = network,
    **settings: Any,
) -> tuple[torch.Tensor, History, float]:
    """Train a new network; returns its weights, the history and the next random number.

    With `stop_after`, an error leaves the loss function in the step after that one. Evaluation
    draws random numbers, too, so that a lost state cannot stay unseen.
    """
    seed_everything(seed)
    model = make_model()
    batches = make_batches()
    steps_here = 0

    def loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        nonlocal steps_here
        if steps_here == stop_after:
            raise Stopped
        steps_here += 1
        return cross_entropy(logits, mask)

    history = fit(
        model,
        batches,
        loss,
        **{
            "steps": STEPS,
            "evaluate": lambda _: {"luck": torch.rand(())},
            "evaluate_every": 3,
            "device": "cpu",
            "precision": "32-true",
            **settings,
        },
    )
    return weights(model), history, float(torch.rand(()))
