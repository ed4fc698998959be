"""What lies in an inbox: every file, those in archives too, with its content or why it has none."""

import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from course_utils.io import is_junk

NOTEBOOK = re.compile(r"\.ipynb(\.txt|\.json)?$", re.IGNORECASE)
"""Browsers add an ending to what they take for text."""
PACKED = (".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz")
CHECKPOINTS = ".ipynb_checkpoints"
LARGEST_NOTEBOOK = 100_000_000  # bytes
LARGEST_ARCHIVE = 1_000_000_000  # bytes, of all that is unpacked from one file
MOST_ENTRIES, DEPTH = 5_000, 2  # of an archive, and of archives in archives
UNREADABLE, LEFT_OUT = "could not be read", "left out"


@dataclass(frozen=True)
class InboxFile:
    """A file of an inbox, or of an archive in it."""

    place: PurePosixPath
    """Within the inbox; an archive counts as a folder."""
    owner: PurePosixPath
    """Where it would lie if its student had packed nothing."""
    modified: float
    """Seconds since 1970."""
    content: bytes = b""
    fault: str = ""
    """`UNREADABLE` or `LEFT_OUT`, where there is no content."""
    reason: str = ""


def read_inbox(folder: Path) -> list[InboxFile]:
    """Read every file below `folder`, in the order of their names; links are not followed.

    Zip archives are read in memory, nothing is unpacked to a disk. What systems leave behind, and
    the copies that Jupyter keeps of a notebook that is there itself, are no files of a student.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: give the one with their notebooks")
    found: list[InboxFile] = []
    for path in sorted(_walk(folder)):
        place = PurePosixPath(as_utf8(path.relative_to(folder).as_posix()))
        file = InboxFile(place, place, 0.0)
        try:
            found += _read(path, file)
        except OSError as error:
            found.append(_without(file, UNREADABLE, error.strerror or type(error).__name__))
    at_hand = {file.place.parent for file in found if NOTEBOOK.search(file.place.name)}
    return [
        file
        for file in found
        if file.place.parent.name != CHECKPOINTS or file.place.parent.parent not in at_hand
    ]


def as_utf8(text: str) -> str:
    r"""Return a text with file names in it such that it can be written in UTF-8.

    Example:
        >>> as_utf8("Zo\udceb"), as_utf8("Zoë")
        ('Zo\\udceb', 'Zoë')
    """
    return text.encode("utf-8", "backslashreplace").decode()


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files, links, and the folders that cannot be opened."""
    closed: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=closed.append):
        links = [name for name in folders if Path(here, name).is_symlink()]
        folders[:] = [name for name in folders if name not in links and not _is_ignored(name)]
        yield from (Path(here, name) for name in (*links, *files) if not _is_ignored(name))
    yield from (Path(error.filename) for error in closed)


def _is_ignored(name: str) -> bool:
    kept = name in (CHECKPOINTS, "..") or (NOTEBOOK.search(name) and not name.startswith("._"))
    return is_junk(name) and not kept


def _read(path: Path, file: InboxFile) -> list[InboxFile]:
    about = path.lstat()
    file = replace(file, modified=about.st_mtime)
    if stat.S_ISLNK(about.st_mode):
        return [_without(file, LEFT_OUT, "a link to another place: hand in the file itself")]
    if stat.S_ISDIR(about.st_mode):
        path.iterdir().__next__()  # why it could not be opened
    if not stat.S_ISREG(about.st_mode):
        return [_without(file, LEFT_OUT, "not a file")]
    if refused := _refused(file, about.st_size):
        return [refused]
    content = path.read_bytes()
    if path.suffix.lower() == ".zip":
        return list(_unpack(content, file, _Budget(LARGEST_ARCHIVE, DEPTH)))
    return [replace(file, content=content)]


