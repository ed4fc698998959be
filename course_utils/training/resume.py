"""Save a run and go on from it."""

from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from course_utils.training.checkpoint import Checkpoint
from course_utils.training.epoch_loader import EpochLoader
from course_utils.training.run import Run

INNER = ("model", "loss_function")
"""Settings that are mappings; the entries that differ are named."""


def save_run(run: Run, path: Path) -> None:
    """Write the run, as it was at the end of its last step, unless that is done already.

    All processes of the run call this; the first one writes. Raises `FloatingPointError`, and
    leaves the file as it is, if a weight is not finite.
    """
    if run.saved_step == run.step:
        return
    run.require_finite_weights()
    if run.fabric.is_global_zero:
        Checkpoint(
            step=run.step,
            settings=run.settings | _architecture(run),
            model=run.model.state_dict(),
            hidden_buffers=_hidden_buffers(run.model),
            optimizer=run.optimizer.state_dict(),
            scheduler=run.scheduler.state_dict(),
            precision=run.fabric.strategy.precision.state_dict(),
            history=run.history,
            batches=run.batches.state_dict() if isinstance(run.batches, EpochLoader) else {},
            loss=_loss_state(run),
        ).save(path)
    run.saved_step = run.step


def resume_run(run: Run, path: Path) -> None:
    """Put `run` where the checkpoint at `path` was; without such a file, leave it at its start.

    A finished run gets its weights, and does not read its data again. Raises `ValueError` that
    names every difference when the file is of another run; nothing has changed then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return
    saved = Checkpoint.load(path)
    differences = _differences(saved.settings, run.settings | _architecture(run))
    if differences:
        raise ValueError(
            f"the checkpoint {path} is of another run: {'; '.join(differences)}. "
            "Ask for what is in the file to go on, choose another path, or delete the file to "
            "begin anew."
        )
    _load(run.model, saved.model, saved.hidden_buffers)
    if saved.loss and isinstance(run.loss_function, nn.Module):
        _load(run.loss_function, saved.loss["state_dict"], saved.loss["hidden_buffers"])
    run.optimizer.load_state_dict(saved.optimizer)
    run.scheduler.load_state_dict(saved.scheduler)
    run.fabric.strategy.precision.load_state_dict(saved.precision)
    run.history, run.saved_step = saved.history, saved.step
    if isinstance(run.batches, EpochLoader) and run.step < run.settings["steps"]:
        run.batches.load_state_dict(saved.batches)


def agreed_settings(asked: Mapping[str, Any] | None, **known: Any) -> dict[str, Any]:
    """Return all settings that a checkpoint must agree with: `known` and the caller's own.

    Raises:
        ValueError: if the caller's are not text, numbers, booleans or None, or have names of
            `known` ones.

    Example:
        >>> agreed_settings({"loss": "focal"}, steps=10)
        {'steps': 10, 'loss': 'focal'}
    """
    for name, value in (asked or {}).items():
        if name in known or name in INNER:
            raise ValueError(f"settings must not name {name!r}, which is compared anyway")
        if type(value) not in (str, int, float, bool, type(None)):
            raise ValueError(
                f"settings hold text, numbers, booleans or None, got {name}={value!r} of type "
                f"{type(value).__name__}"
            )
    return {**known, **(asked or {})}


def length_of(sized: object) -> int | None:
    """Return the length of `sized`, or None where it has none.

    Example:
        >>> length_of([1, 2]), length_of(iter([1, 2]))
        (2, None)
    """
    try:
        return len(sized) if isinstance(sized, Sized) else None
    except TypeError:  # a DataLoader of a data set without a length
        return None


def _architecture(run: Run) -> dict[str, dict[str, Any]]:
    """What makes a network another one: shapes, what is trained, and the settings of its layers."""
    model, loss = run.model, run.loss_function
    trained = {f"{name}.requires_grad": p.requires_grad for name, p in model.named_parameters()}
    layers = {
        f"layer {name or '(itself)'}": f"{type(layer).__name__}({layer.extra_repr()})"
        for name, layer in model.named_modules()
    }
    return {
        "model": _shapes(model) | trained | layers,
        "loss_function": _shapes(loss) if isinstance(loss, nn.Module) else {},
    }


def _shapes(model: nn.Module) -> dict[str, list[int]]:
    tensors = {**model.state_dict(), **_hidden_buffers(model)}
    return {name: list(value.shape) for name, value in tensors.items() if isinstance(value, Tensor)}


def _loss_state(run: Run) -> dict[str, dict[str, Any]]:
    loss = run.loss_function
    if not isinstance(loss, nn.Module):
        return {}
    return {"state_dict": loss.state_dict(), "hidden_buffers": _hidden_buffers(loss)}


def _load(module: nn.Module, shown: dict[str, Any], hidden: dict[str, Tensor]) -> None:
    module.load_state_dict(shown)
    for name, buffer in _hidden_buffers(module).items():
        buffer.copy_(hidden[name])


def _hidden_buffers(model: nn.Module) -> dict[str, Tensor]:
    shown = model.state_dict()
    return {name: buffer for name, buffer in model.named_buffers() if name not in shown}


def _differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    found = []
    for name in {**there, **here}:
        if name not in here:
            found.append(f"{name} is in the file and not in this call")
        elif name not in there:
            found.append(f"{name} is in this call and not in the file")
        elif name in INNER:
            inner = _differences(there[name], here[name])
            more = [f"and {len(inner) - 3} more"] if len(inner) > 3 else []
            found += [f"the {name}'s {line}" for line in inner[:3]] + more
        elif there[name] != here[name]:
            found.append(f"{name} is {there[name]!r} in the file and {here[name]!r} in this call")
    return found
