"""Get parts of a data set and put them into its folder, whole or not at all.

Everything happens in `.fetching/<set>` under the data root: files are downloaded and unpacked
there, checked, and only then renamed into place.
"""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from course_utils.fetching.archives import ArchiveError, archive_members, unpack
from course_utils.fetching.disk_space import require_space
from course_utils.fetching.download import SILENT, Watch, download, file_hash
from course_utils.fetching.published import Archive, Part, PublishedSet
from course_utils.io import lock_folder

WORK_FOLDER = ".fetching"
_READY = {"ready": False, "ready_to_replace": True}
"""Folders whose content is complete and may go into place; whether it may replace what is there."""
_REPLACED, _UNPACKED = _LEFTOVERS = "replaced", "unpacked"


def install(
    published: PublishedSet,
    parts: Sequence[Part],
    root: Path,
    *,
    given: Mapping[str, Path] | None = None,
    force: bool = False,
    unverified: bool = False,
    keep: bool = False,
    watch: Watch = SILENT,
) -> list[Part]:
    """Bring `parts` of `published` into `root/<set>` and return those that were not there.

    One process at a time works on a set; others wait. Whatever stops this, the folder of the set
    then has each part as it was before or whole; the next call cleans up or completes.

    Args:
        published: the set.
        parts: those of its parts that are wanted; what lies in place already is left alone.
        root: the folder of all sets.
        given: files of the user by the name of the archive, taken instead of being downloaded;
            they are never moved or changed.
        force: whether what is there may be replaced.
        unverified: whether to accept files of the user that are not those that were published, and
            other numbers of files than published, so long as they hold what is wanted; the hash of
            a download is checked all the same.
        keep: whether downloaded archives stay, where the next fetch finds them.
        watch: is told how far it is.

    Raises:
        FileExistsError: for a part of which only some is there.
        ValueError: for files that are not what was published or not safe to unpack.
        OSError: if nothing could be fetched, or the disk is full.
    """
    place, work = _places(published, root)
    given = given or {}
    with _lock(work, watch):
        if place.exists() and os.stat(place).st_dev != os.stat(work).st_dev:
            raise OSError(
                f"{place} is on another disk than {work}, and only within one can things be put "
                "into place at once: choose a --root on that disk"
            )
        _complete(work, place)
        missing = [part for part in parts if force or not part.is_here(place)]
        if not missing:
            return []
        if not force:
            _require_free(missing, place)
        archives = published.archives_of(missing)
        for archive in archives:
            # Pictures do not shrink when they are packed.
            needed = archive.size if archive.name in given else 2 * archive.size
            require_space(root, needed, f"{archive.name}, to be unpacked,")
        files = {
            archive.name: _check_given(archive, given[archive.name], unverified, watch)
            if archive.name in given
            else _fetch(archive, work, watch)
            for archive in archives
        }
        unpacked = work / _UNPACKED
        try:
            for archive in archives:
                _unpack(archive, files[archive.name], missing, unpacked, published, given, watch)
            _require_whole(missing, unpacked, unverified, watch)
        except BaseException:
            _remove(unpacked)
            raise
        unpacked.rename(work / ("ready_to_replace" if force else "ready"))
        _complete(work, place)
        if not keep:
            for archive in archives:
                if archive.name not in given:
                    files[archive.name].unlink(missing_ok=True)
    return missing


def settle(published: PublishedSet, root: Path, *, watch: Watch = SILENT) -> None:
    """Complete or clear away what an `install` that was stopped left over; wait for one that runs.

    Until then a set that was being replaced may be partly old and partly new. Raises `OSError` as
    `install`, and touches nothing if nothing was left over.
    """
    place, work = _places(published, root)
    if any((work / name).exists() for name in (*_READY, *_LEFTOVERS)):
        with _lock(work, watch):
            _complete(work, place)


def _places(published: PublishedSet, root: Path) -> tuple[Path, Path]:
    """Return the folder of the set and that of the work on it."""
    place = published.info.folder(root)
    if not place.is_dir() and (place.exists() or place.is_symlink()):
        what = "a link that leads nowhere" if place.is_symlink() else "a file"
        raise NotADirectoryError(f"{place} is {what}, and a folder is wanted there: move it away")
    return place, root / WORK_FOLDER / published.info.name


@contextmanager
def _lock(work: Path, watch: Watch) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_folder(work, "lock", "waiting until it is done"))
        except FileExistsError as error:
            watch.say(str(error))
            stack.enter_context(lock_folder(work, "lock", "", timeout=-1))
        yield


def _complete(work: Path, place: Path) -> None:
    """Bring what is ready into place, this time or after an interruption, and clean up."""
    for name, replaces in _READY.items():
        ready = work / name
        if not ready.is_dir():
            continue
        if not place.exists():
            os.rename(ready, place)
            continue
        for entry in sorted(ready.iterdir()):
            target = place / entry.name
            if target.exists() and not replaces:
                raise FileExistsError(f"{target} appeared in the meantime: move it away")
            if target.exists():
                aside = work / _REPLACED / entry.name
                _remove(aside)
                aside.parent.mkdir(exist_ok=True)
                os.rename(target, aside)
            os.rename(entry, target)
        ready.rmdir()
    for leftover in _LEFTOVERS:
        _remove(work / leftover)


