"""`course batch`: what is executed and said, and with which exit status; without a kernel."""

import json
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from fake_runs import FakeExecutor
from tiny_notebooks import write_lesson
from typer.testing import CliRunner

from course_utils.cli import app
from course_utils.runs.executors import Event
from course_utils.runs.records import Outcome, RunRecord, Task

OK, ERROR, KILLED = Outcome.OK, Outcome.ERROR, Outcome.KILLED


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
    """Gives a command, with an executor that ends runs as asked; returns its status and text."""

    def course(*words: str, ends: FakeExecutor | None = None) -> tuple[int, str]:
        executor = ends or FakeExecutor()
        monkeypatch.setattr("course_utils.runs.executors.Processes", lambda workers: executor)
        result = CliRunner().invoke(app, ["batch", *words], catch_exceptions=False)
        return result.exit_code, result.output

    return course


HERE = ("plan.yml", "--notebooks", "notebooks")


def test_a_plan_is_executed_and_reported(course: Course, place: Path) -> None:
    status, text = course(*HERE)
    assert status == 0, text
    assert "ok  90_tiny · dataset synthetic · seed 2" in text
    assert (place / "build/batches/plan/report/index.html").is_file()
    status, text = course(*HERE, ends=(again := FakeExecutor()))
    assert (status, again.asked) == (0, [])
    assert "0 runs to do, 3 are done already" in text


def test_options_may_come_first(course: Course, place: Path) -> None:
    status, text = course("--out", "here", "-q", *HERE)
    assert status == 0, text
    assert (place / "here/runs.sqlite").is_file()


def test_a_failed_run_is_status_1_and_retry_does_it_again(course: Course) -> None:
    status, text = course(*HERE, ends=FakeExecutor([OK], [ERROR], [KILLED]))
    assert status == 1
    assert "it went killed" in text
    status, text = course("retry", *HERE, "--outcome", "killed", ends=(killed := FakeExecutor()))
    assert status == 1, "one run has still failed"
    assert [attempt for _, attempt in killed.asked] == [2]
    status, text = course("retry", *HERE, ends=(rest := FakeExecutor()))
    assert status == 0, text
    assert len(rest.asked) == 1


def test_a_dry_run_shows_the_runs_and_writes_nothing(course: Course, place: Path) -> None:
    status, text = course(*HERE, "--dry-run")
    assert status == 0, text
    assert [text.count(f"seed {seed}") for seed in range(3)] == [1, 1, 1]
    assert "3 of 3 runs to do, 3 of unknown length" in text
    assert not (place / "build").exists()
    course(*HERE, ends=FakeExecutor([OK], [KeyboardInterrupt()]))
    status, text = course(*HERE, "--dry-run")
    assert status == 0, text
    assert text.count("(done)") == 1
    assert "2 of 3 runs to do, about 4.0 s with 1 at a time" in text


def test_a_batch_that_was_stopped_goes_on_from_there(course: Course) -> None:
    status, text = course(*HERE, ends=FakeExecutor([OK], [KeyboardInterrupt()]))
    assert status == 130
    assert "stopped. What has ended is recorded" in text.splitlines()[-1]
    status, text = course("status", "build/batches/plan")
    assert status == 0
    assert "to do" in text
    assert "cancelled  90_tiny · dataset synthetic · seed 1: stopped by hand" in text
    status, _ = course(*HERE, ends=(again := FakeExecutor()))
    assert status == 0
    assert [attempt for _, attempt in again.asked] == [2, 1]


