"""A process that starts trainings which can be killed; orders come in by the line.

It has imported torch and not used it, so each training is a fork that starts in no time, from
nothing but its checkpoint. See `test_kill_resume.py`.
"""

import hashlib
import itertools
import os
import random
import signal
import sys
from typing import IO, Any

import numpy as np
import torch
import torch._dynamo  # the first step of an optimizer imports it, which takes seconds
from torch import nn
from torch.utils.data import Dataset

from course_utils.config import seed_everything
from course_utils.data import Sample
from course_utils.training import EpochLoader, fit

torch_save = torch.save


class Noisy(Dataset):
    """Every image has new noise from all three global generators."""

    def __len__(self) -> int:
        return 30

    def __getitem__(self, index: int) -> Sample:
        image = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(index))
        mask = (image[0] > 0.7).long()
        noise = torch.rand(1, 16, 16) + random.random() + float(np.random.rand())  # noqa: NPY002
        return Sample(image + 0.1 * noise, mask, 1, "g", str(index))


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 1, 1),
    )


def train(path: str, steps: int, seed: int, last_step: int) -> None:
    """Train and tell a digest of weights and history; wait for ever in step `last_step`."""
    seed_everything(seed)
    model = network()
    steps_here = itertools.count(1)

    def loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        tell("step")
        if next(steps_here) == last_step:
            signal.pause()
        return nn.functional.binary_cross_entropy_with_logits(logits, mask.unsqueeze(1).float())

    history = fit(
        model,
        EpochLoader(Noisy(), batch_size=4, shuffle=True),
        loss,
        steps=steps,
        evaluate=lambda _: {"luck": float(torch.rand(()))},
        evaluate_every=7,
        device="cpu",
        checkpoint=path,
        checkpoint_every=3,
    )
    digest = hashlib.sha256(repr(history).encode())
    for tensor in [*model.parameters(), *model.buffers()]:
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    tell("done", digest.hexdigest())


def stop_in_save(number: int) -> None:
    """Let the checkpoint `number` (from 1) of this process get to its middle and no further."""
    numbers = itertools.count(1)

    def save(value: Any, content: IO[bytes]) -> None:
        torch_save(value, content)
        if next(numbers) == number:
            content.truncate(content.tell() // 2)
            os.fsync = wait

    def wait(_: int) -> None:
        tell("writing")
        signal.pause()

    torch.save = save


def tell(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())


if __name__ == "__main__":
    torch.set_num_threads(1)  # threads do not survive a fork
    tell("ready")
    for order in sys.stdin:
        path, *numbers = order.rstrip("\n").split("\t")
        steps, seed, last_step, stopped_save = map(int, numbers)
        child = os.fork()
        if child == 0:
            stop_in_save(stopped_save)
            train(path, steps, seed, last_step)
            os._exit(0)
        tell("started", str(child))
        _, status = os.waitpid(child, 0)
        tell("ended", str(os.waitstatus_to_exitcode(status)))
