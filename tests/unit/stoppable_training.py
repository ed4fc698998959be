"""A small training with everything that draws random numbers, for tests that stop it."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, Sampler

from course_utils.config import seed_everything
from course_utils.data import Sample
from course_utils.training import EpochLoader, History, fit

STEPS = 11  # with 4 batches an epoch, the third epoch ends within


class Stopped(Exception):
    """The training was stopped from outside."""


class Noisy(Dataset):
    """Images with noise from the three global generators."""

    def __init__(self, size: int = 15) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Sample:
        image = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(index))
        mask = (image[0] > 0.6).long()
        noise = 0.2 * torch.rand(1, 8, 8) + 0.1 * random.random()
        noise += 0.1 * float(np.random.rand())  # noqa: NPY002
        return Sample(image + noise, mask, 1, "g", str(index))


class LeastSeen(Sampler[int]):
    """Draws what it drew least, with a little luck: it remembers more than an epoch."""

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
        return {"drawn": self.drawn.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.drawn = state["drawn"].clone()


def shuffled(dataset: Dataset | None = None, **settings: Any) -> EpochLoader:
    return EpochLoader(dataset or Noisy(), batch_size=4, shuffle=True, **settings)


def remembering() -> EpochLoader:
    return EpochLoader(Noisy(), batch_size=4, sampler=LeastSeen(15))


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


def stopping(after: int | None) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return a loss that raises an error in the step after that one."""
    steps_here = 0

    def loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        nonlocal steps_here
        if steps_here == after:
            raise Stopped
        steps_here += 1
        return cross_entropy(logits, mask)

    return loss


def weights(model: nn.Module) -> torch.Tensor:
    """All parameters and buffers, as one vector."""
    tensors = [*model.parameters(), *model.buffers()]
    return torch.cat([tensor.detach().flatten().double() for tensor in tensors])


def train(
    make_batches: Callable[[], Any] = shuffled,
    *,
    seed: int = 0,
    stop_after: int | None = None,
    make_model: Callable[[], nn.Module] = network,
    **settings: Any,
) -> tuple[torch.Tensor, History]:
    """Train a new network; returns its weights and the history.

    With `stop_after`, an error stops it in the step after that one. Evaluation draws random
    numbers, too, so that a lost state cannot stay unseen.
    """
    seed_everything(seed)
    model = make_model()
    given: dict[str, Any] = {
        "steps": STEPS,
        "evaluate": lambda _: {"luck": torch.rand(())},
        "evaluate_every": 3,
        "device": "cpu",
        "precision": "32-true",
    }
    history = fit(model, make_batches(), stopping(stop_after), **given | settings)
    return weights(model), history


def same(found: tuple[torch.Tensor, History], wanted: tuple[torch.Tensor, History]) -> bool:
    return torch.equal(found[0], wanted[0]) and found[1] == wanted[1]