def test_a_batch_that_its_system_ends_stops_as_by_ctrl_c(course: Course) -> None:
    class Ended(FakeExecutor):
        def run(self, waiting: deque[Task]) -> Iterator[Event]:
            for event in super().run(waiting):
                yield event
                if isinstance(event, RunRecord):
                    os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    status, text = course(*HERE, ends=(ended := Ended()))
    assert (status, ended.left) == (130, True)
    assert "stopped. What has ended is recorded" in text.splitlines()[-1]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_dry_run_is_a_line_a_run_however_narrow_the_screen(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    _, text = course(*HERE, "--dry-run")
    assert len(text.splitlines()) == 4


def test_status_tells_what_failed(course: Course) -> None:
    course(*HERE, ends=FakeExecutor([OK], [ERROR]))
    status, text = course("status", "build/batches/plan")
    assert status == 0
    assert "error  90_tiny · dataset synthetic · seed 1: it went error" in text
    assert "ok" in text
    assert "this batch is not running: all its runs have ended" in text


def test_status_for_other_programs(course: Course) -> None:
    course(*HERE, ends=FakeExecutor([OK], [ERROR], [KeyboardInterrupt()]))
    status, text = course("status", "build/batches/plan", "--json")
    found = json.loads(text)
    assert (status, found["running"]) == (0, False)
    assert found["counts"] == {"ok": 1, "error": 1, "cancelled": 1}
    assert [run["state"] for run in found["runs"]] == ["ok", "error", "cancelled"]
    assert found["runs"][1]["message"] == "it went error"


def test_status_of_a_batch_that_was_cut_off_says_so(course: Course) -> None:
    course(*HERE, ends=FakeExecutor([OK], [OSError("lost")]))
    status, text = course("status", "build/batches/plan")
    assert status == 0
    assert "not running: `course batch` with its plan goes on from there" in text
    assert re.search(r"^ interrupted +1 *$", text, re.MULTILINE)
    assert "interrupted  90_tiny · dataset synthetic · seed 1: on node7, begun at" in text
    assert "running " not in text.replace("not running", "")


def test_status_tells_where_runs_are_while_the_batch_works(course: Course, place: Path) -> None:
    told: list[tuple[int, str]] = []

    class Asking(FakeExecutor):
        def run(self, waiting: deque[Task]) -> Iterator[Event]:
            for event in super().run(waiting):
                if isinstance(event, RunRecord) and not told:
                    result = CliRunner().invoke(app, ["batch", "status", "build/batches/plan"])
                    told.append((result.exit_code, result.output))
                yield event

    status, text = course(*HERE, ends=Asking())
    assert status == 0, text
    ((status, text),) = told
    assert status == 0, text
    assert "this batch is running, since 2" in text
    assert "; 0 of 3 runs have ended" in text
    assert re.search(r"^ running +1 *$", text, re.MULTILINE)
    assert "running  90_tiny · dataset synthetic · seed 0: on node7, begun at 2" in text


def test_where_nobody_can_tell_the_store_is_taken_at_its_word(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    course(*HERE, ends=FakeExecutor([OSError("lost")]))

    def denied(folder: Path) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr("course_utils.runs.status.is_running", denied)
    status, text = course("status", "build/batches/plan")
    assert status == 0
    assert "whether this batch is running cannot be told (not yours)" in text
    assert re.search(r"^ running +1 *$", text, re.MULTILINE)


def test_a_report_can_be_compared_with_another_batch(course: Course, place: Path) -> None:
    course(*HERE)
    course(*HERE, "--out", "other", ends=FakeExecutor([ERROR]))
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
        (("status", "wrong"), "error: wrong/runs.sqlite is damaged or no run store"),
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
    (place / "wrong/runs.sqlite").touch()
    executor = FakeExecutor()
    status, text = course(*words, ends=executor)
    assert (status, executor.asked) == (2, [])
    assert told in text
    assert words[0] != "status" or text.count("\n") == 1
    assert "Traceback" not in text
    assert not list((place / "empty").iterdir())


def test_a_wrong_plan_is_refused_before_anything_starts(course: Course, place: Path) -> None:
    (place / "plan.yml").write_text("runs:\n  - lesson: 90_tiny\n    seeds: [x]\n")
    executor = FakeExecutor()
    status, text = course(*HERE, ends=executor)
    assert (status, executor.asked) == (2, [])
    assert "plan.yml:3: runs[0].seeds[0]" in text
    assert not (place / "build").exists()


def test_an_executor_that_is_lost_is_told_in_one_line(course: Course) -> None:
    status, text = course(*HERE, ends=FakeExecutor([OK], [OSError("the scheduler was lost")]))
    assert status == 2
    assert text.splitlines()[-1] == "error: the scheduler was lost"


def test_a_missing_dask_is_told_in_one_line(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    status, text = course(*HERE, "--scheduler", "tcp://localhost:1")
    assert status == 2
    assert text == "error: Dask is not installed here: pip install 'course-utils[cluster]'\n"
