"""What the journal of a batch holds: its two tables, and their rows as plain data."""

import json
from dataclasses import asdict, dataclass
from sqlite3 import Row as StoredRow
from typing import Any, Literal

from course_utils.batch.tasks import Limits, Record, Task
from course_utils.runs.run import Failure, Outcome

SCHEMA = """
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    lesson TEXT NOT NULL,
    student TEXT NOT NULL,
    parameters TEXT NOT NULL,  -- JSON
    dataset TEXT,
    seed INTEGER,
    profile TEXT,
    limits TEXT NOT NULL,  -- JSON
    planned TEXT NOT NULL,  -- first time, UTC
    position INTEGER NOT NULL,  -- in the latest plan that had it
    current INTEGER NOT NULL  -- 1: of the latest plan
);
CREATE TABLE attempts (
    task TEXT NOT NULL REFERENCES tasks (id),
    attempt INTEGER NOT NULL,
    outcome TEXT,  -- NULL: started, no end
    message TEXT,
    failure TEXT,  -- JSON: cell, source, error, excerpt
    metrics TEXT,  -- JSON
    exercises TEXT,  -- JSON
    versions TEXT,  -- JSON
    device TEXT,
    host TEXT NOT NULL,
    started TEXT NOT NULL,  -- UTC
    seconds REAL,
    peak_memory_gb REAL,
    notebook TEXT NOT NULL DEFAULT '',
    digest TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (task, attempt)
);
"""


@dataclass(frozen=True)
class Row:
    """A task with one attempt at it."""

    id: str
    lesson: str
    student: str
    parameters: dict[str, Any]
    dataset: str | None
    """As `seed` and `profile`: of the parameters; None where the notebook has no such one."""
    seed: int | None
    profile: str | None
    limits: Limits
    planned: str
    """When a plan first had it; UTC, ISO 8601."""
    current: bool
    """Whether the latest plan has it."""
    attempt: int
    """Counted from 1; 0: never started."""
    outcome: Outcome | Literal["running"] | None
    """None: never started. An attempt that its conductor did not survive stays `running`."""
    message: str
    failure: Failure | None
    metrics: tuple[dict[str, Any], ...]
    exercises: tuple[dict[str, Any], ...]
    versions: dict[str, str]
    device: str
    host: str
    started: str
    seconds: float | None
    """As `peak_memory_gb`: None until the attempt has ended."""
    peak_memory_gb: float | None
    notebook: str
    """File name, in the folder `notebooks`; empty while there is none, and for an attempt that
    was followed by another, as a task keeps one notebook."""
    digest: str
    """SHA-256 of the executed notebook."""


def read_row(found: StoredRow) -> Row:
    """Return a row of both tables joined as plain data.

    Raises:
        ValueError: or `TypeError` when its content is none of ours.
    """
    outcome: Outcome | Literal["running"] | None = None
    if found["attempt"]:
        outcome = Outcome(found["outcome"]) if found["outcome"] is not None else "running"
    return Row(
        id=found["id"],
        lesson=found["lesson"],
        student=found["student"],
        parameters=json.loads(found["parameters"]),
        dataset=found["dataset"],
        seed=found["seed"],
        profile=found["profile"],
        limits=Limits(**json.loads(found["limits"])),
        planned=found["planned"],
        current=bool(found["current"]),
        attempt=found["attempt"] or 0,
        outcome=outcome,
        message=found["message"] or "",
        failure=Failure(**json.loads(found["failure"])) if found["failure"] else None,
        metrics=tuple(json.loads(found["metrics"] or "[]")),
        exercises=tuple(json.loads(found["exercises"] or "[]")),
        versions=json.loads(found["versions"] or "{}"),
        device=found["device"] or "",
        host=found["host"] or "",
        started=found["started"] or "",
        seconds=found["seconds"],
        peak_memory_gb=found["peak_memory_gb"],
        notebook=found["notebook"] or "",
        digest=found["digest"] or "",
    )


def task_columns(task: Task) -> dict[str, Any]:
    """Return what the table `tasks` keeps of a task."""
    named = {name: task.parameters.get(name) for name in ("dataset", "seed", "profile")}
    columns = {
        "id": task.id,
        "lesson": task.lesson,
        "student": task.student,
        "parameters": json.dumps(dict(task.parameters)),
        "limits": json.dumps(asdict(task.limits)),
        **named,
    }
    return {name: storable(value) for name, value in columns.items()}


def record_columns(record: Record, notebook_digest: str) -> dict[str, Any]:
    """Return what the table `attempts` keeps of a record."""
    columns = {
        "outcome": str(Outcome(record.outcome)),
        "message": record.message,
        "failure": json.dumps(asdict(record.failure)) if record.failure else None,
        "metrics": json.dumps([dict(metric) for metric in record.metrics]),
        "exercises": json.dumps([dict(exercise) for exercise in record.exercises]),
        "versions": json.dumps(dict(record.versions)),
        "device": record.device,
        "host": record.host,
        "started": record.started,
        "seconds": float(record.seconds),
        "peak_memory_gb": float(record.peak_memory_gb),
        "digest": notebook_digest,
    }
    return {name: storable(value) for name, value in columns.items()}


def storable(value: Any) -> Any:
    """Replace what is no UTF-8: the names of old files, and what damaged programs print.

    Example:
        >>> storable("Zo\\udceb"), storable(None)
        ('Zo?', None)
    """
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
