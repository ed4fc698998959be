"""The ledger of a batch: what it keeps, what is to be done, and that nothing can tear it."""

import multiprocessing
import os
import random
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from course_utils.batch.journal import conductor
from course_utils.batch.journal.conductor import working_since
from course_utils.batch.journal.journal import Journal, open_journal
from course_utils.batch.journal.reader import JournalReader, read_journal
from course_utils.batch.journal.rows import Row
from course_utils.batch.tasks import Limits, Record, Task, task_id
from course_utils.runs.run import Failure, Outcome

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def make_task(number: int = 0, *, lesson: str = "90_tiny", **parameters: Any) -> Task:
    values = {"profile": "smoke", "dataset": "synthetic", "seed": number, "gamma": 2.5}
    values |= parameters
    return Task(task_id(lesson, values, "p", "d"), lesson, "{}", values, Limits(60, 1.5))


def make_record(task: Task, outcome: Outcome = Outcome.OK, **changes: Any) -> Record:
    record = Record(
        id=task.id,
        attempt=task.attempt,
        outcome=outcome,
        message="" if outcome == Outcome.OK else "It went wrong: é.",
        failure=None if outcome == Outcome.OK else Failure(3, "1 / 0", "Zero: no", "line\nline"),
        metrics=({"name": "iou", "value": 0.1 * task.attempt, "unit": None},),
        exercises=({"name": "q1", "outcome": "correct"}, {"name": "q2", "outcome": "error"}),
        versions={"python": "3.11", "torch": "2.4"},
        device="cpu, 2 threads",
        host="node7",
        started="2031-05-06T07:08:09+00:00",
        seconds=12.25,
        peak_memory_gb=0.75,
        notebook=f'{{"cells": ["ü {task.id} {task.attempt}"]}}',
    )
    return replace(record, **changes)


def recorded(row: Row, notebook: str) -> Record:
    """The record that a row was made from, notebook aside."""
    names = {field.name for field in fields(Record)} - {"notebook"}
    return Record(notebook=notebook, **{name: getattr(row, name) for name in names})


def run(journal: Journal, task: Task, outcome: Outcome = Outcome.OK, **changes: Any) -> Record:
    journal.start(task, "node7")
    record = make_record(task, outcome, **changes)
    journal.end(record)
    return record


def contents(folder: Path) -> dict[str, bytes]:
    """What lies in the folder, but for the locks, which the system may leave or take away."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (conductor.LOCK, conductor.WORKING)
    }


def child(work: Callable[..., None], *values: Any) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=work, args=values)
    process.start()
    return process  # type: ignore[return-value]


def messages(pipe: Connection) -> Iterator[Any]:
    """All that comes until the other end is gone."""
    try:
        while True:
            yield pipe.recv()
    except (EOFError, OSError):
        return


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a disk takes long for thousands of small commits.

    What a process has written outlives its death there as well.
    """
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with open_journal(tmp_path) as journal:
        yield journal


# What it keeps


def test_a_planned_task_is_told_with_all_that_it_is_in_the_order_of_the_plan(
    journal: Journal,
) -> None:
    tasks = [make_task(seed) for seed in (5, 3, 4)]
    tasks.append(Task("b", "own", "{}", {"sizes": [1, 2]}, student="Zoë"))
    journal.plan(tasks)
    rows = journal.latest()
    assert [row.id for row in rows] == [task.id for task in tasks]
    first, last = rows[0], rows[-1]
    assert (first.lesson, first.student, first.parameters) == ("90_tiny", "", tasks[0].parameters)
    assert (first.dataset, first.seed, first.profile) == ("synthetic", 5, "smoke")
    assert first.limits == Limits(60, 1.5, None)
    assert (last.student, last.dataset, last.seed, last.profile) == ("Zoë", None, None, None)
    assert last.parameters == {"sizes": [1, 2]}
    for row in rows:
        assert row.current
        assert (row.attempt, row.outcome, row.seconds, row.notebook) == (0, None, None, "")
    assert journal.attempts("b") == []


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_record_comes_back_as_it_was_with_its_notebook(
    outcome: Outcome, journal: Journal, tmp_path: Path
) -> None:
    task = make_task()
    journal.plan([task])
    journal.start(task, "node8")
    (row,) = journal.latest()
    assert (row.outcome, row.attempt, row.host, row.seconds) == ("running", 1, "node8", None)
    record = make_record(task, outcome)
    journal.end(record)
    (row,) = journal.latest()
    assert isinstance(row.outcome, Outcome)
    file = tmp_path / "notebooks" / row.notebook
    assert file.name == f"{task.id}.ipynb"
    assert recorded(row, file.read_text(encoding="utf-8")) == record
    assert row.digest == sha256(file.read_bytes()).hexdigest()


