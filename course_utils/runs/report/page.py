"""Write the report of a batch: one static page that fetches nothing, and its runs as tables."""

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from course_utils.io import lock_folder, write_atomic
from course_utils.runs.figures import Figure, run_figure
from course_utils.runs.handed_in import JUDGED, read_handed_in
from course_utils.runs.records import Outcome, RunRecord, format_duration
from course_utils.runs.report.compare import compare
from course_utils.runs.report.feedback import (
    FEEDBACK,
    feedback_pages,
    page_names,
    template_environment,
)
from course_utils.runs.report.marks import MarkTable, mark_table
from course_utils.runs.report.summary import (
    Combination,
    Labels,
    SeedStatistics,
    combinations,
    failed,
    key_of,
    metrics_of,
    units_of,
    without_seed,
)
from course_utils.runs.report.tables import as_csv, as_parquet, marks_tables, runs_table
from course_utils.runs.run_pages import page_of

HERE = Path(__file__).parent
FIGURES = "figures"
HEADLINES = 6
"""So many metrics of a lesson stand in its table, those that depend on the parameters first; the
others in one below that can be opened."""
OPEN_FIGURES, OPEN_FAILURES = 60, 10
"""Up to so many are shown at once; of more, each part is opened by the reader."""
SIGNS = {
    Outcome.OK: "✔",
    Outcome.ERROR: "✘",
    Outcome.TIMEOUT: "◷",
    Outcome.OUT_OF_MEMORY: "▲",
    Outcome.KILLED: "✖",
    Outcome.CANCELLED: "■",
    "running": "▶",
    "to do": "○",
}


def write_report(
    runs: Sequence[RunRecord],
    folder: Path,
    out: Path,
    *,
    earlier: Sequence[RunRecord] | None = None,
) -> Path:
    """Write `index.html`, `runs.csv` and `runs.parquet` in `out`, and return the page's path.

    Nothing is replaced before all three are made, and each is replaced whole, the page last. For a
    class there are `marks.csv`, `marks_wide.csv` and a page for each student, too.

    Args:
        runs: the tasks of a batch with their newest attempts.
        folder: that of the batch; the page links to its executed notebooks by relative paths.
        out: where the report goes.
        earlier: the runs of a batch to compare with.

    Raises:
        OSError: where `out` cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_report([], Path(folder), Path(folder, "report")).name
        'index.html'
    """
    with lock_folder(out, ".report.lock", "wait for it to end", timeout=-1):
        table = runs_table(runs)
        marks = mark_table(runs, read_handed_in(folder))
        figures = _figures(runs, folder, out)
        page = _page(runs, folder, out, earlier, marks, figures)
        contents = {
            **{name: as_csv(table) for name, table in marks_tables(marks).items()},
            **feedback_pages(marks),
            "runs.csv": as_csv(table),
            "runs.parquet": as_parquet(table),
            "index.html": page.encode("utf-8", "replace"),
        }
        for name, content in contents.items():
            (out / name).parent.mkdir(exist_ok=True)
            write_atomic(out / name, content)
        shown = {figure.picture for found in figures.values() for _, figure in found}
        for old in [*(out / FEEDBACK).glob("*.html"), *(out / FIGURES).glob("*")]:
            if old.relative_to(out).as_posix() not in {*contents, *map(unquote, shown)}:
                old.unlink()
    return out / "index.html"


