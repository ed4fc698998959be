"""Is there space for what is to come? And how many bytes that is, for people."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


class DiskFullError(OSError):
    """The disk has too little space; the message says for what, and how much is free."""


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise `DiskFullError` unless `needed` more bytes fit on the disk of `folder`.

    `what` needs them, for the error.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFullError(
            f"{what} needs {size_text(needed)} more in {folder}, where {size_text(free)} are free: "
            "make room and run the same command again, or choose another --root"
        )


@contextmanager
def explain_full_disk(what: str) -> Iterator[None]:
    """Turn the system's error for a full disk into one that says what was being written."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(
            f"the disk is full: {what} does not fit; make room and run the same command again"
        ) from error


def size_text(count: int) -> str:
    """Write a number of bytes for people.

    Example:
        >>> size_text(999), size_text(1_250_000), size_text(5_264_982_680)
        ('999 bytes', '1.2 MB', '5.3 GB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"
