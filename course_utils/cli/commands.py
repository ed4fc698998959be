"""What `course` can do; each command is loaded when it is called."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_group

from course_utils.io import report_errors

app = typer.Typer(
    help="Finding surface defects in images: run lessons, alone or in batches, train, fetch data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


# What a command needs is imported when it is called: torch and the kernels take seconds.
@cache
def _train() -> typer.Typer:
    from course_utils.cli import train

    return train.app


@cache
def _data() -> typer.Typer:
    from course_utils.cli import data

    return data.app


@cache
def _batch() -> typer.Typer:
    from course_utils.cli import batch, students

    batch.app.command("students")(students.students)
    return batch.app


class _Group(TyperGroup):
    """A group that stands in the list of commands, and gives way to the real one when called."""

    def make_context(self, *given: Any, **settings: Any) -> Any:
        _, load = GROUPS[self.name or ""]
        with report_errors():
            group = get_group(load())
        return group.make_context(*given, **settings)


GROUPS: dict[str, tuple[str, Callable[[], typer.Typer]]] = {
    "train": ("Train a network of the course, without a notebook.", _train),
    "data": ("Fetch data sets, verify them; import and check your own images.", _data),
    "batch": ("Run a plan of lessons, parameters and seeds: course batch plan.yml", _batch),
}
"""What `course --help` says of each group, and what loads it."""
for _name, (_help, _) in GROUPS.items():
    app.add_typer(typer.Typer(cls=_Group, help=_help), name=_name)


@app.command()
def run(
    lessons: Annotated[
        list[str] | None, typer.Argument(help="Numbers or names; all lessons if none.")
    ] = None,
    profile: Annotated[
        str, typer.Option(help="smoke, laptop, full, or auto (COURSE_PROFILE, else laptop).")
    ] = "auto",
    dataset: Annotated[str | None, typer.Option(help="Name of a data set.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every lesson.")] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="Another parameter, as name=value; repeatable.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for notebooks and pages.")] = Path(
        "build/course"
    ),
    timeout: Annotated[float, typer.Option(help="Seconds that each lesson may take.")] = 3600,
    notebooks: Annotated[
        Path | None, typer.Option(help="Folder of the lessons, if not the checkout's.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what failed.")] = False,
) -> None:
    """Execute lessons in order, and write a page for each and an index."""
    with report_errors(on_interrupt="The lessons that were finished have their pages."):
        from course_utils.runs import Limits, Outcome, find_lessons, notebooks_folder, run_course

        chosen = find_lessons(notebooks or notebooks_folder(), lessons or [])
        values = _parameters(profile, dataset, seed, param or [])
        records = run_course(chosen, values, out, limits=Limits(timeout), quiet=quiet)
    if any(record.outcome is not Outcome.OK for record in records):
        raise typer.Exit(1)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder of one training: OUT/NAME/seed_N.")],
    photographs: Annotated[Path, typer.Argument(help="A photograph, or a folder of them.")],
    out: Annotated[Path, typer.Option(help="Folder for table, pictures and page.")] = Path(
        "build/answers"
    ),
    threshold: Annotated[
        float | None, typer.Option(help="Of the score, in place of the detector's own.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Photographs at a time.", min=1)] = 8,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps or auto.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Say of each photograph whether it is defective, and where.

    OUT gets scores.csv, index.html with pictures, and the defective photographs with what was
    found. Stopped at any moment, it goes on when the same command is given again. The status is 1
    if a photograph could not be read.
    """
    with report_errors(f"{out} keeps what was done: give the same command again to go on"):
        from course_utils.inference import (
            Threshold,
            find_photographs,
            load_detector,
            predict_folder,
        )

        detector = load_detector(run, device=device)
        if threshold is not None:
            given = Threshold(
                value=threshold, source="given by hand", false_alarms=None, misses=None
            )
            detector.settings = detector.settings.model_copy(update={"threshold": given})
        single = photographs.is_file()
        files = [photographs] if single else find_photographs(photographs)
        root = photographs.parent if single else photographs
        rows = predict_folder(
            detector, files, out, root=root, batch_size=batch_size, progress=not quiet
        )
    console = Console(soft_wrap=True, highlight=False, markup=False)
    counts = {kind: sum(row.decision == kind for row in rows) for kind in ("defective", "good")}
    unreadable = [row for row in rows if row.score is None]
    left = f", {len(unreadable)} not read" if unreadable else ""
    console.print(f"{counts['defective']} defective, {counts['good']} good{left}, of {len(rows)}")
    console.print(f"threshold {detector.settings.threshold}")
    for row in unreadable[:20]:
        console.print(f"not read: {row.reason}", style="red")
    if len(unreadable) > 20:
        console.print(f"and {len(unreadable) - 20} more that were not read", style="red")
    console.print(f"look at: {out / 'index.html'}")
    raise typer.Exit(1 if unreadable else 0)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of one training: OUT/NAME/seed_N.")],
    out: Annotated[Path, typer.Option(help="The file, ending in .onnx.")] = Path("detector.onnx"),
) -> None:
    """Write a detector as ONNX, checked against torch, and a JSON with size and threshold."""
    with report_errors():
        from course_utils.inference import export_onnx, load_detector
        from course_utils.inference.export import facts_beside

        for file in (out, facts_beside(out)):
            if file.exists():
                raise FileExistsError(f"{file} is there already: choose another name (--out)")
        difference = export_onnx(load_detector(run, device="cpu"), out)
    Console(soft_wrap=True).print(
        f"{out} and {facts_beside(out)}; onnxruntime and torch differ by at most "
        f"{difference:.1g} (relative)",
        highlight=False,
        markup=False,
    )


@app.command()
def doctor(
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the real data sets, if not the usual one.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Within a second: do not load torch, start no kernel.")
    ] = False,
) -> None:
    """Check this machine; each problem comes with the command that mends it."""
    from course_utils import doctor as checks

    console = Console()
    found = checks.doctor(data_root=data_root, quick=quick)
    console.print(checks.Checklist(found))
    if any(check.status is checks.Status.PROBLEM for check in found):
        raise typer.Exit(1)


def _parameters(
    profile: str, dataset: str | None, seed: int | None, extra: list[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {"profile": profile}
    if dataset is not None:
        values["dataset"] = dataset
    if seed is not None:
        values["seed"] = seed
    for text in extra:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--param must look like name=value, got {text!r}")
        if name in values:
            raise ValueError(f"parameter {name!r} was given twice")
        values[name] = value
    return values