def _page(
    runs: Sequence[RunRecord],
    folder: Path,
    out: Path,
    earlier: Sequence[RunRecord] | None,
    marks: MarkTable,
    figures: Mapping[str, Any],
) -> str:
    with_page = {run.id for run in runs if run.notebook and (folder / page_of(run)).exists()}
    labels = Labels([*runs, *(earlier or ())])
    to_folder = Path(os.path.relpath(folder.resolve(), out.resolve())).as_posix()
    environment = template_environment()
    environment.filters |= {
        "duration": format_duration,
        "moment": lambda started: started[:16].replace("T", " "),
        "rank": list(SIGNS).index,
        "label": lambda run: labels.of(run.lesson, run.parameters),
        "label_without_seed": lambda run: labels.of(run.lesson, without_seed(run)),
        "combination_label": lambda each: labels.of(each.lesson, each.parameters),
        "href": lambda run: f"{quote(to_folder)}/{quote(run.notebook)}",
        "page": lambda run: f"{quote(to_folder)}/{page_of(run)}" if run.id in with_page else "",
    }
    script = (HERE / "report.js").read_text(encoding="utf-8")
    now, before = _conditions(runs), _conditions(earlier or ())
    return environment.get_template("report.html.j2").render(
        title=folder.resolve().name,
        made=datetime.now(UTC).isoformat(timespec="minutes"),
        runs=runs,
        counts=Counter(run.state for run in runs),
        signs=SIGNS,
        time=_time(runs),
        equal={name: next(iter(values)) for name, values in now.items() if len(values) == 1},
        differing={name: values for name, values in now.items() if len(values) > 1},
        changed={
            name: (then, now[name])
            for name, then in before.items()
            if name in now and then.keys() != now[name].keys()
        },
        lessons=_lessons(runs, labels),
        students=marks,
        handed_in=marks.handed_in,
        left=[each for each in marks.handed_in.submissions if each.state != JUDGED],
        groups=any(student.person.group for student in marks.students),
        pages=page_names(marks),
        comparison=None if earlier is None else compare(runs, earlier),
        figures=figures,
        failures=[run for run in runs if failed(run)],
        odd=sum(len(metrics_of(run)) < len(run.metrics) for run in runs),
        open_figures=OPEN_FIGURES,
        open_failures=OPEN_FAILURES,
        style=(HERE / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _lessons(runs: Sequence[RunRecord], labels: Labels) -> list[dict[str, Any]]:
    """Return what the table of each lesson holds."""
    units = units_of(runs)
    groups: dict[str, list[Combination]] = {}
    for combination in combinations(runs):
        groups.setdefault(combination.lesson, []).append(combination)
    lessons = []
    for lesson, found in sorted(groups.items()):
        metrics = [each.metrics() for each in found]
        names = list(dict.fromkeys(name for each in metrics for name in each))
        names.sort(key=lambda name: not _differs(name, metrics))
        lessons.append(
            {
                "name": lesson,
                "combinations": list(zip(found, metrics, strict=True)),
                "parameters": labels.names(lesson),
                "constants": labels.constants(lesson),
                "parts": [part for part in (names[:HEADLINES], names[HEADLINES:]) if part] or [[]],
                "units": units,
            }
        )
    return lessons


def _differs(name: str, metrics: Sequence[Mapping[str, SeedStatistics]]) -> bool:
    """Tell whether a metric depends on the parameters: such a one is what a sweep is for."""
    return len({each[name].values for each in metrics if name in each}) > 1


def _figures(runs: Sequence[RunRecord], folder: Path, out: Path) -> dict[str, list[Any]]:
    """Return the runs that have ended, with their figures, by lesson; seeds side by side."""
    ended = [run for run in runs if run.outcome]
    figures = [_keep(run_figure(run, folder), run, out) for run in ended]
    groups: dict[str, dict[str, list[Any]]] = {}
    for run, figure in zip(ended, figures, strict=True):
        lesson = groups.setdefault(run.lesson, {})
        lesson.setdefault(key_of(without_seed(run)), []).append((run, figure))
    return {
        lesson: [pair for group in groups[lesson].values() for pair in group]
        for lesson in sorted(groups)
    }


def _keep(figure: Figure, run: RunRecord, out: Path) -> Figure:
    """Write the picture of a run into a file of its own, unless it is there."""
    if not figure.content:
        return figure
    place = Path(FIGURES, f"{run.id}-{run.digest[:8]}.png")
    path = out / place
    if not path.exists() or path.stat().st_size != len(figure.content):
        path.parent.mkdir(exist_ok=True)
        draft = path.with_suffix(".part")
        draft.write_bytes(figure.content)
        os.replace(draft, path)
    return replace(figure, picture=quote(place.as_posix()), content=b"")


def _time(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """Say when the runs began and ended, and how long they took together."""
    begun = [run for run in runs if run.attempt]
    ends = [
        (datetime.fromisoformat(run.started) + timedelta(seconds=run.seconds)).isoformat()
        for run in begun
        if run.seconds is not None
    ]
    return {
        "start": min((run.started for run in begun), default=""),
        "end": max(ends, default=""),
        "seconds": sum(run.seconds or 0 for run in runs),
        "hosts": len({run.host for run in begun}),
    }


def _conditions(runs: Sequence[RunRecord]) -> dict[str, dict[str, int]]:
    """Return on what the runs computed: versions and device, how many with each value."""
    found: dict[str, Counter[str]] = {}
    for run in runs:
        device = {"device": run.device} if run.device else {}
        for name, value in {**run.versions, **device}.items() if run.outcome else ():
            found.setdefault(name, Counter())[value] += 1
    return {name: dict(sorted(values.items())) for name, values in found.items()}
