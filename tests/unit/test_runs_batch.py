"""What a batch runs, tries again, records and shows, and its executors; without a kernel."""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_runs import TASKS, FakeExecutor, SilentCallbacks, make_record
from rich.console import Console

from course_utils.runs.batch import WORTH_ANOTHER_TRY, run_batch
from course_utils.runs.display import RunDisplay
from course_utils.runs.execute import execute
from course_utils.runs.executors import Executor, Processes, Started
from course_utils.runs.records import Outcome, RunRecord, Task
from course_utils.runs.status import batch_status
from course_utils.runs.store import open_store, read_store

OK, ERROR, KILLED = Outcome.OK, Outcome.ERROR, Outcome.KILLED


def go(folder: Path, executor: FakeExecutor, **options: Any) -> SilentCallbacks:
    callbacks = options.pop("callbacks", SilentCallbacks())
    run_batch(options.pop("tasks", TASKS), folder, executor, callbacks=callbacks, **options)
    return callbacks


def states(folder: Path) -> list[tuple[str, int, str]]:
    return [(run.id, run.attempt, run.state) for run in read_store(folder)]


# What is run


def test_what_is_done_is_not_run_again(tmp_path: Path) -> None:
    go(tmp_path, FakeExecutor([OK], [ERROR], [KILLED]))
    again = FakeExecutor()
    callbacks = go(tmp_path, again)
    assert again.asked == []
    assert again.left
    assert callbacks.begun == ([], 3)
    assert states(tmp_path) == [("a", 1, OK), ("b", 1, ERROR), ("c", 1, KILLED)]


def test_what_failed_is_run_again_on_request(tmp_path: Path) -> None:
    go(tmp_path, FakeExecutor([OK], [ERROR], [KILLED]))
    again = FakeExecutor()
    callbacks = go(tmp_path, again, again=[ERROR])
    assert again.asked == [("b", 2)]
    assert callbacks.begun == (["b"], 2)
    assert states(tmp_path) == [("a", 1, OK), ("b", 2, OK), ("c", 1, KILLED)]


def test_what_was_cancelled_comes_back_the_next_time(tmp_path: Path) -> None:
    go(tmp_path, FakeExecutor([OK], [Outcome.CANCELLED]))
    again = FakeExecutor()
    go(tmp_path, again)
    assert again.asked == [("b", 2)]


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not OK])
def test_only_what_may_be_the_machines_is_tried_again(tmp_path: Path, outcome: Outcome) -> None:
    executor = FakeExecutor([outcome] * 9)
    go(tmp_path, executor, retries=2)
    tries = [("a", 2), ("a", 3)] if outcome in WORTH_ANOTHER_TRY else []
    assert executor.asked == [("a", 1), ("b", 1), ("c", 1), *tries]
    assert (ERROR in WORTH_ANOTHER_TRY, OK in WORTH_ANOTHER_TRY) == (False, False)


def test_a_good_attempt_is_the_last(tmp_path: Path) -> None:
    executor = FakeExecutor([KILLED, OK, KILLED], [Outcome.TIMEOUT, KILLED, KILLED])
    callbacks = go(tmp_path, executor, retries=2)
    assert executor.asked[3:] == [("a", 2), ("b", 2), ("b", 3)]
    assert states(tmp_path) == [("a", 2, OK), ("b", 3, KILLED), ("c", 1, OK)]
    assert len(callbacks.ends) == 6


def test_retries_count_anew_in_each_call(tmp_path: Path) -> None:
    go(tmp_path, FakeExecutor([KILLED, KILLED]), retries=1)
    executor = FakeExecutor([KILLED, KILLED])
    go(tmp_path, executor, retries=1, again=[KILLED])
    assert executor.asked == [("a", 3), ("a", 4)]


# What is recorded


def test_callbacks_hear_only_what_stands_in_the_store(tmp_path: Path) -> None:
    heard: list[str] = []

    class Reader(SilentCallbacks):
        def on_start(self, task: Task, where: str) -> None:
            heard.append("started")
            assert (task.id, task.attempt, "running") in states(tmp_path)

        def on_end(self, record: RunRecord, kept: Path | None) -> None:
            heard.append("ended")
            assert (record.id, record.attempt, record.outcome) in states(tmp_path)

    go(tmp_path, FakeExecutor([KILLED, ERROR]), retries=1, callbacks=Reader())
    assert heard == ["started", "ended"] * 4


@pytest.mark.parametrize("death", [RuntimeError("a fault"), OSError("lost"), KeyboardInterrupt()])
def test_an_executor_that_dies_in_the_middle_leaves_the_rest_to_do(
    tmp_path: Path, death: BaseException
) -> None:
    executor = FakeExecutor([OK], [death])
    with pytest.raises(type(death)):
        go(tmp_path, executor)
    assert executor.left
    open_end = "cancelled" if isinstance(death, KeyboardInterrupt) else "running"
    assert states(tmp_path) == [("a", 1, OK), ("b", 1, open_end), ("c", 0, "to do")]
    again = FakeExecutor()
    go(tmp_path, again)
    assert again.asked == [("b", 2), ("c", 1)]


