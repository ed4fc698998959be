"""How long a batch will take, from how long such runs took before."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from course_utils.batch.tasks import Task


@dataclass(frozen=True)
class Estimate:
    """What is known before a batch starts."""

    work: float
    """Seconds of all runs whose length is known, one after the other."""
    wall_clock: float
    """Seconds until the last of these has ended."""
    known: int
    """How many runs these are."""
    unknown: int
    """How many other runs there are: the more, the more the seconds above fall short."""


def estimate(
    tasks: Sequence[Task], durations: Mapping[tuple[str, str], float], workers: int
) -> Estimate:
    """Estimate the seconds that `workers` need for `tasks`, taken in their order.

    `durations` holds seconds by (lesson, data set), of runs of the same profile. A task counts
    with those of its lesson and data set; else with those of (lesson, ""), if they are there; else
    with the mean over the lesson's other data sets; else as unknown. A task whose notebook has no
    data set counts as (lesson, "").

    Raises:
        ValueError: for fewer than one worker.

    Example:
        >>> three = [Task(str(i), "01_a", "", {"dataset": "synthetic"}) for i in range(3)]
        >>> estimate(three, {("01_a", "synthetic"): 10.0}, workers=2)
        Estimate(work=30.0, wall_clock=20.0, known=3, unknown=0)
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    lengths = [_length(task, durations) for task in tasks]
    known = [length for length in lengths if length is not None]
    free_at = [0.0] * min(workers, max(1, len(known)))  # a heap: the first to be free comes first
    for length in known:
        heapq.heapreplace(free_at, free_at[0] + length)
    return Estimate(sum(known, 0.0), max(free_at), len(known), len(tasks) - len(known))


def _length(task: Task, durations: Mapping[tuple[str, str], float]) -> float | None:
    for dataset in (str(task.parameters.get("dataset", "")), ""):
        if (task.lesson, dataset) in durations:
            return durations[task.lesson, dataset]
    others = [seconds for (lesson, _), seconds in durations.items() if lesson == task.lesson]
    return mean(others) if others else None
