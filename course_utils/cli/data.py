"""`course data`: fetch data sets, list what is here, look through it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from course_utils.cli.data_shown import Bar, here_told, show_plan, size_told
from course_utils.config import data_root
from course_utils.data import find_datasets
from course_utils.fetching import (
    PUBLISHED,
    WORKPLACE,
    Part,
    PublishedSet,
    choose_parts,
    find_published,
    install,
    match_archives,
    settle,
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
        list[str], typer.Argument(metavar="NAME", help="Sets or parts, as mvtec_ad/bottle.")
    ],
    root: Root = None,
    archive: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="A file that you have, or PART=FILE; nothing is downloaded for it. Repeatable.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Take files that are not as they were published.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep downloaded archives, to fetch more parts from.")
    ] = False,
) -> None:
    """Fetch data sets; what is there already stays as it is."""
    console = Console(soft_wrap=True)
    place = data_root(root)
    with _errors_told(
        f"What was fetched so far is kept in {place / WORKPLACE}: the same command "
        "goes on from there"
    ):
        if archive and len(names) > 1:
            raise ValueError("--archive goes with one NAME: give the commands one by one")
        for published, chosen, given in _orders(names, archive or []):
            folder = published.info.folder(place)
            with Bar(console) as bar:
                settle(published, place, watch=bar)
            here = {part.name for part in published.parts if part.is_here(folder)}
            missing = [
                part
                for part in chosen
                if force or not (part.is_here(folder) if given else part.name in here)
            ]
            asked = " ".join(
                name for name in names if name.partition("/")[0] == published.info.name
            )
            if not missing:
                console.print(
                    f"{asked}: already in {folder}. To look through it: course data verify "
                    f"{asked}; to replace it: --force",
                    markup=False,
                    highlight=False,
                )
                continue
            show_plan(console, published, missing, given, place, force, keep)
            if not yes and not typer.confirm("Go on?"):
                raise typer.Exit(1)
            with Bar(console) as bar:
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
            console.print(f"done. To look through it: course data verify {asked}", highlight=False)


@app.command("list")
def list_sets(root: Root = None) -> None:
    """List the data sets: what is here, what is missing, and which lesson uses it."""
    place = data_root(root)
    with _errors_told():
        found = find_datasets(place)
    table = Table(title=f"in {escape(str(place))}")
    table.add_column("set", no_wrap=True, min_width=max(map(len, PUBLISHED)))
    for heading in ("here", "to fetch", "license", "lessons"):
        table.add_column(heading, overflow="fold")
    for name, published in PUBLISHED.items():
        table.add_row(
            name,
            here_told(published, found, place),
            size_told(published),
            published.info.license,
            " ".join(published.lessons),
        )
    console = Console()
    console.print(table)
    console.print("course data fetch NAME brings one; synthetic needs no files", highlight=False)


@app.command("verify")
def verify_sets(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Sets or parts; all that are here if none."),
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
            with Bar(console) as bar:
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
def _errors_told(when_stopped: str = "") -> Iterator[None]:
    """Tell an error in one line, with the exit status that belongs to it."""
    try:
        yield
    except KeyboardInterrupt:
        _tell(f"stopped. {when_stopped}".rstrip())
        raise typer.Exit(130) from None
    except (ValueError, OSError) as error:
        _tell(f"error: {_words(error)}")
        raise typer.Exit(2) from None


Order: TypeAlias = tuple[PublishedSet, list[Part], dict[str, Path]]
"""A set, those of its parts that are asked for, and the user's files to take them from."""


def _orders(names: Sequence[str], archive: Sequence[str]) -> list[Order]:
    """Return what is asked for, each set once: parts of one archive are fetched together."""
    orders: dict[str, Order] = {}
    for name in names:
        published, parts = find_published(name)
        given = match_archives(published, archive)
        chosen = orders.setdefault(published.info.name, (published, [], given))[1]
        chosen += [part for part in choose_parts(published, parts, given) if part not in chosen]
    return list(orders.values())


def _looks(name: str, place: Path, named: bool) -> list[tuple[PublishedSet, Part]]:
    """Return the parts of `name` to look through: those of which something is here.

    Where one name opens several of them (two layouts, masks and folds) it is the one that is whole.
    """
    published, parts = find_published(name)
    folder = published.info.folder(place)
    if named:
        published.info.require_folder(place)
    if "/" not in name:
        parts = [part for part in parts if part.traces_in(folder)]
        if not parts and folder.is_dir():
            parts = list(published.parts[:1])
    once: dict[tuple[object, ...], Part] = {}
    for part in sorted(parts, key=lambda part: not part.is_here(folder)):
        once.setdefault((part.opens, *part.options.items()), part)
    return [(published, part) for part in parts if part in once.values()]


def _words(error: ValueError | OSError) -> str:
    """Return what an error says; an `OSError` of ours, without a file, has a number before it."""
    ours = isinstance(error, OSError) and error.filename is None and error.strerror
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return ours or str(error)


def _tell(message: str) -> None:
    Console(stderr=True, soft_wrap=True).print(message, style="red", markup=False, highlight=False)
