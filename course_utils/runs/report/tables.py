"""All runs as one table for other programs, and as the bytes of a CSV and a Parquet file."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from course_utils.runs.records import RunRecord
from course_utils.runs.report.marks import MarkTable, StudentMarks, in_words
from course_utils.runs.report.summary import metrics_of

NAMED = ("dataset", "seed", "profile")  # parameters with a column of their own
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
MARKS = ("student", "lesson", "exercise", "points", "outcome", "message")
_INT64 = 1 << 63


def runs_table(runs: Sequence[RunRecord]) -> pa.Table:
    """Return one line per task, in order: what it was, and what became of its newest attempt.

    After the fixed columns comes a column `param.<name>` for each parameter and `metric.<name>`
    for each metric; empty where a run has none. `outcome` is `running` for an attempt without an
    end and empty for a task that was never started. Metrics are those recorded before a run
    ended, however it ended: choose by `outcome`.

    A parameter whose values are of several types is given as JSON.

    Example:
        >>> runs_table([]).column_names[:3]
        ['id', 'lesson', 'student']
    """
    columns = {
        "id": _texts([run.id for run in runs]),
        "lesson": _texts([run.lesson for run in runs]),
        "student": _texts([run.student for run in runs]),
        **{name: _column([getattr(run, name) for run in runs]) for name in NAMED},
        "outcome": _texts([run.state if run.attempt else None for run in runs]),
        "message": _texts([run.message for run in runs]),
        "seconds": pa.array([run.seconds for run in runs], pa.float64()),
        "peak_memory_gb": pa.array([run.peak_memory_gb for run in runs], pa.float64()),
        "started": _texts([run.started if run.attempt else None for run in runs]),
        "host": _texts([run.host or None for run in runs]),
        "device": _texts([run.device or None for run in runs]),
        "attempt": pa.array([run.attempt for run in runs], pa.int64()),
    }
    parameters = [run.parameters for run in runs]
    for name in _names(parameters):
        if name not in NAMED:
            columns[_text(f"param.{name}")] = _column([each.get(name) for each in parameters])
    metrics = [metrics_of(run) for run in runs]
    for name in _names(metrics):
        values = [found.get(name) for found in metrics]
        columns[_text(f"metric.{name}")] = pa.array(values, pa.float64())
    return pa.table(columns)


def marks_tables(marks: MarkTable) -> dict[str, pa.Table]:
    """Return the marks of a class as `marks.csv`, one a line, and `marks_wide.csv`, by student.

    Points are empty where a person has to look: nothing is handed in, or was not checked.
    """
    if not marks.students:
        return {}
    lines = [line for student in marks.students for line in _mark_lines(marks, student)]
    long = {name: [line[i] for line in lines] for i, name in enumerate(MARKS)}
    columns = list(zip(*(student.marks for student in marks.students), strict=True))
    wide: dict[str, list[Any]] = {
        "student": [student.student for student in marks.students],
        "id": [student.person.id for student in marks.students],
        "group": [student.person.group for student in marks.students],
        **{
            f"{lesson}/{exercise}": [marks.points(mark, exercise) for mark in column]
            for (lesson, exercise), column in zip(marks.columns, columns, strict=True)
        },
        "points": [marks.total(student) for student in marks.students],
        "days_late": [student.days_late for student in marks.students],
        "note": ["; ".join(student.notes()) for student in marks.students],
    }
    return {"marks.csv": _table(long), "marks_wide.csv": _table(wide)}


def _mark_lines(marks: MarkTable, student: StudentMarks) -> Iterator[tuple[Any, ...]]:
    for (lesson, exercise), mark in zip(marks.columns, student.marks, strict=True):
        if mark is not None:
            _, word = in_words(mark.verdict)
            points = marks.points(mark, exercise)
            yield student.student, lesson, exercise, points, word, mark.message
    for file in student.files:
        if file.reason:
            yield student.student, file.lesson, "", None, file.state, f"{file.file}: {file.reason}"
    if not student.files and not student.runs:
        yield student.student, "", "", None, "nothing handed in", ""


def as_csv(table: pa.Table) -> bytes:
    """Return the table as CSV in UTF-8; texts stand in quotes, and empty cells without.

    Spreadsheets would execute a text that starts with = + - or @, so such a text gets a ' in
    front. So does one that starts with ', so that taking one ' away gives each text back.
    """
    safe = [
        pa.array([_harmless(value) for value in column.to_pylist()], pa.string())
        if pa.types.is_string(column.type)
        else column
        for column in table.columns
    ]
    out = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(safe, names=table.column_names), out)
    return out.getvalue()


def as_parquet(table: pa.Table) -> bytes:
    """Return the table as a Parquet file."""
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    return out.getvalue()


def _harmless(text: str | None) -> str | None:
    """Return the text with a ' in front where a spreadsheet would take it for a formula.

    Example:
        >>> _harmless("=1+1"), _harmless("1+1"), _harmless("'tis")
        ("'=1+1", '1+1', "''tis")
    """
    return f"'{text}" if text and text.startswith((*FORMULA_STARTS, "'")) else text


def _table(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    return pa.table({_text(name): _column(values) for name, values in columns.items()})


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for each in mappings for name in each))


def _text(text: str) -> str:
    """Replace what is no UTF-8, as in what damaged programs print."""
    return text.encode("utf-8", "replace").decode()


def _texts(values: Sequence[str | None]) -> pa.Array:
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _column(values: Sequence[Any]) -> pa.Array:
    """Return a column of the one type that the values have, or of JSON."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {str}:
        return _texts(values)
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    small = all(-_INT64 <= value < _INT64 for value in values if isinstance(value, int))
    if kinds == {int} and small:
        return pa.array(values, pa.int64())
    if kinds <= {int, float} and small:
        return pa.array([None if x is None else float(x) for x in values], pa.float64())
    return _texts([None if value is None else json.dumps(value) for value in values])
