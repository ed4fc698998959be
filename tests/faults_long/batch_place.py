"""A folder in which tests run `course batch` in processes of its own, and all that it starts."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import psutil

from course_utils.runs.records import RunRecord
from course_utils.runs.store import read_store

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from tiny_notebooks import write_lesson

PATIENCE = 240  # seconds: a busy machine takes long to start a kernel
MARK = "COURSE_FAULT_TEST"  # in the environment of all that a test starts
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of a shell's background, and inherited
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A cell that writes into every pipe of the worker of its run; one of them reports to the batch.
GARBLE = """import glob, os, time
for path in glob.glob(f"/proc/{os.getppid()}/fd/*"):
    try:
        if os.readlink(path).startswith("pipe:"):
            os.write(os.open(path, os.O_WRONLY | os.O_NONBLOCK), b"{}\\n")
    except OSError:
        pass
time.sleep(600)"""
COURSE = [sys.executable, "-c", "from course_utils.cli import app; app()"]


class Place:
    """A folder with lessons and plans, and all processes that are started for it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.gate = folder, folder / "gate"
        self._mark = uuid.uuid4().hex
        self._started: list[subprocess.Popen[str]] = []
        self._environment = {**os.environ, MARK: self._mark, "OMP_NUM_THREADS": "1"}
        self._environment["TMPDIR"] = str(folder / "tmp")
        (folder / "tmp").mkdir()

    def lesson(self, name: str, *code: str) -> None:
        write_lesson(self.folder / "notebooks", name, *code)

    def plan(self, text: str) -> None:
        (self.folder / "plan.yml").write_text(f"name: one\nprofile: smoke\n{text}")

    def start(
        self, *words: str, output: IO[str] | int = subprocess.PIPE, **environment: str
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env={**self._environment, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def batch(self, *words: str, output: IO[str] | int = subprocess.PIPE) -> subprocess.Popen[str]:
        given = words or ("plan.yml",)
        options = "--notebooks", "notebooks", "--out", "out"
        return self.start(*COURSE, "batch", *given, *options, output=output)

    def latest(self, out: str = "out") -> list[RunRecord]:
        return read_store(self.folder / out)

    def states(self) -> dict[tuple[str, int | None], tuple[int, str]]:
        return {(run.lesson, run.seed): (run.attempt, run.state) for run in self.latest()}

    def begun(self) -> dict[int, list[tuple[int, int]]]:
        """Seed -> process ids of the kernel and its worker, for each time that it began."""
        found: dict[int, list[tuple[int, int]]] = {}
        for path in self.folder.glob("begun-*"):
            seed, kernel, worker = map(int, path.name.split("-")[1:])
            found.setdefault(seed, []).append((kernel, worker))
        return found

    def running(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self._mark and process.status() != "zombie":
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def end_all(self) -> None:
        for process in self.running():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        for started in self._started:
            started.wait()
            if started.stdout:
                started.stdout.close()


def wait_for(
    what: Callable[[], Any],
    *,
    shown: Callable[[], object] = lambda: "",
    patience: float = PATIENCE,
) -> Any:
    deadline = time.monotonic() + patience
    while not (found := what()):
        assert time.monotonic() < deadline, shown()
        time.sleep(0.05)
    return found


def end(process: subprocess.Popen[str], patience: float = PATIENCE) -> tuple[int, str]:
    text, _ = process.communicate(timeout=patience)
    return process.returncode, text
