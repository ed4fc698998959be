"""Get parts of a data set and put them into its folder, whole or not at all.

Everything happens in `.fetching/<set>` under the data root: files are downloaded and unpacked
there, checked, and only then renamed into place.
"""

import errno
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pooch
from filelock import FileLock, Timeout

from course_utils.fetching.download import download
from course_utils.fetching.published import Archive, Part, PublishedSet
from course_utils.fetching.unpack import unpack
from course_utils.fetching.watch import SILENT, Watch

WORKPLACE = ".fetching"
_READY = {"ready": False, "ready_to_replace": True}
"""Folders whose content is complete and may go into place; whether it may replace what is there."""

_REPLACED, _UNPACKED, _UNPACKING = _LEFTOVERS = "replaced", "unpacked", "unpacking"


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

    Files of `given`, by the name of the archive, are taken instead of being downloaded; they are
    never moved or changed. What lies in place already is left alone, unless `force` allows to
    replace it. `unverified` accepts files of the user that are not those that were published,
    and other numbers of files than published, so long as they hold what is wanted; the hash of a
    download is checked all the same. `keep` leaves downloaded archives in the workplace, where
    the next fetch finds them.

    One process at a time works on a set; others wait. Whatever stops this, the folder of the set
    then has each part as it was before or whole; the next call cleans up or completes.

    Raises:
        FileExistsError: for a part of which only some is there.
        ValueError: for files that are not what was published or not safe to unpack.
        OSError: if nothing could be fetched, or the disk is full.
    """
    place, work = _places(published, root)
    given = given or {}
    with _alone(work, watch):
        _require_one_disk(work, place)
        _complete(work, place)
        missing = [part for part in parts if force or not part.is_here(place)]
        if not missing:
            return []
        if not force:
            _require_free(missing, place)
        archives = published.archives_of(missing)
        for archive in archives:
            _require_space(archive, root, archive.name in given)
        files = {
            archive.name: _user_file(archive, given[archive.name], unverified, watch)
            if archive.name in given
            else _fetched(archive, work, watch)
            for archive in archives
        }
        unpacked = _unpack_all(archives, files, missing, work, given, watch)
        _require_whole(missing, unpacked, unverified, watch)
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
        with _alone(work, watch):
            _complete(work, place)


def _places(published: PublishedSet, root: Path) -> tuple[Path, Path]:
    """Return the folder of the set and that of the work on it."""
    place = published.info.folder(root)
    if not place.is_dir() and (place.exists() or place.is_symlink()):
        what = "a link that leads nowhere" if place.is_symlink() else "a file"
        raise NotADirectoryError(f"{place} is {what}, and a folder is wanted there: move it away")
    return place, root / WORKPLACE / published.info.name


@contextmanager
def _alone(work: Path, watch: Watch) -> Iterator[None]:
    """Hold the set's lock, which the operating system frees when the process ends."""
    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        watch.say(f"another process works on {work.name}: waiting until it is done")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _complete(work: Path, place: Path) -> None:
    """Bring what is ready into place, this time or after an interruption, and clean up."""
    for name, replaces in _READY.items():
        ready = work / name
        if not ready.is_dir():
            continue
        if not place.exists():
            _move(ready, place)
            continue
        for entry in sorted(ready.iterdir()):
            target = place / entry.name
            if target.exists() and not replaces:
                raise FileExistsError(f"{target} appeared in the meantime: move it away")
            if target.exists():
                aside = work / _REPLACED / entry.name
                _remove(aside)
                aside.parent.mkdir(exist_ok=True)
                _move(target, aside)
            _move(entry, target)
        ready.rmdir()
    for leftover in _LEFTOVERS:
        _remove(work / leftover)


def _require_free(parts: Collection[Part], place: Path) -> None:
    for part in parts:
        there = part.lies_at(place)
        if there:
            lacks = [entry for entry in part.entries if entry not in there] or ["all of its files"]
            raise FileExistsError(
                f"{place} has {there[0]} but not {lacks[0]}, so it is not whole, or another "
                f"version: move it away, or give --force to replace what is there"
            )


