"""A file that is still being fetched: the bytes so far, and where they came from."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from course_utils.io import write_atomic


@dataclass(frozen=True)
class Origin:
    """Which version of which address the bytes of a partial file belong to."""

    url: str
    version: str | None = None
    """What `If-Range` can hold: by it, the server knows whether the file is still the same."""
    total: int | None = None
    """Bytes of the whole file; None if the server did not say."""


class PartialFile:
    """The bytes so far of `target`, in `<target>.part`, with their origin in `<target>.part.json`.

    The length of the part file is what has come. The origin is written before the first byte and
    taken away after the last, so that whoever is killed here leaves no bytes of unknown origin.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._record = target.with_name(f"{target.name}.part.json")
        self.origin = _read_origin(self._record)
        self.in_pieces = self.size > 0
        """Whether the bytes may come from more than one answer."""

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def is_foreign(self) -> bool:
        """Whether something else wrote the part file: bytes, but no word on their origin."""
        return self.size > 0 and not self._record.exists()

    def begin(self, origin: Origin) -> None:
        """Start from zero."""
        self.discard()
        self._note(origin)

    def go_on(self, origin: Origin) -> None:
        """Keep the bytes; those that follow come from `origin`."""
        self.in_pieces = True
        if origin != self.origin:
            self._note(origin)

    def discard(self) -> None:
        """Remove the bytes, then their origin."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)
        self.origin = None
        self.in_pieces = False

    def publish(self) -> Path:
        """Give the file its own name; the caller has seen that it is whole."""
        # Windows flushes only what is open for writing.
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(self.path, self.target)
        self._record.unlink(missing_ok=True)
        return self.target

    def _note(self, origin: Origin) -> None:
        write_atomic(self._record, json.dumps(asdict(origin), indent=2))
        self.origin = origin


def _read_origin(record: Path) -> Origin | None:
    """Return None for a record that is missing or cannot be read: its bytes are then not used."""
    try:
        origin = Origin(**json.loads(record.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    is_text = isinstance(origin.url, str) and isinstance(origin.version, str | None)
    return origin if is_text and isinstance(origin.total, int | None) else None
