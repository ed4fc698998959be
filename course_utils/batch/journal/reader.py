"""Look into the ledger of a batch: what stands there, and what is still to be done."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection
from sqlite3 import Row as StoredRow
from statistics import median
from typing import Any

from course_utils.batch.journal.file import JOURNAL, connect, damaged, told
from course_utils.batch.journal.rows import Row, read_row
from course_utils.batch.tasks import Task
from course_utils.runs.notebooks import digest
from course_utils.runs.run import Outcome

NOTEBOOKS = "notebooks"
_ROWS = "SELECT * FROM tasks LEFT JOIN attempts ON attempts.task = tasks.id"
_NEWEST = """attempts.attempt IS
    (SELECT MAX(others.attempt) FROM attempts AS others WHERE others.task = tasks.id)"""


@contextmanager
def read_journal(folder: str | Path) -> "Iterator[JournalReader]":
    """Look into the journal of `folder`, also while a batch works there.

    Raises:
        FileNotFoundError: when there is none, and else as `open_journal`.

    Example:
        >>> with read_journal("nowhere") as journal:
        ...     journal.latest()
        Traceback (most recent call last):
            ...
        FileNotFoundError: no batch in nowhere: ...
    """
    folder = Path(folder)
    if not (folder / JOURNAL).is_file():
        what = f"{folder} is a file, and" if folder.is_file() else f"no batch in {folder}:"
        raise FileNotFoundError(f"{what} a batch lies in a folder such as build/batches/NAME")
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

        Raises:
            ValueError: for an id that no plan had.
        """
        rows = self._rows(f"{_ROWS} WHERE tasks.id = ? ORDER BY attempt", task)
        if not rows:
            raise unknown_task(task)
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


def unknown_task(task: str) -> ValueError:
    return ValueError(f"no plan in this folder had the task {task!r}: plan it first")
