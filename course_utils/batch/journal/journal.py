"""The ledger of a batch: its tasks, and what became of every attempt at them.

It is SQLite, because transactions survive kill -9, a batch has one writer, and status and report
ask it questions while the batch runs. It keeps the rollback journal, since the shared memory of
WAL does not work on the network disks where batch folders lie, and synchronous=FULL, so that a
power cut leaves it whole, too.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from sqlite3 import Row as StoredRow

from course_utils.batch.journal.conductor import hold
from course_utils.batch.journal.file import JOURNAL, connect, create, require_place, told
from course_utils.batch.journal.reader import NOTEBOOKS, JournalReader, unknown_task
from course_utils.batch.journal.rows import record_columns, storable, task_columns
from course_utils.batch.tasks import Record, Task

_PLAN = """
INSERT INTO tasks VALUES (:id, :lesson, :student, :parameters, :dataset, :seed, :profile, :limits,
                          :planned, :position, 1)
ON CONFLICT (id) DO UPDATE SET
    lesson = excluded.lesson, limits = excluded.limits, position = excluded.position, current = 1
"""


@contextmanager
def open_journal(folder: str | Path) -> "Iterator[Journal]":
    """Hold the batch folder `folder` as its only conductor; a new one is made.

    Raises:
        FileExistsError: when the folder is a file, holds files that are not of a batch, or another
            batch works in it.
        ValueError: when its journal is damaged, not ours, or of a later version, and leaves it as
            it is.
        OSError: when it cannot be written.

    Example:
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
    with hold(folder):
        if not (folder / JOURNAL).exists():
            create(folder)
        with closing(connect(folder)) as connection:
            for draft in (folder / NOTEBOOKS).glob(".*.draft"):  # of a conductor that was killed
                draft.unlink()
            yield Journal(folder, connection)


class Journal(JournalReader):
    """The journal in the hands of its only writer; see `open_journal`.

    Each method that writes does so as a whole or not at all, and raises `OSError` when it cannot,
    as on a full disk.
    """

    def plan(self, tasks: Sequence[Task]) -> None:
        """Make `tasks` the latest plan; those of earlier plans stay, as not current.

        Raises:
            ValueError: if a task is in it twice.
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

        Raises:
            ValueError: if no plan had the task, or the attempt has been started before.
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
            raise unknown_task(task)
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
