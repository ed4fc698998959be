"""What a batch runs, tries again and records, and what `course batch` tells; without a kernel."""

import re
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from rich.console import Console
from tiny_notebooks import write_lesson
from typer.testing import CliRunner

from course_utils.batch.conduct import WORTH_ANOTHER_TRY, conduct
from course_utils.batch.executors.executing import execute
from course_utils.batch.executors.processes import Executor, Follow, Processes
from course_utils.batch.journal.journal import open_journal
from course_utils.batch.journal.reader import read_journal
from course_utils.batch.progress import BatchProgress
from course_utils.batch.standing import standing
from course_utils.batch.tasks import Record, Task
from course_utils.cli import app
from course_utils.cli import batch as cli_batch
from course_utils.runs.run import Outcome, RunResult

OK, ERROR, KILLED = Outcome.OK, Outcome.ERROR, Outcome.KILLED
TASKS = [Task(name, "90_tiny", "{}", {"seed": i}) for i, name in enumerate("abc")]


def make_record(task: Task, outcome: Outcome = OK) -> Record:
    return Record(
        id=task.id,
        attempt=task.attempt,
        outcome=outcome,
        message="" if outcome is OK else f"it went {outcome}",
        failure=None,
        metrics=({"name": "iou", "value": 0.5, "unit": None},),
        exercises=(),
        versions={"python": "3.11"},
        device="cpu, 1 thread",
        host="node7",
        started="2031-05-06T07:08:09+00:00",
        seconds=2.0,
        peak_memory_gb=0.1,
        notebook=f"{task.id} {task.attempt}",
    )


class Fake:
    """Ends each attempt as told: `outcomes` by place in the plan, one for each attempt there."""

    workers = 2

    def __init__(self, *outcomes: list[Outcome | BaseException]) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[str, int]] = []
        self.left = False
        self._count = 0
        self._places: dict[str, int] = {}

    def __enter__(self) -> "Fake":
        return self

    def __exit__(self, *_: object) -> None:
        self.left = True

    def run(self, waiting: deque[Task], follow: Follow) -> Iterator[Record]:
        while waiting:
            task = waiting.popleft()
            self.asked.append((task.id, task.attempt))
            place = self._places.setdefault(task.id, len(self._places))
            told = self.outcomes[place] if place < len(self.outcomes) else []
            outcome = told.pop(0) if told else OK
            follow.started(task, "node7")
            follow.cell(task, 1, 2)
            if isinstance(outcome, BaseException):
                raise outcome
            yield make_record(task, outcome)


class Silent:
    """Follows without a word."""

    def __init__(self) -> None:
        self.begun: tuple[list[str], int] | None = None
        self.ends: list[tuple[str, int, Outcome]] = []

    def begin(self, to_do: Sequence[Task], done: int) -> None:
        self.begun = [task.id for task in to_do], done

    def started(self, task: Task, where: str) -> None: ...

    def cell(self, task: Task, cell: int, cells: int) -> None: ...

    def ended(self, task: Task, record: Record) -> None:
        self.ends.append((task.id, record.attempt, record.outcome))


def go(folder: Path, executor: Fake, **options: Any) -> Silent:
    follower = options.pop("follower", Silent())
    conduct(options.pop("tasks", TASKS), folder, executor, follower=follower, **options)
    return follower


def outcomes(folder: Path) -> list[tuple[str, int, str | None]]:
    with read_journal(folder) as journal:
        return [(row.id, row.attempt, row.outcome) for row in journal.latest()]


# What is run


def test_what_is_done_is_not_run_again(tmp_path: Path) -> None:
    go(tmp_path, Fake([OK], [ERROR], [KILLED]))
    again = Fake()
    follower = go(tmp_path, again)
    assert again.asked == []
    assert again.left
    assert follower.begun == ([], 3)
    assert outcomes(tmp_path) == [("a", 1, OK), ("b", 1, ERROR), ("c", 1, KILLED)]


def test_what_failed_is_run_again_on_request(tmp_path: Path) -> None:
    go(tmp_path, Fake([OK], [ERROR], [KILLED]))
    again = Fake()
    follower = go(tmp_path, again, again=[ERROR])
    assert again.asked == [("b", 2)]
    assert follower.begun == (["b"], 2)
    assert outcomes(tmp_path) == [("a", 1, OK), ("b", 2, OK), ("c", 1, KILLED)]


