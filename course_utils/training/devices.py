"""One device or several: where a training runs."""

import logging
import multiprocessing
import pickle
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch.multiprocessing.spawn import ProcessException

from course_utils.config import pick_device, pick_precision

# Fabric logs its precision at every construction; a lesson's header says it once.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

Result = TypeVar("Result")


def launch(
    function: Callable[..., Result],
    *arguments: Any,
    devices: int | str = 1,
    device: str | torch.device = "auto",
    precision: str | None = None,
) -> Result:
    """Call `function(fabric, *arguments)` on one or several devices and return what it returns.

    The same function serves one device and several: it builds model and data and hands `fabric`
    on to `fit(..., fabric=fabric)`. On one device it is called here. On several, each device gets
    a process of its own; the result is that of the first process, whose `fabric.is_global_zero`
    is true. The processes are started afresh, so `function` must stand at the top level of a
    module (not in a notebook), `arguments` and the result must be picklable, and a script calls
    `launch` under `if __name__ == "__main__":`.

    Args:
        function: what to call.
        *arguments: what it gets behind the Fabric.
        devices: how many GPUs, or how many processes on the CPU; `"auto"` takes all GPUs.
        device: `"auto"` picks a GPU where there is one.
        precision: a Fabric precision; None picks bf16 or float32 by device.

    Raises what `function` raises in the first process that fails (as a `RuntimeError` that names
    it, if it cannot be pickled), and `ValueError` for devices that are not there. Ctrl-C ends all
    processes.

    Example:
        >>> def train(fabric, name):
        ...     return f"{name} on {fabric.device.type}"
        >>> launch(train, "UNet", device="cpu")
        'UNet on cpu'
    """
    fabric = make_fabric(device, precision, devices)
    if fabric.world_size == 1:
        return function(fabric, *arguments)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Path(folder)
        others = multiprocessing.active_children()
        try:
            fabric.launch(partial(_run, outcomes=outcomes, function=function, arguments=arguments))
        except ProcessException as failure:
            # The others fail, too, when the first one leaves them: the oldest error is the cause.
            errors = sorted(outcomes.glob("error-*"), key=lambda path: path.stat().st_mtime_ns)
            if not errors:
                raise
            raise pickle.loads(errors[0].read_bytes()) from failure
        except KeyboardInterrupt:
            # It may have reached this process alone.
            for process in multiprocessing.active_children():
                if process not in others:
                    process.kill()
                    process.join()
            raise
        return pickle.loads((outcomes / "result").read_bytes())


def make_fabric(
    device: str | torch.device = "auto", precision: str | None = None, devices: int | str = 1
) -> Fabric:
    """Return the Fabric of one device, or one that `launch` starts on several.

    Example:
        >>> make_fabric("cpu", "32-true").device
        device(type='cpu')
    """
    target = pick_device(str(device))
    if target.type == "cpu":
        target = torch.device("cpu")  # "cpu:0" is the CPU, too
    if devices != "auto" and (isinstance(devices, str) or devices < 1):
        raise ValueError(f'devices must be at least 1, or "auto", got {devices!r}')
    if target.index is not None and devices != 1:
        raise ValueError(f"{target} is one device, and devices={devices!r} asks for several")
    present = torch.cuda.device_count() if target.type == "cuda" else 1
    if isinstance(devices, str):
        devices = present
    elif target.type != "cpu" and devices > present:
        raise ValueError(f"devices={devices} asks for more than the {present} {target.type} here")
    chosen = [target.index] if target.index is not None else devices
    return Fabric(
        accelerator=target.type,
        devices=chosen,
        strategy="ddp_spawn" if devices != 1 else "auto",
        precision=precision or pick_precision(target),  # type: ignore[arg-type]
    )


def _run(
    fabric: Fabric, outcomes: Path, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    # Fabric's own way back is a pipe that is read only after the processes have ended: a result
    # larger than the pipe would wait for ever. Files have no such limit.
    try:
        result = function(fabric, *arguments)
        if fabric.is_global_zero:
            (outcomes / "result").write_bytes(pickle.dumps(result))
    except Exception as error:
        (outcomes / f"error-{fabric.global_rank}").write_bytes(_pickled(error))
        raise
    torch.distributed.destroy_process_group()


def _pickled(error: Exception) -> bytes:
    try:
        content = pickle.dumps(error)
        pickle.loads(content)  # fails where __init__ takes other arguments than the message
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return content
