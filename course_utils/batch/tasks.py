"""What the parts of a batch pass to each other: a task to be run, and the record of what became
of it. Both are plain data, so that they go to other processes and machines and back.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from course_utils.runs.run import Failure, Outcome

ID_LENGTH = 16


@dataclass(frozen=True)
class Limits:
    """What one run may use."""

    seconds: float = 3600
    """Wall clock, of the whole notebook."""
    memory_gb: float | None = None
    """Of the run's processes together, resident; None: no limit."""
    written_gb: float | None = None
    """Of files in the run's working directory together; None: no limit."""
    cell_seconds: float | None = None
    """Wall clock, of each cell; None: no limit."""


@dataclass(frozen=True)
class Task:
    """One notebook to be run with one choice of parameters."""

    id: str
    """See `task_id`: the same for the same work."""
    lesson: str
    """Name of the notebook, such as `01_class_imbalance`."""
    notebook: str
    """The source notebook, as the text of its file."""
    parameters: Mapping[str, Any]
    """Checked; among them `profile`, `dataset` and `seed` where the notebook has them."""
    limits: Limits = field(default_factory=Limits)
    attempt: int = 1
    """Counted from 1: how often this task has been started, this time included."""
    student: str = ""
    """Whose notebook it is; empty for a lesson of the course."""


@dataclass(frozen=True)
class Record:
    """What became of one attempt at a task."""

    id: str
    attempt: int
    outcome: Outcome
    message: str
    """One sentence; empty when all went well."""
    failure: Failure | None
    metrics: tuple[Mapping[str, Any], ...]
    """`name`, `value` and `unit` of each, in the order in which they were recorded."""
    exercises: tuple[Mapping[str, Any], ...]
    """The last verdict on each exercise, as the notebook's bundles hold it."""
    versions: Mapping[str, str]
    """Of Python and the packages that matter."""
    device: str
    """What was computed on: `"cpu, 2 threads"` or the name of the GPU."""
    host: str
    started: str
    """UTC, ISO 8601."""
    seconds: float
    peak_memory_gb: float
    notebook: str
    """The executed notebook as text; what was done until then, if the run was stopped."""


def lost_record(task: Task, outcome: Outcome, message: str, host: str, begun: datetime) -> Record:
    """Return the record of an attempt of which nothing came back; its notebook is the source."""
    return Record(
        id=task.id,
        attempt=task.attempt,
        outcome=outcome,
        message=message,
        failure=None,
        metrics=(),
        exercises=(),
        versions={},
        device="",
        host=host,
        started=begun.isoformat(timespec="seconds"),
        seconds=round((datetime.now(UTC) - begun).total_seconds(), 3),
        peak_memory_gb=0.0,
        notebook=task.notebook,
    )


def task_id(
    notebook_code: str, parameters: Mapping[str, Any], package: str, data: str, student: str = ""
) -> str:
    """Return what names a task: equal for equal code, parameters, package and data.

    Example:
        >>> task_id("a = 1", {"seed": 0}, "p", "d") == task_id("a = 1", {"seed": 1}, "p", "d")
        False
    """
    parts = [notebook_code, dict(sorted(parameters.items())), package, data, student]
    text = json.dumps(parts, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]
