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
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import nbformat

from course_utils.lessons import EXERCISE_MIME, METRIC_MIME
from course_utils.runs.records import Failure, Limits, Outcome, RunRecord
from course_utils.runs.worker_process import WorkerProcess

START_TIMEOUT = 120  # seconds that a kernel may take to start: a cold disk is slow
GB = 10**9  # bytes


def run_notebook(
    source: str | Path,
    output: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    workdir: str | Path,
    limits: Limits | None = None,
    environment: Mapping[str, str] | None = None,
    on_cell: Callable[[int, int], None] | None = None,
    cancel: Event | None = None,
) -> RunRecord:
    """Execute `source` with `parameters`, write the result to `output`, say what happened.

    A cell that takes longer than its limit is interrupted. Where its tag `raises-exception` lets
    it fail, the cells after it are run, unless it does not end even then; the outcome is a
    time-out in any case. No single file can outgrow `limits.written_gb`, wherever it is.

    Args:
        source: the notebook.
        output: the executed notebook; after a time-out it holds what was done until then.
        parameters: values in place of those in the cell tagged `parameters`.
        workdir: is emptied, becomes the notebook's working directory, and holds `run.log`.
        limits: of time, memory and written files; by default an hour, and no others.
        environment: adds to the process' own.
        on_cell: called as `on_cell(i, n)` when code cell i of n starts.
        cancel: ends the run when it is set.

    Returns:
        What became of it; a failing notebook is no exception.

    Raises:
        ValueError: before anything starts, if the file is no notebook.
        OSError: before anything starts, if a folder cannot be written.
        KeyboardInterrupt: passes through when the worker, its kernel and all that these have
            started have been ended.
    """
    limits = limits or Limits()
    memory, written = (
        math.inf if limit is None else limit * GB for limit in (limits.memory_gb, limits.written_gb)
    )
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
        "cell_seconds": limits.cell_seconds if math.isfinite(limits.cell_seconds or 0) else None,
        # One byte more than allowed, so that a file cut off there is seen to be too large.
        "largest_file": int(written) + 1 if math.isfinite(written) else None,
    }
    log = workdir / "run.log"
    started, begun = time.monotonic(), datetime.now(UTC)
    worker = WorkerProcess(request, log, environment or {}, memory=memory, written=written)
    try:
        end = worker.watch(
            started + limits.seconds,
            on_cell or (lambda cell, cells: None),
            cancel.is_set if cancel else (lambda: False),
        )
    finally:
        worker.stop()
    seconds = time.monotonic() - started
    os.replace(draft, output)
    outcome, message = _outcome_of(end, worker, limits)
    text = output.read_text(encoding="utf-8")
    metrics, exercises = read_results(nbformat.reads(text, as_version=4))
    return RunRecord(
        id="",
        lesson=source.stem,
        parameters=dict(parameters or {}),
        limits=limits,
        attempt=1,
        outcome=outcome,
        message=message,
        failure=Failure(**end["failure"]) if end.get("failure") else None,
        metrics=metrics,
        exercises=exercises,
        started=begun.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        peak_memory_gb=round(worker.peak_memory / GB, 3),
        notebook=str(output),
        text=text,
    )


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
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ValueError(f"{source} is not a notebook ({why}): take a fresh copy of it") from error
    return notebook


def read_results(
    notebook: nbformat.NotebookNode,
) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """Return the metrics of an executed notebook, and the last verdict on each exercise."""
    verdicts = _bundles(notebook, EXERCISE_MIME, "exercise")
    last = {verdict["exercise"]: verdict for verdict in verdicts}
    return tuple(_bundles(notebook, METRIC_MIME, "name")), tuple(last.values())


def _bundles(notebook: nbformat.NotebookNode, mime: str, key: str) -> list[dict[str, Any]]:
    """Return the bundles of a kind that have a text as `key`; a notebook may show anything."""
    found = [
        output["data"][mime]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if mime in output.get("data", {})
    ]
    return [
        dict(bundle)
        for content in found
        for bundle in (content if isinstance(content, list) else [content])
        if isinstance(bundle, dict) and isinstance(bundle.get(key), str)
    ]


def _outcome_of(end: dict[str, Any], worker: WorkerProcess, limits: Limits) -> tuple[Outcome, str]:
    where = f"in cell {worker.cell} of {worker.cells}" if worker.cell else "before the first cell"
    match end.get("outcome"):
        case "ok" if worker.returncode == 0:
            return Outcome.OK, ""
        case "timeout" if end.get("message"):  # of the worker's, who ends it in its own way
            return Outcome.TIMEOUT, end["message"]
        case "timeout":
            return Outcome.TIMEOUT, f"stopped after the limit of {limits.seconds:g} s, {where}"
        case "cancelled":
            return Outcome.CANCELLED, f"stopped by hand, {where}"
        case "too-much-memory":
            used = f"{end['used'] / GB:.3g} GB of memory"
            return (
                Outcome.OUT_OF_MEMORY,
                f"used {used}, the limit is {limits.memory_gb:g} GB, {where}",
            )
        case "too-much-written":
            used = f"{end['used'] / GB:.3g} GB in its working directory"
            return Outcome.ERROR, f"wrote {used}, the limit is {limits.written_gb:g} GB, {where}"
        case "out-of-memory":
            return Outcome.OUT_OF_MEMORY, f"no memory left {where}: {end['failure']['error']}"
        case "error":
            return Outcome.ERROR, end.get("message") or end["failure"]["error"]
        case "killed":
            return Outcome.KILLED, f"the kernel died {where}: is there enough memory?"
        case _:
            end_of_worker = f"the worker ended with status {worker.returncode} {where}"
            return Outcome.KILLED, f"{end_of_worker}: see {worker.log}"
