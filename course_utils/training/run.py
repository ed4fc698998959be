"""A training run: what changes from step to step, and what a step does."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from course_utils.training.batch import Batch, image_and_target, in_float32, tensors_in
from course_utils.training.history import History


@dataclass
class Run:
    """What `fit` works on, on each of its devices."""

    model: nn.Module
    wrapped: nn.Module
    """The model as Fabric runs it: on its device, in its precision, with shared gradients."""
    loss_function: Callable[[Any, Any], Tensor]
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    batches: Iterable[Batch]
    fabric: Fabric
    settings: dict[str, Any]
    """What a checkpoint must agree with to go on from it."""
    history: History = field(default_factory=History)
    saved_step: int = 0

    @property
    def step(self) -> int:
        """Steps that were done."""
        return len(self.history.loss)

    def run_step(self, batch: Batch) -> None:
        """Forward, loss, backward, step; the history holds the average loss of all devices."""
        self.wrapped.train()
        image, target = self.fabric.to_device(image_and_target(batch))
        output = in_float32(self.wrapped(image.contiguous(memory_format=torch.channels_last)))
        try:
            loss = self.loss_function(output, target)
        except ValueError:
            if not bool(_all_finite(output)):  # the losses refuse it, and do not know the step
                raise self._not_finite("the network's output") from None
            raise
        if loss.ndim:
            raise ValueError(
                f"loss_function must return a scalar, got shape {tuple(loss.shape)}: "
                'use reduction="mean"'
            )
        # Each read makes the program wait for the device: this is the only one of a step.
        seen = torch.stack([loss.detach(), _all_finite(output).to(loss)])
        mean_loss, finite = cast(Tensor, self.fabric.all_reduce(seen, reduce_op="mean")).tolist()
        if finite < 1:
            raise self._not_finite("the network's output")
        if not math.isfinite(mean_loss):
            raise self._not_finite("the loss")
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.optimizer.step()
        self.history.learning_rate.append(self.optimizer.param_groups[0]["lr"])
        self.history.loss.append(mean_loss)
        self.scheduler.step()

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

    def require_finite_weights(self) -> None:
        """Raise `FloatingPointError` if a weight is NaN or infinite after the last step.

        Running means and variances of the `state_dict` count as weights.
        """
        for name, weights in self.model.state_dict().items():
            if isinstance(weights, Tensor) and not bool(torch.isfinite(weights).all()):
                raise FloatingPointError(
                    f"the weights {name} are not finite after step {self.step} of "
                    f"{self.settings['steps']}: lower the learning rate "
                    f"({self.settings['learning_rate']:g})"
                )

    def _not_finite(self, name: str) -> FloatingPointError:
        return FloatingPointError(
            f"{name} is not finite at step {self.step + 1} of {self.settings['steps']}: "
            f"lower the learning rate ({self.settings['learning_rate']:g}) or look at this batch"
        )


def _all_finite(output: Any) -> Tensor:
    return torch.stack([torch.isfinite(tensor).all() for tensor in tensors_in(output)]).all()
