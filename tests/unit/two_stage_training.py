"""A small two-stage training with a sampler and a loss that remember, for tests that stop it."""

from pathlib import Path
from typing import Any

import torch
from stoppable_training import Stopped, weights
from tiny_defects import CHANNELS, Squares
from torch import Tensor
from torch.utils.data import Dataset

from course_utils.config import seed_everything
from course_utils.data import FrequencyOfUseSampler, Sample, TwoStageSample, TwoStageTargets
from course_utils.losses import TwoStageLoss, TwoStageTarget
from course_utils.models import TwoStageNet
from course_utils.training import EpochLoader, fit

STEPS = 8  # with 3 batches a pass, the third pass ends within


class StoppedLoss(TwoStageLoss):
    """Raises in the step after `stop`; the count goes on where a checkpoint left it."""

    stop: int | None = None

    def forward(self, output: tuple[Tensor, Tensor], target: TwoStageTarget) -> Tensor:
        if int(self.steps) == self.stop:
            raise Stopped
        return super().forward(output, target)


class Noted(TwoStageTargets):
    """Notes the names of the images in the order in which they are read."""

    def __init__(self, dataset: Dataset[Sample]) -> None:
        super().__init__(dataset)
        self.names: list[str] = []

    def __getitem__(self, index: int) -> TwoStageSample:
        sample = super().__getitem__(index)
        self.names.append(sample.name)
        return sample


def train(
    path: Path | None = None,
    *,
    stop: int | None = None,
    seed: int = 0,
    workers: int = 0,
    **where: Any,
) -> tuple[tuple[Any, ...], list[str]]:
    """Train on 3 defective and 6 good images; return all that must be the same again.

    Beside it stand the names of the images in the order in which they were read.
    """
    seed_everything(seed)
    targets = Noted(Squares(9))
    sampler = FrequencyOfUseSampler(targets.labels, seed=3)
    batches = EpochLoader(targets, batch_size=2, sampler=sampler, workers=workers)
    model = TwoStageNet(channels=CHANNELS, stop_extractor=False)
    loss = StoppedLoss(3, len(batches), delta=1.0)
    loss.stop = stop
    history = fit(
        model, batches, loss,
        steps=STEPS, optimizer="sgd", learning_rate=0.25, weight_decay=0.0,
        checkpoint=path, checkpoint_every=1 if path else None,
        **(where or {"device": "cpu", "precision": "32-true"}),
    )  # fmt: skip
    found = weights(model), history.loss, sampler.uses.tolist(), int(loss.steps), loss.lam
    return found, targets.names


def equal(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return torch.equal(one[0], other[0]) and one[1:] == other[1:]