def test_callbacks_that_die_take_no_record_with_them(tmp_path: Path) -> None:
    class Dying(SilentCallbacks):
        def on_end(self, record: RunRecord, kept: Path | None) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, FakeExecutor(), callbacks=Dying())
    assert states(tmp_path) == [("a", 1, OK), ("b", 0, "to do"), ("c", 0, "to do")]


def test_an_executor_is_left_when_the_folder_is_taken(tmp_path: Path) -> None:
    executor = FakeExecutor()
    with open_store(tmp_path), pytest.raises(FileExistsError, match="another process is working"):
        go(tmp_path, executor)
    assert executor.left
    assert executor.asked == []


# The executors, with a stand-in for the run

EXECUTORS = ["processes", "dask"]


def make_executor(
    name: str, execute: Callable[..., RunRecord], monkeypatch: pytest.MonkeyPatch
) -> Executor:
    """Two workers that have `execute` in place of the real one."""
    if name == "processes":
        monkeypatch.setattr("course_utils.runs.executors.execute", execute)
        return Processes(2)
    pytest.importorskip("distributed")
    from course_utils.runs.dask_executor import DaskExecutor

    monkeypatch.setattr("course_utils.runs.dask_worker.execute", execute)
    return DaskExecutor(workers=2)


@pytest.mark.parametrize("name", EXECUTORS)
def test_another_try_does_not_wait_for_a_slow_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tried_again = threading.Event()

    def execute(task: Task, **_: Any) -> RunRecord:
        if task.id == "a":
            if task.attempt == 2:
                tried_again.set()
            return make_record(task, KILLED if task.attempt == 1 else OK)
        return make_record(task, OK if task.id == "c" or tried_again.wait(20) else ERROR)

    executor = make_executor(name, execute, monkeypatch)
    run_batch(TASKS, tmp_path, executor, retries=1, callbacks=SilentCallbacks())
    assert states(tmp_path) == [("a", 2, OK), ("b", 1, OK), ("c", 1, OK)]


@pytest.mark.parametrize("name", EXECUTORS)
def test_no_record_is_lost_and_no_attempt_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tasks = [Task(f"{number:02}", "90_tiny", "{}", {"seed": number}) for number in range(20)]
    made: list[tuple[str, int]] = []

    def execute(task: Task, **_: Any) -> RunRecord:
        made.append((task.id, task.attempt))
        number = int(task.id)
        return make_record(task, OK if task.attempt > number % 4 else list(Outcome)[number % 5])

    callbacks = SilentCallbacks()
    executor = make_executor(name, execute, monkeypatch)
    run_batch(tasks, tmp_path, executor, retries=2, callbacks=callbacks)
    assert len(set(made)) == len(made)
    assert sorted((key, attempt) for key, attempt, _ in callbacks.ends) == sorted(made)
    tries = {
        task.id: 1 if list(Outcome)[i % 5] not in WORTH_ANOTHER_TRY else min(3, i % 4 + 1)
        for i, task in enumerate(tasks)
    }
    assert sorted(made) == [(key, n) for key in tries for n in range(1, tries[key] + 1)]
    assert [(key, n) for key, n, _ in states(tmp_path)] == list(tries.items())


def test_a_slot_is_taken_again_before_the_record_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began = threading.Event()

    def execute(task: Task, **_: Any) -> RunRecord:
        if task.id == "b":
            began.set()
        return make_record(task)

    monkeypatch.setattr("course_utils.runs.executors.execute", execute)
    with Processes(1) as executor:
        events = executor.run(deque(TASKS))
        assert isinstance(next(events), Started)
        assert isinstance(next(events), RunRecord)
        assert began.wait(20), "writing the record may take long"
        assert [event.id for event in events if isinstance(event, RunRecord)] == ["b", "c"]


@pytest.mark.parametrize("where", ["on_start", "on_end"])
def test_ctrl_c_ends_what_is_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    left = []

    def execute(task: Task, *, cancel: threading.Event, **_: Any) -> RunRecord:
        if task.id != "a":
            left.append(cancel.wait(20))
        return make_record(task, Outcome.CANCELLED if cancel.is_set() else OK)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    callbacks = SilentCallbacks()
    setattr(callbacks, where, interrupt)
    monkeypatch.setattr("course_utils.runs.executors.execute", execute)
    executor = Processes(2)
    with pytest.raises(KeyboardInterrupt):
        run_batch(TASKS, tmp_path, executor, callbacks=callbacks)
    assert all(left)
    assert "running" not in {outcome for _, _, outcome in states(tmp_path)}
    if where == "on_start":
        assert states(tmp_path)[0] == ("a", 1, Outcome.CANCELLED)
    assert not any(thread.is_alive() for thread in executor._threads.values())


