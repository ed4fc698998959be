"""All runs as one table for other programs, and as the bytes of a CSV and a Parquet file."""

import io
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from course_utils.batch.journal.rows import Row, storable
from course_utils.batch.report.summary import metrics_of

NAMED = ("dataset", "seed", "profile")  # parameters with a column of their own
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_INT64 = 1 << 63


def runs_table(rows: Sequence[Row]) -> pa.Table:
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
        "id": pa.array([row.id for row in rows], pa.string()),
        "lesson": _texts([row.lesson for row in rows]),
        "student": _texts([row.student for row in rows]),
        **{name: _column([getattr(row, name) for row in rows]) for name in NAMED},
        "outcome": _texts([None if row.outcome is None else str(row.outcome) for row in rows]),
        "message": _texts([row.message for row in rows]),
        "seconds": pa.array([row.seconds for row in rows], pa.float64()),
        "peak_memory_gb": pa.array([row.peak_memory_gb for row in rows], pa.float64()),
        "started": _texts([row.started or None for row in rows]),
        "host": _texts([row.host or None for row in rows]),
        "device": _texts([row.device or None for row in rows]),
        "attempt": pa.array([row.attempt for row in rows], pa.int64()),
    }
    for name in _names(row.parameters for row in rows):
        if name not in NAMED:
            columns[f"param.{storable(name)}"] = _column([row.parameters.get(name) for row in rows])
    metrics = [metrics_of(row) for row in rows]
    for name in _names(metrics):
        values = [found.get(name) for found in metrics]
        columns[f"metric.{storable(name)}"] = pa.array(values, pa.float64())
    return pa.table(columns)


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


def _names(mappings: Any) -> list[str]:
    return list(dict.fromkeys(name for each in mappings for name in each))


def _texts(values: Sequence[str | None]) -> pa.Array:
    return pa.array([storable(value) for value in values], pa.string())


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