def test_it_is_all_there_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    tasks = [make_task(seed) for seed in range(3)]
    with open_journal(tmp_path / "deep" / "er") as journal:
        journal.plan(tasks)
        run(journal, tasks[0])
        journal.start(tasks[1], "node7")
        before = journal.latest()
    with open_journal(str(tmp_path / "deep" / "er")) as journal:
        assert journal.latest() == before


def test_tasks_of_an_earlier_plan_stay_but_are_not_current(journal: Journal) -> None:
    old, both, new = (make_task(seed) for seed in range(3))
    journal.plan([old, both])
    run(journal, old)
    run(journal, both)
    journal.plan([new, replace(both, limits=Limits(7))])
    assert [(row.id, row.outcome) for row in journal.latest()] == [(new.id, None), (both.id, "ok")]
    assert journal.latest()[1].limits == Limits(7)
    (row,) = journal.attempts(old.id)
    assert (row.outcome, row.current) == ("ok", False)
    journal.plan([old])
    assert [(row.id, row.outcome, row.current) for row in journal.latest()] == [
        (old.id, "ok", True)
    ]


def test_the_time_of_the_first_plan_is_kept(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for now in ("2031-01-01T00:00:00+00:00", "2032-01-01T00:00:00+00:00"):
        monkeypatch.setattr("course_utils.batch.journal.journal._now", lambda now=now: now)
        journal.plan([make_task()])
    assert journal.latest()[0].planned == "2031-01-01T00:00:00+00:00"


def test_a_plan_with_the_same_task_twice_is_refused_whole(journal: Journal) -> None:
    task = make_task()
    journal.plan([task])
    for twin in (task, replace(task, lesson="91_copy")):
        with pytest.raises(ValueError, match=r"same task twice, as 90_tiny with .* leave one out"):
            journal.plan([make_task(1), task, twin])
    assert [row.id for row in journal.latest()] == [task.id]


def test_five_hundred_tasks_are_planned_in_one_transaction(journal: Journal) -> None:
    tasks = [make_task(seed) for seed in range(500)]
    statements: list[str] = []
    journal._connection.set_trace_callback(statements.append)
    journal.plan(tasks)
    journal._connection.set_trace_callback(None)
    assert sum(statement.startswith("COMMIT") for statement in statements) == 1
    assert journal.to_do(tasks) == tasks


def test_a_task_keeps_the_notebook_of_its_newest_attempt(journal: Journal, tmp_path: Path) -> None:
    task = make_task()
    journal.plan([task])
    first = run(journal, task, Outcome.ERROR)
    second = run(journal, replace(task, attempt=2))
    rows = journal.attempts(task.id)
    assert [(row.attempt, row.outcome) for row in rows] == [(1, "error"), (2, "ok")]
    assert journal.latest() == [rows[1]]
    assert [row.notebook for row in rows] == ["", f"{task.id}.ipynb"]
    assert (tmp_path / "notebooks" / rows[1].notebook).read_text("utf-8") == second.notebook
    assert recorded(rows[0], first.notebook) == first


def test_the_same_record_may_come_twice(journal: Journal, tmp_path: Path) -> None:
    task = make_task()
    journal.plan([task])
    first = run(journal, task, Outcome.KILLED)
    second = run(journal, replace(task, attempt=2), Outcome.ERROR)
    before = contents(tmp_path)
    for record in (second, first, second):
        journal.end(record)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "change", [{"outcome": Outcome.OK}, {"seconds": 9.0}, {"notebook": "{}"}, {"metrics": ()}]
)
def test_an_attempt_ends_once(change: dict[str, Any], journal: Journal, tmp_path: Path) -> None:
    task = make_task()
    journal.plan([task])
    record = run(journal, task, Outcome.TIMEOUT)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"attempt 1 .* has ended with 'timeout' before"):
        journal.end(replace(record, **change))
    assert contents(tmp_path) == before


