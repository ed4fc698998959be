"""The one training loop of the course, on Lightning Fabric."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from course_utils.training.batch_stream import Batch, BatchStream
from course_utils.training.devices import make_fabric
from course_utils.training.history import History
from course_utils.training.interrupts import StepInterrupts
from course_utils.training.optimizers import OptimizerName, make_optimizer
from course_utils.training.resume import agreed_settings, count, resume_run, save_run
from course_utils.training.run import Run
from course_utils.training.scalars import ScalarLog
from course_utils.training.shared_batches import SharedBatches, draw_apart


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
    watch: Callable[[History], None] | None = None,
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
    goes on when the same program is started again. On the CPU, with the same number of threads,
    its weights and its history are then the same, bit for bit, as if it had never stopped; see
    `BatchStream` for what the data must offer. A finished run returns at once. On a single device,
    Ctrl-C saves after the step at work. A checkpoint never holds weights that are not finite.

    Args:
        model: takes images (N, C, H, W) and returns logits, or a tuple of several.
        batches: batches with `.image`, and with `.target` (a tensor, or a tuple of them) or
            `.mask`, such as a `DataLoader` of a defect data set; started anew whenever it runs
            out. Several devices share each batch.
        loss_function: takes `(logits, target)`, the logits in float32, and returns a scalar. If
            it changes from call to call, it is a module whose buffers hold what changes.
        steps: number of batches to train on.
        optimizer: `"adamw"`, or `"sgd"`: without momentum, at one learning rate throughout.
        learning_rate: the highest of the schedule.
        evaluate: called with the model (in eval mode, without gradients) every `evaluate_every`
            steps and after the last; returns metrics by name. Of several processes, the first
            one evaluates.
        watch: called with a copy of the history after each evaluation, and once when a run goes
            on; for curves that grow while training. It cannot change the training.
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

    Raises:
        ValueError: for unusable settings, no batches, a loss with axes, and a checkpoint that is
            damaged or of another run.
        FloatingPointError: naming the step if the network's output, the loss or the weights are not
            finite.

    Example:
        >>> from types import SimpleNamespace
        >>> batch = SimpleNamespace(image=torch.rand(2, 1, 8, 8), mask=torch.zeros(2, 1, 8, 8))
        >>> model, loss = nn.Conv2d(1, 1, 1), nn.BCEWithLogitsLoss()
        >>> history = fit(model, [batch], loss, steps=20, device="cpu")
        >>> len(history.loss), history.loss[-1] < history.loss[0]
        (20, True)
    """
    _require_usable(steps, evaluate, evaluate_every, watch, checkpoint, checkpoint_every)
    if fabric is None:
        fabric = make_fabric(device, precision)
    elif device != "auto" or precision is not None:
        raise ValueError("fabric brings its device and precision: give these to launch instead")
    path = None if checkpoint is None else Path(checkpoint)
    stepper, schedule = make_optimizer(
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
        batches=count(batches),
        samples=count(getattr(batches, "dataset", None)),
        samples_per_batch=getattr(batches, "batch_size", None),
        workers=getattr(batches, "num_workers", None),
    )
    source = batches if fabric.world_size == 1 else SharedBatches(batches, fabric)
    stream = BatchStream(source, fabric.device, notes=path is not None)
    model.to(memory_format=torch.channels_last)
    wrapped, stepper = fabric.setup(model, stepper)
    run = Run(model, wrapped, loss_function, stepper, schedule, stream, fabric, agreed)
    if path:
        resume_run(run, path)
    if run.step and watch:
        run.show(watch)
    if run.step == 0 and fabric.world_size > 1:
        draw_apart(fabric, stream.generators())

    def is_due(every: int | None) -> bool:
        return run.step == steps or bool(every and run.step % every == 0)

    save_every = checkpoint_every or evaluate_every or max(steps // 10, 1)
    shown = progress and fabric.is_global_zero
    bar = tqdm(total=steps, initial=run.step, desc=description, disable=not shown, leave=False)
    log = ScalarLog(log_folder if fabric.is_global_zero else None, done=run.step)
    # Several processes would not all stop at the same step: theirs ends without a checkpoint.
    finish = partial(save_run, run, path) if path and fabric.world_size == 1 else None
    interrupts = StepInterrupts(finish)
    with bar, log, interrupts:
        while run.step < steps:
            batch = next(stream)
            with interrupts.step():
                run.train_step(batch)
                if is_due(evaluate_every):
                    run.require_finite_weights()
                    if evaluate:
                        run.evaluate(evaluate)
                log.add(run.history)
                if watch and is_due(evaluate_every):
                    run.show(watch)
                if path:
                    run.place = stream.place()
                    if is_due(save_every):
                        log.flush()
                        save_run(run, path)
                bar.update()
                bar.set_postfix(loss=f"{run.history.loss[-1]:.4f}", refresh=False)
    model.eval()
    return run.history


def _require_usable(
    steps: int,
    evaluate: object,
    evaluate_every: int | None,
    watch: object,
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
    if watch is not None and evaluate is None:
        raise ValueError("watch is called after each evaluation: give evaluate, too")
    if checkpoint_every is not None and (checkpoint is None or checkpoint_every < 1):
        raise ValueError(
            "checkpoint_every must be at least 1 and needs checkpoint, got "
            f"checkpoint_every={checkpoint_every}, checkpoint={checkpoint}"
        )
