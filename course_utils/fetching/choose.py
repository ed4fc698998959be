"""From what a person asks for to parts and archives."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from course_utils.fetching.archives import archive_members
from course_utils.fetching.catalog import PUBLISHED
from course_utils.fetching.published import Archive, Part, PublishedSet


def find_published(name: str) -> tuple[PublishedSet, list[Part]]:
    """Return the set called `name`, and those of its parts that are meant.

    `name` is one of `PUBLISHED`, for all parts, or `<set>/<part>`. Parts that come from more than
    one source appear once for each.

    Raises:
        ValueError: for an unknown set or part.

    Example:
        >>> [part.name for part in find_published("kolektor_sdd")[1]]
        ['fine', 'boxes', 'splits']
    """
    family, _, wanted = name.partition("/")
    if family not in PUBLISHED:
        raise ValueError(
            f"data set {name!r} is unknown: choose one of {', '.join(PUBLISHED)}"
            + (". The synthetic sets need no files" if family.startswith("synthetic") else "")
        )
    published = PUBLISHED[family]
    parts = [part for part in published.parts if wanted in ("", part.name)]
    if not parts:
        names = dict.fromkeys(part.name for part in published.parts if part.name)
        has = f"it has {', '.join(names)}" if names else "it has none"
        raise ValueError(f"{family} has no part {wanted!r}: {has}")
    return published, parts


def choose_parts(
    published: PublishedSet, parts: Sequence[Part], given: Mapping[str, Path]
) -> list[Part]:
    """Return those of `parts` that can be fetched with the archives that the user gave.

    With archives given it is what they bring; else, what everybody can download.

    Raises:
        ValueError: if there is nothing of either; it says how to get the archive.
    """
    if given:
        chosen = [part for part in parts if set(part.archives) & set(given)]
        if not chosen:
            wanted = ", ".join(published.name_of(part) for part in parts)
            raise ValueError(f"{', '.join(given)} does not bring {wanted}")
    else:
        chosen = [part for part in parts if published.is_open(part)]
        if not chosen:
            manual = published.archives_of(parts)[0]
            raise ValueError(
                f"{published.name_of(parts[0])} cannot be fetched from here. {manual.by_hand}. "
                f"Then give the file: --archive FILE"
            )
    names = [part.name for part in chosen]
    if len(set(names)) < len(names):
        raise ValueError(f"the archives bring {names[0]} twice, in two versions: give one of them")
    return chosen


def match_archives(published: PublishedSet, texts: Sequence[str]) -> dict[str, Path]:
    """Return the user's files, given as `FILE` or `PART=FILE`, by the archive that each one is.

    A file is known by its name, by the part it is said to bring, or else by what it holds.

    Raises:
        FileNotFoundError: for a file that is not there.
        ValueError: for one that could be several archives or none, an unknown part, and two files
            for one archive.
    """
    found: dict[str, Path] = {}
    for text in texts:
        archive, file = _match(published, text)
        if archive.name in found:
            raise ValueError(f"{found[archive.name]} and {file} would both be {archive.name}")
        found[archive.name] = file
    return found


def _match(published: PublishedSet, text: str) -> tuple[Archive, Path]:
    part, equals, path = text.partition("=")
    if equals and not Path(text).exists():
        file = _existing(path)
        fitting = published.archives_of([one for one in published.parts if one.name == part])
        if not fitting:
            raise ValueError(f"--archive {text}: {published.info.name} has no part {part!r}")
    else:
        file = _existing(text)
        fitting = list(published.archives)
    by_name = [archive for archive in fitting if archive.name == file.name]
    if by_name or len(fitting) == 1:
        return (by_name or fitting)[0], file
    members = archive_members(file)
    fitting = [archive for archive in fitting if any(archive.place(m) for m in members)]
    if len(fitting) == 1:
        return fitting[0], file
    names = ", ".join(archive.name for archive in fitting or published.archives)
    if not fitting:
        raise ValueError(f"{file} holds nothing of {published.info.name}: wanted is one of {names}")
    raise ValueError(
        f"{file} could be any of {names}: rename it to what it is, or say which part it brings, "
        f"as in --archive {published.parts[0].name}={file.name}"
    )


def _existing(path: str) -> Path:
    file = Path(path).expanduser()
    if file.is_dir():
        raise IsADirectoryError(
            f"{file} is a folder, and the archive itself is wanted. A set that is unpacked already "
            f"needs no fetching: move it to where course data list looks"
        )
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    return file