def _refused(file: InboxFile, size: int) -> InboxFile | None:
    """Return a file that is not wanted as such, by its name and size."""
    name = file.place.name.lower()
    is_archive = name.endswith(".zip")
    if file.place.parent.name == CHECKPOINTS:
        return _without(file, LEFT_OUT, "a copy that Jupyter made: the notebook itself is wanted")
    if name.endswith(PACKED):
        return _without(file, LEFT_OUT, "an archive of a kind that is not opened: unpack it")
    if not is_archive and not NOTEBOOK.search(name):
        return _without(file, LEFT_OUT, "not a notebook (.ipynb) or an archive (.zip)")
    if size > (LARGEST_ARCHIVE if is_archive else LARGEST_NOTEBOOK):
        return _without(file, UNREADABLE, f"too large, with {size / 1e6:.0f} MB")
    return None


@dataclass
class _Budget:
    """What may still be unpacked."""

    size: int
    depth: int


def _unpack(content: bytes, archive: InboxFile, budget: _Budget) -> Iterator[InboxFile]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            entries = [
                (entry, PurePosixPath(as_utf8(entry.filename.replace("\\", "/"))))
                for entry in opened.infolist()
                if not entry.is_dir()
            ]
            entries = [each for each in entries if not any(map(_is_ignored, each[1].parts))]
            if len(entries) > MOST_ENTRIES:
                yield _without(archive, UNREADABLE, f"an archive of {len(entries)} files")
                return
            if not entries:
                yield _without(archive, LEFT_OUT, "an empty archive")
            folders = {name.parent for _, name in entries if NOTEBOOK.search(name.name)}
            for entry, name in sorted(entries, key=lambda each: each[1]):
                file = InboxFile(
                    archive.place / name,
                    _owner(archive.owner, name, len(folders) > 1),
                    _time_of(entry, archive.modified),
                )
                yield from _unpack_entry(opened, entry, file, budget)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        yield _without(archive, UNREADABLE, f"a damaged archive ({error})")


def _owner(archive: PurePosixPath, name: PurePosixPath, of_several: bool) -> PurePosixPath:
    """Return whose folder an entry belongs to: that of its archive, or one within it."""
    if archive.parent.name:
        return archive.parent / name.name
    return archive.with_suffix("") / (name if of_several else name.name)


def _unpack_entry(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file: InboxFile, budget: _Budget
) -> Iterator[InboxFile]:
    if ".." in file.place.parts or entry.filename[:1] in "/\\" or ":" in entry.filename[:3]:
        yield _without(file, LEFT_OUT, "its path leads out of the archive")
    elif stat.S_ISLNK(entry.external_attr >> 16):
        yield _without(file, LEFT_OUT, "a link to another place: hand in the file itself")
    elif refused := _refused(file, entry.file_size):
        yield refused
    elif entry.flag_bits & 1:
        yield _without(file, UNREADABLE, "locked by a password")
    else:
        is_archive = file.place.suffix.lower() == ".zip"
        largest = min(budget.size, LARGEST_ARCHIVE if is_archive else LARGEST_NOTEBOOK)
        try:
            with archive.open(entry) as opened:
                content = opened.read(largest + 1)  # what an entry says of its size need not hold
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            yield _without(file, UNREADABLE, f"damaged in its archive ({error})")
            return
        budget.size -= len(content)
        if len(content) > largest:
            yield _without(file, UNREADABLE, "too large, or its archive is")
        elif not is_archive:
            yield replace(file, content=content)
        elif budget.depth > 1:
            budget.depth -= 1
            yield from _unpack(content, file, budget)
            budget.depth += 1
        else:
            yield _without(file, LEFT_OUT, "an archive in an archive in an archive: unpack it")


def _time_of(entry: zipfile.ZipInfo, otherwise: float) -> float:
    try:
        return datetime(*entry.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return otherwise


def _without(file: InboxFile, fault: str, reason: str) -> InboxFile:
    return replace(file, fault=fault, reason=as_utf8(reason))
