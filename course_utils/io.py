"""Files: never half written, one process a folder, no junk of systems; errors in one line."""

import glob
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_JUNK = re.compile(
    r"""[.] .* | ~[$] .* | .* ~
    | (eh)? thumbs .* [.]db (:.*)? | zbthumbnail[.]info | icon \r | desktop[.] (ini|db)
    | picasa[.]ini | pspbrwse[.]jbf | synofile_thumb .*
    | @eadir | @recycle | @recently-snapshot | [#]recycle | [#]snapshot | __macosx
    | [$]recycle[.]bin | recycler | system[ ]volume[ ]information | lost[+]found
    | found[.]\d+ | temporary[ ]items | network[ ]trash[ ]folder""",
    re.VERBOSE | re.IGNORECASE,
)


def write_atomic(path: str | Path, content: str | bytes) -> None:
    """Replace a file in one step: whoever is killed here leaves the old file or the new one.

    Text is written as UTF-8. The content is on the disk when this returns. Whoever is killed may
    leave a draft, `.NAME.PID.part`, too: the next process that writes the file removes it.

    Raises:
        OSError: if the disk is full or the folder is missing; the old file stays.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomic(f"{folder}/scores.json", "{}")
        ...     Path(folder, "scores.json").read_text()
        '{}'
    """
    path = Path(path)
    _remove_drafts(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    # The new name survives a power cut only once the folder is on disk, too. Windows, which has
    # no such call, does it by itself.
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_junk(name: str) -> bool:
    """Whether `name`, of a file or folder, is what systems, NAS and viewers leave behind.

    Example:
        >>> [is_junk(name) for name in ("Thumbs.db", "._001.png", "@eaDir", "001.png")]
        [True, True, True, False]
    """
    return _JUNK.fullmatch(name) is not None


@contextmanager
def lock_folder(folder: Path, name: str, advice: str, timeout: float = 0) -> Iterator[None]:
    """Keep every other process from entering `folder` under the same lock, for a `with` block.

    The folder is made if need be. The system drops the lock if its process dies.

    Args:
        folder: what to hold.
        name: file name of the lock.
        advice: what to do if another process holds it, for the error.
        timeout: seconds to wait for it; -1 waits without end.

    Raises:
        FileExistsError: if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / name)
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        raise FileExistsError(f"another process is working in {folder}: {advice}") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def report_errors(on_interrupt: str = "") -> Iterator[None]:
    """Tell an error of a command in one line on standard error, and exit with its status.

    The status is 2 for wrong input (`ValueError`, `OSError`, `MemoryError`) and for a library that
    does not load (`ImportError`), 1 for a computation that failed (`FloatingPointError`), 130 for
    Ctrl-C. All other errors are ours, and keep their traceback.

    Args:
        on_interrupt: what to say after Ctrl-C, such as how to go on.

    Example:
        >>> with report_errors():
        ...     raise ValueError("size must be at least 16, got 8")
        Traceback (most recent call last):
            ...
        SystemExit: 2
    """
    try:
        yield
    except KeyboardInterrupt:
        _print_line(f"stopped.{on_interrupt and ' '}{on_interrupt}", "yellow")
        sys.exit(130)
    except (ValueError, OSError, MemoryError) as error:
        _print_line(f"error: {error}", "red")
        sys.exit(2)
    except ImportError as error:
        if (error.name or "").partition(".")[0] == __package__:
            raise
        if error.name is None:  # ours, which says what to do
            _print_line(f"error: {error}", "red")
            sys.exit(2)
        what = "is the installation whole? course doctor looks, and names the command that mends it"
        _print_line(f"error: {error}: {what}", "red")
        sys.exit(2)
    except FloatingPointError as error:
        _print_line(f"error: {error}", "red")
        sys.exit(1)


def _remove_drafts(path: Path) -> None:
    """Remove the drafts of `path` whose processes are gone."""
    for draft in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        from psutil import pid_exists  # the worker process loads this module, too

        pid = draft.suffixes[-2][1:]
        if pid.isdecimal() and not pid_exists(int(pid)):
            with suppress(OSError):
                draft.unlink()


def _print_line(text: str, style: str) -> None:
    from rich.console import Console  # likewise

    Console(stderr=True, soft_wrap=True).print(text, style=style, markup=False)
