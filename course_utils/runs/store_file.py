"""The SQLite file of a run store: its one table, its rows as records, what may be wrong with it."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from course_utils.runs.handed_in import HANDED_IN
from course_utils.runs.records import Failure, Limits, Outcome, RunRecord

STORE, LOCK = "runs.sqlite", ".runs.lock"
VERSION = 1
APPLICATION = 0x436F7572  # "Cour" in the file's header: not just any SQLite file of this name
BUSY_SECONDS = 60  # how long to wait for another program that reads or writes the file just now
_CREATE = f"""
BEGIN;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE runs (
    id TEXT NOT NULL,
    attempt INTEGER NOT NULL,  -- 0: the task as it was last planned
    position INTEGER,  -- of attempt 0, in the latest plan; NULL: not in it
    lesson TEXT NOT NULL,
    student TEXT NOT NULL,
    parameters TEXT NOT NULL,  -- JSON
    limits TEXT NOT NULL,  -- JSON
    outcome TEXT,  -- NULL: no end
    message TEXT NOT NULL,
    failure TEXT NOT NULL,  -- JSON: null, or cell, source, error, excerpt
    metrics TEXT NOT NULL,  -- JSON
    exercises TEXT NOT NULL,  -- JSON
    versions TEXT NOT NULL,  -- JSON
    device TEXT NOT NULL,
    host TEXT NOT NULL,
    started TEXT NOT NULL,  -- UTC; of attempt 0, when the latest batch that planned it began
    seconds REAL,
    peak_memory_gb REAL,
    notebook TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (id, attempt)
);
COMMIT;
"""
COLUMNS = tuple(field.name for field in fields(RunRecord) if field.name != "text")
"""What the table keeps of a record; its text lies in a file."""
EARLIER = ("runs.json", "journal.sqlite")
"""Records of versions before this one, which are not read."""
_JSON = ("parameters", "limits", "failure", "metrics", "exercises", "versions")


def require_place(folder: Path) -> None:
    """Raise `FileExistsError` unless `folder` is new, empty, or has a store; write nothing.

    Example:
        >>> require_place(Path("nowhere"))
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: name a folder with --out")
    if not folder.is_dir() or (folder / STORE).is_file():
        return
    ours = (LOCK, f".{STORE}.", HANDED_IN, f".{HANDED_IN}.")
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith(ours))
    if earlier := [name for name in others if name in EARLIER]:
        raise FileExistsError(
            f"{folder} is of an earlier version of the course ({earlier[0]}): move it away or "
            f"delete it (rm -r {folder}), or choose another folder with --out"
        )
    if others:
        raise FileExistsError(
            f"{folder} holds {others[0]} and no {STORE}: choose an empty folder with --out, "
            "so that nothing of yours is overwritten"
        )


def create(folder: Path) -> None:
    """Make an empty store, which has its name only when it is whole."""
    draft = folder / f".{STORE}.draft"
    draft.unlink(missing_ok=True)
    with explain_errors(folder):
        with closing(sqlite3.connect(draft)) as connection:
            connection.executescript(_CREATE)
        os.replace(draft, folder / STORE)


def connect(folder: Path) -> sqlite3.Connection:
    """Open the store in `folder`; each statement is a transaction unless one is begun.

    Raises:
        ValueError: when it is damaged, not ours, or of a later version.
    """
    with explain_errors(folder):
        connection = sqlite3.connect(folder / STORE, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            _require_ours(folder, connection)
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def explain_errors(folder: Path) -> Iterator[None]:
    """Raise in words why the store of `folder` cannot be read or written.

    Raises:
        ValueError: when it is damaged.
        OSError: when the disk is full, gone or closed to us.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            raise damaged(folder, error) from error  # the last: its table is not ours
        if isinstance(error, sqlite3.OperationalError):
            raise _unusable(folder, error) from error
        raise
    except OSError as error:
        raise _unusable(folder, error) from error


def damaged(folder: Path, why: object) -> ValueError:
    """Return the error that says so."""
    return ValueError(
        f"{folder / STORE} is damaged or no run store ({why}): move it away with the rest of the "
        "folder, or choose another folder with --out"
    )


def to_row(record: RunRecord) -> dict[str, Any]:
    """Return a record as the table keeps it."""
    values = {name: getattr(record, name) for name in COLUMNS}
    values |= {name: json.dumps(values[name], default=_as_dict) for name in _JSON}
    return {name: _storable(value) for name, value in values.items()}


def read_row(row: sqlite3.Row) -> RunRecord:
    """Return a row of the table as a record.

    Raises:
        ValueError: or `TypeError`, when its content is none of ours.
    """
    values = {name: json.loads(row[name]) if name in _JSON else row[name] for name in COLUMNS}
    outcome, failure = values["outcome"], values["failure"]
    values["limits"] = Limits(**values["limits"])
    values["outcome"] = None if outcome is None else Outcome(outcome)
    values["failure"] = None if failure is None else Failure(**failure)
    values |= {name: tuple(values[name]) for name in ("metrics", "exercises")}
    return RunRecord(**values)


def _storable(value: Any) -> Any:
    """Replace what is no UTF-8: the names of old files, and what damaged programs print."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _as_dict(value: Any) -> dict[str, Any]:
    return asdict(value) if isinstance(value, Limits | Failure) else dict(value)


def _require_ours(folder: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise damaged(folder, "another program has written it, or it is empty")
    if version > VERSION:
        raise ValueError(
            f"{folder / STORE} is of version {version}, and this course_utils knows those up to "
            f"{VERSION}: update it, or choose another folder with --out"
        )
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise damaged(folder, found)


def _unusable(folder: Path, why: object) -> OSError:
    return OSError(
        f"the run store in {folder} cannot be read or written ({why}): see that the disk is there "
        "and has space left, then start again; what was recorded before is kept"
    )
