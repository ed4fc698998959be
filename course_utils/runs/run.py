"""Execute one notebook in a process of its own, within limits of time, memory and disk.

papermill alone does not serve: its working directory belongs to the whole process, its time-outs
count per cell, and a notebook of a run that was killed says *completed*. So each notebook gets a
worker process, and the verdict is what the worker and its exit status say, never the file.
"""

import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Any

import nbformat

from course_utils.runs.worker_process import WorkerProcess

START_TIMEOUT = 120  # seconds that a kernel may take to start: a cold disk is slow
GB = 10**9  # bytes


class Outcome(StrEnum):
    """How a run ended."""

    OK = "ok"
    ERROR = "error"
    """A cell raised an error, or what the run wrote passed its limit or did not fit the disk."""
    TIMEOUT = "timeout"
    """The wall-clock limit of the run passed, or that of a cell."""
    KILLED = "killed"
    """The kernel or the worker died: often for want of memory."""
    OUT_OF_MEMORY = "out-of-memory"
    """The memory limit was passed, or a cell asked for more than there was."""
    CANCELLED = "cancelled"
    """A person stopped it."""


@dataclass(frozen=True)
class Failure:
    """The cell that failed, and what it said."""

    cell: int
    """As in `In [cell]`."""
    source: str
    error: str
    excerpt: str
    """Last lines of the traceback."""


@dataclass(frozen=True)
class RunResult:
    """What became of one run."""

    notebook: Path
    """The executed notebook; after a time-out it holds what was done until then."""
    outcome: Outcome
    seconds: float
    cells_started: int
    cells: int
    message: str = ""
    """One sentence for a person; empty when all went well."""
    failure: Failure | None = None
    peak_memory_gb: float = 0.0
    """Highest sum of the resident memory of all its processes that was seen; what came and went
    between two looks was not."""


def run_notebook(
    source: str | Path,
    output: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    workdir: str | Path,
    timeout: float = 3600,
    cell_seconds: float | None = None,
    memory_gb: float | None = None,
    written_gb: float | None = None,
    environment: Mapping[str, str] | None = None,
    on_cell: Callable[[int, int], None] | None = None,
    cancel: Event | None = None,
) -> RunResult:
    """Execute `source` with `parameters`, write the result to `output`, say what happened.

    `workdir` is emptied, becomes the notebook's working directory, and holds `run.log`.
    `timeout` is in seconds for the whole notebook, `memory_gb` (of 10^9 bytes) for the resident
    memory of its processes together, `written_gb` for the files in `workdir` together; no single
    file can grow beyond that, wherever it is. `environment` adds to the process' own.
    A cell that takes longer than `cell_seconds` is interrupted. Where its tag `raises-exception`
    lets it fail, the cells after it are run, unless it does not end even then; the outcome is a
    time-out in any case. `on_cell(i, n)` is called when code cell i of n starts. Setting `cancel`
    ends the run.

    A failing notebook is a result, not an exception. Before anything starts, `ValueError` tells
    of a file that is no notebook and of a limit that is none, `OSError` of a folder that cannot
    be written. `KeyboardInterrupt` passes through after the worker, its kernel and all their
    children have been ended.
    """
    check_timeout(timeout)
    if cell_seconds is not None:
        check_timeout(cell_seconds, "cell_seconds")
    memory, written = _in_bytes("memory_gb", memory_gb), _in_bytes("written_gb", written_gb)
    source, output, workdir = Path(source).resolve(), Path(output), Path(workdir).resolve()
    blank = without_outputs(source)
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = workdir.with_name(f"{workdir.name}.running.ipynb")
    # The worker replaces it whole each time, so it can be read whatever happens from here on.
    nbformat.write(blank, draft)
    request = {
        "source": str(source),
        "output": str(draft),
        "parameters": dict(parameters or {}),
        "workdir": str(workdir),
        "start_timeout": START_TIMEOUT,
        "cell_seconds": cell_seconds if math.isfinite(cell_seconds or 0) else None,
        # One byte more than allowed, so that a file cut off there is seen to be too large.
        "largest_file": int(written) + 1 if math.isfinite(written) else None,
    }
    log = workdir / "run.log"
    started = time.monotonic()
    worker = WorkerProcess(request, log, environment or {}, memory=memory, written=written)
    try:
        end = worker.watch(
            started + timeout,
            on_cell or (lambda cell, cells: None),
            cancel.is_set if cancel else (lambda: False),
        )
    finally:
        worker.stop()
    seconds = time.monotonic() - started
    os.replace(draft, output)
    outcome, message = _judge(end, worker, timeout, memory_gb, written_gb)
    failure = Failure(**end["failure"]) if end.get("failure") else None
    peak = worker.peak_memory / GB
    return RunResult(output, outcome, seconds, worker.cell, worker.cells, message, failure, peak)


def check_timeout(timeout: float, name: str = "timeout") -> None:
    """Raise `ValueError` unless `timeout` is above 0 (nan is not)."""
    if not timeout > 0:
        raise ValueError(f"{name} must be a number of seconds above 0, got {timeout}")


def without_outputs(source: Path) -> nbformat.NotebookNode:
    """Read a notebook as if it had never been executed; `ValueError` if the file is none."""
    try:
        notebook = nbformat.read(source, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
    except OSError:
        raise
    except Exception as error:  # nbformat's own, and whatever odd JSON leads it to
        told = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ValueError(f"{source} is not a notebook ({told}): take a fresh copy of it") from error
    return notebook


def _in_bytes(name: str, limit_gb: float | None) -> float:
    if limit_gb is None:
        return math.inf
    if not (limit_gb > 0 and math.isfinite(limit_gb)):
        raise ValueError(f"{name} must be a number above 0, got {limit_gb}: leave it out for none")
    return limit_gb * GB


def _judge(
    end: dict[str, Any],
    worker: WorkerProcess,
    timeout: float,
    memory_gb: float | None,
    written_gb: float | None,
) -> tuple[Outcome, str]:
    where = f"in cell {worker.cell} of {worker.cells}" if worker.cell else "before the first cell"
    match end.get("outcome"):
        case "ok" if worker.returncode == 0:
            return Outcome.OK, ""
        case "timeout" if end.get("message"):  # of the worker's, who ends it in its own way
            return Outcome.TIMEOUT, end["message"]
        case "timeout":
            return Outcome.TIMEOUT, f"stopped after the limit of {timeout:g} s, {where}"
        case "cancelled":
            return Outcome.CANCELLED, f"stopped by hand, {where}"
        case "too-much-memory":
            used = f"{end['used'] / GB:.3g} GB of memory"
            return Outcome.OUT_OF_MEMORY, f"used {used}, the limit is {memory_gb:g} GB, {where}"
        case "too-much-written":
            used = f"{end['used'] / GB:.3g} GB in its working directory"
            return Outcome.ERROR, f"wrote {used}, the limit is {written_gb:g} GB, {where}"
        case "out-of-memory":
            return Outcome.OUT_OF_MEMORY, f"no memory left {where}: {end['failure']['error']}"
        case "error":
            return Outcome.ERROR, end.get("message") or end["failure"]["error"]
        case "killed":
            return Outcome.KILLED, f"the kernel died {where}: is there enough memory?"
        case _:
            end_of_worker = f"the worker ended with status {worker.returncode} {where}"
            return Outcome.KILLED, f"{end_of_worker}: see {worker.log}"