def test_an_attempt_starts_once(journal: Journal) -> None:
    task = make_task()
    journal.plan([task])
    journal.start(task, "node7")
    with pytest.raises(ValueError, match=r"attempt 1 .* has been started before: to_do gives"):
        journal.start(task, "node8")
    assert journal.latest()[0].host == "node7"


def test_a_record_without_a_start_is_taken(journal: Journal) -> None:
    task = make_task()
    journal.plan([task])
    record = make_record(task)
    journal.end(record)
    (row,) = journal.latest()
    assert recorded(row, record.notebook) == record
    assert journal.to_do([task]) == []


def test_a_late_record_of_an_earlier_attempt_leaves_the_newer_notebook(
    journal: Journal, tmp_path: Path
) -> None:
    task = make_task()
    journal.plan([task])
    journal.start(task, "node7")  # its conductor dies; a worker of the cluster goes on
    second = run(journal, replace(task, attempt=2))
    journal.end(make_record(task, Outcome.ERROR))
    late, newest = journal.attempts(task.id)
    assert (late.outcome, late.notebook) == ("error", "")
    assert journal.latest() == [newest]
    assert (tmp_path / "notebooks" / newest.notebook).read_text("utf-8") == second.notebook
    assert journal.to_do([task]) == []


def test_what_no_plan_had_is_refused(journal: Journal, tmp_path: Path) -> None:
    task = make_task()
    for call in (
        lambda: journal.start(task, "node7"),
        lambda: journal.end(make_record(task)),
        lambda: journal.attempts(task.id),
    ):
        with pytest.raises(ValueError, match=f"no plan in this folder had the task '{task.id}'"):
            call()
    assert not (tmp_path / "notebooks").exists()


def test_text_that_is_no_unicode_loses_no_record(journal: Journal, tmp_path: Path) -> None:
    task = replace(make_task(), student="Zo\udceb")
    journal.plan([task])
    failure = Failure(1, "print('\ud800')", "E: \udc80", "\x00")
    run(journal, task, Outcome.ERROR, message="\udc80\x00", notebook='["\ud800"]', failure=failure)
    (row,) = journal.latest()
    assert (row.student, row.message, row.failure) == ("Zo?", "?\x00", failure)
    assert (tmp_path / "notebooks" / row.notebook).read_text() == '["?"]'
    assert journal.to_do([task]) == []


def test_durations_are_medians_of_the_runs_that_went_well(journal: Journal) -> None:
    tasks = [make_task(seed) for seed in range(5)]
    other = make_task(dataset="mvtec_ad/bottle", profile="full")
    journal.plan([*tasks, other])
    for task, seconds in zip(tasks, (1.0, 8.0, 3.0), strict=False):
        run(journal, task, seconds=seconds)
    run(journal, tasks[3], Outcome.TIMEOUT, seconds=1000.0)
    journal.start(tasks[4], "node7")
    run(journal, other, seconds=40.0)
    assert journal.durations() == {
        ("90_tiny", "synthetic"): 3.0,
        ("90_tiny", "mvtec_ad/bottle"): 40.0,
    }
    assert journal.durations("smoke") == {("90_tiny", "synthetic"): 3.0}
    assert journal.durations("laptop") == {}


# What is to be done


