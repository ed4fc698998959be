"""Archives from the net, unpacked without trust: each name, kind and size is checked first."""

import errno
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from course_utils.fetching.open_archive import open_archive
from course_utils.fetching.safe_members import Member, clean_path, damaged, refusal

_DISK_FULL = errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)


def archive_members(file: Path) -> list[str]:
    """Return the names of all regular files in an archive, in its order.

    The format is that of the content, whatever the file is called: zip, tar, tar.gz, tar.xz or
    tar.bz2. A zip is read at its end only; a tar has no list, so the whole file is read and
    unpacked in memory, piece by piece. Names come without `.` parts and doubled slashes.

    Raises:
        ValueError: for anything else, a damaged or encrypted archive, and for one that `unpack`
            refuses because of a member's name or kind.
        OSError: if the file cannot be read.

    Example:
        >>> import tempfile, zipfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with zipfile.ZipFile(f"{folder}/set", "w") as archive:
        ...         archive.writestr("./images/a.png", b"")
        ...     archive_members(Path(folder, "set"))
        ['images/a.png']
    """
    with open_archive(file, None) as members:
        return [member.name for member in members]


def unpack(
    file: Path,
    target: Path,
    place: Callable[[str], str | None],
    *,
    limit: int,
    tick: Callable[[int], None] | None = None,
) -> int:
    """Write the files of an archive under `target`; return how many were written.

    `place` gives for a member's name, as `archive_members` lists it, the path under `target` with
    `/` between its parts, or None for a member that is left out. `target` is a folder that is
    empty or does not exist yet. `limit` is the most bytes that may be written in all. `tick` is
    called with the number of bytes read from `file` since the last call; on success these add up
    to its size. Files are new, with permissions 0o644 less the umask.

    A zip is checked as a whole before the first byte is written; a tar is read once, and each
    member is checked before it is written. Refused with `ValueError` are damaged and encrypted
    archives; names and destinations that are absolute, lead out of the folder or mean different
    things on different systems (members left out included); links, devices and sparse files; two
    members with one destination, letter case aside; more bytes than `limit` or than a member
    declares; more than 500 000 members. Raises `OSError` if reading or writing fails, and says how
    much room is needed where the disk is full. On any failure, and on Ctrl-C, what was written
    is removed again.

    Example:
        >>> import tempfile, zipfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with zipfile.ZipFile(f"{folder}/set", "w") as archive:
        ...         archive.writestr("bottle/train/a.png", b"pixels")
        ...         archive.writestr("readme.txt", b"words")
        ...     target = Path(folder, "bottle")
        ...     place = lambda name: name.partition("bottle/")[2] or None
        ...     count = unpack(Path(folder, "set"), target, place, limit=100)
        ...     count, (target / "train/a.png").read_bytes()
        (1, b'pixels')
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(
            f"{target} is not empty: choose a folder that is empty or does not exist yet"
        )
    output = _Output(file, target, limit)
    try:
        with open_archive(file, tick) as members:
            output.make_folder(target)
            plan = output.claims(members, place)
            # A zip lists its members at once, and nothing is written before all were checked.
            for member, destination in list(plan) if isinstance(members, list) else plan:
                output.write(member, destination)
    except BaseException as error:
        output.remove()
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise output.disk_full(error) from error
        raise
    return len(output.files)


class _Output:
    """The files under `target`: claimed and counted, then written, and removed after a failure."""

    def __init__(self, file: Path, target: Path, limit: int) -> None:
        self.file, self.target, self.limit = file, target, limit
        self.files: list[Path] = []
        self.folders: list[Path] = []
        self.claimed = 0
        self._member_at: dict[str, str] = {}
        self._folders_at: set[str] = set()

    def claims(
        self, members: Iterator[Member] | list[Member], place: Callable[[str], str | None]
    ) -> Iterator[tuple[Member, str]]:
        """Yield the members that are to be written, with their checked destinations."""
        for member in members:
            if (destination := place(member.name)) is not None:
                yield member, self._claim(member, destination)

    def write(self, member: Member, destination: str) -> None:
        path = self.target / destination
        self.make_folder(path.parent)
        self.files.append(path)
        try:
            content = open(path, "xb", opener=_open_plainly)  # noqa: SIM115 (closed below)
        except FileExistsError:
            self.files.pop()
            raise refusal(self.file, member.name, "is one file with another on this disk") from None
        size = 0
        with content:
            for chunk in member.chunks:
                size += len(chunk)
                if size > member.size:
                    raise refusal(
                        self.file,
                        member.name,
                        f"holds more than the {member.size} bytes it declares",
                    )
                content.write(chunk)
        if size < member.size:
            raise damaged(self.file, f"{member.name!r} has {size} of {member.size} bytes")

    def remove(self) -> None:
        for path in self.files:
            with suppress(OSError):  # the error that led here is the one to tell
                path.unlink()
        for folder in reversed(self.folders):
            with suppress(OSError):  # it holds something that was not written here
                folder.rmdir()

    def disk_full(self, error: OSError) -> OSError:
        here = next(folder for folder in (self.target, *self.target.parents) if folder.exists())
        return OSError(
            error.errno,
            f"the disk is full: {self.file} needs at least {self.claimed / 1e6:.1f} MB under "
            f"{self.target}, where {shutil.disk_usage(here).free / 1e6:.1f} MB are free: make "
            "room or choose a folder on another disk",
        )

    def _claim(self, member: Member, destination: str) -> str:
        clean = clean_path(destination, self.file, f"the destination of {member.name!r},")
        # As disks compare names that know no capitals, or store accents apart from their letters.
        folded = unicodedata.normalize("NFD", clean.casefold())
        if folded in self._member_at:
            other = self._member_at[folded]
            raise refusal(self.file, member.name, f"has the same destination as {other!r}: {clean}")
        parents = [folded[:end] for end, letter in enumerate(folded) if letter == "/"]
        if folded in self._folders_at or not self._member_at.keys().isdisjoint(parents):
            raise refusal(self.file, member.name, f"makes {clean} a file and a folder at once")
        self._member_at[folded] = member.name
        self._folders_at.update(parents)
        self.claimed += member.size
        if self.claimed > self.limit:
            raise ValueError(
                f"{self.file} holds more than the {self.limit} bytes expected of it (at member "
                f"{member.name!r}): it is not the published file, so fetch it again"
            )
        return clean

    def make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            self.folders.append(folder)
            folder.mkdir()


def _open_plainly(path: str, flags: int) -> int:
    return os.open(path, flags, 0o644)