def test_a_fault_of_ours_is_heard_and_ends_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(task: Task, **_: Any) -> RunRecord:
        raise LookupError("a fault in a thread")

    monkeypatch.setattr("course_utils.runs.executors.execute", broken)
    with pytest.raises(LookupError, match="a fault in a thread"):
        run_batch(TASKS, tmp_path, Processes(2), callbacks=SilentCallbacks())
    again = FakeExecutor()
    go(tmp_path, again)
    assert sorted(name for name, _ in again.asked) == ["a", "b", "c"]


@pytest.mark.parametrize("workers", [0, -1])
def test_no_worker_is_refused(workers: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, got {workers}"):
        Processes(workers)


# One run, where no kernel is needed


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}', "{}", "caf\udce9"])
def test_what_is_no_notebook_is_an_error_named_by_its_name(text: str) -> None:
    record = execute(replace(TASKS[0], notebook=text))
    assert record.outcome is ERROR
    assert record.message.startswith("could not be run: ")
    assert "course-run-" not in record.message
    assert (record.metrics, record.exercises, record.text) == ((), (), text)


def test_the_machines_fault_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("course_utils.runs.execute.run_notebook", no_room)
    record = execute(TASKS[0])
    assert record.outcome in WORTH_ANOTHER_TRY
    assert "No space left on device" in record.message


def test_a_killed_run_keeps_its_last_words_and_no_temporary_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary: list[Path] = []

    def die(
        source: Path, output: Path, *_: Any, workdir: Path, environment: dict[str, str], **__: Any
    ) -> RunRecord:
        workdir.mkdir()
        log, warning = workdir / "run.log", "[IPKernelApp] WARNING | Kernel is running over TCP"
        log.write_text(f"{warning}\n\nout of luck\n")
        output.write_text("{}")
        temporary.append(Path(environment["TMPDIR"], "left"))
        temporary[0].touch()
        return RunRecord("", "", {}, outcome=KILLED, message=f"it ended in cell 1: see {log}")

    monkeypatch.setattr("course_utils.runs.execute.run_notebook", die)
    assert execute(TASKS[0]).message == "it ended in cell 1: out of luck"
    assert not temporary[0].exists()


# What is shown


def progress(console: Console, **options: Any) -> RunDisplay:
    return RunDisplay(console, workers=2, lengths={}, **options)


def test_another_attempt_does_not_count_twice(tmp_path: Path) -> None:
    console = Console(record=True, width=100, force_terminal=False)
    with progress(console) as callbacks:
        go(tmp_path, FakeExecutor([KILLED, KILLED]), retries=1, callbacks=callbacks)
        (bar,) = callbacks._bar.tasks
        assert (bar.completed, bar.total) == (3, 3)
    text = console.export_text()
    assert "3 runs to do; 2 at a time" in text
    assert "killed  90_tiny · seed 0  2.0 s, attempt 2" in text
    assert "it went killed" in text


def test_parameters_and_messages_are_no_markup(tmp_path: Path) -> None:
    console = Console(record=True, width=100, force_terminal=True)
    tasks = [replace(TASKS[0], parameters={"folder": "[/red]"})]
    with progress(console) as callbacks:
        callbacks.on_start(tasks[0], "[/dim]")
        console.print(callbacks._picture())
        go(tmp_path, FakeExecutor(), tasks=tasks, callbacks=callbacks)
    assert "folder [/red]" in console.export_text()


def test_quiet_tells_failures_alone(tmp_path: Path) -> None:
    console = Console(record=True, width=100)
    with progress(console, quiet=True) as callbacks:
        go(tmp_path, FakeExecutor([OK], [ERROR]), callbacks=callbacks)
    lines = console.export_text().splitlines()
    assert [line.strip() for line in lines] == ["✘ error  90_tiny · seed 1  2.0 s", "it went error"]


def test_what_an_earlier_batch_left_is_not_taken_for_running(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        go(tmp_path, FakeExecutor([RuntimeError("a fault")]))
    with closing(sqlite3.connect(tmp_path / "runs.sqlite")) as connection, connection:
        connection.execute("UPDATE runs SET started = '2001-01-01T00:00:00+00:00'")
    with open_store(tmp_path) as store:
        store.plan(TASKS)
        store.start(TASKS[1], "node7")
        found = batch_status(tmp_path)
    assert [found.state(run) for run in found.runs] == ["interrupted", "running", "to do"]
    assert [run.state for run in found.runs] == ["running", "running", "to do"]
    assert found.counts() == {"interrupted": 1, "running": 1, "to do": 1}
