"""Run lessons one after the other, say how it goes, and leave pages and a record behind."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from rich.console import Console

from course_utils.course.ledger import Entry, keep_edited, opened, save_entries
from course_utils.course.pages import Neighbor, write_index, write_lesson_page
from course_utils.course.progress import Report
from course_utils.lessons.metrics import METRIC_MIME, read_metrics
from course_utils.runs.notebooks import Lesson, digest
from course_utils.runs.parameters import check_parameters
from course_utils.runs.run import Outcome, RunResult, check_timeout, run_notebook, without_outputs


def run_lessons(
    lessons: Sequence[Lesson],
    parameters: Mapping[str, Any],
    out: str | Path,
    *,
    timeout: float = 3600,
    console: Console | None = None,
    quiet: bool = False,
) -> list[Entry]:
    """Execute `lessons` in order into the folder `out`, and return what became of each.

    Parameters are checked for every lesson before the first kernel starts (`ValueError`).
    `out` must be empty, new, or from an earlier run, and no other run may be writing into it
    (`FileExistsError`). `timeout` is in seconds for each lesson. A lesson that fails does not stop
    the others. After Ctrl-C the lessons that were finished keep their pages, the rest are
    `cancelled`, and the list is returned.
    """
    checked = [check_parameters(lesson, parameters) for lesson in lessons]
    check_timeout(timeout)
    report = Report(console or Console(), len(lessons), quiet=quiet)
    with opened(Path(out)) as entries:
        return _run_all(lessons, checked, Path(out), entries, timeout, report)


def failed(entries: Sequence[Entry], wanted: int) -> bool:
    """Tell whether any of the `wanted` lessons is missing or did not end well."""
    return len(entries) < wanted or any(entry.outcome != Outcome.OK for entry in entries)


def _run_all(
    lessons: Sequence[Lesson],
    checked: Sequence[dict[str, Any]],
    out: Path,
    entries: dict[str, Entry],
    timeout: float,
    report: Report,
) -> list[Entry]:
    results: list[Entry] = []
    stopped = False
    for number, (lesson, values) in enumerate(zip(lessons, checked, strict=True), start=1):
        if stopped:
            break
        if lesson.name in entries and (kept := keep_edited(out, entries[lesson.name])):
            report.note(f"you have edited {lesson.name}.ipynb: kept as {kept.name}")
        entry, stopped = _run_one(lesson, values, out, timeout, report, number)
        results.append(entry)
        entries[lesson.name] = entry
        save_entries(out, entries)
    _write_pages(entries, out)
    report.end(results, lessons[len(results) :], out)
    return results


def _run_one(
    lesson: Lesson, values: dict[str, Any], out: Path, timeout: float, report: Report, number: int
) -> tuple[Entry, bool]:
    target = out / f"{lesson.name}.ipynb"
    started = time.monotonic()
    stopped = False
    with report.lesson(lesson, number) as on_cell:
        try:
            result = run_notebook(
                lesson.path,
                target,
                values,
                workdir=out / "work" / lesson.name,
                timeout=timeout,
                on_cell=on_cell,
            )
        except KeyboardInterrupt:
            stopped = True
            nbformat.write(without_outputs(lesson.path), target)
            spent = time.monotonic() - started
            result = RunResult(target, Outcome.CANCELLED, spent, 0, 0, "stopped by Ctrl-C")
    entry = _entry(lesson, values, result)
    report.finished(entry)
    return entry, stopped


def _entry(lesson: Lesson, values: dict[str, Any], result: RunResult) -> Entry:
    notebook = nbformat.read(result.notebook, as_version=4)
    return Entry(
        lesson=lesson.name,
        title=lesson.title,
        summary=lesson.summary,
        minutes_reading=lesson.minutes_reading,
        minutes_exercises=lesson.minutes_exercises,
        outcome=str(result.outcome),
        seconds=round(result.seconds, 2),
        parameters=values,
        message=result.message,
        failure=vars(result.failure) if result.failure else None,
        metrics=_metrics(notebook),
        digest=digest(result.notebook),
    )


def _metrics(notebook: nbformat.NotebookNode) -> list[dict[str, Any]]:
    bundles = [
        output["data"][METRIC_MIME]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if METRIC_MIME in output.get("data", {})
    ]
    units = {bundle["name"]: bundle.get("unit") or "" for bundle in bundles}
    return [
        {"name": name, "value": value, "unit": units.get(name, "")}
        for name, value in read_metrics(notebook).items()
    ]


def _write_pages(entries: Mapping[str, Entry], out: Path) -> None:
    ordered = [entries[name] for name in sorted(entries)]
    links = [Neighbor(entry.page, entry.title) for entry in ordered]
    for index, entry in enumerate(ordered):
        write_lesson_page(
            entry,
            out,
            previous=links[index - 1] if index else None,
            following=links[index + 1] if index + 1 < len(links) else None,
        )
    write_index(ordered, out)
