"""The run store: what it keeps, what is to be done, and that nothing can tear it."""

import multiprocessing
import os
import random
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import pytest
from filelock import FileLock

from course_utils.runs.records import Failure, Limits, Outcome, RunRecord, Task, task_id
from course_utils.runs.store import (
    RunStore,
    StoreReader,
    is_running,
    open_reader,
    open_store,
    read_store,
)
from course_utils.runs.store_file import LOCK

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def make_task(number: int = 0, *, lesson: str = "90_tiny", **parameters: Any) -> Task:
    values = {"profile": "smoke", "dataset": "synthetic", "seed": number, "gamma": 2.5}
    values |= parameters
    return Task(task_id(lesson, values, "p", "d"), lesson, "{}", values, Limits(60, 1.5))


def make_record(task: Task, outcome: Outcome = Outcome.OK, **changes: Any) -> RunRecord:
    failed = outcome != Outcome.OK
    facts = {
        "message": "It went wrong: é." if failed else "",
        "failure": Failure(3, "1 / 0", "Zero: no", "line\nline") if failed else None,
        "metrics": ({"name": "iou", "value": 0.1 * task.attempt, "unit": None},),
        "exercises": ({"name": "q1", "outcome": "correct"}, {"name": "q2", "outcome": "error"}),
        "versions": {"python": "3.11", "torch": "2.4"},
        "device": "cpu, 2 threads",
        "host": "node7",
        "started": "2031-05-06T07:08:09+00:00",
        "seconds": 12.25,
        "peak_memory_gb": 0.75,
        "text": f'{{"cells": ["ü {task.id} {task.attempt}"]}}',
    }
    return RunRecord.of(task, outcome=outcome, **{**facts, **changes})


def stored(record: RunRecord, *, newest: bool = True) -> RunRecord:
    """The record as it comes back, its text aside, which does not count."""
    notebook = f"notebooks/{record.id}.ipynb" if newest else ""
    return replace(record, notebook=notebook, digest=sha256(record.text.encode()).hexdigest())


def run(store: RunStore, task: Task, outcome: Outcome = Outcome.OK, **changes: Any) -> RunRecord:
    store.start(task, "node7")
    record = make_record(task, outcome, **changes)
    store.end(record)
    return record


