"""A training run: what changes from step to step, and what a step does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from course_utils.training.batch_stream import Batch, BatchStream, target_of
from course_utils.training.history import History
from course_utils.training.random_states import random_states, set_random_states
from course_utils.training.tensors import in_float32, tensors_in


@dataclass
class Run:
    """What `fit` works on, on each of its devices."""

    model: nn.Module
    wrapped: nn.Module
    """The model as Fabric runs it: on its device, in its precision, with shared gradients."""
    loss_function: Callable[[Any, Any], Tensor]
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    stream: BatchStream
    fabric: Fabric
    settings: dict[str, Any]
    """What a checkpoint must agree with to go on from it."""
    history: History = field(default_factory=History)
    place: dict[str, Any] = field(default_factory=dict)
    """Place in the batches and random states at the end of the last step."""
    saved_step: int = 0

    @property
    def step(self) -> int:
        """Steps that were done."""
        return len(self.history.loss)

    def train_step(self, batch: Batch) -> None:
        """Forward, loss, backward, step; the history holds the average loss of all devices."""
        self.wrapped.train()
        image, target = self.fabric.to_device((batch.image, target_of(batch)))
        output = in_float32(self.wrapped(image.contiguous(memory_format=torch.channels_last)))
        for tensor in tensors_in(output):
            self._require_finite(tensor, "the network's output")
        loss = self.loss_function(output, target)
        if loss.ndim:
            raise ValueError(
                f"loss_function must return a scalar, got shape {tuple(loss.shape)}: "
                'use reduction="mean"'
            )
        self._require_finite(loss, "the loss")
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.optimizer.step()
        average = cast(Tensor, self.fabric.all_reduce(loss.detach().clone(), reduce_op="mean"))
        self.history.learning_rate.append(self.optimizer.param_groups[0]["lr"])
        self.history.loss.append(average.item())
        self.schedule.step()

    def evaluate(self, evaluate: Callable[[nn.Module], dict[str, float]]) -> None:
        """Add what `evaluate` finds on the first device to the history of all."""
        self.wrapped.eval()
        row: dict[str, float] = {"step": self.step}
        if self.fabric.is_global_zero:
            with torch.no_grad():
                metrics = evaluate(self.model)
            if not isinstance(metrics, Mapping) or "step" in metrics:
                raise ValueError(
                    'evaluate must return numbers by name, none of them named "step", got '
                    f"{metrics!r}"
                )
            for name, value in metrics.items():
                try:
                    row[name] = float(value)
                except (TypeError, ValueError):
                    raise ValueError(
                        f"evaluate must return numbers by name, got {name}={value!r}"
                    ) from None
        self.history.evaluations.append(self.fabric.broadcast(row))

    def show(self, watch: Callable[[History], None]) -> None:
        """Let `watch` see the history, and let nothing that it does reach the training."""
        if self.fabric.is_global_zero:
            states = random_states(self.fabric.device)
            watch(self.history.copy())
            set_random_states(states, self.fabric.device)

    def require_finite_weights(self) -> None:
        """Raise `FloatingPointError` if a weight is NaN or infinite after the last step.

        Running means and spreads of the `state_dict` count as weights.
        """
        for name, weights in self.model.state_dict().items():
            if isinstance(weights, Tensor) and not bool(torch.isfinite(weights).all()):
                raise FloatingPointError(
                    f"the weights {name} are not finite after step {self.step} of "
                    f"{self.settings['steps']}: lower the learning rate "
                    f"({self.settings['learning_rate']:g})"
                )

    def _require_finite(self, values: Tensor, name: str) -> None:
        if not bool(torch.isfinite(values).all()):
            raise FloatingPointError(
                f"{name} is not finite at step {self.step + 1} of {self.settings['steps']}: "
                f"lower the learning rate ({self.settings['learning_rate']:g}) or look at this "
                "batch"
            )
