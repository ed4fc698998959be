"""How `course data` shows plans, sizes and progress."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from course_utils.data import FoundDataset
from course_utils.fetching import Part, PublishedSet, Watch

if TYPE_CHECKING:
    from course_utils.checking import FolderFacts, Method


def print_plain(console: Console, text: str, style: str = "") -> None:
    """Print a line with file names, in which rich must find nothing to color."""
    console.print(text, style=style or None, markup=False, highlight=False)


def describe_present(published: PublishedSet, found: Mapping[str, FoundDataset], root: Path) -> str:
    """Return what of a set is here, and what of it cannot be opened, in rich's markup."""
    name = published.info.name
    entries = {key: entry for key, entry in found.items() if key.partition("/")[0] == name}
    folder = published.info.folder(root)
    if not folder.is_dir():
        return "-"
    lines = []
    if images := sum(entry.images for entry in entries.values()):
        opened = {key for key, entry in entries.items() if entry.images and "/" in key}
        parts = dict.fromkeys(
            part.name
            for part in published.parts
            if part.name and (part.opens in opened or part.is_here(folder))
        )
        lines.append(f"[green]{images} images[/green]{_in_brackets(parts)}")
    for key, entry in entries.items():
        if not entry.images:
            problem = entry.problem.splitlines()[0].replace(f"{folder}/", "")
            lines.append(f"[red]not whole:[/red] {escape(key.partition('/')[2])} {escape(problem)}")
    return "\n".join(lines)


def describe_size(published: PublishedSet) -> str:
    """Return how much a fetch of the whole set brings."""
    sizes = [archive.size for archive in published.archives if archive.urls]
    if not sizes:
        return "by hand"
    return _size(sum(sizes)) if all(sizes) else "?"


def print_plan(
    console: Console,
    published: PublishedSet,
    parts: Sequence[Part],
    given: Mapping[str, Path],
    root: Path,
    force: bool,
    keep: bool,
) -> None:
    """Print what a fetch of `parts` will do."""
    info = published.info
    folder = info.folder(root)
    lines = [f"{info.title}, {info.page}", f"license: {info.license}"]
    for archive in published.archives_of(parts):
        if archive.name in given:
            source = f"from {given[archive.name]}"
        else:
            source = f"{_size(archive.size)} from {urlsplit(archive.urls[0]).hostname}"
        lines.append(f"{archive.name}: {archive.holds}, {source}")
    lines.append(f"goes to {folder}{_in_brackets([part.name for part in parts if part.name])}")
    if not given:
        lines += _hints(published, parts, folder, keep)
    if force and (there := [entry for part in parts for entry in part.lies_at(folder)]):
        shown = ", ".join(there if len(there) < 6 else [there[0], "...", there[-1]])
        lines.append(f"REPLACED, with all that lies in it: {shown}")
    for line in lines:
        print_plain(console, line)


def print_facts(console: Console, facts: "FolderFacts", methods: Sequence["Method"]) -> None:
    """Print what the first look at a folder has found, and the commands to go on with."""
    masks = f", {facts.masks} of them with a mask" if facts.defective else ""
    count = len(facts.images.entries)
    print_plain(
        console,
        f"{facts.folder}: {count} images, {facts.good} good, {facts.defective} defective{masks}",
    )
    (size, most), *others = facts.sizes.most_common()
    kind = "gray" if facts.images.channels == 1 else "color"
    more = f" ({most} images) and {len(others)} other sizes" if others else ""
    print_plain(console, f"{kind}, {_sides(size)} pixels (height x width){more}")
    if facts.defective:
        table = Table("class", "images", "regions", "pixels")
        for one in facts.classes:
            table.add_row(escape(one.name), str(one.images), str(one.regions), f"{one.pixels:,}")
        console.print(table)
    if facts.regions:
        table = Table("height x width", "gone", "below 16 pixels", "visible", title="defects left")
        for row in facts.survival:
            chosen = "bold" if row.size == facts.choice.size else None
            table.add_row(
                _sides(row.size), str(row.gone), str(row.faint), str(row.kept), style=chosen
            )
        console.print(table)
        tiles = f" in tiles of {facts.choice.tile}" if facts.choice.tile else ""
        print_plain(console, f"size: {_sides(facts.choice.size)}{tiles}, {facts.choice.reason}")
    if facts.parts:
        names = ["good", *(one.name for one in facts.classes if facts.defective)]
        table = Table("part", "images", *map(escape, names))
        for part, counts in facts.parts.items():
            by_label = (counts[label] for label in range(len(names)))
            table.add_row(part, *map(str, (counts.total(), *by_label)))
        console.print(table)
        print_plain(console, facts.split_note)
    for warning in facts.warnings:
        print_plain(console, warning, "yellow")
    for fault in facts.faults:
        print_plain(console, f"cannot be trained on yet: {fault}", "red")
    for method in methods:
        print_plain(console, f"{method.title}: {method.reason}", "" if method.command else "dim")
        if method.command:
            print_plain(console, f"  {method.command}", "bold")


def _sides(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


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


def _in_brackets(names: Iterable[str]) -> str:
    text = ", ".join(names)
    return f" ({text})" if text else ""


def _size(size: int) -> str:
    """Return bytes for people; the sizes of some archives are published nowhere.

    Example:
        >>> _size(5_300_000_000), _size(0)
        ('about 5.3 GB', 'size not published')
    """
    if not size:
        return "size not published"
    return f"about {size / 1e9:.1f} GB" if size >= 1e9 else f"about {size / 1e6:.0f} MB"


class ProgressBar(Watch):
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

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print a sentence above the bar."""
        print_plain(self._progress.console, text)

    def start(self, what: str, total: int) -> None:
        """Begin a bar for the next piece of work."""
        if self._progress.disable:
            self.say(what)
        self._progress.reset(self._task, description=escape(what), total=total or None)

    def reach(self, done: int, total: int | None) -> None:
        """Draw the bar as long as what is done."""
        self._progress.update(self._task, completed=done, total=total)
