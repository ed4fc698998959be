"""What people see of `course data`: plans, sizes, and how far it is."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from course_utils.data import FoundDataset
from course_utils.fetching import Part, PublishedSet, Watch


def here_told(published: PublishedSet, found: Mapping[str, FoundDataset], place: Path) -> str:
    """Return what of a set is here, and what of it cannot be opened, in rich's markup."""
    name = published.info.name
    entries = {key: one for key, one in found.items() if key.partition("/")[0] == name}
    folder = published.info.folder(place)
    if not folder.is_dir():
        return "-"
    lines = []
    if images := sum(one.images for one in entries.values()):
        opened = {key for key, one in entries.items() if one.images and "/" in key}
        parts = dict.fromkeys(
            part.name
            for part in published.parts
            if part.name and (part.opens in opened or part.is_here(folder))
        )
        brackets = f" ({', '.join(parts)})" if parts else ""
        lines.append(f"[green]{images} images[/green]{brackets}")
    for key, one in entries.items():
        if not one.images:
            problem = one.problem.splitlines()[0].replace(f"{folder}/", "")
            lines.append(f"[red]not whole:[/red] {escape(key.partition('/')[2])} {escape(problem)}")
    return "\n".join(lines)


def show_plan(
    console: Console,
    published: PublishedSet,
    parts: Sequence[Part],
    given: Mapping[str, Path],
    place: Path,
    force: bool,
    keep: bool,
) -> None:
    """Print what a fetch of `parts` will do."""
    info = published.info
    folder = info.folder(place)
    lines = [f"{info.title}, {info.page}", f"license: {info.license}"]
    for archive in published.archives_of(parts):
        if archive.name in given:
            source = f"from {given[archive.name]}"
        else:
            source = f"{_size(archive.size)} from {urlsplit(archive.urls[0]).hostname}"
        lines.append(f"{archive.name}: {archive.holds}, {source}")
    names = [part.name for part in parts if part.name]
    brings = f" ({', '.join(names)})" if names else ""
    lines.append(f"goes to {folder}{brings}")
    if not given:
        lines += _hints(published, parts, folder, keep)
    if force and (there := [entry for part in parts for entry in part.lies_at(folder)]):
        told = ", ".join(there if len(there) < 6 else [there[0], "...", there[-1]])
        lines.append(f"REPLACED, with all that lies in it: {told}")
    for line in lines:
        console.print(line, markup=False, highlight=False)


def _hints(
    published: PublishedSet, parts: Sequence[Part], folder: Path, keep: bool
) -> Iterator[str]:
    """Say what else the download would be good for, and what it does not bring."""
    here = {part.name for part in published.parts if part.is_here(folder)}
    others = [part for part in published.parts if part not in parts and part.name not in here]
    beside = [part for part in others if part.archives == parts[0].archives]
    if beside and not keep:
        yield f"the archive holds {len(beside)} more parts: --keep keeps it to fetch them from"
    names = {part.name for part in published.parts if published.is_open(part)}
    if closed := [part.name for part in others if part.name not in names]:
        yield (
            f"behind a log-in, so not among them: {', '.join(closed)} (course data fetch "
            f"{published.info.name}/{closed[0]} tells how to get it)"
        )


def size_told(published: PublishedSet) -> str:
    """Return how much a fetch of the whole set brings."""
    archives = [archive for archive in published.archives if archive.urls]
    if not archives:
        return "by hand"
    if not all(archive.size for archive in archives):
        return "?"
    return _size(sum(archive.size for archive in archives))


def _size(size: int) -> str:
    """Return bytes for people; the sizes of some archives are published nowhere.

    Example:
        >>> _size(5_300_000_000), _size(0)
        ('about 5.3 GB', 'size not published')
    """
    if not size:
        return "size not published"
    return f"about {size / 1e9:.1f} GB" if size >= 1e9 else f"about {size / 1e6:.0f} MB"


class Bar(Watch):
    """Draws one bar after the other, where there is a terminal, and sentences above it."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def start(self, what: str, total: int) -> None:
        if self._progress.disable:
            self.say(what)
        self._progress.reset(self._task, description=escape(what), total=total or None)

    def advance(self, amount: int) -> None:
        self._progress.advance(self._task, amount)

    def reach(self, done: int, total: int | None) -> None:
        self._progress.update(self._task, completed=done, total=total)
