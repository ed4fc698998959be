"""What was run in an output folder: our own record, because notebooks do not tell the truth."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LEDGER = "runs.json"


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


def open_folder(folder: Path) -> dict[str, Entry]:
    """Make `folder` ready for a run, and return the entries that are already there, by lesson.

    Raises `FileExistsError` when the folder holds files that no run of ours has written.
    """
    ledger = folder / LEDGER
    if ledger.is_file():
        entries = [Entry(**values) for values in json.loads(ledger.read_text())["runs"]]
        return {e.lesson: e for e in entries if (folder / e.notebook).is_file()}
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(
            f"{folder} holds files that are not from an earlier run: "
            "choose an empty folder with --out, so that nothing of yours is overwritten"
        )
    folder.mkdir(parents=True, exist_ok=True)
    save_entries(folder, {})
    return {}


def save_entries(folder: Path, entries: dict[str, Entry]) -> None:
    """Write the ledger of `folder`, in one step."""
    draft = folder / f".{LEDGER}.draft"
    runs = [asdict(entries[name]) for name in sorted(entries)]
    draft.write_text(json.dumps({"runs": runs}, indent=1) + "\n")
    os.replace(draft, folder / LEDGER)


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


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