def test_new_tasks_and_changed_notebooks_are_run(tmp_path: Path) -> None:
    go(tmp_path, Fake())
    (tmp_path / "notebooks/a.ipynb").write_text("changed by hand")
    (tmp_path / "notebooks/b.ipynb").unlink()
    again = Fake()
    go(tmp_path, again, tasks=[*TASKS, Task("d", "90_tiny", "{}", {})])
    assert again.asked == [("a", 2), ("b", 2), ("d", 1)]


def test_what_was_cancelled_comes_back_the_next_time(tmp_path: Path) -> None:
    go(tmp_path, Fake([OK], [Outcome.CANCELLED]))
    again = Fake()
    go(tmp_path, again)
    assert again.asked == [("b", 2)]


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not OK])
def test_only_what_may_be_the_machines_is_tried_again(tmp_path: Path, outcome: Outcome) -> None:
    executor = Fake([outcome] * 9)
    go(tmp_path, executor, retries=2)
    tries = [("a", 2), ("a", 3)] if outcome in WORTH_ANOTHER_TRY else []
    assert executor.asked == [("a", 1), ("b", 1), ("c", 1), *tries]
    assert (ERROR in WORTH_ANOTHER_TRY, OK in WORTH_ANOTHER_TRY) == (False, False)


def test_a_good_attempt_is_the_last(tmp_path: Path) -> None:
    executor = Fake([KILLED, OK, KILLED], [Outcome.TIMEOUT, KILLED, KILLED])
    follower = go(tmp_path, executor, retries=2)
    assert executor.asked[3:] == [("a", 2), ("b", 2), ("b", 3)]
    assert outcomes(tmp_path) == [("a", 2, OK), ("b", 3, KILLED), ("c", 1, OK)]
    assert len(follower.ends) == 6


def test_without_retries_nothing_is_tried_again(tmp_path: Path) -> None:
    executor = Fake([KILLED])
    go(tmp_path, executor)
    assert executor.asked == [("a", 1), ("b", 1), ("c", 1)]


def test_retries_count_anew_in_each_call(tmp_path: Path) -> None:
    go(tmp_path, Fake([KILLED, KILLED]), retries=1)
    executor = Fake([KILLED, KILLED])
    go(tmp_path, executor, retries=1, again=[KILLED])
    assert executor.asked == [("a", 3), ("a", 4)]


# What is recorded


def test_a_follower_hears_only_what_stands_in_the_journal(tmp_path: Path) -> None:
    heard: list[str] = []

    class Reader(Silent):
        def started(self, task: Task, where: str) -> None:
            heard.append("started")
            assert (task.id, task.attempt, "running") in outcomes(tmp_path)

        def ended(self, task: Task, record: Record) -> None:
            heard.append("ended")
            assert (task.id, record.attempt, record.outcome) in outcomes(tmp_path)

    go(tmp_path, Fake([KILLED, ERROR]), retries=1, follower=Reader())
    assert heard == ["started", "ended"] * 4


@pytest.mark.parametrize("death", [RuntimeError("a fault"), OSError("lost"), KeyboardInterrupt()])
def test_an_executor_that_dies_in_the_middle_leaves_the_rest_to_do(
    tmp_path: Path, death: BaseException
) -> None:
    executor = Fake([OK], [death])
    with pytest.raises(type(death)):
        go(tmp_path, executor)
    assert executor.left
    open_end = "cancelled" if isinstance(death, KeyboardInterrupt) else "running"
    assert outcomes(tmp_path) == [("a", 1, OK), ("b", 1, open_end), ("c", 0, None)]
    again = Fake()
    go(tmp_path, again)
    assert again.asked == [("b", 2), ("c", 1)]


def test_a_follower_that_dies_takes_no_record_with_it(tmp_path: Path) -> None:
    class Dying(Silent):
        def ended(self, task: Task, record: Record) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, Fake(), follower=Dying())
    assert outcomes(tmp_path) == [("a", 1, OK), ("b", 0, None), ("c", 0, None)]


def test_an_executor_is_left_when_the_folder_is_taken(tmp_path: Path) -> None:
    executor = Fake()
    with open_journal(tmp_path), pytest.raises(FileExistsError, match="another batch works"):
        go(tmp_path, executor)
    assert executor.left
    assert executor.asked == []


# The executors, with a stand-in for the run

