"""The files in a tar archive, read from front to back."""

import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

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

_BLOCK = 512  # tar pads headers and contents to this
_LARGEST_EXTENDED_HEADER = 1 << 20
_FIELD_START = re.compile(rb"(\d{1,7}) ([^=]+)=")
_TAR_KINDS = {
    tarfile.SYMTYPE: "symbolic link",
    tarfile.LNKTYPE: "hard link",
    tarfile.CHRTYPE: "device file",
    tarfile.BLKTYPE: "device file",
    tarfile.FIFOTYPE: "named pipe",
    tarfile.GNUTYPE_SPARSE: "sparse file",
}


def tar_members(file: Path, content: io.BufferedIOBase) -> Iterator[Member]:
    """Yield the regular files of a tar; what is not read of one is passed over.

    The standard library's reader takes a damaged header for the end of the archive, and reads
    extended headers of any size; so it decodes single headers here, and the rest is done by hand.
    """
    common: dict[str, str] = {}  # of extended headers: fields of all members from there on,
    fields: dict[str, str] = {}  # and those of the next member
    number = 0
    while header := _tar_header(file, content, is_first=number == 0):
        check_number(file, number)
        number += 1
        if header.type in (tarfile.XHDTYPE, tarfile.XGLTYPE):
            found = _extended_fields(file, _extended_header(file, content, header))
            (fields if header.type == tarfile.XHDTYPE else common).update(found)
            continue
        if header.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            text = _extended_header(file, content, header).removesuffix(b"\0")
            if header.type == tarfile.GNUTYPE_LONGNAME:
                fields.setdefault("path", text.decode("utf-8", "surrogateescape"))
            continue
        fields = common | fields
        name = clean_path(fields.get("path", header.name), file, "member", folder=header.isdir())
        if any(key.startswith("GNU.sparse") for key in fields):
            header.type = tarfile.GNUTYPE_SPARSE
        if header.isdir():
            fields = {}
            continue
        if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE):
            kind = _TAR_KINDS.get(header.type, f"thing of an unknown kind ({header.type!r})")
            raise refusal(file, name, f"is a {kind}, and only files and folders are wanted")
        size = int(fields["size"]) if "size" in fields else header.size
        chunks = _tar_chunks(file, content, size)
        yield Member(name, size, chunks)
        for _ in chunks:
            pass
        for _ in _tar_chunks(file, content, -size % _BLOCK):
            pass
        fields = {}
    # To the very end, so that the checksum of the compression is compared.
    with damage_named(file):
        while content.read(CHUNK):
            pass


def _tar_header(
    file: Path, content: io.BufferedIOBase, *, is_first: bool
) -> tarfile.TarInfo | None:
    """Return the next header; None: the block of zeros that ends an archive."""
    with damage_named(file):
        block = content.read(_BLOCK)
    if block == bytes(_BLOCK):
        return None
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if is_first:
            raise no_archive(file, block) from None
        raise damaged(file, str(error)) from error
    if header.size < 0:
        raise damaged(file, f"{header.name!r} has a negative size")
    return header


def _tar_chunks(file: Path, content: io.BufferedIOBase, size: int) -> Iterator[bytes]:
    while size:
        with damage_named(file):
            chunk = content.read(min(size, CHUNK))
            if not chunk:
                raise EOFError("it ends within a member")
        size -= len(chunk)
        yield chunk


def _extended_header(file: Path, content: io.BufferedIOBase, header: tarfile.TarInfo) -> bytes:
    if header.size > _LARGEST_EXTENDED_HEADER:
        raise damaged(file, f"an extended header of {header.size} bytes")
    padded = header.size + -header.size % _BLOCK
    return b"".join(_tar_chunks(file, content, padded))[: header.size]


def _extended_fields(file: Path, header: bytes) -> dict[str, str]:
    """Return the fields of a pax header: lines `LENGTH KEY=VALUE`, the length that of the line."""
    fields, start = {}, 0
    while start < len(header):
        line = _FIELD_START.match(header, start)
        end = start + int(line[1]) if line else 0
        if not line or not line.end() < end <= len(header) or header[end - 1 : end] != b"\n":
            raise damaged(file, "an extended header")
        value = header[line.end() : end - 1].decode("utf-8", "surrogateescape")
        fields[line[2].decode("utf-8", "surrogateescape")] = value
        start = end
    if not re.fullmatch(r"\d{1,18}", fields.get("size", "0"), re.ASCII):
        raise damaged(file, f"a member has the size {fields['size']!r}")
    return fields
