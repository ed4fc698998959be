"""The worker process of one run: start it, follow it, and keep it within its limits."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, cast

from course_utils.config import data_root
from course_utils.runs.container import Container
from course_utils.runs.process_tree import ProcessTree
from course_utils.runs.records import Failure

LONGEST_EVENT = 1_000_000  # characters
OUTCOMES = ("ok", "error", "killed", "timeout", "out-of-memory")
"""Which a worker can report."""
WORKER = ("-m", "course_utils.worker")
POLL_EVERY = 0.2  # seconds between two measurements of the processes and their memory
MEASURE_EVERY = 2.0  # seconds between two measurements of the size of the working directory
PATIENCE = 20  # looking takes at most one part in so many of the time


class WorkerProcess:
    """The process that executes `request` (see the package `worker`), with all that it starts.

    `memory` and `written` are limits in bytes: of all processes together, and of the files in
    the working directory. Infinity is no limit. In a container, which sees the folder of the
    working directory, it is the engine that holds the memory.
    """

    def __init__(
        self,
        request: dict[str, Any],
        log: Path,
        environment: Mapping[str, str],
        *,
        memory: float = float("inf"),
        written: float = float("inf"),
        container: Container | None = None,
    ) -> None:
        self.log = log
        self._container = container
        self.cell = self.cells = 0
        self.peak_memory = 0
        """Highest total of resident memory that any look has found, in bytes."""
        self._workdir = Path(request["workdir"])
        self._memory, self._written = memory, written
        self._next_look = self._next_measure = 0.0
        # The kernel of this environment, not one that the user once installed under its name.
        settings = {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        # A relative data root means this process' directory, not the notebook's.
        settings["COURSE_DATA_ROOT"] = str(data_root())
        self._name = f"course-{uuid.uuid4().hex}"
        command = [sys.executable, "-P", *WORKER]
        if container:
            command = container.command(
                self._name,
                ("-P", *WORKER),
                self._workdir.parent,
                {**settings, **environment},
                memory=memory,
                readable=data_root().absolute(),
            )
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, **settings, **environment},
                start_new_session=True,
            )
        self._tree = ProcessTree(self._process.pid)
        self._stdin = cast(IO[str], self._process.stdin)
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        with contextlib.suppress(BrokenPipeError):  # it has died already: its status tells
            self._stdin.write(json.dumps(request) + "\n")
            self._stdin.flush()

    def watch(
        self,
        deadline: float,
        on_cell: Callable[[int, int], None],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """Follow the worker to its end, to the deadline or past a limit; return the last word.

        `outcome` is the worker's own, or `timeout`, or `cancelled`; `too-much-memory` and
        `too-much-written` come with the bytes `used`; `garbled` where something else wrote into
        the pipe of the worker's events. Whatever still runs then is for `stop`.
        """
        end: dict[str, Any] = {}
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return {"outcome": "timeout"}
            if cancelled():
                return {"outcome": "cancelled"}
            if past := self._look():
                return past
            try:
                event = self._events.get(timeout=min(left, POLL_EVERY))
            except queue.Empty:
                continue
            if event is None:
                break
            if event["event"] == "cell":
                self.cell, self.cells = event["cell"], event["cells"]
                on_cell(self.cell, self.cells)
            elif event["event"] == "garbled":
                return {"outcome": "garbled"}
            else:
                end = event
        try:
            self._process.wait(timeout=max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return {"outcome": "timeout"}
        # The verdict must not depend on the moment of the last look.
        return {**end, **self._measure()}

    def stop(self) -> None:
        """End the worker, its kernel and all that these have started. Safe to call twice."""
        if self._container and self._process.poll() is None:
            self._container.kill(self._name)
        self._tree.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    @property
    def returncode(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.returncode

    def _listen(self) -> None:
        with cast(IO[str], self._process.stdout) as lines:
            while line := lines.readline(LONGEST_EVENT):
                if line.endswith("\n"):  # else the worker was killed while it wrote
                    self._events.put(_read_event(line))
                elif len(line) == LONGEST_EVENT:
                    self._events.put({"event": "garbled"})
                    return
        self._events.put(None)

    def _look(self) -> dict[str, Any]:
        started = time.monotonic()
        if started >= self._next_look:
            self._tree.look()
            used = self._tree.resident_bytes(self._memory)
            self.peak_memory = max(self.peak_memory, used)
            if used > self._memory:
                return {"outcome": "too-much-memory", "used": used}
            self._next_look = _next(started, POLL_EVERY)
        if started >= self._next_measure:
            if past := self._measure():
                return past
            self._next_measure = _next(started, MEASURE_EVERY)
        return {}

    def _measure(self) -> dict[str, Any]:
        if self._written == float("inf"):
            return {}
        used = folder_bytes(self._workdir)
        return {"outcome": "too-much-written", "used": used} if used > self._written else {}


def _read_event(line: str) -> dict[str, Any]:
    """Return what a worker reports; a notebook can write into the pipe what it likes."""
    try:
        event = json.loads(line)
        match event:
            case {"event": "cell", "cell": int(), "cells": int()}:
                return dict(event)
            case {"event": "end", "outcome": outcome} if outcome in OUTCOMES:
                end = {"message": "", "failure": None, **event}
                if end["failure"]:
                    Failure(**end["failure"])
                return end
    except (ValueError, TypeError, RecursionError):
        pass
    return {"event": "garbled"}


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below `folder` together; links count as links."""
    total, folders = 0, [str(folder)]
    while folders:
        # What is deleted meanwhile, or closed to us, counts for nothing.
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def _next(started: float, interval: float) -> float:
    now = time.monotonic()
    return now + max(interval, PATIENCE * (now - started))
