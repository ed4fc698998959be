"""What was run in an output folder: our own record, because notebooks do not tell the truth."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from course_utils.runs.notebooks import digest

LEDGER = "runs.json"
LOCK = ".runs.lock"


@dataclass(frozen=True)
class Entry:
    """One lesson's latest run in a folder."""

    lesson: str
    title: str
    summary: str
    minutes_reading: int
    minutes_exercises: int
    outcome: str
    """A value of `Outcome`."""
    seconds: float
    parameters: dict[str, Any]
    message: str = ""
    failure: dict[str, Any] | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    """`name`, `value` and perhaps `unit` of each."""
    digest: str = ""
    """SHA-256 of the executed notebook: tells whether someone has edited it since."""

    @property
    def notebook(self) -> str:
        """File name of the executed notebook."""
        return f"{self.lesson}.ipynb"

    @property
    def page(self) -> str:
        """File name of the page."""
        return f"{self.lesson}.html"


@contextmanager
def opened(folder: Path) -> Iterator[dict[str, Entry]]:
    """Hold `folder` for one run; yields the entries that are already there, by lesson.

    Raises:
        FileExistsError: when the folder is a file, holds files that no run of ours has written, or
            is held by another run.
        ValueError: when its record cannot be read.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: name a folder with --out")
    ours = (folder / LEDGER).is_file()
    if not ours and folder.exists() and any(path.name != LOCK for path in folder.iterdir()):
        raise FileExistsError(
            f"{folder} holds files that are not from an earlier run: "
            "choose an empty folder with --out, so that nothing of yours is overwritten"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):  # dropped by the system if its process dies
            if not (folder / LEDGER).is_file():
                save_entries(folder, {})
            yield _read_entries(folder)
    except Timeout:
        raise FileExistsError(
            f"another run is writing into {folder}: "
            "wait for its end, or choose another folder with --out"
        ) from None


def save_entries(folder: Path, entries: dict[str, Entry]) -> None:
    """Write the ledger of `folder`, in one step."""
    draft = folder / f".{LEDGER}.draft"
    runs = [asdict(entries[name]) for name in sorted(entries)]
    draft.write_text(json.dumps({"runs": runs}, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, folder / LEDGER)


def _read_entries(folder: Path) -> dict[str, Entry]:
    ledger = folder / LEDGER
    try:
        record = json.loads(ledger.read_text(encoding="utf-8"))
        entries = TypeAdapter(dict[str, list[Entry]]).validate_python(record)["runs"]
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{ledger} is no record of earlier runs ({str(error).splitlines()[0]}): "
            "move it away, or choose another folder with --out"
        ) from error
    return {e.lesson: e for e in entries if (folder / e.notebook).is_file()}


def keep_edited(folder: Path, entry: Entry) -> Path | None:
    """Set a notebook that someone edited after its run aside; return its new path, if so."""
    notebook = folder / entry.notebook
    if not notebook.is_file() or digest(notebook) == entry.digest:
        return None
    number = 1
    while (kept := folder / f"{entry.lesson}.edited-{number}.ipynb").exists():
        number += 1
    os.replace(notebook, kept)
    return kept
