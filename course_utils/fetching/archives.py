"""Archives from the net, unpacked without trust: each name, kind and size is checked first."""

import errno
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, cast

from course_utils.fetching.disk_space import DiskFullError, explain_full_disk, require_space
from course_utils.io import is_junk

MOST_MEMBERS = 500_000
_LARGEST_HEADER = 1 << 20  # bytes; tarfile reads a header of any size into memory
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # the second is that of an empty one
_OTHER_FORMATS = {b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!\x1a\x07": "a rar archive"}
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # zipfile's word for a version or a flag that it does not know
    ValueError,  # numbers no file can have, letters no name can have
    LookupError,  # tarfile in a header that is cut short
)


class ArchiveError(ValueError):
    """A file that is no archive, is damaged, or is not safe to unpack; the message names it."""


class _Member(NamedTuple):
    """A regular file in an archive."""

    name: str
    size: int
    """Bytes that it declares to hold."""
    open: Callable[[], IO[bytes]]


def archive_members(file: Path) -> list[str]:
    """Return the names of all regular files in an archive, in its order, without junk.

    The format is that of the content, whatever the file is called: zip, tar, tar.gz, tar.xz or
    tar.bz2. A zip is read at its end only; a tar has no list, so the whole file is read. Names come
    without `.` parts and doubled slashes, those of a zip with slashes for backslashes. Junk is what
    systems add, as `__MACOSX/._a.png` (see `is_junk`).

    Raises:
        ArchiveError: for whatever `unpack` refuses because of a member's name or kind.
        OSError: if the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with zipfile.ZipFile(f"{folder}/set", "w") as archive:
        ...         archive.writestr("./images/a.png", b"")
        ...     archive_members(Path(folder, "set"))
        ['images/a.png']
    """
    with file.open("rb") as content, _name_damage(file):
        return [member.name for member in _members(file, content)]


def unpack(
    file: Path,
    target: Path,
    place: Callable[[str], str | None],
    *,
    limit: int,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the files of an archive under `target`; return how many were written.

    Files are new, with the permissions that new files have here. After a failure, what was written
    stays: removing `target` is left to the caller.

    Args:
        file: the archive.
        target: an existing folder.
        place: gives for a member's name, as `archive_members` lists it, the path under `target`,
            or None for a member that is left out.
        limit: the most bytes that may be written in all.
        tick: called with how many of how many bytes of `file` are read.

    Raises:
        ArchiveError: for a damaged or encrypted archive; for names (of members left out, too) that
            are absolute or lead out of the folder on any system; for links and devices; for two
            members with one destination; for more bytes than `limit`, and too many members.
        OSError: if reading or writing fails, or the disk has too little space for what is declared.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with zipfile.ZipFile(f"{folder}/set", "w") as archive:
        ...         archive.writestr("bottle/train/a.png", b"pixels")
        ...         archive.writestr("readme.txt", b"words")
        ...     place = lambda name: name.partition("bottle/")[2] or None
        ...     count = unpack(Path(folder, "set"), Path(folder), place, limit=100)
        ...     count, Path(folder, "train/a.png").read_bytes()
        (1, b'pixels')
    """
    size = file.stat().st_size
    count = declared = 0
    with file.open("rb") as content, _name_damage(file):
        for member in _members(file, content):
            if (destination := place(member.name)) is None:
                continue
            declared += member.size
            if declared > limit:
                raise ArchiveError(
                    f"{file} holds more than the {limit} bytes expected of it (at member "
                    f"{member.name!r}): it is not the published file, so fetch it again"
                )
            require_space(target, member.size, f"{file}, to be unpacked,")
            with explain_full_disk(f"what {file} holds"):
                _write(file, member, target / destination)
            count += 1
            tick(content.tell(), size)
    tick(size, size)
    return count


def _write(file: Path, member: _Member, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        output = path.open("xb")
    except (FileExistsError, NotADirectoryError):
        raise _refusal(file, member.name, f"has the destination of another one: {path}") from None
    with output, member.open() as source:
        shutil.copyfileobj(source, output)
        if output.tell() != member.size:
            raise _damaged(file, f"{member.name!r} has {output.tell()} of {member.size} bytes")


def _members(file: Path, content: BinaryIO) -> Iterator[_Member]:
    """Yield the regular files of an archive whose names are safe on every system."""
    is_zip = content.read(4) in _ZIP_STARTS
    content.seek(0)
    members = _zip_members(file, content) if is_zip else _tar_members(file, content)
    for number, member in enumerate(members):
        if number == MOST_MEMBERS:
            raise ArchiveError(f"{file} has more than {number} files: it is no published set")
        name = _safe_name(file, member.name)
        if not any(map(is_junk, name.split("/"))):
            yield member._replace(name=name)


def _safe_name(file: Path, name: str) -> str:
    """Return `name` without `.` parts.

    Example:
        >>> _safe_name(Path("set.zip"), "./images//a.png")
        'images/a.png'
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or any(re.match("[A-Za-z]:", part) for part in parts):
        raise _refusal(file, name, "is absolute")
    if "\\" in name:
        raise _refusal(file, name, "has a backslash, which parts folders on Windows")
    if any(not part.strip(". ") for part in parts):  # Windows drops spaces after `..`
        raise _refusal(file, name, "leads out of its folder")
    return "/".join(parts)


def _zip_members(file: Path, content: BinaryIO) -> Iterator[_Member]:
    with zipfile.ZipFile(content) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):  # 0: packed on Windows
                raise _refusal(file, info.filename, "is a link or a device")
            if info.flag_bits & 0x1:
                raise ArchiveError(
                    f"{file} is encrypted ({info.filename!r}): unlock it and pack it anew"
                )
            # zipfile bounds neither the memory of bzip2 nor that of LZMA.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                how = f"is packed by method {info.compress_type}: pack the zip anew (deflate)"
                raise _refusal(file, info.filename, how)
            # Some packers on Windows part folders so, against the format's rule.
            name = info.filename.replace("\\", "/")
            if not name.endswith("/"):
                yield _Member(name, info.file_size, partial(archive.open, info))