EXECUTORS = ["processes", "dask"]


def make_executor(
    name: str, execute: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> Executor:
    """Two workers that have `execute` in place of the real one."""
    if name == "processes":
        monkeypatch.setattr("course_utils.batch.executors.processes.execute", execute)
        return Processes(2)
    pytest.importorskip("distributed")
    from course_utils.batch.executors.dask_cluster import DaskCluster

    monkeypatch.setattr("course_utils.batch.executors.dask_worker.execute", execute)
    return DaskCluster(workers=2)


@pytest.mark.parametrize("name", EXECUTORS)
def test_another_try_does_not_wait_for_a_slow_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tried_again = threading.Event()

    def execute(task: Task, **_: Any) -> Record:
        if task.id == "a":
            if task.attempt == 2:
                tried_again.set()
            return make_record(task, KILLED if task.attempt == 1 else OK)
        return make_record(task, OK if task.id == "c" or tried_again.wait(20) else ERROR)

    executor = make_executor(name, execute, monkeypatch)
    conduct(TASKS, tmp_path, executor, retries=1, follower=Silent())
    assert outcomes(tmp_path) == [("a", 2, OK), ("b", 1, OK), ("c", 1, OK)]


@pytest.mark.parametrize("name", EXECUTORS)
def test_no_record_is_lost_and_no_attempt_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tasks = [Task(f"{number:02}", "90_tiny", "{}", {"seed": number}) for number in range(20)]
    made: list[tuple[str, int]] = []

    def execute(task: Task, **_: Any) -> Record:
        made.append((task.id, task.attempt))
        number = int(task.id)
        return make_record(task, OK if task.attempt > number % 4 else list(Outcome)[number % 5])

    follower = Silent()
    executor = make_executor(name, execute, monkeypatch)
    conduct(tasks, tmp_path, executor, retries=2, follower=follower)
    assert len(set(made)) == len(made)
    assert sorted((key, attempt) for key, attempt, _ in follower.ends) == sorted(made)
    tries = {
        task.id: 1 if list(Outcome)[i % 5] not in WORTH_ANOTHER_TRY else min(3, i % 4 + 1)
        for i, task in enumerate(tasks)
    }
    assert sorted(made) == [(key, n) for key in tries for n in range(1, tries[key] + 1)]
    assert [(key, n) for key, n, _ in outcomes(tmp_path)] == list(tries.items())


def test_what_is_waiting_goes_before_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, int]] = []

    def execute(task: Task, **_: Any) -> Record:
        made.append((task.id, task.attempt))
        return make_record(task, KILLED)

    monkeypatch.setattr("course_utils.batch.executors.processes.execute", execute)
    conduct(TASKS, tmp_path, Processes(1), retries=1, follower=Silent())
    assert made == [(key, attempt) for attempt in (1, 2) for key in "abc"]


def test_a_slot_is_taken_again_before_the_record_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began = threading.Event()

    def execute(task: Task, **_: Any) -> Record:
        if task.id == "b":
            began.set()
        return make_record(task)

    monkeypatch.setattr("course_utils.batch.executors.processes.execute", execute)
    with Processes(1) as executor:
        records = executor.run(deque(TASKS), Silent())
        assert next(records).id == "a"
        assert began.wait(20), "writing the record may take long"
        assert [record.id for record in records] == ["b", "c"]


@pytest.mark.parametrize("where", ["started", "ended"])
def test_ctrl_c_ends_what_is_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    left = []

    def execute(task: Task, *, cancel: threading.Event, **_: Any) -> Record:
        if task.id != "a":
            left.append(cancel.wait(20))
        return make_record(task, Outcome.CANCELLED if cancel.is_set() else OK)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    follower = Silent()
    setattr(follower, where, interrupt)
    monkeypatch.setattr("course_utils.batch.executors.processes.execute", execute)
    executor = Processes(2)
    with pytest.raises(KeyboardInterrupt):
        conduct(TASKS, tmp_path, executor, follower=follower)
    assert all(left)
    assert "running" not in {outcome for _, _, outcome in outcomes(tmp_path)}
    if where == "started":
        assert outcomes(tmp_path)[0] == ("a", 1, Outcome.CANCELLED)
    assert not any(thread.is_alive() for thread in executor._threads.values())


