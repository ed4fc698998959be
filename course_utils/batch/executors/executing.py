"""Run one task on this machine, and tell all about it: what every executor does in the end."""

import contextlib
import os
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from threading import Event
from typing import Any

import nbformat

from course_utils.batch.executors.run_folder import remove_orphans, run_folder
from course_utils.batch.tasks import Record, Task
from course_utils.config import visible_gpus
from course_utils.lessons import EXERCISE_MIME, METRIC_MIME
from course_utils.runs.run import Outcome, RunResult, run_notebook

PACKAGES = ("course-utils", "torch", "torchvision", "numpy", "opencv-python", "papermill")
KERNEL_WARNING = "[IPKernelApp] WARNING"  # each kernel says one at its start, of no fault
LOG_LINES, LOG_BYTES = 5, 4000  # of a worker's last words
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def execute(
    task: Task,
    *,
    threads: int,
    gpu: str | None = None,
    on_cell: Callable[[int, int], None] | None = None,
    cancel: Event | None = None,
) -> Record:
    """Run `task` in a folder of its own, which is gone afterwards, and return what became of it.

    The run computes with `threads` threads, on the GPU called `gpu` alone if one is given.
    `on_cell(i, n)` is told when code cell i of n starts. Setting `cancel` ends the run.

    A notebook that fails, or cannot be started at all, is a record like any other. Raises
    `OSError` where there is no place for such a folder.
    """
    started = datetime.now(UTC)
    _remove_orphans_once()
    with run_folder() as folder:
        source, workdir = folder / f"{task.lesson}.ipynb", folder / "work"
        environment = dict.fromkeys(_THREAD_SETTINGS, str(threads))
        environment["TMPDIR"] = str(folder)  # temporary files go with the folder
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        try:
            source.write_text(task.notebook, encoding="utf-8")
            result = run_notebook(
                source,
                folder / "executed.ipynb",
                task.parameters,
                workdir=workdir,
                timeout=task.limits.seconds,
                cell_seconds=task.limits.cell_seconds,
                memory_gb=task.limits.memory_gb,
                written_gb=task.limits.written_gb,
                environment=environment,
                on_cell=on_cell,
                cancel=cancel,
            )
            text = result.notebook.read_text(encoding="utf-8")
        except (ValueError, OSError) as error:
            # The first is the notebook's fault, the second this machine's.
            outcome = Outcome.ERROR if isinstance(error, ValueError) else Outcome.KILLED
            message = f"could not be run: {error}".replace(str(source), source.name)
            result = RunResult(source, outcome, 0.0, 0, 0, message)
            text = task.notebook
        message = _with_log(result.message, workdir / "run.log")
    notebook = _read(text)
    return Record(
        id=task.id,
        attempt=task.attempt,
        outcome=result.outcome,
        message=message,
        failure=result.failure,
        metrics=tuple(_bundles(notebook, METRIC_MIME, "name")),
        exercises=tuple(_last_verdicts(notebook)),
        versions=_versions(),
        device=_device(threads, gpu),
        host=platform.node(),
        started=started.isoformat(timespec="seconds"),
        seconds=round(result.seconds, 3),
        peak_memory_gb=round(result.peak_memory_gb, 3),
        notebook=text,
    )


@cache
def _remove_orphans_once() -> None:
    """Make room where an earlier batch was killed, on the host that executes."""
    remove_orphans()


def _read(text: str) -> nbformat.NotebookNode:
    try:
        return nbformat.reads(text, as_version=4)
    except Exception:  # nbformat's own, and whatever odd JSON leads it to
        return nbformat.v4.new_notebook()  # a corrupt source: there is nothing to be found in it


def _bundles(notebook: nbformat.NotebookNode, mime: str, key: str) -> list[Mapping[str, Any]]:
    """Return the bundles of a kind that have a text as `key`; a notebook may show anything."""
    found = [
        output["data"][mime]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if mime in output.get("data", {})
    ]
    return [
        dict(bundle)
        for bundle in found
        if isinstance(bundle, dict) and isinstance(bundle.get(key), str)
    ]


def _last_verdicts(notebook: nbformat.NotebookNode) -> list[Mapping[str, Any]]:
    verdicts = _bundles(notebook, EXERCISE_MIME, "exercise")
    last = {verdict["exercise"]: verdict for verdict in verdicts}
    return list(last.values())


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


def _device(threads: int, gpu: str | None) -> str:
    if gpu is None:
        return f"cpu, {threads} threads" if threads > 1 else "cpu, 1 thread"
    import torch

    # torch counts from 0 what CUDA_VISIBLE_DEVICES leaves it.
    visible = visible_gpus()
    return str(torch.cuda.get_device_name(visible.index(gpu))) if gpu in visible else f"GPU {gpu}"


def available_threads() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
