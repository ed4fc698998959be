"""Run lessons one after the other, and leave pages behind: a batch of its own kind."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from rich.console import Console

from course_utils.runs.batch import run_batch
from course_utils.runs.display import RunDisplay, print_lessons
from course_utils.runs.executors import Processes
from course_utils.runs.notebooks import Lesson
from course_utils.runs.pages import write_pages
from course_utils.runs.parameters import check_parameters
from course_utils.runs.records import Limits, Outcome, RunRecord, Task
from course_utils.runs.run import without_outputs
from course_utils.runs.store import open_reader


def run_course(
    lessons: Sequence[Lesson],
    parameters: Mapping[str, Any],
    out: str | Path,
    *,
    limits: Limits | None = None,
    console: Console | None = None,
    quiet: bool = False,
) -> list[RunRecord]:
    """Execute `lessons` in order into the folder `out`, each anew, and write their pages.

    A lesson that fails does not stop the others. A notebook that somebody has edited since its
    last run is kept under another name. After Ctrl-C the lessons that were finished have their
    pages, and `KeyboardInterrupt` passes through.

    Args:
        lessons: what to run.
        parameters: of every lesson.
        out: new, empty, or of an earlier course; no other run may be writing into it.
        limits: of each lesson; by default an hour.
        console: where to show how it goes.
        quiet: show only what failed, and the table at the end.

    Returns:
        What became of each.

    Raises:
        ValueError: before the first kernel starts, for parameters that a lesson does not take.
        FileExistsError: for another folder.
    """
    out, console = Path(out), console or Console()
    tasks = [
        Task(
            id=lesson.name,
            lesson=lesson.name,
            notebook=nbformat.writes(without_outputs(lesson.path)),
            parameters=check_parameters(lesson, parameters),
            limits=limits or Limits(),
        )
        for lesson in lessons
    ]
    stored = {path.stem: path for lesson in lessons for path in lesson.path.parent.glob("*.ipynb")}
    display = RunDisplay(console, quiet=quiet, in_full=True)

    def finish() -> list[RunRecord]:
        records = list(display.records.values())
        with open_reader(out) as store:
            ended = [run for run in store.ended() if (out / run.notebook).is_file()]
        write_pages(ended, out, stored)
        print_lessons(console, records, [lesson.name for lesson in lessons], out)
        return records

    try:
        with display:
            run_batch(tasks, out, Processes(), again=set(Outcome), callbacks=display, notebooks=".")
    except KeyboardInterrupt:
        finish()
        raise
    return finish()