def _require_free(parts: Collection[Part], place: Path) -> None:
    for part in parts:
        if there := part.lies_at(place):
            lacks = [entry for entry in part.entries if entry not in there] or ["all of its files"]
            raise FileExistsError(
                f"{place} has {there[0]} but not {lacks[0]}, so it is not whole, or another "
                f"version: move it away, or give --force to replace what is there"
            )


def _check_given(archive: Archive, file: Path, unverified: bool, watch: Watch) -> Path:
    """Return `file` of the user if it is the published one, or taken all the same."""
    kind, _, wanted = archive.digest.partition(":")
    if archive.digest:
        watch.start(f"checking {file.name}", file.stat().st_size)
        found = file_hash(file, kind)
        if found != wanted and not unverified:
            raise ValueError(
                f"{file} is not {archive.name} as it was published: its {kind} is {found}, that of "
                f"the published file {wanted}. If you trust it, add --unverified"
            )
        if found != wanted:
            watch.say(f"{file} is not the published {archive.name}, and is taken all the same")
    return file


def _fetch(archive: Archive, work: Path, watch: Watch) -> Path:
    watch.start(f"fetching {archive.name}", archive.size)
    file = download(archive, work, watch=watch)
    if not archive.digest:
        found = file_hash(file, "sha256")
        watch.say(f"no hash of {archive.name} is published; what came has sha256 {found}")
    return file


def _unpack(
    archive: Archive,
    file: Path,
    parts: Collection[Part],
    target: Path,
    published: PublishedSet,
    given: Collection[str],
    watch: Watch,
) -> None:
    """Unpack what `parts` want of one archive; a file of the user may call it otherwise.

    What was downloaded without a published hash and turns out to be no such archive (the page of
    a log-in, say) is removed: else it would be found and used each time again.
    """
    wanted = {entry for part in parts for entry in part.entries}

    def place(member: str) -> str | None:
        goes_to = archive.place(member)
        return goes_to if goes_to and goes_to.partition("/")[0] in wanted else None

    target.mkdir(exist_ok=True)
    watch.start(f"unpacking {file.name}", file.stat().st_size)
    try:
        count = unpack(file, target, place, limit=archive.limit, tick=watch.reach)
        if not count and archive.name in given:
            members = archive_members(file)
            renamed = _under_another_name(archive, members, wanted, published)
            count = unpack(file, target, renamed.get, limit=archive.limit, tick=watch.reach)
            for member, goes_to in [*renamed.items()][:1]:
                watch.say(f"{file} has other folders: {member} is taken as {goes_to}, and so on")
        if not count:
            raise ArchiveError(
                f"{file} holds nothing of what is wanted ({', '.join(sorted(wanted)[:5])}): "
                f"is it {archive.name}?"
            )
    except ArchiveError as error:
        if archive.name in given or archive.digest:
            raise
        file.unlink()
        raise ArchiveError(f"{error}. It was removed: the next try fetches it anew") from None


def _under_another_name(
    archive: Archive, members: Sequence[str], wanted: Collection[str], published: PublishedSet
) -> dict[str, str]:
    """Return where members go if one folder of the archive is all that is wanted, by their names.

    People pack a category from inside of it, or rename its folder. A folder that is called like
    another part, or one of several that fit, is not taken.
    """
    if len(wanted) != 1:
        return {}
    entry = next(iter(wanted))
    fitting: dict[str, dict[str, str]] = {}
    for member in members:
        names = member.split("/")
        for start in range(len(names)):
            goes_to = archive.place("/".join([entry, *names[start:]]))
            if goes_to == "/".join([entry, *names[start:]]) and goes_to.count("/") > 1:
                fitting.setdefault("/".join(names[:start]), {})[member] = goes_to
                break
    taken = {other.lower() for part in published.parts for other in part.entries} - {entry.lower()}
    if len(fitting) != 1 or next(iter(fitting)).rpartition("/")[2].lower() in taken:
        return {}
    return next(iter(fitting.values()))


def _require_whole(parts: Collection[Part], unpacked: Path, unverified: bool, watch: Watch) -> None:
    for part in parts:
        for pattern, count in part.files.items():
            found = len(list(unpacked.glob(pattern)))
            if found == count:
                continue
            what = f"{pattern} finds {found} files after unpacking, published are {count}"
            if not found:
                raise ValueError(f"{what}: this is not the archive that is wanted")
            if not unverified:
                raise ValueError(
                    f"{what}: the archive is not whole, or another version. Nothing was changed; "
                    f"--unverified takes it as it is"
                )
            watch.say(what)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
