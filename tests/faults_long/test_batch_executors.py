"""Executors with real kernels: equal records from all, and nothing left when one is left."""

import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from course_utils.batch.executors.dask_cluster import DaskCluster
from course_utils.batch.executors.executing import available_threads
from course_utils.batch.executors.processes import Executor, Processes
from course_utils.batch.tasks import Limits, Record, Task
from tiny_notebooks import METRIC, write_lesson

from course_utils.config import visible_gpus
from course_utils.runs.run import Outcome

EXECUTORS: dict[str, Callable[[], Executor]] = {
    "serial": lambda: Processes(1),
    "processes": lambda: Processes(2),
    "dask": lambda: DaskCluster(workers=2),
}
EXERCISE = """from IPython.display import display
for outcome in ("wrong", "correct"):
    bundle = {"exercise": "iou", "outcome": outcome}
    display({"application/vnd.course.exercise+json": bundle, "text/plain": ""}, raw=True)"""
WHERE = """import os, pathlib
pathlib.Path("mine").touch()
print(*sorted(os.listdir()), os.environ["OMP_NUM_THREADS"], os.getcwd())"""
# Shown by whoever wants to see the batch stumble.
ODD = """from IPython.display import display
for kind in ("metric", "exercise"):
    for bundle in (5, [1], {"value": 1}, {"name": 3, "exercise": None}):
        display({f"application/vnd.course.{kind}+json": bundle, "text/plain": ""}, raw=True)"""
CODE = (WHERE, WHERE, METRIC, EXERCISE, "1 / 0", ODD)
SLEEP = """import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)"""


@pytest.fixture(scope="module")
def make_task(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Task]:
    folder = tmp_path_factory.mktemp("lessons")

    def make_task(code: str, number: int) -> Task:
        path = write_lesson(folder, f"9{number}_tiny", code)
        text = path.read_text(encoding="utf-8")
        return Task(f"task{number}", path.stem, text, {"seed": number}, Limits(300))

    return make_task


class Heard:
    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def started(self, task: Task, where: str) -> None:
        self.told.append((task.id, "started"))

    def cell(self, task: Task, cell: int, cells: int) -> None:
        self.told.append((task.id, cell, cells))


@pytest.fixture(scope="module")
def records(
    make_task: Callable[[str, int], Task],
) -> dict[str, tuple[dict[str, Record], Heard]]:
    """The records of the same six tasks from each executor, and what was heard meanwhile."""
    found = {}
    for name, executor in EXECUTORS.items():
        tasks = [make_task(code, number) for number, code in enumerate(CODE)]
        heard = Heard()
        with executor() as one:
            ended = list(one.run(deque(tasks), heard))
        assert len(ended) == len(CODE)
        found[name] = {record.id: record for record in ended}, heard
    return found


def comparable(record: Record) -> tuple[Any, ...]:
    failure = record.failure and (record.failure.source, record.failure.error)
    results = record.outcome, record.message, failure, record.metrics, record.exercises
    return record.id, record.attempt, *results, record.versions, record.host


def printed(record: Record) -> list[str]:
    cells = nbformat.reads(record.notebook, as_version=4).cells
    return "".join(out.get("text", "") for cell in cells for out in cell.get("outputs", [])).split()


@pytest.mark.parametrize("name", ["processes", "dask"])
def test_all_executors_give_equal_records(records: Any, name: str) -> None:
    (wanted, _), (found, _) = records["serial"], records[name]
    for key in wanted:
        assert comparable(found[key]) == comparable(wanted[key])


def test_a_record_tells_what_the_notebook_did(records: Any) -> None:
    found, _ = records["serial"]
    outcomes = [found[f"task{number}"].outcome for number in range(len(CODE))]
    assert outcomes == [Outcome.OK] * 4 + [Outcome.ERROR, Outcome.OK]
    assert found["task2"].metrics == ({"name": "iou", "value": 0.5, "unit": "share"},)
    assert found["task3"].exercises == ({"exercise": "iou", "outcome": "correct"},)
    assert found["task4"].failure.source == "1 / 0"
    assert (found["task5"].metrics, found["task5"].exercises) == ((), ())
    assert found["task0"].seconds > 0
    assert found["task0"].peak_memory_gb > 0
    assert {"python", "torch", "papermill"} <= set(found["task0"].versions)


@pytest.mark.parametrize(("name", "workers"), [("serial", 1), ("processes", 2), ("dask", 2)])
def test_runs_share_the_cores_and_no_folder(records: Any, name: str, workers: int) -> None:
    found, _ = records[name]
    threads = max(1, available_threads() // workers)
    folders = set()
    for key in ("task0", "task1"):
        *files, number, folder = printed(found[key])
        assert files == ["mine", "run.log"]
        assert number == str(threads)
        if not visible_gpus():
            device = f"cpu, {threads} thread" + ("s" if threads > 1 else "")
            assert found[key].device == device
        folders.add(folder)
    assert len(folders) == 2
    assert not any(Path(folder).parent.exists() for folder in folders)


@pytest.mark.parametrize("name", list(EXECUTORS))
def test_each_run_is_told_from_its_start_to_its_last_cell(records: Any, name: str) -> None:
    found, heard = records[name]
    for key in found:
        told = [words[1:] for words in heard.told if words[0] == key]
        assert told == [("started",), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("name", ["processes", "dask"])
def test_leaving_in_the_middle_ends_every_process(
    make_task: Callable[[str, int], Task], name: str
) -> None:
    before = set(psutil.Process().children(recursive=True))
    running: set[psutil.Process] = set()

    class Stop(Heard):
        def cell(self, task: Task, cell: int, cells: int) -> None:
            super().cell(task, cell, cells)
            if sum(words[1:] == (3, 3) for words in self.told) == 2:
                running.update(set(psutil.Process().children(recursive=True)) - before)
                raise KeyboardInterrupt

    tasks = [make_task(SLEEP, number) for number in range(3)]
    with EXECUTORS[name]() as executor, pytest.raises(KeyboardInterrupt):
        list(executor.run(deque(tasks), Stop()))
    assert len(running) >= 4, "two workers with a kernel each"
    deadline = time.monotonic() + 20
    while left := [process for process in running if process.is_running()]:
        assert time.monotonic() < deadline, left
        psutil.wait_procs(left, timeout=0.1)
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_dask_scheduler_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("course_utils.batch.executors.dask_cluster.CONNECT_SECONDS", 0.5)
    with pytest.raises(OSError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        DaskCluster("tcp://127.0.0.1:9")
