"""`course batch students`: a folder of students' notebooks, executed and judged."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from course_utils.cli import batch
from course_utils.io import report_errors
from course_utils.runs.records import STUDENT_LIMITS, Limits, Outcome


def students(
    folder: Annotated[Path, typer.Argument(help="Folder with their notebooks, in any depth.")],
    out: batch.Out = None,
    profile: Annotated[str, typer.Option(help="Profile of every run.")] = "smoke",
    dataset: Annotated[str, typer.Option(help="Data set of every run.")] = "synthetic",
    seconds: Annotated[float, typer.Option(help="Each may take.", min=1)] = STUDENT_LIMITS.seconds,
    cell_seconds: Annotated[
        float | None,
        typer.Option(
            help="Each cell may take; then it is interrupted. A fifth of --seconds if not given.",
            min=1,
        ),
    ] = None,
    memory_gb: Annotated[
        float, typer.Option(help="Each may use, of memory.", min=0.1)
    ] = STUDENT_LIMITS.memory_gb or 4,
    written_gb: Annotated[
        float, typer.Option(help="Each may write.", min=0.001)
    ] = STUDENT_LIMITS.written_gb or 1,
    again: Annotated[
        list[Outcome] | None,
        typer.Option(help="Run once more what ended so before; repeatable."),
    ] = None,
    workers: batch.Workers = 1,
    notebooks: batch.Notebooks = None,
    quiet: batch.Quiet = False,
) -> None:
    """Execute students' notebooks within limits; one row per student in the report."""
    from course_utils.runs.executors import Processes
    from course_utils.runs.notebooks import find_lessons, notebooks_folder
    from course_utils.runs.student_notebooks import read_students

    console = Console()
    with report_errors(batch.STOPPED):
        tasks, wrong = read_students(
            folder,
            find_lessons(notebooks or notebooks_folder()),
            parameters={"profile": profile, "dataset": dataset},
            limits=Limits(seconds, memory_gb, written_gb, cell_seconds or seconds / 5),
        )
        for reason in wrong.values():
            console.print(
                f"left out: {reason}", style="yellow", soft_wrap=True, markup=False, highlight=False
            )
        if not tasks:
            raise ValueError(f"no notebook of a lesson below {folder}: nothing was run")
        place = out or batch.BATCHES / f"students_{folder.resolve().name}"
        batch.run_and_report(
            tasks, place, Processes(workers or 1), again=again or (), lengths={}, quiet=quiet
        )
    if wrong:
        raise typer.Exit(1)
