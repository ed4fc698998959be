"""Write the report of a batch: one static page that fetches nothing, and its runs as tables."""

import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from filelock import FileLock

from course_utils.batch.journal.rows import Row
from course_utils.batch.report.compare import compare
from course_utils.batch.report.figures import run_figure
from course_utils.batch.report.marks import mark_table
from course_utils.batch.report.summary import (
    Labels,
    combinations,
    ended,
    failed,
    key_of,
    metrics_of,
    units_of,
    without_seed,
)
from course_utils.batch.report.tables import as_csv, as_parquet, runs_table
from course_utils.lessons import Outcome as Verdict
from course_utils.runs.durations import duration
from course_utils.runs.run import Outcome

FOLDER = Path(__file__).parent
HEADLINES = 6
"""So many metrics of a lesson stand in its table; the others in one below that can be opened."""
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
    None: "○",
}
VERDICTS = {
    Verdict.CORRECT: ("✔", "correct"),
    Verdict.INCORRECT: ("✘", "incorrect"),
    Verdict.ERROR: ("⚠", "error"),
    Verdict.NOT_ATTEMPTED: ("○", "not attempted"),
}
_CONTROLS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def write_report(
    rows: Sequence[Row],
    notebooks: Path,
    out: Path,
    *,
    earlier: Sequence[Row] | None = None,
) -> Path:
    """Write `index.html`, `runs.csv` and `runs.parquet` in `out`, and return the page's path.

    `rows` are the tasks of a batch with their newest attempts, and `notebooks` is the folder of
    its executed notebooks, which the page links to by relative paths. `earlier` are the rows of a
    batch to compare with.

    Nothing is replaced before all three are ready, and each is replaced whole, the page last.
    Raises `OSError` where `out` cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_report([], Path(folder, "notebooks"), Path(folder, "report")).name
        'index.html'
    """
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".report.lock"):  # two at once would write into each other's drafts
        table = runs_table(rows)
        page = _page(rows, notebooks, out, earlier)
        contents = {
            "runs.csv": as_csv(table),
            "runs.parquet": as_parquet(table),
            "index.html": page.encode("utf-8", "replace"),
        }
        drafts = {out / name: out / f".{name}.draft" for name in contents}
        try:
            for draft, content in zip(drafts.values(), contents.values(), strict=True):
                with draft.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            for path, draft in drafts.items():
                os.replace(draft, path)
        finally:
            for draft in drafts.values():
                draft.unlink(missing_ok=True)
    return out / "index.html"


