"""A notebook to be run, and the record of what became of it: plain data, on every machine alike.

A `Task` goes to an executor, a `RunRecord` comes back, and the store keeps that. Both are made of
values that travel between processes; nothing here imports more than the standard library.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

ID_LENGTH = 16


class Outcome(StrEnum):
    """How a run ended."""

    OK = "ok"
    ERROR = "error"
    """A cell raised an error, or what the run wrote passed its limit or did not fit the disk."""
    TIMEOUT = "timeout"
    """The wall-clock limit of the run passed, or that of a cell."""
    KILLED = "killed"
    """The kernel or the worker died: often for want of memory."""
    OUT_OF_MEMORY = "out-of-memory"
    """The memory limit was passed, or a cell asked for more than there was."""
    CANCELLED = "cancelled"
    """A person stopped it."""


@dataclass(frozen=True)
class Failure:
    """The cell that failed, and what it said."""

    cell: int
    """As in `In [cell]`."""
    source: str
    error: str
    excerpt: str
    """Last lines of the traceback."""


@dataclass(frozen=True)
class Limits:
    """What one run may use."""

    seconds: float = 3600
    """Wall clock, of the whole notebook."""
    memory_gb: float | None = None
    """Of the run's processes together, resident, in 10^9 bytes; None: no limit."""
    written_gb: float | None = None
    """Of files in the run's working directory together; None: no limit."""
    cell_seconds: float | None = None
    """Wall clock, of each cell; None: no limit."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for a limit that is not above 0."""
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise ValueError(f"the limit {name} must be a number above 0, got {value}")


STUDENT_LIMITS = Limits(seconds=600, memory_gb=4, written_gb=1, cell_seconds=120)
"""What a run of code that nobody has read may use."""


@dataclass(frozen=True)
class Task:
    """One notebook to be run with one choice of parameters."""

    id: str
    """The same for the same work: see `task_id`. Of a course, the lesson's name."""
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
class RunRecord:
    """One attempt at a task, or a task that was never started: what the store keeps of it."""

    id: str
    lesson: str
    parameters: Mapping[str, Any]
    student: str = ""
    limits: Limits = field(default_factory=Limits)
    attempt: int = 0
    """Counted from 1; 0: never started."""
    outcome: Outcome | None = None
    """None until the attempt has ended; for good, where its batch did not survive it."""
    message: str = ""
    """One sentence for a person; empty when all went well."""
    failure: Failure | None = None
    metrics: tuple[Mapping[str, Any], ...] = ()
    """`name`, `value` and `unit` of each, in the order in which they were recorded."""
    exercises: tuple[Mapping[str, Any], ...] = ()
    """The last verdict on each exercise, as the notebook's bundles hold it."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of Python and the packages that matter."""
    device: str = ""
    """What was computed on: `"cpu, 2 threads"` or the name of the GPU."""
    host: str = ""
    started: str = ""
    """UTC, ISO 8601."""
    seconds: float | None = None
    """As `peak_memory_gb`: None until the attempt has ended."""
    peak_memory_gb: float | None = None
    """Highest sum of the resident memory of all its processes that was seen; a peak between two
    measurements was not."""
    notebook: str = ""
    """File of the executed notebook, within the folder of the store; empty while there is none,
    and for an attempt that was followed by another, as a task keeps one notebook."""
    digest: str = ""
    """SHA-256 of that file."""
    text: str = field(default="", repr=False, compare=False)
    """The executed notebook on its way to the store, or what was done of it; empty afterwards."""

    @classmethod
    def of(cls, task: Task, **facts: Any) -> "RunRecord":
        """Return the record of an attempt at `task`, with the `facts` that are known of it."""
        return cls(
            task.id,
            task.lesson,
            task.parameters,
            task.student,
            task.limits,
            **{"attempt": task.attempt, **facts},
        )

    @property
    def dataset(self) -> str | None:
        """The parameter of that name; None where the notebook has none."""
        return self.parameters.get("dataset")

    @property
    def seed(self) -> int | None:
        """The parameter of that name; None where the notebook has none."""
        return self.parameters.get("seed")

    @property
    def profile(self) -> str | None:
        """The parameter of that name; None where the notebook has none."""
        return self.parameters.get("profile")

    @property
    def state(self) -> str:
        """How the run stands, for people: its outcome, else `running` or `to do`."""
        return str(self.outcome or ("running" if self.attempt else "to do"))


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


def format_run(run: Task | RunRecord) -> str:
    """Return what people call a run: its lesson or student, and its parameters.

    Example:
        >>> format_run(Task("id", "03_unet", "", {"profile": "smoke", "seed": 1}))
        '03_unet · seed 1'
    """
    values = [f"{key} {value}" for key, value in run.parameters.items() if key != "profile"]
    return " · ".join([run.student or run.lesson, *values])


def format_duration(seconds: float) -> str:
    """Return a time span for people.

    Example:
        >>> format_duration(8.4), format_duration(75), format_duration(3720)
        ('8.4 s', '1 min 15 s', '1 h 2 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
