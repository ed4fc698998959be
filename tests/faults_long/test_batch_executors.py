"""Executors with real kernels: equal records from all, and nothing left when one is left."""

import os
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
from tiny_notebooks import METRIC, write_lesson

from course_utils.config import visible_gpus
from course_utils.runs.dask_executor import DaskExecutor
from course_utils.runs.execute import available_threads
from course_utils.runs.executors import CellStarted, Event, Executor, Processes, Started
from course_utils.runs.records import Limits, Outcome, RunRecord, Task

EXECUTORS: dict[str, Callable[[], Executor]] = {
    "serial": lambda: Processes(1),
    "processes": lambda: Processes(2),
    "dask": lambda: DaskExecutor(workers=2),
}
EXERCISE = """from IPython.display import display
for outcome in ("wrong", "correct"):
    bundle = {"exercise": "iou", "outcome": outcome}
    display({"application/vnd.course.exercise+json": bundle, "text/plain": ""}, raw=True)"""
WHERE = """import os, pathlib
pathlib.Path("mine").touch()
print(*sorted(os.listdir()), os.environ.get("OMP_NUM_THREADS"), os.getcwd())"""
CODE = (WHERE, WHERE, METRIC, EXERCISE, "1 / 0")
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


@pytest.fixture(scope="module")
def events(make_task: Callable[[str, int], Task]) -> dict[str, list[Event]]:
    """What each executor yields for the same tasks."""
    found = {}
    for name, executor in EXECUTORS.items():
        tasks = [make_task(code, number) for number, code in enumerate(CODE)]
        with executor() as one:
            found[name] = list(one.run(deque(tasks)))
    return found


@pytest.fixture(scope="module")
def records(events: dict[str, list[Event]]) -> dict[str, dict[str, RunRecord]]:
    return {
        name: {event.id: event for event in found if isinstance(event, RunRecord)}
        for name, found in events.items()
    }


def comparable(record: RunRecord) -> tuple[Any, ...]:
    failure = record.failure and (record.failure.source, record.failure.error)
    results = record.outcome, record.message, failure, record.metrics, record.exercises
    return record.id, record.attempt, *results, record.versions, record.host


def printed(record: RunRecord) -> list[str]:
    cells = nbformat.reads(record.text, as_version=4).cells
    return "".join(out.get("text", "") for cell in cells for out in cell.get("outputs", [])).split()


@pytest.mark.parametrize("name", ["processes", "dask"])
def test_all_executors_give_equal_records(records: Any, name: str) -> None:
    wanted, found = records["serial"], records[name]
    assert len(found) == len(CODE)
    for key in wanted:
        assert comparable(found[key]) == comparable(wanted[key])


def test_a_record_tells_what_the_notebook_did(records: Any) -> None:
    found = records["serial"]
    outcomes = [found[f"task{number}"].outcome for number in range(len(CODE))]
    assert outcomes == [Outcome.OK] * 4 + [Outcome.ERROR]
    assert found["task2"].metrics == ({"name": "iou", "value": 0.5, "unit": "share"},)
    assert found["task3"].exercises == ({"exercise": "iou", "outcome": "correct"},)
    assert found["task4"].failure.source == "1 / 0"
    assert found["task0"].seconds > 0
    assert found["task0"].peak_memory_gb > 0
    assert {"python", "torch", "papermill"} <= set(found["task0"].versions)


@pytest.mark.parametrize(("name", "workers"), [("serial", 1), ("processes", 2), ("dask", 2)])
def test_runs_share_the_cores_and_no_folder(records: Any, name: str, workers: int) -> None:
    found = records[name]
    given = os.environ.get("OMP_NUM_THREADS")  # one worker leaves it as it is
    threads = max(1, available_threads() // workers) if workers > 1 else given
    folders = set()
    for key in ("task0", "task1"):
        *files, number, folder = printed(found[key])
        assert files == ["mine", "run.log"]
        assert number == str(threads)
        if not visible_gpus():
            count = int(threads or available_threads())
            device = f"cpu, {count} thread" + ("s" if count > 1 else "")
            assert found[key].device == device
        folders.add(folder)
    assert len(folders) == 2
    assert not any(Path(folder).parent.exists() for folder in folders)


@pytest.mark.parametrize("name", list(EXECUTORS))
def test_each_run_is_followed_from_its_start_to_its_end(
    events: dict[str, list[Event]], name: str
) -> None:
    for number in range(len(CODE)):
        key = f"task{number}"
        found = [
            (event.cell, event.cells) if isinstance(event, CellStarted) else type(event)
            for event in events[name]
            if (event.id if isinstance(event, RunRecord) else event.task.id) == key
        ]
        assert found == [Started, (1, 3), (2, 3), (3, 3), RunRecord]


@pytest.mark.parametrize("name", ["processes", "dask"])
def test_leaving_in_the_middle_ends_every_process(
    make_task: Callable[[str, int], Task], name: str
) -> None:
    before = set(psutil.Process().children(recursive=True))
    running: set[psutil.Process] = set()

    tasks = [make_task(SLEEP, number) for number in range(3)]
    with EXECUTORS[name]() as executor:
        asleep = 0
        for event in executor.run(deque(tasks)):
            asleep += isinstance(event, CellStarted) and event.cell == event.cells
            if asleep == 2:
                running.update(set(psutil.Process().children(recursive=True)) - before)
                break
    assert len(running) >= 4, "two workers with a kernel each"
    deadline = time.monotonic() + 20
    while left := [process for process in running if process.is_running()]:
        assert time.monotonic() < deadline, left
        psutil.wait_procs(left, timeout=0.1)
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_dask_scheduler_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("course_utils.runs.dask_executor.CONNECT_SECONDS", 0.5)
    with pytest.raises(OSError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        DaskExecutor("tcp://127.0.0.1:9")
