"""What is said of many runs at once: combinations of parameters, their mean and their spread."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

from course_utils.batch.journal.rows import Row
from course_utils.runs.run import Outcome

FINEST = 6  # decimals; what needs more is written with a power of ten


@dataclass(frozen=True)
class Spread:
    """A number over runs that differ in nothing but the seed."""

    values: tuple[float, ...]
    """At least one."""

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation (n - 1 below the line); None for a single value."""
        return stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        """Return mean ± standard deviation, this with 2 digits.

        Example:
            >>> print(Spread((0.91, 0.93)), "|", Spread((0.5,)), "|", Spread((17, 11, 15)))
            0.920 ± 0.014 | 0.5 | 14.3 ± 3.1
        """
        if self.deviation is None:
            return f"{self.mean:.4g}"
        if self.deviation == 0:
            return f"{self.mean:.4g} ± 0"
        decimals = max(0, 1 - math.floor(math.log10(self.deviation)))
        if decimals > FINEST or abs(self.mean) >= 1e7:
            return f"{self.mean:.4g} ± {self.deviation:.2g}"
        return f"{self.mean:.{decimals}f} ± {self.deviation:.{decimals}f}"

    def details(self) -> str:
        """Say how many values there are, and their range.

        Example:
            >>> Spread((0.91, 0.93)).details()
            '2 runs, 0.91 to 0.93'
        """
        if len(self.values) == 1:
            return "1 run: no spread"
        return f"{len(self.values)} runs, {min(self.values):.4g} to {max(self.values):.4g}"


@dataclass(frozen=True)
class Combination:
    """The runs of one lesson with the same parameters, seed aside."""

    lesson: str
    parameters: Mapping[str, Any]
    """Without the seed."""
    rows: tuple[Row, ...]

    @property
    def ok(self) -> list[Row]:
        return [row for row in self.rows if row.outcome == Outcome.OK]

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if failed(row)]

    def metrics(self) -> dict[str, Spread]:
        """Return each metric over the runs that went well, in the order of recording."""
        values: dict[str, list[float]] = {}
        for row in self.ok:
            for name, value in metrics_of(row).items():
                values.setdefault(name, []).append(value)
        return {name: Spread(tuple(found)) for name, found in values.items()}

    def seconds(self) -> float | None:
        """Return the median time of the runs that went well."""
        found = [row.seconds for row in self.ok if row.seconds is not None]
        return median(found) if found else None

    def peak_memory_gb(self) -> float | None:
        """Return the highest memory of any run, whatever became of it."""
        return max(
            (x.peak_memory_gb for x in self.rows if x.peak_memory_gb is not None), default=None
        )


def combinations(rows: Sequence[Row]) -> list[Combination]:
    """Group the runs of lessons (not those of students), in the order of `rows`."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if not row.student:
            groups.setdefault((row.lesson, key_of(without_seed(row))), []).append(row)
    return [
        Combination(lesson, without_seed(group[0]), tuple(group))
        for (lesson, _), group in groups.items()
    ]


def metrics_of(row: Row) -> dict[str, float]:
    """Return the metrics of a run that are finite numbers: name -> value.

    A lesson records no others, but a student's notebook can display what it likes.
    """
    found = {}
    for metric in row.metrics:
        name, value = metric.get("name"), metric.get("value")
        if isinstance(name, str) and isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:  # an integer of hundreds of digits
                continue
            if math.isfinite(number):
                found[name] = number
    return found


def units_of(rows: Sequence[Row]) -> dict[str, str]:
    """Return the units of the metrics that have one."""
    return {
        str(metric.get("name")): str(metric["unit"])
        for row in rows
        for metric in row.metrics
        if metric.get("unit")
    }


def without_seed(row: Row) -> dict[str, Any]:
    """Return the parameters of a run, but for its seed."""
    return {name: value for name, value in row.parameters.items() if name != "seed"}


def key_of(parameters: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal parameters, whatever their order.

    Example:
        >>> key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
        True
    """
    return json.dumps(parameters, sort_keys=True)


def ended(row: Row) -> bool:
    """Return whether the newest attempt came to an end, good or bad."""
    return isinstance(row.outcome, Outcome)


def failed(row: Row) -> bool:
    """Return whether the newest attempt ended, and not well."""
    return ended(row) and row.outcome != Outcome.OK


class Labels:
    """How the runs of `rows` are told apart: by data set, and by what differs within a lesson."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._values: dict[str, dict[str, dict[str, Any]]] = {}
        runs: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            runs.setdefault(row.lesson, []).append(without_seed(row))
        for lesson, parameters in runs.items():
            names = list(dict.fromkeys(name for each in parameters for name in each))
            self._values[lesson] = {
                name: {key_of({"": each.get(name)}): each.get(name) for each in parameters}
                for name in names
            }

    def names(self, lesson: str) -> list[str]:
        """Return the parameters that say which run of a lesson it is."""
        return [
            name
            for name, values in self._values[lesson].items()
            if name == "dataset" or len(values) > 1
        ]

    def constants(self, lesson: str) -> dict[str, Any]:
        """Return the parameters that all runs of a lesson share."""
        return {
            name: next(iter(values.values()))
            for name, values in self._values[lesson].items()
            if name not in self.names(lesson)
        }

    def of(self, lesson: str, parameters: Mapping[str, Any]) -> str:
        """Return such as `"dataset synthetic · gamma 2.5"`; the seed only if it is given."""
        names = [name for name in self.names(lesson) if name in parameters]
        if "seed" in parameters:
            names.append("seed")
        return " · ".join(f"{name} {parameters[name]}" for name in names)
