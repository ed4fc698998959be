"""Who works in the folder of a batch: one conductor at most, and others can see that it does.

Both is told by locks that the system drops when their process dies. They are two, since looking
means to try a lock: a conductor that starts may have to wait for somebody who looks just then, but
must never take that one for another conductor.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from course_utils.batch.journal.file import PREFIX

LOCK = f"{PREFIX}lock"
"""Keeps conductors apart; nobody else touches it."""
WORKING = f"{PREFIX}working"
"""Is held by whoever holds the other one; its time of change is when they began."""
STOPPED = 5.0  # seconds to wait for one who looks: that long it takes only if it is stopped
OTHERS = 0.1  # seconds in which others who look are through


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Be the only conductor in `folder`, which exists.

    Raises:
        FileExistsError: when there is one already.
    """
    lock, working = FileLock(folder / LOCK), FileLock(folder / WORKING)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FileExistsError(
            f"another batch works in {folder}: wait for it, or choose another folder with --out"
        ) from None
    try:
        try:
            working.acquire(timeout=STOPPED, poll_interval=0.01)
        except Timeout:
            pass  # that others are told wrongly is no reason to let a batch fail
        else:
            now = time.time()  # of the clock that attempts are dated by
            with suppress(OSError):  # the file may belong to another person
                os.utime(folder / WORKING, (now, now))
        yield
    finally:
        working.release()
        lock.release()


def working_since(folder: Path) -> datetime | None:
    """Return when the conductor began that works in `folder` now; None if there is none.

    Whole seconds, UTC. Raises `OSError` when it cannot be told, as where nothing can be written.

    Example:
        >>> working_since(Path("nowhere")) is None
        True
    """
    path = folder / WORKING
    if not path.exists():
        return None
    try:
        with FileLock(path).acquire(timeout=OTHERS, poll_interval=0.01):
            return None
    except Timeout:
        return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
