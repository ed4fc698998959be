"""The one training loop of the course, on Lightning Fabric."""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from course_utils.config import pick_device, pick_precision


class Batch(Protocol):
    """What `fit` needs of a batch; a collated `Sample` has it."""

    @property
    def image(self) -> Tensor: ...

    @property
    def mask(self) -> Tensor: ...


@dataclass
class History:
    """What happened while training: one entry per step, and one per evaluation."""

    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    """Each holds `"step"` and whatever `evaluate` returned."""

    def metric(self, name: str) -> tuple[list[float], list[float]]:
        """Return the steps and the values of one evaluated metric."""
        return (
            [row["step"] for row in self.evaluations],
            [row[name] for row in self.evaluations],
        )


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    loss_function: Callable[[Tensor, Tensor], Tensor],
    *,
    steps: int,
    learning_rate: float = 1e-2,
    weight_decay: float = 1e-4,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    evaluate_every: int | None = None,
    device: str | torch.device = "auto",
    precision: str | None = None,
    progress: bool = False,
    description: str = "training",
) -> History:
    """Train `model` in place for a number of steps and return what happened.

    AdamW with one rise and fall of the learning rate (`OneCycleLR`: warm-up over the first 20 %,
    then cosine), channels-last memory, and bf16 where the device is fast at it.

    Args:
        model: takes images (N, C, H, W) and returns logits.
        batches: batches with `.image` and `.mask`, such as a `DataLoader` of a defect data set;
            started anew whenever it runs out.
        loss_function: takes `(logits, mask)`, the logits in float32, and returns a scalar.
        steps: number of batches to train on.
        learning_rate: the highest of the schedule.
        evaluate: called with the model (in eval mode, without gradients) every `evaluate_every`
            steps and after the last; returns metrics by name.
        device: `"auto"` picks a GPU where there is one.
        precision: a Fabric precision; None picks bf16 or float32 by device.
        progress: whether to show a progress bar.

    Raises `ValueError` for unusable settings, no batches or a loss with axes, and
    `FloatingPointError` naming the step if the network's output or the loss is not finite.

    >>> from types import SimpleNamespace
    >>> batch = SimpleNamespace(image=torch.rand(2, 1, 8, 8), mask=torch.zeros(2, 1, 8, 8))
    >>> model, loss = nn.Conv2d(1, 1, 1), nn.BCEWithLogitsLoss()
    >>> history = fit(model, [batch], loss, steps=20, device="cpu")
    >>> len(history.loss), history.loss[-1] < history.loss[0]
    (20, True)
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if evaluate_every is not None and (evaluate is None or evaluate_every < 1):
        raise ValueError(
            "evaluate_every must be at least 1 and needs evaluate, got "
            f"evaluate_every={evaluate_every}, evaluate={evaluate}"
        )
    target_device = torch.device(device) if device != "auto" else pick_device()
    fabric = _fabric(target_device, precision or pick_precision(target_device))
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=learning_rate, total_steps=steps + 1, pct_start=0.2
    )
    model.to(memory_format=torch.channels_last)
    wrapped, optimiser = fabric.setup(model, optimiser)
    history = History()
    bar = tqdm(total=steps, desc=description, disable=not progress, leave=False)
    with bar:
        for step, batch in enumerate(itertools.islice(_forever(batches), steps), start=1):
            wrapped.train()
            image, mask = fabric.to_device((batch.image, batch.mask))
            logits = wrapped(image.contiguous(memory_format=torch.channels_last)).float()
            _require_finite(logits, "the network's output", step, steps, learning_rate)
            loss = loss_function(logits, mask)
            if loss.ndim:
                raise ValueError(
                    f"loss_function must return a scalar, got shape {tuple(loss.shape)}: "
                    'use reduction="mean"'
                )
            _require_finite(loss, "the loss", step, steps, learning_rate)
            optimiser.zero_grad(set_to_none=True)
            fabric.backward(loss)
            optimiser.step()
            history.loss.append(loss.item())
            history.learning_rate.append(optimiser.param_groups[0]["lr"])
            schedule.step()
            bar.update()
            bar.set_postfix(loss=f"{history.loss[-1]:.4f}", refresh=False)
            if evaluate and (step == steps or (evaluate_every and step % evaluate_every == 0)):
                wrapped.eval()
                with torch.no_grad():
                    history.evaluations.append({"step": step, **evaluate(model)})
    model.eval()
    return history


def _require_finite(values: Tensor, name: str, step: int, steps: int, learning_rate: float) -> None:
    if not bool(torch.isfinite(values).all()):
        raise FloatingPointError(
            f"{name} is not finite at step {step} of {steps}: lower the learning rate "
            f"({learning_rate:g}) or look at this batch"
        )


def _fabric(device: torch.device, precision: str) -> Fabric:
    # Fabric logs its precision at every construction; a lesson's header says it once.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    devices = [device.index] if device.index is not None else 1
    return Fabric(accelerator=device.type, devices=devices, precision=precision)  # type: ignore[arg-type]


def _forever(batches: Iterable[Batch]) -> Iterator[Batch]:
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise ValueError("there are no batches to train on: the data set is empty or used up")
