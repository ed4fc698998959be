"""Execute one notebook in a process of its own, with a wall-clock limit.

papermill alone does not serve: its working directory belongs to the whole process, its time-outs
count per cell, and a notebook of a run that was killed says *completed*. So each notebook gets a
worker process, and the verdict is what the worker and its exit status say, never the file.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, cast

import nbformat
import psutil

from course_utils.config import data_root

WORKER = Path(__file__).with_name("worker.py")
LOOK_EVERY = 0.5  # seconds between two looks at the worker's children
START_TIMEOUT = 120  # seconds that a kernel may take to start: a cold disk is slow


class Outcome(StrEnum):
    """How a run ended."""

    OK = "ok"
    ERROR = "error"
    """A cell raised an error."""
    TIMEOUT = "timeout"
    """The wall-clock limit passed."""
    KILLED = "killed"
    """The kernel or the worker died: often for want of memory."""
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


def run_notebook(
    source: str | Path,
    output: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    workdir: str | Path,
    timeout: float = 3600,
    environment: Mapping[str, str] | None = None,
    on_cell: Callable[[int, int], None] | None = None,
) -> RunResult:
    """Execute `source` with `parameters`, write the result to `output`, say what happened.

    `workdir` is emptied, becomes the notebook's working directory, and holds `run.log`.
    `timeout` is in seconds for the whole notebook. `environment` adds to the process' own.
    `on_cell(i, n)` is called when code cell i of n starts.

    A failing notebook is a result, not an exception. `KeyboardInterrupt` passes through after
    the worker, its kernel and all their children have been ended.
    """
    check_timeout(timeout)
    source, output, workdir = Path(source).resolve(), Path(output), Path(workdir).resolve()
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    draft = workdir.with_name(f"{workdir.name}.running.ipynb")
    request = {
        "source": str(source),
        "output": str(draft),
        "parameters": dict(parameters or {}),
        "workdir": str(workdir),
        "start_timeout": START_TIMEOUT,
    }
    started = time.monotonic()
    worker = _Worker(request, workdir / "run.log", environment or {})
    try:
        end = worker.watch(started + timeout, on_cell or (lambda cell, cells: None))
    finally:
        worker.stop()
    seconds = time.monotonic() - started
    _keep(draft, source, output)
    outcome, message = _judge(end, worker, timeout)
    failure = Failure(**end["failure"]) if end.get("failure") else None
    return RunResult(output, outcome, seconds, worker.cell, worker.cells, message, failure)


def check_timeout(timeout: float) -> None:
    """Raise `ValueError` unless `timeout` is above 0 (nan is not)."""
    if not timeout > 0:
        raise ValueError(f"timeout must be a number of seconds above 0, got {timeout}")


class _Worker:
    """The worker process and everything that it starts."""

    def __init__(self, request: dict[str, Any], log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        self.cell = self.cells = 0
        self._seen: dict[int, psutil.Process] = {}
        # The kernel of this environment, not one that the user once installed under its name.
        settings = {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        # A relative data root means this process' directory, not the notebook's.
        settings["COURSE_DATA_ROOT"] = str(data_root())
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                env={**os.environ, **settings, **environment},
                start_new_session=True,
            )
        self._stdin = cast(IO[str], self._process.stdin)
        self._stdin.write(json.dumps(request) + "\n")
        self._stdin.flush()
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def watch(self, deadline: float, on_cell: Callable[[int, int], None]) -> dict[str, Any]:
        """Follow the worker to its end, or to the deadline; return its last word."""
        end: dict[str, Any] = {}
        while True:
            self._look_for_children()
            left = deadline - time.monotonic()
            if left <= 0:
                return {"outcome": "timeout"}
            try:
                event = self._events.get(timeout=min(left, LOOK_EVERY))
            except queue.Empty:
                continue
            if event is None:
                self._process.wait()
                return end
            if event["event"] == "cell":
                self.cell, self.cells = event["cell"], event["cells"]
                on_cell(self.cell, self.cells)
            else:
                end = event

    def stop(self) -> None:
        """End the worker, its kernel and all that these have started. Safe to call twice.

        The kernel has a process group of its own, so one signal to the worker's is not enough.
        """
        self._look_for_children()
        if self._process.poll() is None:
            _kill_group(self._process.pid)
        self._process.wait()
        for child in self._seen.values():
            if child.is_running():  # the same process, not a later one of the same number
                _kill_group(child.pid)
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def _listen(self) -> None:
        with cast(IO[str], self._process.stdout) as lines:
            for line in lines:
                self._events.put(json.loads(line))
        self._events.put(None)

    def _look_for_children(self) -> None:
        try:
            children = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return
        self._seen.update((child.pid, child) for child in children)


def _judge(end: dict[str, Any], worker: _Worker, timeout: float) -> tuple[Outcome, str]:
    where = f"in cell {worker.cell} of {worker.cells}" if worker.cell else "before the first cell"
    match end.get("outcome"):
        case "ok" if worker.returncode == 0:
            return Outcome.OK, ""
        case "timeout":
            return Outcome.TIMEOUT, f"stopped after the limit of {timeout:g} s, {where}"
        case "error":
            return Outcome.ERROR, end.get("message") or end["failure"]["error"]
        case "killed":
            return Outcome.KILLED, f"the kernel died {where}: is there enough memory?"
        case _:
            end_of_worker = f"the worker ended with status {worker.returncode} {where}"
            return Outcome.KILLED, f"{end_of_worker}: see {worker.log}"


def without_outputs(source: Path) -> nbformat.NotebookNode:
    """Read a notebook as if it had never been executed."""
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _keep(draft: Path, source: Path, output: Path) -> None:
    """Move the draft to its place; one that was cut off while it was written counts for none."""
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        nbformat.read(draft, as_version=4)
    except (FileNotFoundError, nbformat.reader.NotJSONError):
        nbformat.write(without_outputs(source), draft)
    os.replace(draft, output)


def _kill_group(pid: int) -> None:
    try:
        if hasattr(os, "killpg"):
            os.killpg(os.getpgid(pid), signal.SIGKILL)
        else:
            psutil.Process(pid).kill()
    except (ProcessLookupError, psutil.NoSuchProcess):
        return