def test_a_fault_of_ours_is_heard_and_ends_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(task: Task, **_: Any) -> Record:
        raise LookupError("a fault in a thread")

    monkeypatch.setattr("course_utils.batch.executors.processes.execute", broken)
    with pytest.raises(LookupError, match="a fault in a thread"):
        conduct(TASKS, tmp_path, Processes(2), follower=Silent())
    again = Fake()
    go(tmp_path, again)
    assert sorted(name for name, _ in again.asked) == ["a", "b", "c"]


def test_processes_can_be_entered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "course_utils.batch.executors.processes.execute", lambda task, **_: make_record(task)
    )
    executor = Processes(2)
    for part in ("one", "two"):
        conduct(TASKS, tmp_path / part, executor, follower=Silent())
        assert [outcome for *_, outcome in outcomes(tmp_path / part)] == [OK] * 3


@pytest.mark.parametrize("workers", [0, -1])
def test_no_worker_is_refused(workers: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, got {workers}"):
        Processes(workers)


# One run, where no kernel is needed


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}', "{}", "caf\udce9"])
def test_what_is_no_notebook_is_an_error_told_by_its_name(text: str) -> None:
    record = execute(replace(TASKS[0], notebook=text), threads=1)
    assert record.outcome is ERROR
    assert record.message.startswith("could not be run: ")
    assert "course-run-" not in record.message
    assert (record.metrics, record.exercises, record.notebook) == ((), (), text)


def test_the_machines_fault_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("course_utils.batch.executors.executing.run_notebook", no_room)
    record = execute(TASKS[0], threads=1)
    assert record.outcome in WORTH_ANOTHER_TRY
    assert "No space left on device" in record.message


def test_a_killed_run_keeps_its_last_words_and_no_temporary_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary: list[Path] = []

    def die(
        source: Path, output: Path, *_: Any, workdir: Path, environment: dict[str, str], **__: Any
    ) -> RunResult:
        workdir.mkdir()
        log, warning = workdir / "run.log", "[IPKernelApp] WARNING | Kernel is running over TCP"
        log.write_text(f"{warning}\n\nout of luck\n")
        output.write_text("{}")
        temporary.append(Path(environment["TMPDIR"], "left"))
        temporary[0].touch()
        return RunResult(output, KILLED, 1.0, 1, 2, f"it ended in cell 1: see {log}")

    monkeypatch.setattr("course_utils.batch.executors.executing.run_notebook", die)
    assert execute(TASKS[0], threads=1).message == "it ended in cell 1: out of luck"
    assert not temporary[0].exists()


# What is shown


def progress(console: Console, **options: Any) -> BatchProgress:
    return BatchProgress(console, workers=2, lengths={}, **options)


def test_another_attempt_does_not_count_twice(tmp_path: Path) -> None:
    console = Console(record=True, width=100, force_terminal=False)
    with progress(console) as follower:
        go(tmp_path, Fake([KILLED, KILLED]), retries=1, follower=follower)
        (bar,) = follower._bar.tasks
        assert (bar.completed, bar.total) == (3, 3)
    text = console.export_text()
    assert "3 runs to do; 2 at a time" in text
    assert "killed  90_tiny · seed 0  2.0 s, attempt 2" in text
    assert "it went killed" in text


def test_parameters_and_messages_are_no_markup(tmp_path: Path) -> None:
    console = Console(record=True, width=100, force_terminal=True)
    tasks = [replace(TASKS[0], parameters={"folder": "[/red]"})]
    with progress(console) as follower:
        follower.started(tasks[0], "[/dim]")
        console.print(follower._picture())
        go(tmp_path, Fake(), tasks=tasks, follower=follower)
    assert "folder [/red]" in console.export_text()


def test_quiet_tells_failures_alone(tmp_path: Path) -> None:
    console = Console(record=True, width=100)
    with progress(console, quiet=True) as follower:
        go(tmp_path, Fake([OK], [ERROR]), follower=follower)
    lines = console.export_text().splitlines()
    assert [line.strip() for line in lines] == ["✘ error  90_tiny · seed 1  2.0 s", "it went error"]


