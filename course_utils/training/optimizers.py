"""What moves the weights, and how fast at which step."""

from typing import Literal, TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

OptimizerName: TypeAlias = Literal["adamw", "sgd"]


def make_optimizer(
    name: OptimizerName, model: nn.Module, *, steps: int, learning_rate: float, weight_decay: float
) -> tuple[Optimizer, LRScheduler]:
    """Return an optimizer and its schedule of learning rates, for a training of so many steps.

    `"adamw"` has one rise and fall of the rate: up over the first 20 % of the steps, then down
    along a cosine. `"sgd"` has no momentum, and one rate throughout.

    Raises:
        ValueError: for any other name.

    Example:
        >>> optimizer, schedule = make_optimizer(
        ...     "sgd", nn.Linear(1, 1), steps=10, learning_rate=0.5, weight_decay=0.0
        ... )
        >>> schedule.get_last_lr()
        [0.5]
    """
    if name == "sgd":
        plain = torch.optim.SGD(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
        return plain, torch.optim.lr_scheduler.ConstantLR(plain, factor=1.0, total_iters=0)
    if name != "adamw":
        raise ValueError(f'optimizer must be "adamw" or "sgd", got {name!r}')
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=learning_rate,
        total_steps=steps + 1,
        # It divides by the length of the rise less one step, which .2 makes zero for 4 steps.
        pct_start=0.25 if steps == 4 else 0.2,
    )
    return optimizer, schedule
