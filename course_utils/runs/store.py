"""The run store of a folder: planned tasks, and what became of every attempt at them.

It is SQLite, because transactions survive kill -9, one batch writes at a time, and status and
report ask it questions meanwhile. It keeps the rollback journal, since the shared memory of WAL
does not work on the network disks where such folders lie, and synchronous=FULL, so that a power
cut leaves it whole, too. Beside it lie the executed notebooks, one for each task.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from pathlib import Path
from sqlite3 import Connection
from sqlite3 import Row as StoredRow
from statistics import median
from typing import Any

from filelock import FileLock, Timeout

from course_utils.io import lock_folder, write_atomic
from course_utils.runs.records import Outcome, RunRecord, Task
from course_utils.runs.store_file import (
    COLUMNS,
    LOCK,
    STORE,
    connect,
    create,
    damaged,
    explain_errors,
    read_row,
    require_place,
    to_row,
)

NOTEBOOKS = "notebooks"
"""Folder of the executed notebooks of a batch, within its own."""
OTHERS_LOOK = 1.0  # seconds to wait for whoever only looks whether a batch runs
_LATEST = """SELECT newest.* FROM runs AS planned JOIN runs AS newest ON newest.id = planned.id
    WHERE planned.position IS NOT NULL AND newest.attempt =
        (SELECT MAX(attempt) FROM runs WHERE id = planned.id)
    ORDER BY planned.position"""
_LAST_ENDED = """SELECT * FROM runs WHERE attempt =
    (SELECT MAX(attempt) FROM runs AS others WHERE id = runs.id AND outcome IS NOT NULL)
    ORDER BY id"""
_PUT = f"""INSERT OR REPLACE INTO runs (position, {", ".join(COLUMNS)})
    VALUES (:position, {", ".join(f":{name}" for name in COLUMNS)})"""


@contextmanager
def open_store(folder: str | Path, *, notebooks: str = NOTEBOOKS) -> "Iterator[RunStore]":
    """Hold `folder` as the only batch that works there; a new one is made.

    Args:
        folder: of the batch or the course.
        notebooks: where the executed notebooks go, within `folder`.

    Raises:
        FileExistsError: when the folder is a file, holds files that are not of a batch, or another
            batch works in it.
        ValueError: when its store is damaged, not ours, or of a later version; it stays as it is.
        OSError: when it cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> task = Task("75f1", "01_class_imbalance", "{}", {"dataset": "synthetic", "seed": 0})
        >>> with TemporaryDirectory() as folder, open_store(folder) as store:
        ...     store.plan([task])
        ...     store.start(task, host="here")
        ...     [(run.id, run.attempt, run.state) for run in store.latest()]
        [('75f1', 1, 'running')]
    """
    folder = Path(folder)
    require_place(folder)
    with explain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    advice = "wait for it, or choose another folder with --out"
    with lock_folder(folder, LOCK, advice, timeout=OTHERS_LOOK):
        if not (folder / STORE).exists():
            create(folder)
        with closing(connect(folder)) as connection:
            yield RunStore(folder, connection, notebooks)


@contextmanager
def open_reader(folder: str | Path) -> "Iterator[StoreReader]":
    """Look into the store of `folder`, also while a batch works there.

    Raises:
        FileNotFoundError: when there is none, and else as `open_store`.
    """
    folder = Path(folder)
    if not (folder / STORE).is_file():
        what = f"{folder} is a file, and" if folder.is_file() else f"no batch in {folder}:"
        raise FileNotFoundError(f"{what} a batch lies in a folder such as build/batches/NAME")
    with closing(connect(folder)) as connection:
        # Not mode=ro: that one cannot undo what a killed batch left half written.
        connection.execute("PRAGMA query_only = ON")
        yield StoreReader(folder, connection)


def read_store(folder: str | Path) -> list[RunRecord]:
    """Return the runs of the latest plan of `folder`, in its order, with their newest attempts.

    Raises as `open_reader`.

    Example:
        >>> read_store("nowhere")
        Traceback (most recent call last):
            ...
        FileNotFoundError: no batch in nowhere: ...
    """
    with open_reader(folder) as store:
        return store.latest()


def is_running(folder: Path) -> bool:
    """Tell whether a batch works in `folder` right now.

    Raises:
        OSError: when that cannot be told, as where nothing can be written.

    Example:
        >>> is_running(Path("nowhere"))
        False
    """
    path = folder / LOCK
    if not path.exists():
        return False
    try:
        with FileLock(path).acquire(timeout=0.1, poll_interval=0.01):  # others may look as well
            return False
    except Timeout:
        return True


class StoreReader:
    """What a store says; see `open_reader`."""

    def __init__(self, folder: Path, connection: Connection) -> None:
        self.folder = folder
        self._connection = connection

    def latest(self) -> list[RunRecord]:
        """Return every task of the latest plan, in its order, each with its newest attempt."""
        return self._records(_LATEST)

    def ended(self) -> list[RunRecord]:
        """Return every task that has ever ended, by its id, with the last attempt that did."""
        return self._records(_LAST_ENDED)

    def attempts(self, task: str) -> list[RunRecord]:
        """Return all attempts at the task of that id, oldest first."""
        return self._records("SELECT * FROM runs WHERE id = ? AND attempt ORDER BY attempt", task)

    def began(self) -> str:
        """Return when the latest batch began, UTC, ISO 8601; empty if none ever did."""
        ((began,),) = self._query("SELECT MAX(started) FROM runs WHERE position IS NOT NULL")
        return began or ""

    def durations(self, profile: str | None = None) -> dict[tuple[str, str], float]:
        """Return the median seconds of all attempts that went well, by lesson and data set.

        `profile` counts only those of that profile. The data set is `""` where there is none.
        """
        found = defaultdict(list)
        for run in self._records("SELECT * FROM runs WHERE outcome = ?", str(Outcome.OK)):
            if profile in (None, run.profile) and run.seconds is not None:
                found[run.lesson, run.dataset or ""].append(run.seconds)
        return {key: median(seconds) for key, seconds in found.items()}

    def to_do(self, tasks: Sequence[Task], *, again: Collection[Outcome] = ()) -> list[Task]:
        """Return those of `tasks` that are to be run, in order, `attempt` set to the next number.

        They are those that never ended, whose newest attempt was cut off with its batch or ended
        with an outcome in `again`, or whose executed notebook is gone or was changed since.
        """
        runs = self._records("SELECT * FROM runs WHERE attempt ORDER BY attempt")
        newest = {run.id: run for run in runs}
        chosen = []
        for task in tasks:
            run = newest.get(task.id)
            if run is None:
                chosen.append(replace(task, attempt=1))
            elif run.outcome is None or run.outcome in again or not self._has_notebook(run):
                chosen.append(replace(task, attempt=run.attempt + 1))
        return chosen

    def _has_notebook(self, run: RunRecord) -> bool:
        path = self.folder / run.notebook
        return path.is_file() and digest(path) == run.digest

    def _query(self, sql: str, *values: Any) -> list[StoredRow]:
        with explain_errors(self.folder):
            return self._connection.execute(sql, values).fetchall()

    def _records(self, sql: str, *values: Any) -> list[RunRecord]:
        rows = self._query(sql, *values)
        try:
            return [read_row(row) for row in rows]
        except (ValueError, TypeError, IndexError) as error:
            raise damaged(self.folder, error) from error


class RunStore(StoreReader):
    """The store in the hands of its only writer; see `open_store`.

    Each method that writes does so as a whole or not at all, and raises `OSError` when it cannot,
    as on a full disk.
    """

    def __init__(self, folder: Path, connection: Connection, notebooks: str) -> None:
        super().__init__(folder, connection)
        self._notebooks = notebooks

    def plan(self, tasks: Sequence[Task]) -> None:
        """Make `tasks` the latest plan; those of earlier plans stay in the store.

        Raises:
            ValueError: if a task is in it twice.
        """
        seen: dict[str, Task] = {}
        for task in tasks:
            if task.id in seen:
                raise ValueError(
                    f"the plan has the same task twice, as {_format_task(seen[task.id])} and "
                    f"{_format_task(task)}: leave one out"
                )
            seen[task.id] = task
        now = _now()
        planned = [RunRecord.of(task, attempt=0, started=now) for task in tasks]
        with self._transaction():
            self._connection.execute("UPDATE runs SET position = NULL WHERE position IS NOT NULL")
            for position, run in enumerate(planned):
                self._put(run, position)

    def start(self, task: Task, host: str) -> None:
        """Record that this attempt at `task` starts now, on the machine `host`.

        Raises:
            ValueError: if the attempt has been started before.
        """
        if any(run.attempt == task.attempt for run in self.attempts(task.id)):
            raise ValueError(
                f"attempt {task.attempt} at task {task.id} has been started before: "
                "to_do gives the next number"
            )
        with self._transaction():
            self._put(RunRecord.of(task, host=host, started=_now()))

    def end(self, record: RunRecord) -> Path | None:
        """Keep the executed notebook of an attempt, then record how it ended.

        It need not have been started. A notebook of an earlier attempt that somebody has edited
        is kept under another name, which is returned.

        Raises:
            ValueError: if the attempt has ended before.
        """
        content = record.text.encode("utf-8", "replace")
        attempts = {run.attempt: run for run in self.attempts(record.id)}
        begun = attempts.get(record.attempt) or RunRecord(
            record.id,
            record.lesson,
            record.parameters,
            record.student,
            record.limits,
            record.attempt,
            host=record.host,
            started=record.started,
        )
        if begun.outcome is not None:
            raise ValueError(
                f"attempt {record.attempt} at task {record.id} has ended with {begun.outcome!s} "
                "before: an attempt ends once"
            )
        newest = record.attempt >= max(attempts, default=0)
        ended = replace(record, notebook="", digest=sha256(content).hexdigest())
        with self._transaction():
            # Killed before the rest, we leave an attempt that was cut off, as the newest one, and
            # a notebook that is known to be its own and no other's.
            self._put(replace(begun, digest=ended.digest))
            if newest:
                self._connection.execute("UPDATE runs SET notebook = '' WHERE id = ?", [record.id])
        kept = None
        with self._transaction():
            if newest:
                place = Path(self._notebooks, f"{record.id}.ipynb")
                path = self.folder / place
                ours = {run.digest for run in attempts.values()} | {ended.digest}
                kept = _set_aside(path) if path.is_file() and digest(path) not in ours else None
                path.parent.mkdir(exist_ok=True)
                write_atomic(path, content)
                ended = replace(ended, notebook=place.as_posix())
            self._put(ended)
        return kept

    def _put(self, run: RunRecord, position: int | None = None) -> None:
        self._connection.execute(_PUT, {**to_row(run), "position": position})

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with explain_errors(self.folder), self._connection:  # this ends it, one way or the other
            self._connection.execute("BEGIN IMMEDIATE")
            yield


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _set_aside(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.stem}.edited-{number}.ipynb")).exists():
        number += 1
    os.replace(path, kept)
    return kept


def _format_task(task: Task) -> str:
    whose = f" of {task.student}" if task.student else ""
    return f"{task.lesson}{whose} with {dict(task.parameters)}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
