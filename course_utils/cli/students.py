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
    dataset: Annotated[
        str | None, typer.Option(help="Data set of every run, in place of the lessons' own.")
    ] = None,
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
    roster: Annotated[
        Path | None,
        typer.Option(help="Table of all students (CSV): name, and perhaps id and group."),
    ] = None,
    student_pattern: Annotated[
        str,
        typer.Option(
            help="moodle, canvas, or a regular expression with (?P<student>...) for paths."
        ),
    ] = "moodle",
    points: Annotated[
        list[str] | None, typer.Option(help="EXERCISE=2, where it is not 1; repeatable.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(help="Such as 2031-05-06 or '2031-05-06 18:00'.")
    ] = None,
    container: Annotated[
        str | None,
        typer.Option(help="Image of Docker or Podman: run each notebook in it, without a network."),
    ] = None,
    workers: batch.Workers = 1,
    notebooks: batch.Notebooks = None,
    quiet: batch.Quiet = False,
) -> None:
    """Execute students' notebooks within limits, and judge the answers that they hold."""
    from course_utils.runs.container import find_container
    from course_utils.runs.executors import Processes
    from course_utils.runs.handed_in import (
        JUDGED,
        HandedIn,
        read_deadline,
        read_points,
        write_handed_in,
    )
    from course_utils.runs.notebooks import find_lessons, notebooks_folder
    from course_utils.runs.roster import StudentNames, read_roster
    from course_utils.runs.store_file import require_place
    from course_utils.runs.student_notebooks import read_students

    console = Console(soft_wrap=True)
    with report_errors(batch.STOPPED):
        executor = Processes(workers or 1, find_container(container) if container else None)
        people = read_roster(roster) if roster else []
        lessons = find_lessons(notebooks or notebooks_folder())
        tasks, files = read_students(
            folder,
            lessons,
            parameters={"profile": profile, **({"dataset": dataset} if dataset else {})},
            limits=Limits(seconds, memory_gb, written_gb, cell_seconds or seconds / 5),
            names=StudentNames(student_pattern, people),
        )
        asked = {each.name: tuple(each.exercises) for each in lessons}
        handed_in = HandedIn(
            tuple(files),
            tuple(people),
            {name: asked[name] for name in sorted({each.lesson for each in files} - {""})},
            read_points(points or [], asked),
            read_deadline(deadline) if deadline else None,
        )
        place = out or batch.BATCHES / f"students_{folder.resolve().name}"
        require_place(place)
        write_handed_in(place, handed_in)
        for each in files:
            if each.state != JUDGED:
                console.print(
                    f"{each.state}: {each.file}: {each.reason}",
                    style="yellow",
                    markup=False,
                    highlight=False,
                )
        batch.run_and_report(tasks, place, executor, again=again or (), lengths={}, quiet=quiet)
    if any(each.state != JUDGED for each in files):
        raise typer.Exit(1)
