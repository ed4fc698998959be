"""The ledger of a batch: its tasks, and what became of every attempt at them.

It is SQLite, because transactions survive kill -9, a batch has one writer, and status and report
ask it questions while the batch runs. It keeps the rollback journal, since the shared memory of
WAL does not work on the network disks where batch folders lie, and synchronous=FULL, so that a
power cut leaves it whole, too.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from sqlite3 import Connection
from sqlite3 import Row as StoredRow
from statistics import median
from typing import Any

from filelock import FileLock, Timeout

from course_utils.batch.journal.file import (
    JOURNAL,
    PREFIX,
    connect,
    create,
    damaged,
    require_place,
    told,
)
from course_utils.batch.journal.rows import Row, read_row, record_columns, storable, task_columns
from course_utils.batch.tasks import Record, Task
from course_utils.runs.notebooks import digest
from course_utils.runs.run import Outcome

NOTEBOOKS, LOCK = "notebooks", f"{PREFIX}lock"
_PLAN = """
INSERT INTO tasks VALUES (:id, :lesson, :student, :parameters, :dataset, :seed, :profile, :limits,
                          :planned, :position, 1)
ON CONFLICT (id) DO UPDATE SET
    lesson = excluded.lesson, limits = excluded.limits, position = excluded.position, current = 1