def contents(folder: Path) -> dict[str, bytes]:
    """What lies in the folder, but for the lock, which the system may leave or take away."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LOCK
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
def store(tmp_path: Path) -> Iterator[RunStore]:
    with open_store(tmp_path) as store:
        yield store


# What it keeps


def test_a_planned_task_is_read_with_all_that_it_is_in_the_order_of_the_plan(
    store: RunStore,
) -> None:
    tasks = [make_task(seed) for seed in (5, 3, 4)]
    tasks.append(Task("b", "own", "{}", {"sizes": [1, 2]}, student="Zoë"))
    store.plan(tasks)
    rows = store.latest()
    assert [row.id for row in rows] == [task.id for task in tasks]
    first, last = rows[0], rows[-1]
    assert (first.lesson, first.student, first.parameters) == ("90_tiny", "", tasks[0].parameters)
    assert (first.dataset, first.seed, first.profile) == ("synthetic", 5, "smoke")
    assert first.limits == Limits(60, 1.5, None)
    assert (last.student, last.dataset, last.seed, last.profile) == ("Zoë", None, None, None)
    assert last.parameters == {"sizes": [1, 2]}
    for row in rows:
        assert (row.attempt, row.outcome, row.seconds, row.notebook) == (0, None, None, "")
    assert store.attempts("b") == []


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_record_comes_back_as_it_was_with_its_notebook(
    outcome: Outcome, store: RunStore, tmp_path: Path
) -> None:
    task = make_task()
    store.plan([task])
    store.start(task, "node8")
    (row,) = store.latest()
    assert (row.state, row.attempt, row.host, row.seconds) == ("running", 1, "node8", None)
    record = make_record(task, outcome)
    assert store.end(record) is None
    assert store.latest() == [stored(record)] == read_store(tmp_path) == store.ended()
    (row,) = store.latest()
    assert isinstance(row.outcome, Outcome)
    assert (tmp_path / row.notebook).read_text(encoding="utf-8") == record.text


def test_tasks_of_an_earlier_plan_stay_but_are_not_current(store: RunStore) -> None:
    old, both, new = (make_task(seed) for seed in range(3))
    store.plan([old, both])
    run(store, old)
    run(store, both)
    store.plan([new, replace(both, limits=Limits(7))])
    assert [(row.id, row.outcome) for row in store.latest()] == [(new.id, None), (both.id, "ok")]
    assert store.latest()[1].limits == Limits(60, 1.5), "those that it was run with"
    assert [row.outcome for row in store.attempts(old.id)] == ["ok"]
    assert {row.id for row in store.ended()} == {old.id, both.id}
    store.plan([old])
    assert [(row.id, row.outcome) for row in store.latest()] == [(old.id, "ok")]


def test_a_plan_with_the_same_task_twice_is_refused_whole(store: RunStore) -> None:
    task = make_task()
    store.plan([task])
    for twin in (task, replace(task, lesson="91_copy")):
        with pytest.raises(ValueError, match=r"same task twice, as 90_tiny with .* leave one out"):
            store.plan([make_task(1), task, twin])
    assert [row.id for row in store.latest()] == [task.id]


def test_a_task_keeps_the_notebook_of_its_newest_attempt(store: RunStore, tmp_path: Path) -> None:
    task = make_task()
    store.plan([task])
    first = run(store, task, Outcome.ERROR)
    second = run(store, replace(task, attempt=2))
    assert store.attempts(task.id) == [stored(first, newest=False), stored(second)]
    assert store.latest() == [stored(second)]
    assert (tmp_path / stored(second).notebook).read_text("utf-8") == second.text


def test_a_notebook_that_somebody_has_edited_is_kept(store: RunStore, tmp_path: Path) -> None:
    task = make_task()
    store.plan([task])
    run(store, task)
    place = tmp_path / "notebooks" / f"{task.id}.ipynb"
    for attempt in (2, 3):
        place.write_text(f"notes {attempt}")
        store.start(replace(task, attempt=attempt), "node7")
        kept = store.end(make_record(replace(task, attempt=attempt)))
        assert kept == place.with_name(f"{task.id}.edited-{attempt - 1}.ipynb")
        assert kept.read_text() == f"notes {attempt}"


def test_what_has_ended_is_known_while_another_attempt_is_made(store: RunStore) -> None:
    task = make_task()
    store.plan([task])
    first = run(store, task)
    store.start(replace(task, attempt=2), "node7")
    assert store.ended() == [stored(first)]
    assert store.latest()[0].state == "running"


def test_an_attempt_starts_once_and_ends_once(store: RunStore, tmp_path: Path) -> None:
    task = make_task()
    store.plan([task])
    record = run(store, task, Outcome.TIMEOUT)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"attempt 1 .* has been started before: to_do gives"):
        store.start(task, "node8")
    with pytest.raises(ValueError, match=r"attempt 1 .* has ended with timeout before"):
        store.end(replace(record, outcome=Outcome.OK))
    assert contents(tmp_path) == before


def test_a_late_record_of_an_earlier_attempt_leaves_the_newer_notebook(
    store: RunStore, tmp_path: Path
) -> None:
    task = make_task()
    store.plan([task])
    store.start(task, "node7")  # its batch dies; a worker of the cluster goes on
    second = run(store, replace(task, attempt=2))
    store.end(make_record(task, Outcome.ERROR))
    late, newest = store.attempts(task.id)
    assert (late.outcome, late.notebook) == ("error", "")
    assert store.latest() == [newest] == [stored(second)]
    assert (tmp_path / newest.notebook).read_text("utf-8") == second.text
    assert store.to_do([task]) == []


def test_text_that_is_no_unicode_loses_no_record(store: RunStore, tmp_path: Path) -> None:
    task = replace(make_task(), student="Zo\udceb")
    store.plan([task])
    failure = Failure(1, "print('\ud800')", "E: \udc80", "\x00")
    run(store, task, Outcome.ERROR, message="\udc80\x00", text='["\ud800"]', failure=failure)
    (row,) = store.latest()
    assert (row.student, row.message, row.failure) == ("Zo?", "?\x00", failure)
    assert (tmp_path / row.notebook).read_text() == '["?"]'
    assert store.to_do([task]) == []


def test_durations_are_medians_of_the_runs_that_went_well(store: RunStore) -> None:
    tasks = [make_task(seed) for seed in range(5)]
    other = make_task(dataset="mvtec_ad/bottle", profile="full")
    store.plan([*tasks, other])
    for task, seconds in zip(tasks, (1.0, 8.0, 3.0), strict=False):
        run(store, task, seconds=seconds)
    run(store, tasks[3], Outcome.TIMEOUT, seconds=1000.0)
    store.start(tasks[4], "node7")
    run(store, other, seconds=40.0)
    assert store.durations() == {
        ("90_tiny", "synthetic"): 3.0,
        ("90_tiny", "mvtec_ad/bottle"): 40.0,
    }
    assert store.durations("smoke") == {("90_tiny", "synthetic"): 3.0}
    assert store.durations("laptop") == {}


# What is to be done


def test_to_do_is_what_is_missing_cut_off_or_asked_for_again(store: RunStore) -> None:
    tasks = {name: make_task(seed) for seed, name in enumerate(["new", "cut", "twice", *Outcome])}
    store.plan(list(tasks.values()))
    store.start(tasks["cut"], "node7")
    run(store, tasks["twice"], Outcome.ERROR)
    store.start(replace(tasks["twice"], attempt=2), "node7")
    for outcome in Outcome:
        run(store, tasks[outcome], outcome)

    def to_do(*again: Outcome) -> dict[str, int]:
        names = {task.id: name for name, task in tasks.items()}
        chosen = store.to_do(list(tasks.values()), again=again)
        return {str(names[task.id]): task.attempt for task in chosen}

    missing = {"new": 1, "cut": 2, "twice": 3}
    assert to_do() == missing
    assert to_do(Outcome.ERROR, Outcome.TIMEOUT) == missing | {"error": 2, "timeout": 2}
    assert to_do(*Outcome) == missing | {str(outcome): 2 for outcome in Outcome}
    assert list(to_do(*Outcome)) == [str(name) for name in tasks]


def test_a_notebook_that_is_gone_or_was_changed_counts_as_missing(
    store: RunStore, tmp_path: Path
) -> None:
    tasks = [make_task(seed) for seed in range(3)]
    store.plan(tasks)
    for task in tasks:
        run(store, task)
    assert store.to_do(tasks) == []
    files = [tmp_path / "notebooks" / f"{task.id}.ipynb" for task in tasks]
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-1])
    assert store.to_do(tasks) == [replace(task, attempt=2) for task in tasks[:2]]


# Its folder


def test_a_second_batch_is_turned_away(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.plan([make_task()])
        before = contents(tmp_path)
        with (
            pytest.raises(
                FileExistsError, match=r"another process is working in .* wait for it, or choo"
            ),
            open_store(tmp_path),
        ):
            pytest.fail("opened")
        assert contents(tmp_path) == before
        store.plan([make_task(1)])
    with open_store(tmp_path) as store:
        assert len(store.latest()) == 1


def hold(folder: Path, pipe: Connection) -> None:
    with open_store(folder):
        pipe.send("held")
        pipe.recv()


@forks
def test_others_see_the_batch_and_the_folder_is_free_when_it_is_killed(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    assert not list(tmp_path.iterdir())
    here, there = multiprocessing.Pipe()
    holder = child(hold, tmp_path, there)
    assert here.recv() == "held"
    assert is_running(tmp_path)
    with pytest.raises(FileExistsError, match="another process is working"), open_store(tmp_path):
        pytest.fail("opened")
    holder.kill()
    holder.join()
    assert not is_running(tmp_path)
    with open_store(tmp_path) as store:
        assert store.latest() == []


def test_one_who_looks_at_the_wrong_moment_keeps_nobody_from_starting(tmp_path: Path) -> None:
    with open_store(tmp_path):
        pass
    looking = FileLock(tmp_path / LOCK, thread_local=False)
    looking.acquire()
    threading.Timer(0.2, looking.release).start()
    with open_store(tmp_path) as store:
        store.plan([make_task()])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("thesis.tex", "holds thesis.tex and no runs.sqlite: choose"),
        ("notebooks/a.ipynb", "holds notebooks and no runs.sqlite: choose"),
        ("runs.json", "of an earlier version of the course .* move it away"),
        ("journal.sqlite", "of an earlier version of the course .* move it away"),
    ],
)
def test_a_folder_of_something_else_is_refused_and_stays(
    name: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=message), open_store(tmp_path):
        pytest.fail("opened")
    assert contents(tmp_path) == {name: b"mine"}


def test_what_a_batch_leaves_that_was_killed_in_between_is_no_hindrance(
    tmp_path: Path,
) -> None:
    (tmp_path / LOCK).touch()
    (tmp_path / ".runs.sqlite.draft").write_bytes(b"SQL")
    (tmp_path / ".runs.sqlite.draft-journal").write_bytes(b"SQL")
    with open_store(tmp_path) as store:
        store.plan([make_task()])
        run(store, make_task())
    assert set(contents(tmp_path)) == {"runs.sqlite", f"notebooks/{make_task().id}.ipynb"}


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
    "no table": sql("DROP TABLE runs"),
    "no JSON": sql("UPDATE runs SET metrics = '[{'"),
    "no outcome of ours": sql("UPDATE runs SET outcome = 'fine'"),
    "later version": sql("PRAGMA user_version = 2"),
}
SEEN_ONLY_WHEN_READ = ("no table", "no JSON", "no outcome of ours")


@pytest.mark.parametrize("way", [open_store, open_reader])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_refused_and_stays(damage: str, way: Any, tmp_path: Path) -> None:
    tasks = [make_task(seed) for seed in range(40)]
    with open_store(tmp_path) as store:
        store.plan(tasks)
        run(store, tasks[0])
    DAMAGES[damage](tmp_path / "runs.sqlite")
    before = contents(tmp_path)
    match = "of version 2, and this" if damage == "later version" else "is damaged or no run store"
    opened = False

    def look() -> None:
        nonlocal opened
        with way(tmp_path) as store:
            opened = True
            store.latest()

    with pytest.raises(ValueError, match=match):
        look()
    assert opened == (damage in SEEN_ONLY_WHEN_READ)
    assert contents(tmp_path) == before


# Looking in


def test_a_reader_looks_in_while_a_batch_works_there(tmp_path: Path) -> None:
    tasks = [make_task(seed) for seed in range(2)]
    with open_store(tmp_path) as store:
        store.plan(tasks)
        with open_reader(tmp_path) as reader:
            assert type(reader) is StoreReader
            for task in tasks:
                run(store, task)
                assert reader.latest() == store.latest()
            assert reader.to_do(tasks, again=[Outcome.OK])[0].attempt == 2


def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.plan([make_task()])
    before = contents(tmp_path)
    with open_reader(tmp_path) as reader:
        reader.latest()
        writer = RunStore(tmp_path, reader._connection, "notebooks")
        with pytest.raises(OSError, match="readonly"):
            writer.plan([])
    assert contents(tmp_path) == before


# Faults


class Killed(BaseException):
    """Stands for a death that no handler sees."""


@pytest.mark.parametrize("started", [True, False])
def test_a_death_between_notebook_and_record_leaves_no_row_with_a_notebook_of_another(
    started: bool, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, again = make_task(), replace(make_task(), attempt=2)
    store.plan([task])
    run(store, task)
    replace_file = os.replace

    def die(*paths: Path) -> None:
        replace_file(*paths)
        raise Killed

    if started:
        store.start(again, "node7")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die)
        with pytest.raises(Killed):
            store.end(make_record(again))
    first, second = store.attempts(task.id)
    assert (first.outcome, first.notebook, second.state) == ("ok", "", "running")
    assert store.to_do([task]) == [replace(task, attempt=3)]
    assert store.end(make_record(replace(task, attempt=3))) is None, "nobody has edited it"


def test_the_notebook_is_there_before_its_row(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    store.plan([task])
    store.start(task, "node7")

    def fail(*_: object) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match=r"cannot be read or written \(no space\)"):
            store.end(make_record(task))
    assert store.latest()[0].state == "running"
    assert not list((tmp_path / "notebooks").iterdir())  # no draft on a full disk
    store.end(make_record(task))
    assert store.latest()[0].outcome == "ok"


def test_a_power_cut_is_reckoned_with(store: RunStore) -> None:
    pragmas = ("PRAGMA journal_mode", "PRAGMA synchronous")
    asked = [store._connection.execute(pragma) for pragma in pragmas]
    assert [answer.fetchone()[0] for answer in asked] == ["delete", 2]


def test_a_full_disk_is_reported_and_loses_nothing(store: RunStore) -> None:
    tasks = [make_task(seed) for seed in range(20)]
    store.plan(tasks)
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    done = []

    def fill() -> None:
        for task in tasks:
            done.append(run(store, task, message="wordy " * 300))

    with pytest.raises(OSError, match=r"disk is full\): see that the disk .* has space left"):
        fill()
    assert 0 < len(done) < 20
    rows = store.latest()
    assert rows[: len(done)] == [stored(record) for record in done]
    assert all(row.outcome is None for row in rows[len(done) :])
    store._connection.execute("PRAGMA max_page_count = 100000")
    for task in store.to_do(tasks):
        run(store, task)
    assert {row.outcome for row in store.latest()} == {"ok"}


def die_half_way(folder: Path) -> None:
    with open_store(folder) as store:
        store._connection.execute("PRAGMA cache_size = 1")  # changed pages go to the file at once
        with store._transaction():
            store._connection.execute("UPDATE runs SET lesson = hex(zeroblob(3000))")
            os.kill(os.getpid(), signal.SIGKILL)


@forks
@pytest.mark.parametrize("way", [open_store, open_reader])
def test_half_a_transaction_is_undone_by_whoever_opens_next(way: Any, tmp_path: Path) -> None:
    tasks = [make_task(seed) for seed in range(40)]
    with open_store(tmp_path) as store:
        store.plan(tasks)
        before = store.latest()
    clean = (tmp_path / "runs.sqlite").read_bytes()
    process = child(die_half_way, tmp_path)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "runs.sqlite").read_bytes() != clean
    with way(tmp_path) as store:
        assert store.latest() == before


MANY = [make_task(seed) for seed in range(60)]


def work_until_killed(folder: Path, pipe: Connection) -> None:
    pipe.send("alive")
    with open_store(folder) as store:
        store.plan(MANY)
        while True:
            for number, task in enumerate(store.to_do(MANY, again=[Outcome.OK])):
                if number % 2:  # the others as if from a cluster
                    store.start(task, "node7")
                store.end(make_record(task))
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


def require_whole(folder: Path, confirmed: set[tuple[str, int]], store: StoreReader) -> int:
    """Compare all rows with what must be; return how many attempts were cut off."""
    tasks = {task.id: task for task in MANY}
    rows = store.latest()
    attempts = [row for task in rows for row in store.attempts(task.id)]
    ended = {(row.id, row.attempt): row for row in attempts if row.outcome}
    assert confirmed <= ended.keys()
    for row in ended.values():
        record = make_record(replace(tasks[row.id], attempt=row.attempt))
        assert row == stored(record, newest=bool(row.notebook))
    for row in attempts:
        if row.notebook:
            assert sha256((folder / row.notebook).read_bytes()).hexdigest() == row.digest
    green = {row.id for row in rows if row.outcome == "ok"}
    assert all(row.notebook for row in rows if row.id in green)
    assert [task.id for task in store.to_do(MANY)] == [t.id for t in MANY if t.id not in green]
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
        way = rng.choice([open_store, open_reader])
        if not (folder / "runs.sqlite").exists():
            assert not known
            way = open_store
        with way(folder) as store:
            if store.latest():
                cut_off += require_whole(folder, known, store)
            else:
                assert not known
    assert cut_off  # else it was never killed in the midst of it
