"""A batch against an earlier one: what fails now, which numbers moved, what takes longer."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isclose
from statistics import fmean, median
from typing import Any

from course_utils.runs.records import Outcome, RunRecord
from course_utils.runs.report.summary import (
    combinations,
    failed,
    key_of,
    metrics_of,
    units_of,
    without_seed,
)

OK = Outcome.OK
STDS = 2
"""A metric has moved if it changed by more than that many times the earlier std over seeds."""
TIME_CHANGE = 0.2
"""A lesson is slower or faster if its time changed by more than that share."""

_Pair = tuple[RunRecord, RunRecord]
_Groups = Mapping[tuple[str, str], Sequence[_Pair]]
"""By lesson and key of the parameters: runs that were ok in both batches."""


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
    std: float | None
    """Standard deviation over all seeds of the earlier batch; None for a single one."""

    @property
    def change(self) -> float:
        """How much more it is now."""
        return self.now - self.earlier

    @property
    def stds(self) -> float | None:
        """The size of the change in standard deviations."""
        if self.std is None:
            return None
        if self.std == 0:
            return 0.0 if isclose(self.now, self.earlier, rel_tol=1e-9) else inf
        return abs(self.change) / self.std

    @property
    def moved(self) -> bool:
        """Whether that is more than the seeds explain; of a single one nobody knows."""
        return self.stds is not None and self.stds > STDS


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
        """The change as a share of the earlier time."""
        return self.now / self.earlier - 1


@dataclass(frozen=True)
class Comparison:
    """What differs. Pairs are (earlier, now)."""

    matched: int
    now_failing: list[_Pair]
    now_ok: list[_Pair]
    not_done: list[RunRecord]
    """Ended in the earlier batch, and not in this one yet."""
    metrics: list[MetricChange]
    """All that both batches have, the largest in standard deviations first; see `moved`."""
    slower: list[TimeChange]
    faster: list[TimeChange]
    new: list[RunRecord]
    gone: list[RunRecord]


def compare(runs: Sequence[RunRecord], earlier: Sequence[RunRecord]) -> Comparison:
    """Match two batches by lesson, parameters (seed included) and student.

    Example:
        >>> compare([], []).matched
        0
    """
    now, before = _by_key(runs), _by_key(earlier)
    pairs = [(before[key], run) for key, run in now.items() if key in before]
    groups: dict[tuple[str, str], list[_Pair]] = {}
    for old, new in pairs:
        if old.outcome is new.outcome is OK and not new.student:
            groups.setdefault((new.lesson, key_of(without_seed(new))), []).append((old, new))
    times = sorted(_time_changes(groups), key=lambda each: -each.share)
    return Comparison(
        matched=len(pairs),
        now_failing=[(old, new) for old, new in pairs if old.outcome is OK and failed(new)],
        now_ok=[(old, new) for old, new in pairs if failed(old) and new.outcome is OK],
        not_done=[new for old, new in pairs if old.outcome and not new.outcome],
        metrics=sorted(_metric_changes(groups, runs, earlier), key=_by_size),
        slower=[time for time in times if time.share > TIME_CHANGE],
        faster=[time for time in reversed(times) if time.share < -TIME_CHANGE],
        new=[run for key, run in now.items() if key not in before],
        gone=[run for key, run in before.items() if key not in now],
    )


def _by_key(runs: Sequence[RunRecord]) -> dict[tuple[Any, ...], RunRecord]:
    found: dict[tuple[Any, ...], RunRecord] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for run in runs:
        key = (run.lesson, run.student, key_of(run.parameters))
        # A student may hand in two notebooks of a lesson: the first is matched with the first.
        found[*key, seen[key]] = run
        seen[key] += 1
    return found


def _metric_changes(
    groups: _Groups, runs: Sequence[RunRecord], earlier: Sequence[RunRecord]
) -> Iterator[MetricChange]:
    units = units_of([*earlier, *runs])
    stds = {
        (each.lesson, key_of(each.parameters), name): found.std
        for each in combinations(earlier)
        for name, found in each.metrics().items()
    }
    for (lesson, key), pairs in groups.items():
        both = [(metrics_of(old), metrics_of(new)) for old, new in pairs]
        for name in dict.fromkeys(name for old, _ in both for name in old):
            values = [(old[name], new[name]) for old, new in both if name in old and name in new]
            if values:
                yield MetricChange(
                    lesson=lesson,
                    parameters=without_seed(pairs[0][1]),
                    metric=name,
                    unit=units.get(name, ""),
                    runs=len(values),
                    earlier=fmean(old for old, _ in values),
                    now=fmean(new for _, new in values),
                    std=stds[lesson, key, name],
                )


def _by_size(change: MetricChange) -> float:
    return inf if change.stds is None else -change.stds


def _time_changes(groups: _Groups) -> Iterator[TimeChange]:
    for (lesson, _), pairs in groups.items():
        seconds = [(old.seconds, new.seconds) for old, new in pairs if old.seconds and new.seconds]
        if seconds:
            yield TimeChange(
                lesson=lesson,
                parameters=without_seed(pairs[0][1]),
                runs=len(seconds),
                earlier=median(old for old, _ in seconds),
                now=median(new for _, new in seconds),
            )
