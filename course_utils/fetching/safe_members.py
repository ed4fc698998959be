"""What is a safe member of an archive, and what is said of one that is not."""

import errno
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

MOST_MEMBERS = 500_000
LONGEST_NAME = 1024  # characters; some systems take no longer path
CHUNK = 1 << 18  # bytes that are read at once
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # zipfile's word for a version or a flag that it does not know
    ValueError,  # numbers no file can have, letters no name can have
)


class Member(NamedTuple):
    """A regular file in an archive; `chunks` are read from the archive as they are asked for."""

    name: str
    size: int
    """Bytes that it declares to hold."""
    chunks: Iterator[bytes]


def clean_path(path: str, file: Path, what: str, *, folder: bool = False) -> str:
    """Return `path` without `.` parts; raise `ValueError` if it is not safe on every system.

    `what` is said of it in the error. A folder's path may come to nothing, as `./` does.

    Example:
        >>> clean_path("./images//a.png", Path("set.zip"), "member")
        'images/a.png'
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    fault = ""
    if not path or (not parts and not folder):
        fault = "is empty"
    elif len(path) > LONGEST_NAME:
        fault = f"has {len(path)} characters, and {LONGEST_NAME} are the most"
    elif "\0" in path:
        fault = "has a NUL character"
    elif "\\" in path:
        fault = "has a backslash, which parts folders on Windows"
    elif path.startswith("/") or any(re.match("[A-Za-z]:", part) for part in parts):
        fault = "is absolute"
    elif any(not part.strip(". ") for part in parts):  # Windows drops spaces after `..`
        fault = "leads out of its folder"
    if fault:
        raise refusal(file, path[:LONGEST_NAME], fault, what)
    return "/".join(parts)


def check_number(file: Path, number: int) -> None:
    """Raise `ValueError` if a member that `number` others precede is one too many."""
    if number >= MOST_MEMBERS:
        raise ValueError(f"{file} has more than {MOST_MEMBERS} members: it is no published set")


@contextmanager
def damage_named(file: Path) -> Iterator[None]:
    """Turn what the readers of the formats raise into `ValueError`; faults of the disk pass."""
    try:
        yield
    except OSError as error:
        # gzip and bz2 give no number; a damaged zip makes its reader seek before the start.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise damaged(file, str(error)) from error
    except _DAMAGE as error:
        raise damaged(file, str(error) or type(error).__name__) from error


def damaged(file: Path, reason: str) -> ValueError:
    """Return the error for a file that was meant to be an archive of a known format."""
    return ValueError(f"{file} is damaged or cut short ({reason}): fetch it again")


def no_archive(file: Path, head: bytes) -> ValueError:
    """Return the error for a file of another kind; `head` is how its content begins."""
    return ValueError(
        f"{file} is no archive that can be read here (its content begins with {head[:16]!r}): a "
        "zip, tar, tar.gz, tar.xz or tar.bz2 is wanted"
    )


def refusal(file: Path, name: str, fault: str, what: str = "member") -> ValueError:
    """Return the error for an archive with a member that has a fault; `what` is called `name`."""
    return ValueError(f"{file} is not unpacked: {what} {name!r} {fault}")
