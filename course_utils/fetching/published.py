"""What is known of a published data set: its files, where they lie, and what they hold."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from course_utils.data import DatasetInfo

GB = 1_000_000_000


@dataclass(frozen=True)
class Archive:
    """One published file."""

    name: str
    """As it is published: `"KolektorSDD.zip"`."""
    holds: str
    """What is in it, for people."""
    members: str
    """Pattern of the members that are unpacked, without the folders that they are wrapped in:
    these differ from archive to archive. All other members are left out."""
    folder: str = ""
    """Where in the folder of the set they go, with a `/` at its end."""
    urls: tuple[str, ...] = ()
    """Where to get it, tried in turn; none: it is behind a log-in."""
    digest: str = ""
    """`"sha256:..."` or `"md5:..."`; empty: none is published."""
    size: int = 0
    """Bytes to fetch, about; 0: not known."""
    limit: int = 4 * GB
    """More bytes than it can possibly hold: what goes beyond is no longer this archive."""
    by_hand: str = ""
    """How a person gets it, where there is no address for everybody."""

    def place(self, member: str) -> str | None:
        """Return where `member` of the archive goes, or None if it is left out."""
        found = re.fullmatch(rf"(?:.*/)?({self.members})", member)
        return self.folder + found[1] if found else None


@dataclass(frozen=True)
class Part:
    """What can be fetched by itself: a category, a class, one kind of masks, or the whole set."""

    name: str
    """`"bottle"`, as in `mvtec_ad/bottle`; empty if the set is one part."""
    archives: tuple[str, ...]
    """Names of the archives that together bring it."""
    entries: tuple[str, ...]
    """The files and folders that it is, in the folder of the set."""
    files: Mapping[str, int]
    """How many files each pattern finds in what was unpacked."""
    opens: str
    """The name by which `open_dataset` opens it."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Further options of its reader."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many images its reader finds, as published; for the keys see `count_images`."""
    partial: bool = False
    """Whether people may keep some of its folders only: what is not here at all is no fault."""
    mask_values: frozenset[int] | None = None
    """What a mask file may hold; None: anything, or masks are no pictures."""
    empty_masks: int = 0
    """How many defective images have a mask without a defect."""
    also_as: tuple[str, ...] = ()
    """Entries under which the part is in use, too, besides those it was published with."""

    def is_here(self, folder: Path) -> bool:
        """Whether the part lies in `folder`, that of the set: its entries, and files in them."""
        if self.also_as and all((folder / entry).exists() for entry in self.also_as):
            return True
        if not all((folder / entry).exists() for entry in self.entries):
            return False
        found = (any(folder.glob(pattern)) for pattern in self.files)
        return any(found) if self.partial else all(found)

    def traces_in(self, folder: Path) -> bool:
        """Whether anything of the part lies in `folder`, whole or not."""
        return bool(self.lies_at(folder)) or self.is_here(folder)

    def lies_at(self, folder: Path) -> list[str]:
        """Return those entries of the part that lie in `folder`."""
        return [entry for entry in self.entries if (folder / entry).exists()]


@dataclass(frozen=True)
class PublishedSet:
    """A data set, its archives and its parts."""

    info: DatasetInfo
    archives: tuple[Archive, ...]
    parts: tuple[Part, ...]
    lessons: tuple[str, ...] = ()
    """Numbers of the lessons that take it."""

    def archive(self, name: str) -> Archive:
        """Return the archive called `name`."""
        return next(archive for archive in self.archives if archive.name == name)

    def archives_of(self, parts: Collection[Part]) -> list[Archive]:
        """Return the archives that bring `parts`, each once."""
        wanted = {name for part in parts for name in part.archives}
        return [archive for archive in self.archives if archive.name in wanted]

    def is_open(self, part: Part) -> bool:
        """Whether everybody can fetch all archives of `part`, without a log-in."""
        return all(self.archive(name).urls for name in part.archives)

    def name_of(self, part: Part) -> str:
        """Return what the part is called on the command line: `mvtec_ad/bottle`."""
        return f"{self.info.name}/{part.name}" if part.name else self.info.name
