"""Save a run and go on from it."""

from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.training.checkpoint import Checkpoint, remove_drafts
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
    places = [run.place]
    if run.fabric.world_size > 1:
        places *= run.fabric.world_size
        torch.distributed.all_gather_object(places, run.place)
    if run.fabric.is_global_zero:
        Checkpoint(
            step=run.step,
            settings=run.settings | _architecture(run),
            model=run.model.state_dict(),
            hidden_buffers=_hidden_buffers(run.model),
            optimizer=run.optimizer.state_dict(),
            schedule=run.schedule.state_dict(),
            precision=run.fabric.strategy.precision.state_dict(),
            history=run.history,
            places=places,
            loss=_loss_state(run),
        ).save(path)
    run.saved_step = run.step


def resume_run(run: Run, path: Path) -> None:
    """Put `run` where the checkpoint at `path` was; without such a file, leave it at its start.

    A finished run gets its weights and random states, and does not read its data again. Raises
    `ValueError` that names every difference when the file is of another run; nothing has changed
    then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if run.fabric.is_global_zero:
        remove_drafts(path)
    if not path.exists():
        return
    saved = Checkpoint.load(path)
    differences = _differences(saved.settings, run.settings | _architecture(run))
    if differences:
        raise ValueError(
            f"the checkpoint {path} is of another run: {'; '.join(differences)}. "
            "Delete the file or choose another path."
        )
    _load(run.model, saved.model, saved.hidden_buffers)
    if saved.loss and isinstance(run.loss_function, nn.Module):
        _load(run.loss_function, saved.loss["shown"], saved.loss["hidden"])
    run.optimizer.load_state_dict(saved.optimizer)
    run.schedule.load_state_dict(saved.schedule)
    run.fabric.strategy.precision.load_state_dict(saved.precision)
    run.history, run.saved_step = saved.history, saved.step
    run.place = saved.places[run.fabric.global_rank]
    if run.step == run.settings["steps"]:
        run.stream.set_random_states(run.place)
    else:
        run.stream.go_to(run.place)


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


def count(sized: object) -> int | None:
    """Return the length of `sized`, or None where it has none.

    Example:
        >>> count([1, 2]), count(iter([1, 2]))
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
    return {"shown": loss.state_dict(), "hidden": _hidden_buffers(loss)}


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
