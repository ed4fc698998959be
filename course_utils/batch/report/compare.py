"""A batch against an earlier one: what fails now, which numbers moved, what takes longer."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isclose
from statistics import fmean, median
from typing import Any

from course_utils.batch.journal.rows import Row
from course_utils.batch.report.summary import (
    Combination,
    combinations,
    ended,
    failed,
    key_of,
    metrics_of,
    units_of,
    without_seed,
)
from course_utils.runs.run import Outcome

SPREADS = 2
"""A metric has moved if it changed by more than that many times the earlier spread."""
TIME_CHANGE = 0.2
"""A lesson is slower or faster if its time changed by more than that share."""


@dataclass(frozen=True)
class MetricChange:
    """A metric of one combination, over the seeds that went well in both batches."""

    lesson: str
    parameters: Mapping[str, Any]
    metric: str
    unit: str
    runs: int
    earlier: float
    now: float
    spread: float | None
    """Standard deviation over all seeds of the earlier batch; None for a single one."""

    @property
    def change(self) -> float:
        return self.now - self.earlier

    @property
    def spreads(self) -> float | None:
        """The size of the change in spreads."""
        if self.spread is None:
            return None
        if self.spread == 0:
            return 0.0 if isclose(self.now, self.earlier, rel_tol=1e-9) else inf
        return abs(self.change) / self.spread

    @property
    def moved(self) -> bool:
        return self.spreads is not None and self.spreads > SPREADS


@dataclass(frozen=True)
class TimeChange:
    """Median seconds of one combination, over the seeds that went well in both batches."""

    lesson: str
    parameters: Mapping[str, Any]
    runs: int
    earlier: float
    now: float

    @property
    def share(self) -> float:
        return self.now / self.earlier - 1


@dataclass(frozen=True)
class Comparison:
    """What differs. Pairs are (earlier, now)."""

    matched: int
    now_failing: list[tuple[Row, Row]]
    now_ok: list[tuple[Row, Row]]
    not_done: list[Row]
    """Ended in the earlier batch, and not in this one yet."""
    metrics: list[MetricChange]
    """All that both batches have, the largest in spreads first; see `moved`."""
    slower: list[TimeChange]
    faster: list[TimeChange]
    new: list[Row]
    gone: list[Row]


def compare(rows: Sequence[Row], earlier: Sequence[Row]) -> Comparison:
    """Match two batches by lesson, parameters (seed included) and student.

    Example:
        >>> compare([], []).matched
        0
    """
    now, before = _by_key(rows), _by_key(earlier)
    pairs = [(before[key], row) for key, row in now.items() if key in before]
    both_ok = [pair for pair in pairs if pair[0].outcome == pair[1].outcome == Outcome.OK]
    groups = _grouped(both_ok)
    times = _times(groups)
    return Comparison(
        matched=len(pairs),
        now_failing=[(a, b) for a, b in pairs if a.outcome == Outcome.OK and failed(b)],
        now_ok=[(a, b) for a, b in pairs if failed(a) and b.outcome == Outcome.OK],
        not_done=[b for a, b in pairs if ended(a) and not ended(b)],
        metrics=_metrics(groups, combinations(earlier), units_of([*earlier, *rows])),
        slower=[time for time in times if time.share > TIME_CHANGE],
        faster=[time for time in reversed(times) if time.share < -TIME_CHANGE],
        new=[row for key, row in now.items() if key not in before],
        gone=[row for key, row in before.items() if key not in now],
    )


def _by_key(rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
    found: dict[tuple[Any, ...], Row] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        key = (row.lesson, row.student, key_of(row.parameters))
        # A student may hand in two notebooks of a lesson: the first is matched with the first.
        found[*key, seen[key]] = row
        seen[key] += 1
    return found


_Groups = dict[tuple[str, str], list[tuple[Row, Row]]]


def _grouped(pairs: Sequence[tuple[Row, Row]]) -> _Groups:
    groups: _Groups = {}
    for before, now in pairs:
        if not now.student:
            key = (now.lesson, key_of(without_seed(now)))
            groups.setdefault(key, []).append((before, now))
    return groups


def _metrics(
    groups: _Groups, earlier: Sequence[Combination], units: Mapping[str, str]
) -> list[MetricChange]:
    spreads = {
        (each.lesson, key_of(each.parameters), name): spread.deviation
        for each in earlier
        for name, spread in each.metrics().items()
    }
    changes = []
    for (lesson, key), pairs in groups.items():
        both = [(metrics_of(before), metrics_of(now)) for before, now in pairs]
        for name in dict.fromkeys(name for before, _ in both for name in before):
            values = [(a[name], b[name]) for a, b in both if name in a and name in b]
            if values:
                changes.append(
                    MetricChange(
                        lesson=lesson,
                        parameters=without_seed(pairs[0][1]),
                        metric=name,
                        unit=units.get(name, ""),
                        runs=len(values),
                        earlier=fmean(a for a, _ in values),
                        now=fmean(b for _, b in values),
                        spread=spreads[lesson, key, name],
                    )
                )
    return sorted(changes, key=_by_size)


def _by_size(change: MetricChange) -> float:
    return inf if change.spreads is None else -change.spreads


def _times(groups: _Groups) -> list[TimeChange]:
    """Return the changes of time, what became slower first."""
    changes = []
    for (lesson, _), pairs in groups.items():
        seconds = [(a.seconds, b.seconds) for a, b in pairs if a.seconds and b.seconds]
        if seconds:
            before = median(a for a, _ in seconds)
            now = median(b for _, b in seconds)
            parameters = without_seed(pairs[0][1])
            changes.append(TimeChange(lesson, parameters, len(seconds), before, now))
    return sorted(changes, key=lambda each: -each.share)
