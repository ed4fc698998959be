"""Write a synthetic set to disk as a published set is laid out, to try tools without a download.

Run from the project's root: `python data_scripts/make_synthetic.py --help`.
"""

import re
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from course_utils.data.synthetic import PRODUCTS, SURFACES
from course_utils.data.synthetic_layouts import (
    LAYOUTS,
    check_target,
    estimate_bytes,
    lay_out,
    of_product,
    write_set,
)
from course_utils.io import report_errors

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
    product: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(PRODUCTS)}, instead of surfaces; for folder and mvtec_ad."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only how to open it.")] = False,
) -> None:
    """Write photographs of surfaces or a product that never were, with masks, in a known layout.

    Nothing is fetched and nothing overwritten. Stopped at any moment, it leaves nothing half.

    Several shots of one surface are written where the layout tells that they belong together
    (kolektor_sdd, magnetic_tile), elsewhere one of each. Train and test are those of the synthetic
    set. Of mvtec_ad the share of defects is that of its test part; of dagm each kind of surface is
    a class, with ellipses around the defects.
    """
    with report_errors("Nothing was written."):
        if product and surface:
            raise ValueError("--surface and --product exclude each other: give one of them")
        if layout not in LAYOUTS:
            raise ValueError(f"layout {layout!r} is unknown: choose one of {', '.join(LAYOUTS)}")
        chosen = of_product(LAYOUTS[layout], product) if product else LAYOUTS[layout]
        root = out.expanduser().absolute()
        target = check_target(chosen, root)
        pictures = lay_out(
            chosen,
            count=count,
            size=None if size is None else _height_width(size),
            seed=seed,
            defect_share=defect_share,
            surfaces=surface or SURFACES,
        )
        needed = estimate_bytes(chosen, pictures)
        if not quiet:
            height, width = chosen.size if chosen.made_at else pictures[0].source.size
            bad = sum(picture.defective for picture in pictures)
            _print_line(
                f"{len(pictures)} images of {height}x{width} pixels (height x width), {bad} with "
                f"defects, laid out as {chosen.title}\nto {target}, about {_format_bytes(needed)}"
            )
        _check_disk(root, needed)
        bars = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*bars, console=Console(stderr=True), disable=quiet) as progress:
            task = progress.add_task(chosen.folder, total=len(pictures))
            write_set(chosen, pictures, root, tick=lambda: progress.advance(task))
    name = chosen.opens.format(root=root.as_posix())
    _print_line(
        f'open_dataset("{name}", root="{root.as_posix()}"); '
        f"for a lesson, COURSE_DATA_ROOT={root} and dataset={name}"
    )


def _height_width(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", text.strip().lower())
    if match is None:
        raise ValueError(f"size must be PIXELS or HEIGHTxWIDTH, as 256 or 640x256, got {text!r}")
    return int(match[1]), int(match[2] or match[1])


def _check_disk(root: Path, needed: int) -> None:
    there = next(place for place in (root, *root.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise OSError(
            f"{there} has {_format_bytes(free)} left, and about {_format_bytes(needed)} are "
            f"needed: name another folder, or ask for fewer or smaller images"
        )


def _format_bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def _print_line(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(text, markup=False, highlight=False)


if __name__ == "__main__":
    app()