def _require_one_disk(work: Path, place: Path) -> None:
    """Raise if what is fetched could not be renamed into place: before it is fetched."""
    if place.exists() and os.stat(place).st_dev != os.stat(work).st_dev:
        raise _other_disk(work, place)


def _require_space(archive: Archive, root: Path, is_given: bool) -> None:
    free = shutil.disk_usage(root).free
    needed = archive.size if is_given else 2 * archive.size  # pictures do not shrink when packed
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"{archive.name} needs about {needed / 1e9:.1f} GB while it is unpacked, "
            f"and {root} has {free / 1e9:.1f} GB free: make room, or choose another --root",
        )


def _user_file(archive: Archive, file: Path, unverified: bool, watch: Watch) -> Path:
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    if archive.digest:
        kind, _, wanted = archive.digest.partition(":")
        watch.start(f"checking {file.name}", file.stat().st_size)
        found = pooch.file_hash(str(file), alg=kind)
        if found != wanted and not unverified:
            raise ValueError(
                f"{file} is not {archive.name} as it was published: its {kind} is {found}, that of "
                f"the published file {wanted}. If you trust it, add --unverified"
            )
        if found != wanted:
            watch.say(f"{file} is not the published {archive.name}, and is taken all the same")
    return file


def _fetched(archive: Archive, work: Path, watch: Watch) -> Path:
    watch.start(f"fetching {archive.name}", archive.size)
    file = download(
        archive.urls,
        work,
        archive.name,
        digest=archive.digest,
        tick=watch.reach,
        tell=watch.say,
    )
    if not archive.digest:
        found = pooch.file_hash(str(file), alg="sha256")
        watch.say(f"no hash of {archive.name} is published; what came has sha256 {found}")
    return file


def _unpack_all(
    archives: Sequence[Archive],
    files: Mapping[str, Path],
    parts: Collection[Part],
    work: Path,
    given: Collection[str],
    watch: Watch,
) -> Path:
    """Unpack what `parts` want into one folder, and return it.

    What was downloaded without a published hash and turns out to be no such archive (the page of
    a log-in, say) is removed: else it would be found and used each time again.
    """
    wanted = {entry for part in parts for entry in part.entries}
    whole, fresh = work / _UNPACKED, work / _UNPACKING
    whole.mkdir()
    for archive in archives:

        def place(member: str, archive: Archive = archive) -> str | None:
            goes_to = archive.place(member)
            return goes_to if goes_to and goes_to.partition("/")[0] in wanted else None

        file = files[archive.name]
        watch.start(f"unpacking {file.name}", file.stat().st_size)
        try:
            if not unpack(file, fresh, place, limit=archive.limit, tick=watch.advance):
                raise ValueError(
                    f"{file} holds nothing of what is wanted ({', '.join(sorted(wanted)[:5])}): "
                    f"is it {archive.name}?"
                )
        except ValueError as error:
            if archive.name in given or archive.digest:
                raise
            file.unlink()
            raise ValueError(f"{error}. It was removed: the next try fetches it anew") from None
        for entry in list(fresh.iterdir()):
            entry.rename(whole / entry.name)
        fresh.rmdir()
    return whole


def _require_whole(parts: Collection[Part], unpacked: Path, unverified: bool, watch: Watch) -> None:
    for part in parts:
        for pattern, count in part.files.items():
            found = len(list(unpacked.glob(pattern)))
            if found == count:
                continue
            what = f"{pattern} finds {found} files after unpacking, published are {count}"
            if not unverified or not found:
                raise ValueError(
                    f"{what}: the archive is not whole, or another version. Nothing was changed; "
                    f"--unverified takes it as it is"
                    if found
                    else f"{what}: this is not the archive that is wanted. Nothing was changed"
                )
            watch.say(what)


def _move(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise _other_disk(source.parent, target.parent) from None


def _other_disk(work: Path, place: Path) -> OSError:
    return OSError(
        errno.EXDEV,
        f"{place} is on another disk than {work}, and only within one can things be put into place "
        f"at once: choose a --root on that disk",
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
