"""Archives by what they hold, not by what they are called: the files in a zip or a tar."""

import bz2
import copy
import gzip
import io
import lzma
import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from course_utils.fetching.safe_members import (
    CHUNK,
    Member,
    check_number,
    clean_path,
    damage_named,
    damaged,
    no_archive,
    refusal,
)
from course_utils.fetching.tar_members import tar_members

_ZIP_STARTS = b"PK\x03\x04", b"PK\x05\x06"  # the second is that of an empty one
_LONGEST_ZIP_END = 22 + 0xFFFF  # bytes: the last record, with its comment
_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"BZh": bz2.open,
}
_ZIP_KINDS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFCHR: "device file",
    stat.S_IFBLK: "device file",
    stat.S_IFIFO: "named pipe",
}


@contextmanager
def open_archive(
    file: Path, tick: Callable[[int], None] | None
) -> Iterator[list[Member] | Iterator[Member]]:
    """Yield the regular files in `file`: a zip's as a list, those of a tar as they are met.

    `tick` is called with the bytes read since the last call; if nothing fails inside the `with`,
    they add up to the size of `file`. Raises `ValueError` for a file that is no archive, or none
    that is safe to unpack, here or as the members are asked for.
    """
    with _WatchedFile(file, tick) as watched, io.BufferedReader(watched) as content:
        head = content.read(512)  # one block of a tar
        content.seek(0)
        if head.startswith(_ZIP_STARTS):
            with damage_named(file):
                archive = zipfile.ZipFile(content)
            with archive:
                _check_count(file, content, len(archive.infolist()))
                yield _zip_members(file, archive)
        elif head.strip(b"\0"):
            decompress = next(
                (_OPENERS[start] for start in _OPENERS if head.startswith(start)), None
            )
            yield tar_members(file, decompress(content) if decompress else content)
        else:  # nothing at all, or zeros: the trace of a download that never came
            raise no_archive(file, head)
        watched.finish()


class _WatchedFile(io.FileIO):
    """A file that tells how many bytes were read; a zip reads some twice, and they count once."""

    def __init__(self, file: Path, tick: Callable[[int], None] | None) -> None:
        super().__init__(file)
        self._tell = tick or (lambda count: None)
        self._left = os.fstat(self.fileno()).st_size

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        self._tick(min(count, self._left))
        return count

    def finish(self) -> None:
        self._tick(self._left)

    def _tick(self, count: int) -> None:
        self._left -= count
        if count:
            self._tell(count)


def _check_count(file: Path, content: io.BufferedIOBase, found: int) -> None:
    """Compare with the count at the end of a zip: zipfile loses members to a damaged list."""
    content.seek(-min(file.stat().st_size, _LONGEST_ZIP_END), os.SEEK_END)
    end = content.read()
    (count,) = struct.unpack_from("<H", end, end.rindex(b"PK\x05\x06") + 10)
    if count not in (found % 0x10000, 0xFFFF):  # the last: there are more, counted elsewhere
        raise damaged(file, f"{found} members of {count} are found")


def _zip_members(file: Path, archive: zipfile.ZipFile) -> list[Member]:
    members = []
    for number, info in enumerate(archive.infolist()):
        check_number(file, number)
        # zipfile cuts a name at its NUL, and on Windows turns backslashes.
        clean_path(info.orig_filename, file, "member", folder=True)
        is_folder = info.filename.endswith("/")
        name = clean_path(info.filename, file, "member", folder=is_folder)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG):
            kind_name = _ZIP_KINDS.get(kind, "thing of an unknown kind")
            raise refusal(file, name, f"is a {kind_name}, and only files and folders are wanted")
        if info.flag_bits & 0x1:
            raise ValueError(f"{file} is encrypted ({name!r}): unlock it and pack it anew")
        if is_folder:
            if info.file_size:
                raise refusal(file, name, "is a folder that holds bytes")
            continue
        # zipfile bounds neither the memory of bzip2 nor that of LZMA.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise refusal(
                file, name, f"is packed by method {info.compress_type}: pack the zip anew (deflate)"
            )
        members.append(Member(name, info.file_size, _zip_chunks(file, archive, info)))
    return members


def _zip_chunks(file: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    # zipfile stops at the declared size, so bytes beyond it would stay unseen.
    unbounded = copy.copy(info)
    unbounded.file_size = 1 << 62
    with damage_named(file), archive.open(unbounded) as content:
        while chunk := content.read(CHUNK):
            yield chunk