def test_to_do_is_what_is_missing_cut_off_or_asked_for_again(journal: Journal) -> None:
    tasks = {name: make_task(seed) for seed, name in enumerate(["new", "cut", "twice", *Outcome])}
    journal.plan(list(tasks.values()))
    journal.start(tasks["cut"], "node7")
    run(journal, tasks["twice"], Outcome.ERROR)
    journal.start(replace(tasks["twice"], attempt=2), "node7")
    for outcome in Outcome:
        run(journal, tasks[outcome], outcome)

    def to_do(*again: Outcome) -> dict[str, int]:
        names = {task.id: name for name, task in tasks.items()}
        chosen = journal.to_do(list(tasks.values()), again=again)
        return {str(names[task.id]): task.attempt for task in chosen}

    missing = {"new": 1, "cut": 2, "twice": 3}
    assert to_do() == missing
    assert to_do(Outcome.ERROR, Outcome.TIMEOUT) == missing | {"error": 2, "timeout": 2}
    assert to_do(*Outcome) == missing | {str(outcome): 2 for outcome in Outcome}
    assert list(to_do(*Outcome)) == [str(name) for name in tasks]


def test_to_do_returns_the_tasks_themselves_with_the_attempt_set(journal: Journal) -> None:
    known, unknown = make_task(0), make_task(1)
    journal.plan([known])
    run(journal, known, Outcome.ERROR)
    again = journal.to_do([unknown, known], again=[Outcome.ERROR])
    assert again == [unknown, replace(known, attempt=2)]


def test_a_notebook_that_is_gone_or_was_changed_counts_as_missing(
    journal: Journal, tmp_path: Path
) -> None:
    tasks = [make_task(seed) for seed in range(3)]
    journal.plan(tasks)
    for task in tasks:
        run(journal, task)
    assert journal.to_do(tasks) == []
    files = [tmp_path / "notebooks" / f"{task.id}.ipynb" for task in tasks]
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-1])
    assert journal.to_do(tasks) == [replace(task, attempt=2) for task in tasks[:2]]


# Its folder


