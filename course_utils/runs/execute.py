"""Run one task on this machine, and record all about it: what every executor does in the end."""

import contextlib
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from threading import Event

from course_utils.config import chosen_threads, visible_gpus
from course_utils.runs.container import Container
from course_utils.runs.records import Outcome, RunRecord, Task
from course_utils.runs.run import run_notebook
from course_utils.runs.run_folder import remove_orphans, run_folder

PACKAGES = ("course-utils", "torch", "torchvision", "numpy", "opencv-python", "papermill")
KERNEL_WARNING = "[IPKernelApp] WARNING"  # each kernel says one at its start, of no fault
LOG_LINES, LOG_BYTES = 5, 4000  # of a worker's last words
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def execute(
    task: Task,
    *,
    threads: int | None = None,
    gpu: str | None = None,
    on_cell: Callable[[int, int], None] | None = None,
    cancel: Event | None = None,
    container: Container | None = None,
) -> RunRecord:
    """Run `task` in a folder of its own, which is gone afterwards.

    Args:
        task: what to run.
        threads: how many it computes with; by default what the environment of this process says,
            else all.
        gpu: the only GPU that it sees.
        on_cell: called as `on_cell(i, n)` when code cell i of n starts.
        cancel: ends the run when it is set.
        container: where it is executed, if not on this machine itself.

    Returns:
        What became of it; a notebook that fails, or cannot be started at all, is no exception.

    Raises:
        OSError: where there is no place for such a folder.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    _remove_orphans_once()
    with run_folder() as folder:
        source, workdir = folder / f"{task.lesson}.ipynb", folder / "work"
        environment = {"TMPDIR": str(folder)}  # temporary files go with the folder
        if threads is not None:
            environment |= dict.fromkeys(_THREAD_SETTINGS, str(threads))
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        try:
            source.write_text(task.notebook, encoding="utf-8")
            record = run_notebook(
                source,
                folder / "executed.ipynb",
                task.parameters,
                workdir=workdir,
                limits=task.limits,
                environment=environment,
                on_cell=on_cell,
                cancel=cancel,
                container=container,
            )
        except (ValueError, OSError) as error:
            # The first is the notebook's fault, the second this machine's.
            outcome = Outcome.ERROR if isinstance(error, ValueError) else Outcome.KILLED
            message = f"could not be run: {error}".replace(str(source), source.name)
            record = end_of(task, outcome, message, started)
        message = _with_log(record.message, workdir / "run.log")
    return replace(
        record,
        id=task.id,
        parameters=task.parameters,
        student=task.student,
        attempt=task.attempt,
        message=message,
        versions=_versions(),
        device=_device(threads, gpu),
        host=platform.node(),
        notebook="",
    )


def end_of(task: Task, outcome: Outcome, message: str, started: str) -> RunRecord:
    """Return the record of an attempt of which nothing came back; its notebook is the source."""
    spent = datetime.now(UTC) - datetime.fromisoformat(started)
    return RunRecord.of(
        task,
        outcome=outcome,
        message=message,
        started=started,
        seconds=round(spent.total_seconds(), 3),
        peak_memory_gb=0.0,
        text=task.notebook,
    )


def available_threads() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _remove_orphans_once() -> None:
    """Make room where an earlier batch was killed, on the host that executes."""
    remove_orphans()


def _with_log(message: str, log: Path) -> str:
    """Replace the name of the log, which is gone afterwards, by its last lines."""
    if str(log) not in message:
        return message
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    said = (line.strip() for line in lines if not line.startswith(KERNEL_WARNING))
    last = [line for line in said if line][-LOG_LINES:]
    return message.replace(f"see {log}", " / ".join(last) or "it left no word")


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):  # another build of it is there
            found[name] = metadata.version(name)
    return found


def _device(threads: int | None, gpu: str | None) -> str:
    gpus = visible_gpus()
    if gpu in gpus or (gpus and gpu is None):
        import torch

        # torch counts from 0 what CUDA_VISIBLE_DEVICES leaves it.
        return str(torch.cuda.get_device_name(gpus.index(gpu) if gpu else 0))
    if gpu is not None:
        return f"GPU {gpu}"
    threads = threads or chosen_threads() or available_threads()
    return f"cpu, {threads} threads" if threads > 1 else "cpu, 1 thread"
