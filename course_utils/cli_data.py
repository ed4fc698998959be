"""`course data`: fetch data sets, list what is here, look through it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from course_utils.config import data_root
from course_utils.data import find_datasets
from course_utils.fetching import (
    PUBLISHED,
    Part,
    PublishedSet,
    Watch,
    choose_parts,
    find_published,
    install,
    match_archives,
    verify,
)

FAULTS_SHOWN = 20

app = typer.Typer(
    help="Fetch the real data sets, list what is here, and look through it.", no_args_is_help=True
)
Root: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Folder of the data sets, if not COURSE_DATA_ROOT or data/ beside this."),
]


@app.command()
def fetch(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Sets or parts, as mvtec_ad/bottle.")
    ],
    root: Root = None,
    archive: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="A file that you have, or PART=FILE; nothing is downloaded for it."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option(help="Replace what is there.")] = False,
    unverified: Annotated[
        bool, typer.Option(help="Take files of yours that are not the published ones.")
    ] = False,
    keep: Annotated[bool, typer.Option(help="Keep the archives that were downloaded.")] = False,
) -> None:
    """Fetch data sets; what is there already stays as it is."""
    console = Console(soft_wrap=True)
    place = data_root(root)
    with _errors_told():
        if archive and len(names) > 1:
            raise ValueError("--archive goes with one NAME: give the commands one by one")
        for name, (published, parts) in {name: find_published(name) for name in names}.items():
            given = match_archives(published, archive or [])
            chosen = choose_parts(published, parts, given)
            folder = published.info.folder(place)
            missing = [part for part in chosen if force or not part.is_here(folder)]
            if not missing:
                console.print(f"{name}: already in {folder}", markup=False, highlight=False)
                continue
            _show_plan(console, published, missing, given, place, force)
            if not yes and not typer.confirm("Go on?"):
                raise typer.Exit(1)
            with _Bar(console) as bar:
                install(
                    published,
                    missing,
                    place,
                    given=given,
                    force=force,
                    unverified=unverified,
                    keep=keep,
                    watch=bar,
                )
            console.print(f"done. To look through it: course data verify {name}", highlight=False)


@app.command("list")
def list_sets(root: Root = None) -> None:
    """List the data sets: what is here, what is missing, and which lesson uses it."""
    place = data_root(root)
    with _errors_told():
        found = find_datasets(place)
    table = Table("set", "here", "to fetch", "licence", "lessons", title=f"in {escape(str(place))}")
    for name, published in PUBLISHED.items():
        entries = [one for key, one in found.items() if key.partition("/")[0] == name]
        images = sum(one.images for one in entries)
        broken = [one for one in entries if not one.images and one.folder.is_dir()]
        if images:
            here = f"[green]{images} images[/green]"
            names = [part.name for part in published.parts if part.opens != name]
            if names:
                parts = [key.partition("/")[2] for key, one in found.items() if one in entries]
                here += f" ({', '.join(parts)})"
        elif broken:
            here = f"[red]not whole:[/red] {escape(broken[0].problem.splitlines()[0])}"
        else:
            here = "-"
        table.add_row(
            name, here, _size_told(published), published.info.licence, " ".join(published.lessons)
        )
    console = Console()
    console.print(table)
    console.print("course data fetch NAME brings one; synthetic needs no files", highlight=False)


@app.command("verify")
def verify_sets(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Sets or parts; all that are here if none."),
    ] = None,
    root: Root = None,
) -> None:
    """Count, open every image and mask, and compare with what was published."""
    console = Console(soft_wrap=True)
    place = data_root(root)
    wrong = 0
    with _errors_told():
        looks = [look for name in names or PUBLISHED for look in _looks(name, place, bool(names))]
        if not looks:
            raise FileNotFoundError(f"no data set is in {place}: course data list shows what is")
        for published, part in looks:
            with _Bar(console) as bar:
                bar.start(f"looking through {published.name_of(part)}", 0)
                findings = verify(published, part, place, tick=bar.reach)
            verdict = "[red]wrong[/red]" if findings.faults else "[green]good[/green]"
            console.print(f"{verdict} {findings.name}: {findings.images} images", highlight=False)
            for text in findings.notes:
                console.print(f"  {text}", markup=False, highlight=False)
            for text in findings.faults[:FAULTS_SHOWN]:
                console.print(f"  {text}", style="red", markup=False, highlight=False)
            if len(findings.faults) > FAULTS_SHOWN:
                console.print(f"  and {len(findings.faults) - FAULTS_SHOWN} more", style="red")
            wrong += bool(findings.faults)
    if wrong:
        raise typer.Exit(1)


@contextmanager
def _errors_told() -> Iterator[None]:
    """Tell an error in one line, with the exit status that belongs to it."""
    try:
        yield
    except KeyboardInterrupt:
        _tell("stopped. What was fetched so far is kept: the same command goes on from there")
        raise typer.Exit(130) from None
    except (ValueError, OSError) as error:
        _tell(f"error: {_words(error)}")
        raise typer.Exit(2) from None


def _looks(name: str, place: Path, named: bool) -> list[tuple[PublishedSet, Part]]:
    """Return the parts of `name` to look through: those of which something is here."""
    published, parts = find_published(name)
    folder = published.info.folder(place)
    if named:
        published.info.require_folder(place)
    if "/" not in name:
        parts = [part for part in parts if part.is_here(folder)] or [
            part for part in parts if part.lies_at(folder)
        ]
        if not parts and folder.is_dir():
            parts = list(published.parts[:1])
    once = {(part.opens, *part.options.items()): part for part in reversed(parts)}
    return [(published, part) for part in reversed(once.values())]


def _show_plan(
    console: Console,
    published: PublishedSet,
    parts: Sequence[Part],
    given: Mapping[str, Path],
    place: Path,
    force: bool,
) -> None:
    info = published.info
    folder = info.folder(place)
    lines = [f"{info.title}, {info.page}", f"licence: {info.licence}"]
    for archive in published.archives_of(parts):
        if archive.name in given:
            source = f"from {given[archive.name]}"
        else:
            source = f"{_size(archive.size)} from {urlsplit(archive.urls[0]).hostname}"
        lines.append(f"{archive.name}: {archive.holds}, {source}")
    names = [part.name for part in parts if part.name]
    brings = f" ({', '.join(names)})" if names else ""
    lines.append(f"goes to {folder}{brings}")
    if force and folder.exists():
        lines.append(f"what {folder} holds of this is REPLACED")
    for line in lines:
        console.print(line, markup=False, highlight=False)


def _size_told(published: PublishedSet) -> str:
    archives = [archive for archive in published.archives if archive.urls]
    if not archives:
        return "by hand"
    if not all(archive.size for archive in archives):
        return "?"
    return _size(sum(archive.size for archive in archives))


def _size(size: int) -> str:
    """Return bytes for people; the sizes of some archives are published nowhere.

    >>> _size(5_300_000_000), _size(0)
    ('about 5.3 GB', 'size not published')
    """
    if not size:
        return "size not published"
    return f"about {size / 1e9:.1f} GB" if size >= 1e9 else f"about {size / 1e6:.0f} MB"


def _words(error: ValueError | OSError) -> str:
    """Return what an error says; an `OSError` of ours, without a file, has a number before it."""
    ours = isinstance(error, OSError) and error.filename is None and error.strerror
    return ours or str(error)


def _tell(message: str) -> None:
    Console(stderr=True, soft_wrap=True).print(message, style="red", markup=False, highlight=False)


class _Bar(Watch):
    """Draws one bar after the other, and sentences above it."""

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

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def start(self, what: str, total: int) -> None:
        self._progress.reset(self._task, description=escape(what), total=total or None)

    def advance(self, amount: int) -> None:
        self._progress.advance(self._task, amount)

    def reach(self, done: int, total: int | None) -> None:
        self._progress.update(self._task, completed=done, total=total)