"""
_ROWS = "SELECT * FROM tasks LEFT JOIN attempts ON attempts.task = tasks.id"
_NEWEST = """attempts.attempt IS
    (SELECT MAX(others.attempt) FROM attempts AS others WHERE others.task = tasks.id)"""


@contextmanager
def open_journal(folder: str | Path) -> "Iterator[Journal]":
    """Hold the batch folder `folder` as its only conductor; a new one is made.

    Raises `FileExistsError` when the folder is a file, holds files that are not of a batch, or
    another batch works in it; `ValueError` when its journal is damaged, not ours, or of a later
    version, and leaves it as it is; `OSError` when it cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> task = Task("75f1", "01_class_imbalance", "{}", {"dataset": "synthetic", "seed": 0})
    >>> with TemporaryDirectory() as folder, open_journal(folder) as journal:
    ...     journal.plan([task])
    ...     journal.start(task, host="here")
    ...     [(row.id, row.attempt, row.outcome) for row in journal.latest()]
    [('75f1', 1, 'running')]
    """
    folder = Path(folder)
    require_place(folder)
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)  # dropped by the system if its process dies
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FileExistsError(
            f"another batch works in {folder}: wait for it, or choose another folder with --out"
        ) from None
    try:
        if not (folder / JOURNAL).exists():
            create(folder)
        with closing(connect(folder)) as connection:
            for draft in (folder / NOTEBOOKS).glob(".*.draft"):  # of a conductor that was killed
                draft.unlink()
            yield Journal(folder, connection)
    finally:
        lock.release()


@contextmanager
def read_journal(folder: str | Path) -> "Iterator[JournalReader]":
    """Look into the journal of `folder`, also while a batch works there.

    Raises `FileNotFoundError` when there is none, and else as `open_journal`.

    >>> with read_journal("nowhere") as journal:
    ...     journal.latest()
    Traceback (most recent call last):
        ...
    FileNotFoundError: no batch in nowhere: ...
    """
    folder = Path(folder)
    if not (folder / JOURNAL).is_file():
        raise FileNotFoundError(f"no batch in {folder}: name the folder of one with --out")
    with closing(connect(folder)) as connection:
        # Not mode=ro: that one cannot undo what a killed conductor left half written.
        connection.execute("PRAGMA query_only = ON")
        yield JournalReader(folder, connection)


class JournalReader:
    """What a journal tells; see `read_journal`."""

    def __init__(self, folder: Path, connection: Connection) -> None:
        self.folder = folder
        self._connection = connection

    def latest(self) -> list[Row]:
        """Return every task of the latest plan, in its order, each with its newest attempt."""
        return self._rows(f"{_ROWS} WHERE current AND {_NEWEST} ORDER BY position")

    def attempts(self, task: str) -> list[Row]:
        """Return all attempts at the task of that id, oldest first.

        Raises `ValueError` for an id that no plan had.
        """
        rows = self._rows(f"{_ROWS} WHERE tasks.id = ? ORDER BY attempt", task)
        if not rows:
            raise _unknown(task)
        return [row for row in rows if row.attempt]

    def durations(self, profile: str | None = None) -> dict[tuple[str, str | None], float]:
        """Return the median seconds of all attempts that went well, by lesson and data set.

        `profile` counts only those of that profile.
        """
        found = defaultdict(list)
        for lesson, dataset, seconds in self._query(
            "SELECT lesson, dataset, seconds FROM attempts JOIN tasks ON task = id "
            "WHERE outcome = ? AND ? IN (profile, '')",
            str(Outcome.OK),
            profile or "",
        ):
            found[lesson, dataset].append(seconds)
        return {key: median(seconds) for key, seconds in found.items()}

    def to_do(self, tasks: Sequence[Task], *, again: Collection[Outcome] = ()) -> list[Task]:
        """Return those of `tasks` that are to be run, in order, `attempt` set to the next number.

        They are those that never ended, whose newest attempt was cut off with its conductor or
        ended with an outcome in `again`, or whose executed notebook is gone or was changed since.
        """
        rows = self._query(f"{_ROWS} WHERE {_NEWEST}")
        newest = {row["id"]: row for row in rows if row["attempt"]}
        chosen = []
        for task in tasks:
            row = newest.get(task.id)
            if row is None:
                chosen.append(replace(task, attempt=1))
            elif row["outcome"] is None or row["outcome"] in again or not self._has_notebook(row):
                chosen.append(replace(task, attempt=row["attempt"] + 1))
        return chosen

    def _has_notebook(self, row: StoredRow) -> bool:
        path = self.folder / NOTEBOOKS / row["notebook"]
        return path.is_file() and digest(path) == row["digest"]

    def _query(self, sql: str, *values: Any) -> list[StoredRow]:
        with told(self.folder):
            return self._connection.execute(sql, values).fetchall()

    def _rows(self, sql: str, *values: Any) -> list[Row]:
        found = self._query(sql, *values)
        try:
            return [read_row(row) for row in found]
        except (ValueError, TypeError) as error:
            raise damaged(self.folder, error) from error


class Journal(JournalReader):
    """The journal in the hands of its only writer; see `open_journal`.

    Each method that writes does so as a whole or not at all, and raises `OSError` when it cannot,
    as on a full disk.
    """

    def plan(self, tasks: Sequence[Task]) -> None:
        """Make `tasks` the latest plan; those of earlier plans stay, as not current.

        Raises `ValueError` if a task is in it twice.
        """
        seen: dict[str, Task] = {}
        for task in tasks:
            if task.id in seen:
                raise ValueError(
                    f"the plan has the same task twice, as {_shown(seen[task.id])} and "
                    f"{_shown(task)}: leave one out"
                )
            seen[task.id] = task
        now = _now()
        rows = [
            {"planned": now, "position": position, **task_columns(task)}
            for position, task in enumerate(tasks)
        ]
        with self._transaction():
            self._connection.execute("UPDATE tasks SET current = 0")
            self._connection.executemany(_PLAN, rows)

    def start(self, task: Task, host: str) -> None:
        """Record that this attempt at `task` starts now, on the machine `host`.

        Raises `ValueError` if no plan had the task, or the attempt has been started before.
        """
        if self._attempt(task.id, task.attempt):
            raise ValueError(
                f"attempt {task.attempt} at task {task.id} has been started before: "
                "to_do gives the next number"
            )
        self._start(task.id, task.attempt, host, _now())

    def end(self, record: Record) -> None:
        """Keep the executed notebook of an attempt, then record how it ended.

        The same record may come twice, and one of an attempt whose start was never recorded may
        come, too. Raises `ValueError` if no plan had the task, or the attempt ended otherwise
        before.
        """
        content = record.notebook.encode("utf-8", "replace")
        columns = record_columns(record, sha256(content).hexdigest())
        known = self._attempt(record.id, record.attempt)
        if known and known["outcome"] is not None:
            if all(known[name] == value for name, value in columns.items()):
                return
            raise ValueError(
                f"attempt {record.attempt} at task {record.id} has ended with "
                f"{known['outcome']!r} before, and now ends with {columns['outcome']!r}, "
                "as another record: an attempt ends once"
            )
        if not known:
            # Killed between notebook and record, we must not leave an earlier attempt as the
            # newest one, with a notebook that is not its own.
            self._start(record.id, record.attempt, record.host, record.started)
        with self._transaction():
            (newest,) = self._connection.execute(
                "SELECT MAX(attempt) FROM attempts WHERE task = ?", [record.id]
            ).fetchone()
            if record.attempt == newest:
                columns["notebook"] = f"{record.id}.ipynb"
                _write(self.folder / NOTEBOOKS / columns["notebook"], content)
            settings = ", ".join(f"{name} = :{name}" for name in columns)
            self._connection.execute(
                f"UPDATE attempts SET {settings} WHERE task = :id AND attempt = :number",
                {**columns, "id": record.id, "number": record.attempt},
            )

    def _attempt(self, task: str, number: int) -> StoredRow | None:
        if not self._query("SELECT 1 FROM tasks WHERE id = ?", task):
            raise _unknown(task)
        rows = self._query("SELECT * FROM attempts WHERE task = ? AND attempt = ?", task, number)
        return rows[0] if rows else None

    def _start(self, task: str, number: int, host: str, started: str) -> None:
        with self._transaction():
            self._connection.execute(
                "INSERT INTO attempts (task, attempt, host, started) VALUES (?, ?, ?, ?)",
                [task, number, storable(host), storable(started)],
            )
            self._connection.execute(
                "UPDATE attempts SET notebook = '' WHERE task = ? AND attempt < ?", [task, number]
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with told(self.folder), self._connection:  # this ends it, one way or the other
            self._connection.execute("BEGIN IMMEDIATE")
            yield


def _unknown(task: str) -> ValueError:
    return ValueError(f"no plan in this folder had the task {task!r}: plan it first")


def _shown(task: Task) -> str:
    whose = f" of {task.student}" if task.student else ""
    return f"{task.lesson}{whose} with {dict(task.parameters)}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)  # on a full disk of all places it would take up space
        raise
