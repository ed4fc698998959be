"""The one training loop of the course, on Lightning Fabric."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from course_utils.training.batch import Batch
from course_utils.training.devices import make_fabric
from course_utils.training.epoch_loader import EpochLoader, set_epoch
from course_utils.training.history import History, ScalarLog
from course_utils.training.interrupts import StepInterrupts
from course_utils.training.resume import agreed_settings, length_of, resume_run, save_run
from course_utils.training.run import Run

OptimizerName: TypeAlias = Literal["adamw", "sgd"]


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    loss_function: Callable[[Any, Any], Tensor],
    *,
    steps: int,
    optimizer: OptimizerName = "adamw",
    learning_rate: float = 1e-2,
    weight_decay: float = 1e-4,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    evaluate_every: int | None = None,
    on_evaluation: Callable[[History], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    settings: Mapping[str, str | int | float | bool | None] | None = None,
    log_folder: str | Path | None = None,
    device: str | torch.device = "auto",
    precision: str | None = None,
    fabric: Fabric | None = None,
    progress: bool = False,
    description: str = "training",
) -> History:
    """Train `model` in place for a number of steps and return what happened.

    AdamW with one rise and fall of the learning rate (`OneCycleLR`: warm-up over the first 20 %,
    then cosine) or plain SGD, channels-last memory, and bf16 where the device is fast at it.

    With a `checkpoint`, a run that was stopped at any moment, even by `kill -9` or a power cut,
    goes on when the same program is started again. With the batches of an `EpochLoader`, on the
    CPU and with the same number of threads, its weights and its history are then the same, bit for
    bit, as if it had never stopped. Other batches, such as a plain `DataLoader`, start a new pass
    and draw other random numbers, and a warning says so. A finished run returns at once, and
    leaves the global generators alone: seed them before the next training. On a
    single device, Ctrl-C saves after the step at work. A checkpoint never holds weights that are
    not finite.

    Args:
        model: takes images (N, C, H, W) and returns logits, or a tuple of several.
        batches: pairs (image, target), or batches with `.image`, and with `.target` or `.mask`; a
            target is a tensor or a tuple of them. An `EpochLoader`, a `DataLoader` or a list;
            started anew whenever they run out. Several devices share each batch, and need an
            `EpochLoader`.
        loss_function: takes `(logits, target)`, the logits in float32, and returns a scalar. If
            it changes from call to call, it is a module whose buffers hold what changes.
        steps: number of batches to train on.
        optimizer: `"adamw"`, or `"sgd"`: without momentum, at one learning rate throughout.
        learning_rate: the highest of all steps.
        weight_decay: of the optimizer.
        evaluate: called with the model (in eval mode, without gradients) every `evaluate_every`
            steps and after the last; returns metrics by name. Of several processes, the first
            one evaluates.
        evaluate_every: steps between two evaluations; None evaluates after the last step alone.
        on_evaluation: called with a copy of the history after each evaluation, and once when a run
            goes on; for curves that grow while training.
        checkpoint: a file, made and kept up to date; a run goes on from it if it is there.
        checkpoint_every: steps between two checkpoints; None takes `evaluate_every`, else a tenth
            of the steps. The last step is always saved.
        settings: what else a checkpoint must agree with to go on from it, such as
            `{"data": "synthetic", "loss": "focal", "seed": 0}`.
        log_folder: where TensorBoard finds the curves; None logs nothing.
        device: `"auto"` picks a GPU where there is one.
        precision: a Fabric precision; None picks bf16 or float32 by device.
        fabric: what `launch` hands to its function, instead of `device` and `precision`.
        progress: whether to show a progress bar.
        description: what it says of this training.

    Raises:
        TypeError: for batches of another form.
        ValueError: for unusable settings, no batches, a loss with axes, and a checkpoint that is
            damaged or of another run.
        FloatingPointError: naming the step if the network's output, the loss or the weights are not
            finite.

    Example:
        >>> batch = torch.rand(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
        >>> model, loss = nn.Conv2d(1, 1, 1), nn.BCEWithLogitsLoss()
        >>> history = fit(model, [batch], loss, steps=20, device="cpu")
        >>> len(history.loss), history.loss[-1] < history.loss[0]
        (20, True)
    """
    _require_usable(steps, evaluate, evaluate_every, on_evaluation, checkpoint, checkpoint_every)
    if fabric is None:
        fabric = make_fabric(device, precision)
    elif device != "auto" or precision is not None:
        raise ValueError("fabric brings its device and precision: give these to launch instead")
    if isinstance(batches, EpochLoader):
        batches.share(fabric.global_rank, fabric.world_size)
    elif fabric.world_size > 1:
        raise ValueError(
            f"several devices share the batches of an EpochLoader, got {type(batches).__name__}"
        )
    elif checkpoint is not None:
        warnings.warn(
            f"the place in a {type(batches).__name__} cannot be found again: a training that goes "
            "on from the checkpoint starts a new pass; with an EpochLoader it goes on exactly",
            stacklevel=2,
        )
    path = None if checkpoint is None else Path(checkpoint)
    torch_optimizer, scheduler = make_optimizer(
        optimizer, model, steps=steps, learning_rate=learning_rate, weight_decay=weight_decay
    )
    agreed = agreed_settings(
        settings,
        steps=steps,
        optimizer=optimizer,
        learning_rate=float(learning_rate),
        weight_decay=float(weight_decay),
        evaluate=evaluate is not None,
        evaluate_every=evaluate_every,
        device=fabric.device.type,
        precision=fabric.strategy.precision.precision,
        processes=fabric.world_size,
        loader=type(batches).__name__,
        batches=length_of(batches),
        samples=length_of(getattr(batches, "dataset", None)),
        samples_per_batch=getattr(batches, "batch_size", None),
        loader_seed=getattr(batches, "seed", None),
    )
    model.to(memory_format=torch.channels_last)
    wrapped, torch_optimizer = fabric.setup(model, torch_optimizer)
    run = Run(model, wrapped, loss_function, torch_optimizer, scheduler, batches, fabric, agreed)
    if path:
        resume_run(run, path)
    if not fabric.is_global_zero:
        on_evaluation = None
    if run.step and on_evaluation:
        on_evaluation(run.history.copy())

    def is_due(every: int | None) -> bool:
        return run.step == steps or bool(every and run.step % every == 0)

    save_every = checkpoint_every or evaluate_every or max(steps // 10, 1)
    shown = progress and fabric.is_global_zero
    bar = tqdm(total=steps, initial=run.step, desc=description, disable=not shown, leave=False)
    log = ScalarLog(log_folder if fabric.is_global_zero else None, done=run.step)
    # Several processes would not all stop at the same step: theirs ends without a checkpoint.
    finish = partial(save_run, run, path) if path and fabric.world_size == 1 else None
    interrupts = StepInterrupts(finish)
    stream = _endless(batches)
    with bar, log, interrupts:
        while run.step < steps:
            with interrupts.step():
                run.run_step(next(stream))
                if is_due(evaluate_every):
                    run.require_finite_weights()
                    if evaluate:
                        run.evaluate(evaluate)
                log.add(run.history)
                if on_evaluation and is_due(evaluate_every):
                    on_evaluation(run.history.copy())
                if path and is_due(save_every):
                    log.flush()
                    save_run(run, path)
                bar.update()
                bar.set_postfix(loss=f"{run.history.loss[-1]:.4f}", refresh=False)
    model.eval()
    return run.history


def make_optimizer(
    name: OptimizerName, model: nn.Module, *, steps: int, learning_rate: float, weight_decay: float
) -> tuple[Optimizer, LRScheduler]:
    """Return an optimizer and its scheduler of learning rates, for a training of so many steps.

    `"adamw"` has one rise and fall of the rate: up over the first 20 % of the steps, then down
    along a cosine. `"sgd"` has no momentum, and one rate throughout.

    Raises:
        ValueError: for any other name.

    Example:
        >>> optimizer, scheduler = make_optimizer(
        ...     "sgd", nn.Linear(1, 1), steps=10, learning_rate=0.5, weight_decay=0.0
        ... )
        >>> scheduler.get_last_lr()
        [0.5]
    """
    if name == "sgd":
        plain = torch.optim.SGD(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
        return plain, torch.optim.lr_scheduler.ConstantLR(plain, factor=1.0, total_iters=0)
    if name != "adamw":
        raise ValueError(f'optimizer must be "adamw" or "sgd", got {name!r}')
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=learning_rate,
        total_steps=steps + 1,
        # It divides by the length of the rise less one step, which .2 makes zero for 4 steps.
        pct_start=0.25 if steps == 4 else 0.2,
    )
    return optimizer, scheduler


def _endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches, started anew whenever they run out."""
    for epoch in count():
        if not isinstance(batches, EpochLoader):  # which counts by itself
            set_epoch(batches, epoch)
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise ValueError(
                "there are no batches to train on: the data set is empty or used up, or smaller "
                "than the batch size with drop_last=True"
            )


def _require_usable(
    steps: int,
    evaluate: object,
    evaluate_every: int | None,
    on_evaluation: object,
    checkpoint: object,
    checkpoint_every: int | None,
) -> None:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if evaluate_every is not None and (evaluate is None or evaluate_every < 1):
        raise ValueError(
            "evaluate_every must be at least 1 and needs evaluate, got "
            f"evaluate_every={evaluate_every}, evaluate={evaluate}"
        )
    if on_evaluation is not None and evaluate is None:
        raise ValueError("on_evaluation is called after each evaluation: give evaluate, too")
    if checkpoint_every is not None and (checkpoint is None or checkpoint_every < 1):
        raise ValueError(
            "checkpoint_every must be at least 1 and needs checkpoint, got "
            f"checkpoint_every={checkpoint_every}, checkpoint={checkpoint}"
        )