def _tar_members(file: Path, content: BinaryIO) -> Iterator[_Member]:
    try:
        archive = tarfile.open(  # noqa: SIM115  closed below
            fileobj=content, mode="r:*", tarinfo=_StrictTarInfo
        )
    except tarfile.ReadError as error:
        content.seek(0)
        start = content.read(16)
        for mark, what in _OTHER_FORMATS.items():
            if start.startswith(mark):
                raise ArchiveError(
                    f"{file} is {what}, which is not read here: unpack it (with 7-Zip, say) and "
                    f"pack the folder as a zip"
                ) from error
        raise ArchiveError(
            f"{file} is no archive that can be read here (its content begins with "
            f"{start!r}): a zip, tar, tar.gz, tar.xz or tar.bz2 is wanted"
        ) from error
    with archive:
        for header in archive:
            if header.isdir():
                continue
            if not header.isreg():
                raise _refusal(file, header.name, "is a link or a device")
            if header.size < 0:
                raise _damaged(file, f"{header.name!r} has a negative size")
            opener = cast(Callable[[], IO[bytes]], partial(archive.extractfile, header))
            yield _Member(header.name, header.size, opener)
        # To the very end, so that the checksum of the compression is compared.
        while archive.fileobj and archive.fileobj.read(1 << 18):
            pass


class _StrictTarInfo(tarfile.TarInfo):
    """A header of a tar; `tarfile` by itself takes a damaged one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_StrictTarInfo":
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf == bytes(tarfile.BLOCKSIZE):  # that is the end
                raise
            raise tarfile.ReadError(str(error)) from error
        if not header.isreg() and not 0 <= header.size <= _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        return header


@contextmanager
def _name_damage(file: Path) -> Iterator[None]:
    """Turn what the readers of the formats raise into `ArchiveError`; faults of the disk pass."""
    try:
        yield
    except (ArchiveError, DiskFullError):
        raise
    except OSError as error:
        # gzip and bz2 give no number; a damaged zip makes its reader seek before the start.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise _damaged(file, str(error)) from error
    except _DAMAGE as error:
        raise _damaged(file, str(error) or type(error).__name__) from error


def _damaged(file: Path, reason: str) -> ArchiveError:
    return ArchiveError(f"{file} is damaged or cut short ({reason}): fetch it again")


def _refusal(file: Path, name: str, fault: str) -> ArchiveError:
    return ArchiveError(f"{file} is not unpacked: member {name!r} {fault}")