def _page(rows: Sequence[Row], notebooks: Path, out: Path, earlier: Sequence[Row] | None) -> str:
    labels = Labels([*rows, *(earlier or ())])
    environment = _environment()
    environment.filters["label"] = lambda row: labels.of(row.lesson, row.parameters)
    environment.filters["label_without_seed"] = lambda row: labels.of(row.lesson, without_seed(row))
    environment.filters["group_label"] = lambda each: labels.of(each.lesson, each.parameters)
    environment.globals["href"] = _links(notebooks, out)
    script = (FOLDER / "report.js").read_text(encoding="utf-8")
    marks = mark_table(rows)
    return environment.get_template("report.html.j2").render(
        title=notebooks.resolve().parent.name,
        made=datetime.now(UTC).isoformat(timespec="minutes"),
        rows=rows,
        counts=Counter(row.outcome for row in rows),
        outcomes=list(SIGNS),
        time=_time(rows),
        conditions=_conditions(rows),
        earlier_conditions=_earlier_conditions(rows, earlier or ()),
        lessons=_lessons(rows, labels),
        students=marks,
        comparison=None if earlier is None else compare(rows, earlier),
        figures=_figures(rows, notebooks),
        failures=[row for row in rows if failed(row)],
        odd=sum(len(metrics_of(row)) < len(row.metrics) for row in rows),
        open_figures=OPEN_FIGURES,
        open_failures=OPEN_FAILURES,
        style=(FOLDER / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "duration": duration,
        "number": lambda value: f"{value:.4g}",
        "cut": _cut,
        "moment": lambda started: started[:16].replace("T", " "),
        "outcome_word": _word,
        "outcome_class": lambda outcome: _word(outcome).replace(" ", "-"),
        "outcome_sign": SIGNS.__getitem__,
        "outcome_rank": list(SIGNS).index,
        "verdict": lambda outcome: VERDICTS.get(outcome, ("?", str(outcome))),
    }
    return environment


def _links(notebooks: Path, out: Path) -> Callable[[Row], str]:
    folder = Path(os.path.relpath(notebooks.resolve(), out.resolve())).as_posix()
    return lambda row: f"{quote(folder)}/{quote(row.notebook)}"


def _word(outcome: str | None) -> str:
    return "not run" if outcome is None else str(outcome)


def _cut(text: Any, length: int = 200) -> str:
    """Shorten what a student's program may have made as long as it likes.

    Example:
        >>> _cut("abcdef", 4), _cut("abc", 4)
        ('abcd … (2 characters more)', 'abc')
    """
    text = _CONTROLS.sub("", str(text))
    more = len(text) - length
    return f"{text[:length]} … ({more} characters more)" if more > 0 else text


def _lessons(rows: Sequence[Row], labels: Labels) -> list[dict[str, Any]]:
    """Return what the table of each lesson holds."""
    units = units_of(rows)
    groups: dict[str, list[Any]] = {}
    for combination in combinations(rows):
        groups.setdefault(combination.lesson, []).append(combination)
    lessons = []
    for lesson, found in sorted(groups.items()):
        metrics = [each.metrics() for each in found]
        names = list(dict.fromkeys(name for each in metrics for name in each))
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


def _figures(rows: Sequence[Row], notebooks: Path) -> dict[str, list[Any]]:
    """Return the runs that have ended, with their figures, by lesson; seeds side by side."""
    shown = [row for row in rows if ended(row)]
    with ThreadPoolExecutor() as pool:
        figures = list(pool.map(lambda row: run_figure(row, notebooks), shown))
    groups: dict[str, dict[str, list[Any]]] = {}
    for row, figure in zip(shown, figures, strict=True):
        lesson = groups.setdefault(row.lesson, {})
        lesson.setdefault(key_of(without_seed(row)), []).append((row, figure))
    return {
        lesson: [pair for group in groups[lesson].values() for pair in group]
        for lesson in sorted(groups)
    }


def _time(rows: Sequence[Row]) -> dict[str, Any]:
    """Say when the runs began and ended, and how long they took together."""
    starts = [row.started for row in rows if row.started]
    ends = [
        (datetime.fromisoformat(row.started) + timedelta(seconds=row.seconds)).isoformat()
        for row in rows
        if row.started and row.seconds is not None
    ]
    return {
        "start": min(starts, default=""),
        "end": max(ends, default=""),
        "seconds": sum(row.seconds or 0 for row in rows),
        "hosts": len({row.host for row in rows if row.host}),
    }


def _conditions(rows: Sequence[Row]) -> dict[str, Any]:
    """Say on what the runs computed: `equal` for all of them, or where they `differ`."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        if ended(row):
            for name, value in _conditions_of(row).items():
                found.setdefault(name, Counter())[value] += 1
    return {
        "equal": {name: next(iter(c)) for name, c in found.items() if len(c) == 1},
        "differ": {
            name: ", ".join(f"{value} ({count})" for value, count in sorted(c.items()))
            for name, c in found.items()
            if len(c) > 1
        },
    }


def _earlier_conditions(rows: Sequence[Row], earlier: Sequence[Row]) -> list[str]:
    """Say what the two batches do not share."""
    now, before = (_sets(batch) for batch in (rows, earlier))
    return [
        f"{name} {', '.join(sorted(before[name]))} then, {', '.join(sorted(now[name]))} now"
        for name in before
        if name in now and now[name] != before[name]
    ]


def _sets(rows: Sequence[Row]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        if ended(row):
            for name, value in _conditions_of(row).items():
                found.setdefault(name, set()).add(value)
    return found


def _conditions_of(row: Row) -> dict[str, str]:
    return {**row.versions, "device": row.device} if row.device else dict(row.versions)
