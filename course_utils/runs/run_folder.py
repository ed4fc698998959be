"""The folder that one run has for itself, and the end of those whose process was killed.

Each folder holds a lock of the process that made it, which the system drops when that one dies,
however it does. Only where a lock is free that was held once, by a process of this host and this
user, is the folder nobody's. What cannot be told so, as on Windows, where no such lock is held, or
on a disk that has no locks, is left alone.
"""

import contextlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PREFIX = "course-run-"
OWNER = ".owner"


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """Make a folder in the system's temporary folder; it is gone afterwards.

    Raises:
        OSError: where there is no place for it.

    Example:
        >>> with run_folder() as folder:
        ...     folder.is_dir()
        True
        >>> folder.exists()
        False
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    lock = _own(folder)
    try:
        yield folder
    finally:
        _remove(folder)
        if lock:
            lock.close()


def remove_orphans() -> None:
    """Remove the folders that killed processes of this user have left on this host.

    What cannot be removed stays; nothing is raised.
    """
    if not hasattr(os, "getuid"):
        return
    with contextlib.suppress(OSError):
        for folder in list(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
            with contextlib.suppress(OSError):
                _remove_orphan(folder)


def _remove_orphan(folder: Path) -> None:
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return
    with (folder / OWNER).open("r+", encoding="utf-8", errors="replace") as lock:
        host, _, _ = lock.read().partition("\n")
        if host == platform.node() and _locked(lock):
            _remove(folder)


def _own(folder: Path) -> IO[str] | None:
    """Lock `folder` until the file that is returned is closed; None where that cannot be."""
    draft = folder / f"{OWNER}.draft"
    try:
        lock = draft.open("w", encoding="utf-8", errors="replace")
    except OSError:  # a full disk; the run will tell
        return None
    try:
        lock.write(f"{platform.node()}\n{os.getpid()}\n")
        lock.flush()
        if _locked(lock):
            draft.rename(folder / OWNER)  # so nobody ever finds it free while its owner lives
            return lock
    except OSError:
        pass
    with contextlib.suppress(OSError):
        lock.close()
    return None


def _locked(file: IO[str]) -> bool:
    """Lock the open `file` if it is free; False if it is not, or there are no locks."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(folder: Path) -> None:
    # The lock last: whoever is killed in the midst of this leaves a folder that is known.
    with contextlib.suppress(OSError):
        for path in list(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != OWNER:
                path.unlink()
    shutil.rmtree(folder, ignore_errors=True)
