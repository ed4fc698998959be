"""Execute one notebook in a process of its own, within limits of time, memory and disk.

papermill alone does not serve: its working directory belongs to the whole process, its time-outs
count per cell, and a notebook of a run that was killed says *completed*. So each notebook gets a
worker process, and the verdict is what the worker and its exit status say, never the file.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import nbformat

from course_utils.config import visible_gpus
from course_utils.lessons import EXERCISE_MIME, METRIC_MIME
from course_utils.runs.container import Container
from course_utils.runs.graded_notebook import CHECKED
from course_utils.runs.records import Failure, Limits, Outcome, RunRecord
from course_utils.runs.worker_process import WorkerProcess

START_TIMEOUT = 120  # seconds that a kernel may take to start: a cold disk is slow
GB = 10**9  # bytes
PACKAGES = ".packages"
"""Within the working directory: what a notebook installs with pip."""
HEADROOM = GB
"""A process reserves more than it uses: stacks of threads, what it has freed. The limit that the
system holds is so much above that of the run. Where there are GPUs it has none, since their drivers
reserve far more."""
LARGEST_BUNDLE, MOST_BUNDLES = 20_000, 5_000  # characters, and how many: others are no results
NOT_REACHED = "the check came to no end: the run was stopped before, or in it"


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
    container: Container | None = None,
) -> RunRecord:
    """Execute `source` with `parameters`, write the result to `output`, say what happened.

    A cell that takes longer than its limit is interrupted. Where its tag `raises-exception` lets
    it fail, the cells after it are run, unless it does not end even then; the outcome is a
    time-out in any case. No single file can outgrow `limits.written_gb`, wherever it is, and no
    single process the memory by more than `HEADROOM`. What a notebook installs with pip goes into
    `workdir`.

    Args:
        source: the notebook.
        output: the executed notebook; after a time-out it holds what was done until then.
        parameters: values in place of those in the cell tagged `parameters`.
        workdir: is emptied, becomes the notebook's working directory, and holds `run.log`.
        limits: of time, memory and written files; by default an hour, and no others.
        environment: adds to the process' own.
        on_cell: called as `on_cell(i, n)` when code cell i of n starts.
        cancel: ends the run when it is set.
        container: where it is executed, if not on this machine itself; `source` and `output` lie
            beside `workdir` then.

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
    packages = workdir / PACKAGES
    packages.mkdir(parents=True)
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
        "packages": str(packages),
        "memory": int(memory + HEADROOM) if math.isfinite(memory) and not visible_gpus() else None,
        "largest_file": int(written) + 1 if math.isfinite(written) else None,
    }
    log = workdir / "run.log"
    started, begun = time.monotonic(), datetime.now(UTC)
    worker = WorkerProcess(
        request, log, environment or {}, memory=memory, written=written, container=container
    )
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
    content = source.read_bytes()
    try:
        return blank_notebook(content)
    except ValueError as error:
        raise ValueError(f"{source} is {error}") from error


def blank_notebook(content: bytes) -> nbformat.NotebookNode:
    """Read the content of a file likewise; editors on Windows may have saved it as UTF-16."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        notebook = nbformat.reads(content.decode(encoding), as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
    except Exception as error:  # nbformat's own, and whatever odd JSON leads it to
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ValueError(f"not a notebook ({why}): take a fresh copy of it") from error
    return notebook


def read_results(
    notebook: nbformat.NotebookNode,
) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """Return the metrics of an executed notebook, and the last verdict on each exercise.

    Where the batch has appended checks, only what these say is a verdict; what the notebook showed
    by itself stands beside it, as `shown`. A check that came to no end has no `outcome`, and one
    where something else shows a verdict, too, has none either.
    """
    checks = [cell for cell in notebook.cells if CHECKED in cell.metadata]
    others = [cell for cell in notebook.cells if CHECKED not in cell.metadata]
    metrics = tuple(_bundles(others, METRIC_MIME, "name"))
    shown = {each["exercise"]: each for each in _bundles(others, EXERCISE_MIME, "exercise")}
    if not checks:
        return metrics, tuple(shown.values())
    judged = []
    for cell in checks:
        exercise = cell.metadata[CHECKED]
        found = _bundles([cell], EXERCISE_MIME, "exercise")
        verdict = {"exercise": exercise, "message": NOT_REACHED}
        if len(found) == 1 and found[0]["exercise"] == exercise:
            verdict = found[0]
        elif found:
            verdict["message"] = "something else than the check shows a verdict, too"
        if exercise in shown:
            verdict["shown"] = str(shown[exercise].get("outcome"))
        judged.append(verdict)
    return metrics, tuple(judged)


def _bundles(cells: Sequence[nbformat.NotebookNode], mime: str, key: str) -> list[dict[str, Any]]:
    """Return the bundles of a kind that have a text as `key`; a notebook may show anything."""
    found = [
        output["data"][mime]
        for cell in cells
        for output in cell.get("outputs", [])
        if mime in output.get("data", {})
    ]
    bundles = [
        dict(bundle)
        for content in found
        for bundle in (content if isinstance(content, list) else [content])
        if isinstance(bundle, dict) and isinstance(bundle.get(key), str)
    ]
    small = (each for each in bundles if len(json.dumps(each)) <= LARGEST_BUNDLE)
    return list(islice(small, MOST_BUNDLES))


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
            return Outcome.OUT_OF_MEMORY, end["message"]
        case "error":
            return Outcome.ERROR, end["message"]
        case "garbled":
            return Outcome.KILLED, f"something else wrote where only the worker reports, {where}"
        case "killed":
            return Outcome.KILLED, f"the kernel died {where}: is there enough memory?"
        case _:
            end_of_worker = f"the worker ended with status {worker.returncode} {where}"
            return Outcome.KILLED, f"{end_of_worker}: see {worker.log}"
