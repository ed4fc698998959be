"""The file that the journal of a batch lies in: making it, opening it, and what may be wrong."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from course_utils.batch.journal.rows import SCHEMA

JOURNAL, PREFIX = "journal.sqlite", ".journal."
VERSION = 1
APPLICATION = 0x436F7572  # "Cour" in the file's header: not just any SQLite file of this name
BUSY_SECONDS = 60  # how long to wait for another program that reads or writes the file just now
_CREATE = f"""
BEGIN;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
{SCHEMA}
COMMIT;
"""


def require_place(folder: Path) -> None:
    """Raise `FileExistsError` unless `folder` is new, empty, or of a batch; write nothing.

    Example:
        >>> require_place(Path("nowhere"))
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: name a folder with --out")
    if not folder.is_dir() or (folder / JOURNAL).is_file():
        return
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith(PREFIX))
    if others:
        raise FileExistsError(
            f"{folder} holds {others[0]} and no {JOURNAL}: choose an empty folder with --out, "
            "so that nothing of yours is overwritten"
        )


def create(folder: Path) -> None:
    """Make an empty journal, which has its name only when it is whole."""
    draft = folder / f".{JOURNAL}.draft"
    draft.unlink(missing_ok=True)
    with told(folder):
        with closing(sqlite3.connect(draft)) as connection:
            connection.executescript(_CREATE)
        os.replace(draft, folder / JOURNAL)


def connect(folder: Path) -> sqlite3.Connection:
    """Open the journal in `folder`; each statement is a transaction unless one is begun.

    Raises:
        ValueError: when it is damaged, not ours, or of a later version.
    """
    with told(folder):
        connection = sqlite3.connect(folder / JOURNAL, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            _require_ours(folder, connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
    return connection


def _require_ours(folder: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise damaged(folder, "another program has written it, or it is empty")
    if version > VERSION:
        raise ValueError(
            f"{folder / JOURNAL} is of version {version}, and this course_utils knows those up to "
            f"{VERSION}: update it, or choose another folder with --out"
        )
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise damaged(folder, found)


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Say in a sentence why the journal cannot be read or written."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            raise damaged(folder, error) from error  # the last: its tables are not ours
        if isinstance(error, sqlite3.OperationalError):
            raise _unusable(folder, error) from error
        raise
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, why: object) -> OSError:
    return OSError(
        f"the journal in {folder} cannot be read or written ({why}): see that the disk is there "
        "and has space left, then start again; what was recorded before is kept"
    )


def damaged(folder: Path, why: object) -> ValueError:
    """Return the error that says so."""
    return ValueError(
        f"{folder / JOURNAL} is damaged or no journal of a batch ({why}): move it away with the "
        "rest of the folder, or choose another folder with --out"
    )
