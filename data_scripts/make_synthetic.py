"""Write the synthetic set to disk as a published set is laid out, to try tools without a download.

Run from the project's root: `python data_scripts/make_synthetic.py --help`.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from course_utils.data.synthetic import SURFACES
from course_utils.data.synthetic_layouts import (
    LAYOUTS,
    Layout,
    Picture,
    estimate_bytes,
    lay_out,
    require_place,
    wanted_for,
    write_set,
)

app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@app.command(no_args_is_help=True)
def main(
    layout: Annotated[str, typer.Option(help=f"Layout of the files: {', '.join(LAYOUTS)}.")],
    out: Annotated[
        Path, typer.Option(help="Data root to write to; the set gets a folder of its own in it.")
    ],
    count: Annotated[int, typer.Option(help="Images in all.")] = 200,
    size: Annotated[
        str | None,
        typer.Option(help="PIXELS or HEIGHTxWIDTH; about that of the set if none."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same one gives the same files.")] = 0,
    defect_share: Annotated[
        float | None,
        typer.Option(help="Share of images with a defect, 0 to 1; .5, or all there can be."),
    ] = None,
    surface: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(SURFACES)}; repeatable; all if none.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only how to open it.")] = False,
) -> None:
    """Write photographs of surfaces that never were, with their masks, in a published layout.

    Nothing is fetched and nothing overwritten. Stopped at any moment, it leaves nothing half.

    Several shots of one surface are written where the layout tells that they belong together
    (kolektor_sdd, magnetic_tile), elsewhere one of each. Train and test are those of the synthetic
    set. Of mvtec_ad the share of defects is that of its test part; of dagm each kind of surface is
    a class, with ellipses around the defects.
    """
    with _errors_told():
        chosen = _layout(layout)
        root = out.expanduser().absolute()
        target = require_place(chosen, root)
        wanted = wanted_for(
            chosen,
            count=count,
            size=None if size is None else _height_width(size),
            seed=seed,
            defect_share=defect_share,
            surfaces=surface or SURFACES,
        )
        pictures = lay_out(chosen, wanted)
        needed = estimate_bytes(chosen, pictures)
        if not quiet:
            height, width = wanted.size if chosen.made_at is None else chosen.size
            bad = sum(picture.defective for picture in pictures)
            _say(
                f"{len(pictures)} images of {height}x{width} pixels (height x width), {bad} with "
                f"defects, laid out as {chosen.title}\nto {target}, about {_in_words(needed)}"
            )
        _require_room(root, needed)
        _write(chosen, pictures, root, quiet)
    name = chosen.opens.format(root=root.as_posix())
    _say(
        f'open_dataset("{name}", root="{root.as_posix()}"); '
        f"for a lesson, COURSE_DATA_ROOT={root} and dataset={name}"
    )


def _write(layout: Layout, pictures: Sequence[Picture], root: Path, quiet: bool) -> None:
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task(layout.folder, total=len(pictures))
        write_set(layout, pictures, root, tick=lambda: progress.advance(task))


def _layout(name: str) -> Layout:
    if name not in LAYOUTS:
        raise ValueError(f"layout {name!r} is unknown: choose one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def _height_width(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", text.strip().lower())
    if match is None:
        raise ValueError(f"size must be PIXELS or HEIGHTxWIDTH, as 256 or 640x256, got {text!r}")
    return int(match[1]), int(match[2] or match[1])


def _require_room(root: Path, needed: int) -> None:
    there = next(place for place in (root, *root.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise OSError(
            f"{there} has {_in_words(free)} left, and about {_in_words(needed)} are needed: name "
            f"another folder, or ask for fewer or smaller images"
        )


def _in_words(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


@contextmanager
def _errors_told() -> Iterator[None]:
    """Tell an error in one line, with the exit status that belongs to it."""
    try:
        yield
    except KeyboardInterrupt:
        _say("stopped: nothing was written")
        raise typer.Exit(130) from None
    except (ValueError, OSError) as error:
        _say(f"error: {error}")
        raise typer.Exit(2) from None


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(text, markup=False, highlight=False)


if __name__ == "__main__":
    app()