def test_a_second_conductor_is_turned_away(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.plan([make_task()])
        before = contents(tmp_path)
        with (
            pytest.raises(FileExistsError, match=r"another batch works in .* wait for it, or choo"),
            open_journal(tmp_path),
        ):
            pytest.fail("opened")
        assert contents(tmp_path) == before
        journal.plan([make_task(1)])
    with open_journal(tmp_path) as journal:
        assert len(journal.latest()) == 1


def hold(folder: Path, pipe: Connection) -> None:
    with open_journal(folder):
        pipe.send("held")
        pipe.recv()


@forks
def test_the_folder_is_free_again_when_its_conductor_is_killed(tmp_path: Path) -> None:
    here, there = multiprocessing.Pipe()
    holder = child(hold, tmp_path, there)
    assert here.recv() == "held"
    with pytest.raises(FileExistsError, match="another batch works in"), open_journal(tmp_path):
        pytest.fail("opened")
    holder.kill()
    holder.join()
    with open_journal(tmp_path) as journal:
        assert journal.latest() == []


def test_an_error_of_the_conductor_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_journal(tmp_path):
        raise KeyboardInterrupt
    with open_journal(tmp_path):
        pass


@forks
def test_others_see_whether_a_conductor_works_and_since_when(tmp_path: Path) -> None:
    assert working_since(tmp_path) is None
    assert not list(tmp_path.iterdir())
    before = datetime.now(UTC).replace(microsecond=0)
    here, there = multiprocessing.Pipe()
    holder = child(hold, tmp_path, there)
    assert here.recv() == "held"
    since = working_since(tmp_path)
    assert since is not None
    assert before <= since <= datetime.now(UTC)
    assert working_since(tmp_path) == since
    holder.kill()
    holder.join()
    assert working_since(tmp_path) is None


def test_a_conductor_begins_anew_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for now in (1_900_000_000.7, 1_900_000_060.2):
        monkeypatch.setattr(conductor, "time", SimpleNamespace(time=lambda now=now: now))
        with open_journal(tmp_path):
            assert working_since(tmp_path) == datetime.fromtimestamp(int(now), UTC)


def test_one_who_looks_at_the_wrong_moment_keeps_nobody_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_journal(tmp_path):
        pass
    monkeypatch.setattr(conductor, "STOPPED", 0.01)
    with FileLock(tmp_path / conductor.WORKING), open_journal(tmp_path) as journal:
        journal.plan([make_task()])
    assert working_since(tmp_path) is None


def test_looking_never_takes_the_lock_that_keeps_conductors_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_journal(tmp_path):
        pass
    taken: list[str] = []
    acquire = FileLock.acquire

    def listen(lock: FileLock, *values: Any, **named: Any) -> Any:
        taken.append(Path(lock.lock_file).name)
        return acquire(lock, *values, **named)

    monkeypatch.setattr(FileLock, "acquire", listen)
    assert working_since(tmp_path) is None
    with read_journal(tmp_path):
        pass
    assert taken == [conductor.WORKING]


@pytest.mark.parametrize("name", ["thesis.tex", "notebooks/a.ipynb", "runs.json"])
def test_a_folder_of_somebody_else_is_refused_and_stays(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    first = name.split("/")[0]
    with (
        pytest.raises(FileExistsError, match=f"holds {first} and no journal.sqlite: choose"),
        open_journal(tmp_path),
    ):
        pytest.fail("opened")
    assert contents(tmp_path) == {name: b"mine"}


def test_a_file_as_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with (
        pytest.raises(FileExistsError, match="out is a file: name a folder with --out"),
        open_journal(tmp_path / "out"),
    ):
        pytest.fail("opened")


def test_what_a_conductor_leaves_that_was_killed_in_between_is_no_hindrance(
    tmp_path: Path,
) -> None:
    (tmp_path / conductor.LOCK).touch()
    (tmp_path / conductor.WORKING).touch()
    (tmp_path / ".journal.sqlite.draft").write_bytes(b"SQL")
    (tmp_path / ".journal.sqlite.draft-journal").write_bytes(b"SQL")
    with open_journal(tmp_path) as journal:
        journal.plan([make_task()])
        run(journal, make_task())
    (tmp_path / "notebooks" / ".x.ipynb.draft").write_bytes(b"{")
    with open_journal(tmp_path):
        pass
    assert list(contents(tmp_path)) == ["journal.sqlite", f"notebooks/{make_task().id}.ipynb"]


def other_database(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript("CREATE TABLE tasks (id); PRAGMA user_version = 1")


def sql(statement: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection:
            connection.executescript(statement)

    return change


def page_of_noise(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[8192:12288] = random.Random(0).randbytes(4096)
    file.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_bytes(b""),
    "text": lambda file: file.write_text("thesis\n" * 500),
    "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "cut within a page": lambda file: file.write_bytes(file.read_bytes()[:-1000]),
    "page of noise": page_of_noise,
    "another database": other_database,
    "a table less": sql("PRAGMA foreign_keys = OFF; DROP TABLE attempts"),
    "no JSON": sql("UPDATE attempts SET metrics = '[{'"),
    "no outcome of ours": sql("UPDATE attempts SET outcome = 'fine'"),
    "later version": sql("PRAGMA user_version = 2"),
}
SEEN_ONLY_WHEN_READ = ("a table less", "no JSON", "no outcome of ours")


@pytest.mark.parametrize("way", [open_journal, read_journal])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_refused_and_stays(damage: str, way: Any, tmp_path: Path) -> None:
    tasks = [make_task(seed) for seed in range(40)]
    with open_journal(tmp_path) as journal:
        journal.plan(tasks)
        run(journal, tasks[0])
    DAMAGES[damage](tmp_path / "journal.sqlite")
    before = contents(tmp_path)
    match = "is of version 2, and this" if damage == "later version" else "is damaged or no journal"
    opened = False

    def look() -> None:
        nonlocal opened
        with way(tmp_path) as journal:
            opened = True
            journal.latest()

    with pytest.raises(ValueError, match=match):
        look()
    assert opened == (damage in SEEN_ONLY_WHEN_READ)
    assert contents(tmp_path) == before


# Looking in


def test_a_reader_looks_in_while_a_batch_works_there(tmp_path: Path) -> None:
    tasks = [make_task(seed) for seed in range(2)]
    with open_journal(tmp_path) as journal:
        journal.plan(tasks)
        with read_journal(tmp_path) as reader:
            assert type(reader) is JournalReader
            for task in tasks:
                run(journal, task)
                assert reader.latest() == journal.latest()
            assert reader.to_do(tasks, again=[Outcome.OK])[0].attempt == 2


def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.plan([make_task()])
    before = contents(tmp_path)
    with read_journal(tmp_path) as reader:
        reader.latest()
        writer = Journal(tmp_path, reader._connection)
        with pytest.raises(OSError, match="readonly"):
            writer.plan([])
    assert contents(tmp_path) == before


def test_where_no_batch_was_there_is_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no batch in"), read_journal(tmp_path):
        pytest.fail("opened")
    assert not list(tmp_path.iterdir())


# Faults


class Killed(BaseException):
    """Stands for a death that no handler sees."""


@pytest.mark.parametrize("started", [True, False])
def test_a_death_between_notebook_and_record_leaves_no_row_with_a_notebook_of_another(
    started: bool, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, again = make_task(), replace(make_task(), attempt=2)
    journal.plan([task])
    run(journal, task)
    replace_file = os.replace

    def die(*paths: Path) -> None:
        replace_file(*paths)
        raise Killed

    if started:
        journal.start(again, "node7")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die)
        with pytest.raises(Killed):
            journal.end(make_record(again))
    first, second = journal.attempts(task.id)
    assert (first.outcome, first.notebook, second.outcome) == ("ok", "", "running")
    assert journal.to_do([task]) == [replace(task, attempt=3)]


def test_the_notebook_is_there_before_its_row(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    journal.plan([task])
    journal.start(task, "node7")

    def fail(*_: object) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match=r"cannot be read or written \(no space\)"):
            journal.end(make_record(task))
    assert journal.latest()[0].outcome == "running"
    assert not list((tmp_path / "notebooks").iterdir())  # no draft on a full disk
    journal.end(make_record(task))
    assert journal.latest()[0].outcome == "ok"


def test_a_power_cut_is_reckoned_with(journal: Journal) -> None:
    pragmas = ("PRAGMA journal_mode", "PRAGMA synchronous")
    asked = [journal._connection.execute(pragma) for pragma in pragmas]
    assert [answer.fetchone()[0] for answer in asked] == ["delete", 2]


def test_a_full_disk_is_told_and_loses_nothing(journal: Journal) -> None:
    tasks = [make_task(seed) for seed in range(20)]
    journal.plan(tasks)
    (pages,) = journal._connection.execute("PRAGMA page_count").fetchone()
    journal._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    done = []

    def fill() -> None:
        for task in tasks:
            done.append(run(journal, task, message="wordy " * 300))

    with pytest.raises(OSError, match=r"disk is full\): see that the disk .* has space left"):
        fill()
    assert 0 < len(done) < 20
    rows = journal.latest()
    assert [recorded(row, r.notebook) for row, r in zip(rows, done, strict=False)] == done
    assert all(row.outcome in (None, "running") for row in rows[len(done) :])
    journal._connection.execute("PRAGMA max_page_count = 100000")
    for task in journal.to_do(tasks):
        run(journal, task)
    assert {row.outcome for row in journal.latest()} == {"ok"}


def fill_up(folder: Path, pipe: Connection) -> None:
    import resource

    tasks = [make_task(seed) for seed in range(20)]
    with open_journal(folder) as journal:
        journal.plan(tasks)
        limit = (folder / "journal.sqlite").stat().st_size + 3 * 4096
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            for task in tasks:
                run(journal, task, message="wordy " * 300)
                pipe.send(task.id)
        except OSError as error:
            pipe.send(f"told: {error}")


@forks
def test_a_write_that_the_system_refuses_is_told_and_loses_nothing(tmp_path: Path) -> None:
    here, there = multiprocessing.Pipe()
    process = child(fill_up, tmp_path, there)
    there.close()
    heard = list(messages(here))
    process.join()
    assert "cannot be read or written" in heard[-1]
    assert "what was recorded before is kept" in heard[-1]
    with open_journal(tmp_path) as journal:
        ended = [row.id for row in journal.latest() if row.outcome == "ok"]
        assert ended == heard[:-1]
        tasks = [make_task(seed) for seed in range(20)]
        assert len(journal.to_do(tasks)) == 20 - len(ended)


def die_half_way(folder: Path) -> None:
    with open_journal(folder) as journal:
        journal._connection.execute("PRAGMA cache_size = 1")  # changed pages go to the file at once
        with journal._transaction():
            journal._connection.execute("UPDATE tasks SET lesson = hex(zeroblob(3000))")
            os.kill(os.getpid(), signal.SIGKILL)


@forks
@pytest.mark.parametrize("way", [open_journal, read_journal])
def test_half_a_transaction_is_undone_by_whoever_opens_next(way: Any, tmp_path: Path) -> None:
    tasks = [make_task(seed) for seed in range(40)]
    with open_journal(tmp_path) as journal:
        journal.plan(tasks)
        before = journal.latest()
    clean = (tmp_path / "journal.sqlite").read_bytes()
    process = child(die_half_way, tmp_path)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "journal.sqlite").read_bytes() != clean
    with way(tmp_path) as journal:
        assert journal.latest() == before


MANY = [make_task(seed) for seed in range(60)]


def work_until_killed(folder: Path, pipe: Connection) -> None:
    pipe.send("alive")
    with open_journal(folder) as journal:
        journal.plan(MANY)
        while True:
            for number, task in enumerate(journal.to_do(MANY, again=[Outcome.OK])):
                if number % 2:  # the others as if from a cluster
                    journal.start(task, "node7")
                journal.end(make_record(task))
                pipe.send((task.id, task.attempt))


def heard_until_killed(folder: Path, rng: random.Random, count: int) -> list[tuple[str, int]]:
    """Kill it at a random moment after `count` confirmations, the first of which is its start."""
    here, there = multiprocessing.Pipe()
    process = child(work_until_killed, folder, there)
    there.close()
    begin = perf_counter()
    heard = [here.recv() for _ in range(count)]
    pace = min(0.02, (perf_counter() - begin) / count) if count > 1 else 0.02
    process.join(timeout=rng.uniform(0, 2 * pace))  # it never ends of itself
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return [*heard, *messages(here)][1:]


def require_whole(folder: Path, confirmed: set[tuple[str, int]], journal: JournalReader) -> int:
    """Compare all rows with what must be; return how many attempts were cut off."""
    tasks = {task.id: task for task in MANY}
    rows = journal.latest()
    attempts = [row for task in rows for row in journal.attempts(task.id)]
    ended = {(row.id, row.attempt): row for row in attempts if row.outcome != "running"}
    assert confirmed <= ended.keys()
    for row in ended.values():
        record = make_record(replace(tasks[row.id], attempt=row.attempt))
        assert recorded(row, record.notebook) == record
        assert row.digest == sha256(record.notebook.encode()).hexdigest()
    for row in attempts:
        if row.notebook:
            file = folder / "notebooks" / row.notebook
            assert sha256(file.read_bytes()).hexdigest() == row.digest
    green = {row.id for row in rows if row.outcome == "ok"}
    assert all(row.notebook for row in rows if row.id in green)
    assert [task.id for task in journal.to_do(MANY)] == [t.id for t in MANY if t.id not in green]
    return len(attempts) - len(ended)


@forks
def test_killed_at_any_moment_it_keeps_all_that_it_confirmed(tmp_path: Path) -> None:
    rng = random.Random(7)
    confirmed: dict[Path, set[tuple[str, int]]] = {}
    cut_off = 0
    for number in range(24):
        folder = tmp_path / str(number // 8)
        count = 1 if number % 8 < 3 else rng.randrange(2, 12)  # the first die in the making
        known = confirmed.setdefault(folder, set())
        known.update(heard_until_killed(folder, rng, count))
        way = rng.choice([open_journal, read_journal])
        if not (folder / "journal.sqlite").exists():
            assert not known
            way = open_journal
        with way(folder) as journal:
            if journal.latest():
                cut_off += require_whole(folder, known, journal)
            else:
                assert not known
    assert cut_off  # else it was never killed in the midst of it
