"""`course data`: fetch and verify data sets, import and check a person's own images."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from course_utils.cli.data_display import (
    ProgressBar,
    describe_present,
    describe_size,
    print_facts,
    print_plain,
    print_plan,
)
from course_utils.config import data_root
from course_utils.data import PRODUCT_NAMES, find_datasets
from course_utils.fetching import (
    PUBLISHED,
    WORK_FOLDER,
    Part,
    PublishedSet,
    choose_parts,
    find_published,
    install,
    match_archives,
    settle,
)
from course_utils.io import report_errors

FAULTS_SHOWN = 20

app = typer.Typer(
    help="Fetch data sets, verify them; import and check your own images.", no_args_is_help=True
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
    with report_errors(
        f"What was fetched so far is kept in {place / WORK_FOLDER}: the same command "
        "goes on from there"
    ):
        if archive and len(names) > 1:
            raise ValueError("--archive goes with one NAME: give the commands one by one")
        for published, chosen, given in _orders(names, archive or []):
            folder = published.info.folder(place)
            with ProgressBar(console) as bar:
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
                print_plain(
                    console,
                    f"{asked}: already in {folder}. To look through it: course data verify "
                    f"{asked}; to replace it: --force",
                )
                continue
            print_plan(console, published, missing, given, place, force, keep)
            if not yes and not typer.confirm("Go on?"):
                raise typer.Exit(1)
            with ProgressBar(console) as bar:
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
            print_plain(console, f"done. To look through it: course data verify {asked}")


@app.command("list")
def list_sets(root: Root = None) -> None:
    """List the data sets: what is here, what is missing, and which lesson uses it."""
    place = data_root(root)
    with report_errors():
        found = find_datasets(place)
    table = Table(title=f"in {escape(str(place))}")
    table.add_column("set", no_wrap=True, min_width=max(map(len, PUBLISHED)))
    for heading in ("here", "to fetch", "license", "lessons"):
        table.add_column(heading, overflow="fold")
    for name, published in PUBLISHED.items():
        table.add_row(
            name,
            describe_present(published, found, place),
            describe_size(published),
            published.info.license,
            " ".join(published.lessons),
        )
    console = Console()
    console.print(table)
    print_plain(
        console,
        "course data fetch NAME brings one; these need no files: "
        f"synthetic, {', '.join(PRODUCT_NAMES)}",
    )


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
    with report_errors():
        from course_utils.fetching import verify  # loads OpenCV

        chosen = [
            (published, part)
            for name in names or PUBLISHED
            for published, part in _parts_to_verify(name, place, bool(names))
        ]
        if not chosen:
            raise FileNotFoundError(f"no data set is in {place}: course data list shows what is")
        for published, part in chosen:
            with ProgressBar(console) as bar:
                bar.start(f"looking through {published.name_of(part)}", 0)
                findings = verify(published, part, place, tick=bar.reach)
            verdict = "[red]wrong[/red]" if findings.faults else "[green]good[/green]"
            console.print(f"{verdict} {findings.name}: {findings.images} images", highlight=False)
            for text in findings.notes:
                print_plain(console, f"  {text}")
            for text in findings.faults[:FAULTS_SHOWN]:
                print_plain(console, f"  {text}", "red")
            if len(findings.faults) > FAULTS_SHOWN:
                print_plain(console, f"  and {len(findings.faults) - FAULTS_SHOWN} more", "red")
            wrong += bool(findings.faults)
    if wrong:
        raise typer.Exit(1)


@app.command("import")
def import_folder(
    source: Annotated[
        Path, typer.Argument(help="What the tool wrote: an annotation file, or a folder of them.")
    ],
    target: Annotated[Path, typer.Argument(help="Folder to make; nothing is overwritten.")],
    tool: Annotated[
        Literal["labelme", "coco", "voc", "cvat"],
        typer.Option("--from", help="LabelMe JSON, COCO JSON, Pascal VOC, CVAT for images 1.1."),
    ],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images, if they are not in SOURCE.")
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Text file with the names of the classes, one a line, in their order."),
    ] = None,
    good: Annotated[
        bool, typer.Option("--good", help="Images without a region are free of defects.")
    ] = False,
    line_width: Annotated[int, typer.Option(help="Of lines, in pixels.", min=1)] = 3,
) -> None:
    """Turn annotations of a tool into a folder that folder:PATH reads."""
    console = Console(soft_wrap=True)
    with report_errors("Nothing was made"), ProgressBar(console) as bar:
        from course_utils.data.annotations import import_annotations  # loads OpenCV

        bar.start(f"importing {source}", 0)
        made = import_annotations(
            tool,
            source,
            target,
            images=images,
            classes=classes,
            good=good,
            line_width=line_width,
            tick=bar.reach,
        )
    print_plain(console, f"{made.folder}: {made.annotated} images with masks, {made.good} good")
    for name, count in made.regions.items():
        print_plain(console, f"  {name}: {count} regions on {made.images[name]} images")
    for note in made.notes:
        print_plain(console, note, "yellow")
    print_plain(console, f"next: course data check {shlex.quote(str(made.folder))}")


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="Folder of your own images, as folder:PATH reads.")],
    page: Annotated[Path, typer.Option(help="Where the page with pictures goes.")] = Path(
        "runs/check.html"
    ),
) -> None:
    """Take a first look at your own images: what is there, what is lacking, which method fits.

    The status is 1 if they cannot be trained on.
    """
    console = Console(soft_wrap=True)
    folder = Path(str(path).removeprefix("folder:")).expanduser()
    with report_errors():
        from course_utils.checking import fitting_methods, look_through, write_page  # loads torch

        try:
            with ProgressBar(console) as bar:
                bar.start(f"looking through {folder}", 0)
                facts = look_through(folder, tick=bar.reach)
        except (ValueError, FileNotFoundError) as error:
            print_plain(console, f"{folder} cannot be used: {error}", "red")
            raise typer.Exit(1) from None
        write_page(facts, page)
    print_facts(console, facts, fitting_methods(facts))
    print_plain(console, f"pictures with their masks: {page}")
    if facts.faults:
        raise typer.Exit(1)


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


def _parts_to_verify(name: str, root: Path, named: bool) -> list[tuple[PublishedSet, Part]]:
    """Return the parts of `name` of which something is here.

    Where one name opens several of them (two layouts, masks and folds) it is the one that is whole.
    """
    published, parts = find_published(name)
    folder = published.info.folder(root)
    if named:
        published.info.require_folder(root)
    if "/" not in name:
        parts = [part for part in parts if part.traces_in(folder)]
        if not parts and folder.is_dir():
            parts = list(published.parts[:1])
    once: dict[tuple[object, ...], Part] = {}
    for part in sorted(parts, key=lambda part: not part.is_here(folder)):
        once.setdefault((part.opens, *part.options.items()), part)
    return [(published, part) for part in parts if part in once.values()]