# The command


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan of three runs of one lesson, in the folder that the command is given in."""
    write_lesson(tmp_path / "notebooks", "90_tiny", "print(seed)")
    plan = """
        profile: smoke
        seeds: [0, 1, 2]
        runs:
          - lesson: 90_tiny
    """
    (tmp_path / "plan.yml").write_text(dedent(plan))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


Course = Callable[..., tuple[int, str]]


@pytest.fixture
def course(place: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """Gives a command, with an executor that ends runs as told; returns its status and text."""

    def course(*words: str, ends: Fake | None = None) -> tuple[int, str]:
        executor = ends or Fake()
        monkeypatch.setattr(cli_batch, "Processes", lambda workers: executor)
        result = CliRunner().invoke(app, ["batch", *words], catch_exceptions=False)
        return result.exit_code, result.output

    return course


HERE = ("plan.yml", "--notebooks", "notebooks")


def test_a_plan_is_executed_and_reported(course: Course, place: Path) -> None:
    status, text = course(*HERE)
    assert status == 0, text
    assert "ok  90_tiny · seed 2 · dataset synthetic" in text
    assert (place / "build/batches/plan/report/index.html").is_file()
    status, text = course(*HERE, ends=(again := Fake()))
    assert (status, again.asked) == (0, [])
    assert "0 runs to do, 3 are done already" in text


def test_options_may_come_first(course: Course, place: Path) -> None:
    status, text = course("--out", "here", "-q", *HERE)
    assert status == 0, text
    assert (place / "here/journal.sqlite").is_file()


def test_a_failed_run_is_status_1_and_retry_does_it_again(course: Course) -> None:
    status, text = course(*HERE, ends=Fake([OK], [ERROR], [KILLED]))
    assert status == 1
    assert "it went killed" in text
    status, text = course("retry", *HERE, "--outcome", "killed", ends=(killed := Fake()))
    assert status == 1, "one run has still failed"
    assert [attempt for _, attempt in killed.asked] == [2]
    status, text = course("retry", *HERE, ends=(rest := Fake()))
    assert status == 0, text
    assert len(rest.asked) == 1


def test_a_dry_run_shows_the_runs_and_writes_nothing(course: Course, place: Path) -> None:
    status, text = course(*HERE, "--dry-run")
    assert status == 0, text
    assert [text.count(f"seed {seed}") for seed in range(3)] == [1, 1, 1]
    assert "3 of 3 runs to do, 3 of unknown length" in text
    assert not (place / "build").exists()
    course(*HERE, ends=Fake([OK], [KeyboardInterrupt()]))
    status, text = course(*HERE, "--dry-run")
    assert status == 0, text
    assert text.count("(done)") == 1
    assert "2 of 3 runs to do, about 4.0 s with 1 at a time" in text


def test_a_batch_that_was_stopped_goes_on_from_there(course: Course) -> None:
    status, text = course(*HERE, ends=Fake([OK], [KeyboardInterrupt()]))
    assert status == 130
    assert "stopped. What has ended is recorded" in text.splitlines()[-1]
    status, text = course("status", "build/batches/plan")
    assert status == 0
    assert "to do" in text
    assert "cancelled  90_tiny · seed 1 · dataset synthetic: stopped by hand" in text
    status, _ = course(*HERE, ends=(again := Fake()))
    assert status == 0
    assert [attempt for _, attempt in again.asked] == [2, 1]


def test_status_tells_what_failed(course: Course) -> None:
    course(*HERE, ends=Fake([OK], [ERROR]))
    status, text = course("status", "build/batches/plan")
    assert status == 0
    assert "error  90_tiny · seed 1 · dataset synthetic: it went error" in text
    assert "ok" in text
    assert "this batch is not running: all its runs have ended" in text


def test_status_of_a_batch_that_was_cut_off_says_so(course: Course) -> None:
    course(*HERE, ends=Fake([OK], [OSError("lost")]))
    status, text = course("status", "build/batches/plan")
    assert status == 0
    assert "not running: `course batch` with its plan goes on from there" in text
    assert re.search(r"^ interrupted +1 *$", text, re.MULTILINE)
    assert "interrupted  90_tiny · seed 1 · dataset synthetic: on node7, begun at" in text
    assert "running " not in text.replace("not running", "")


def test_status_tells_where_runs_are_while_the_batch_works(course: Course, place: Path) -> None:
    told: list[tuple[int, str]] = []

    class Asking(Fake):
        def run(self, waiting: deque[Task], follow: Follow) -> Iterator[Record]:
            task = waiting.popleft()
            follow.started(task, "node7")
            result = CliRunner().invoke(app, ["batch", "status", "build/batches/plan"])
            told.append((result.exit_code, result.output))
            yield make_record(task)
            yield from super().run(waiting, follow)

    status, text = course(*HERE, ends=Asking())
    assert status == 0, text
    ((status, text),) = told
    assert status == 0, text
    assert "this batch is running, since 2" in text
    assert "; 0 of 3 runs have ended" in text
    assert re.search(r"^ running +1 *$", text, re.MULTILINE)
    assert "running  90_tiny · seed 0 · dataset synthetic: on node7, begun at 2" in text


def test_what_an_earlier_conductor_left_is_not_taken_for_running(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        go(tmp_path, Fake([RuntimeError("a fault")]))
    with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
        connection.execute("UPDATE attempts SET started = '2001-01-01T00:00:00+00:00'")
    connection.close()
    with open_journal(tmp_path) as journal:
        journal.start(TASKS[1], "node7")
        found = standing(tmp_path)
    assert [found.outcome(row) for row in found.rows] == ["interrupted", "running", "to do"]
    assert [row.outcome for row in found.rows] == ["running", "running", None]
    assert found.counts() == {"interrupted": 1, "running": 1, "to do": 1}


def test_where_nobody_can_tell_the_journal_is_taken_at_its_word(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    course(*HERE, ends=Fake([OSError("lost")]))

    def denied(folder: Path) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr("course_utils.batch.standing.working_since", denied)
    status, text = course("status", "build/batches/plan")
    assert status == 0
    assert "whether this batch is running cannot be told (not yours)" in text
    assert re.search(r"^ running +1 *$", text, re.MULTILINE)


def test_a_report_can_be_compared_with_another_batch(course: Course, place: Path) -> None:
    course(*HERE)
    course(*HERE, "--out", "other", ends=Fake([ERROR]))
    status, text = course("report", "other", "--against", "build/batches/plan")
    assert status == 0, text
    assert str(Path("other/report/index.html")) in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere.yml",), "nowhere.yml"),
        (("plan.yml", "--notebooks", "nowhere"), "no lessons"),
        (("status", "nowhere"), "error: no batch in nowhere: a batch lies in a folder such as"),
        (("status", "notebooks"), "error: no batch in notebooks: a batch lies"),
        (("status", "empty"), "error: no batch in empty: a batch lies"),
        (("status", "plan.yml"), "error: plan.yml is a file, and a batch lies in a folder"),
        (("status", "wrong"), "error: wrong/journal.sqlite is damaged or no journal"),
        (("report", "nowhere"), "error: no batch in nowhere"),
        ((*HERE, "--out", "plan.yml"), "error: plan.yml is a file"),
        ((*HERE, "--out", "notebooks"), "error: notebooks holds 90_tiny.ipynb"),
        ((*HERE, "--workers", "2", "--scheduler", "tcp://localhost:1"), "error: --workers"),
    ],
)
def test_what_cannot_be_done_is_status_2_and_said(
    course: Course, place: Path, words: tuple[str, ...], told: str
) -> None:
    (place / "empty").mkdir()
    (place / "wrong").mkdir()
    (place / "wrong/journal.sqlite").touch()
    executor = Fake()
    status, text = course(*words, ends=executor)
    assert (status, executor.asked) == (2, [])
    assert told in text
    assert words[0] != "status" or text.count("\n") == 1
    assert "Traceback" not in text
    assert not list((place / "empty").iterdir())


def test_a_wrong_plan_is_refused_before_anything_starts(course: Course, place: Path) -> None:
    (place / "plan.yml").write_text("runs:\n  - lesson: 90_tiny\n    seeds: [x]\n")
    executor = Fake()
    status, text = course(*HERE, ends=executor)
    assert (status, executor.asked) == (2, [])
    assert "plan.yml:3: runs[0].seeds[0]" in text
    assert not (place / "build").exists()


def test_an_executor_that_is_lost_is_told_in_one_line(course: Course) -> None:
    status, text = course(*HERE, ends=Fake([OK], [OSError("the scheduler was lost")]))
    assert status == 2
    assert text.splitlines()[-1] == "error: the scheduler was lost"


def test_a_missing_dask_is_told_in_one_line(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    status, text = course(*HERE, "--scheduler", "tcp://localhost:1")
    assert status == 2
    assert text == "error: Dask is not installed here: pip install 'course-utils[cluster]'\n"
