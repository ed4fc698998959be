"""What is said of many runs at once: combinations of parameters, mean and std over their seeds."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

from course_utils.runs.records import Outcome, RunRecord

FINEST = 6  # decimals; what needs more is written with a power of ten


@dataclass(frozen=True)
class SeedStatistics:
    """A number over runs that differ in nothing but the seed."""

    values: tuple[float, ...]
    """At least one."""

    @property
    def mean(self) -> float:
        """The mean."""
        return fmean(self.values)

    @property
    def std(self) -> float | None:
        """The standard deviation (n - 1 below the line); None for a single value."""
        return stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        """Return mean ± standard deviation, this with 2 digits.

        Example:
            >>> print(SeedStatistics((0.91, 0.93)), "|", SeedStatistics((17, 11, 15)))
            0.920 ± 0.014 | 14.3 ± 3.1
        """
        if self.std is None:
            return f"{self.mean:.4g}"
        if self.std == 0:
            return f"{self.mean:.4g} ± 0"
        decimals = max(0, 1 - math.floor(math.log10(self.std)))
        if decimals > FINEST or abs(self.mean) >= 1e7:
            return f"{self.mean:.4g} ± {self.std:.2g}"
        return f"{self.mean:.{decimals}f} ± {self.std:.{decimals}f}"

    def details(self) -> str:
        """Say how many values there are, and their range.

        Example:
            >>> SeedStatistics((0.91, 0.93)).details()
            '2 runs, 0.91 to 0.93'
        """
        if len(self.values) == 1:
            return "1 run: no std"
        return f"{len(self.values)} runs, {min(self.values):.4g} to {max(self.values):.4g}"


@dataclass(frozen=True)
class Combination:
    """The runs of one lesson with the same parameters, seed aside."""

    lesson: str
    parameters: Mapping[str, Any]
    """Without the seed."""
    runs: tuple[RunRecord, ...]

    @property
    def ok(self) -> list[RunRecord]:
        """The runs that went well."""
        return [run for run in self.runs if run.outcome is Outcome.OK]

    @property
    def failed(self) -> list[RunRecord]:
        """The runs that did not."""
        return [run for run in self.runs if failed(run)]

    def metrics(self) -> dict[str, SeedStatistics]:
        """Return each metric over the runs that went well, in the order of recording."""
        values: dict[str, list[float]] = {}
        for run in self.ok:
            for name, value in metrics_of(run).items():
                values.setdefault(name, []).append(value)
        return {name: SeedStatistics(tuple(found)) for name, found in values.items()}

    def seconds(self) -> float | None:
        """Return the median time of the runs that went well."""
        found = [run.seconds for run in self.ok if run.seconds is not None]
        return median(found) if found else None

    def peak_memory_gb(self) -> float | None:
        """Return the highest memory of any run, whatever became of it."""
        found = [run.peak_memory_gb for run in self.runs if run.peak_memory_gb is not None]
        return max(found, default=None)


def combinations(runs: Sequence[RunRecord]) -> list[Combination]:
    """Group the runs of lessons (not those of students), in the order of `runs`."""
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for run in runs:
        if not run.student:
            groups.setdefault((run.lesson, key_of(without_seed(run))), []).append(run)
    return [
        Combination(lesson, without_seed(group[0]), tuple(group))
        for (lesson, _), group in groups.items()
    ]


def failed(run: RunRecord) -> bool:
    """Return whether the newest attempt ended, and not well."""
    return run.outcome not in (None, Outcome.OK)


def metrics_of(run: RunRecord) -> dict[str, float]:
    """Return the metrics of a run that are finite numbers: name -> value.

    A lesson records no others, but a student's notebook can display what it likes.
    """
    found = {}
    for metric in run.metrics:
        value = metric.get("value")
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:  # an integer of hundreds of digits
                continue
            if math.isfinite(number):
                found[metric["name"]] = number
    return found


def units_of(runs: Sequence[RunRecord]) -> dict[str, str]:
    """Return the units of the metrics that have one."""
    return {
        metric["name"]: str(metric["unit"])
        for run in runs
        for metric in run.metrics
        if metric.get("unit")
    }


def without_seed(run: RunRecord) -> dict[str, Any]:
    """Return the parameters of a run, but for its seed."""
    return {name: value for name, value in run.parameters.items() if name != "seed"}


def key_of(parameters: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal parameters, whatever their order.

    Example:
        >>> key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
        True
    """
    return json.dumps(parameters, sort_keys=True)


class Labels:
    """How `runs` are told apart: by data set, and by what differs within a lesson."""

    def __init__(self, runs: Sequence[RunRecord]) -> None:
        self._values: dict[str, dict[str, dict[str, Any]]] = {}
        """By lesson and parameter: the different values, by their keys."""
        by_lesson: dict[str, list[dict[str, Any]]] = {}
        for run in runs:
            by_lesson.setdefault(run.lesson, []).append(without_seed(run))
        for lesson, parameters in by_lesson.items():
            names = dict.fromkeys(name for each in parameters for name in each)
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
        names = [name for name in (*self.names(lesson), "seed") if name in parameters]
        return " · ".join(f"{name} {parameters[name]}" for name in names)
