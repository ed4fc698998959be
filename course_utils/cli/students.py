"""`course batch students`: a folder of students' notebooks, executed and judged."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from course_utils.batch.conduct import conduct
from course_utils.batch.executors.processes import Processes
from course_utils.batch.plan.students import STUDENT_LIMITS, read_students
from course_utils.batch.progress import BatchProgress
from course_utils.batch.tasks import Limits
from course_utils.cli import batch
from course_utils.runs.notebooks import find_lessons, notebooks_folder
from course_utils.runs.run import Outcome


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
    console = Console()
    with batch.errors_told():
        place = out or batch.BATCHES / f"students_{folder.resolve().name}"
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
        executor = Processes(workers or 1)
        progress = BatchProgress(console, workers=executor.workers, lengths={}, quiet=quiet)
        with progress:
            conduct(tasks, place, executor, again=again or (), follower=progress)
        batch.show_end(console, place)
    if wrong:
        raise typer.Exit(1)
