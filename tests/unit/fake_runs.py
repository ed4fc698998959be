"""Runs without kernels: an executor that ends each attempt as it was asked to."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from course_utils.runs.executors import CellStarted, Event, Started
from course_utils.runs.records import Outcome, RunRecord, Task

TASKS = [Task(name, "90_tiny", "{}", {"seed": i}) for i, name in enumerate("abc")]


def make_record(task: Task, outcome: Outcome = Outcome.OK) -> RunRecord:
    return RunRecord.of(
        task,
        outcome=outcome,
        message="" if outcome is Outcome.OK else f"it went {outcome}",
        metrics=({"name": "iou", "value": 0.5, "unit": None},),
        host="node7",
        started="2031-05-06T07:08:09+00:00",
        seconds=2.0,
        peak_memory_gb=0.1,
        text=f"{task.id} {task.attempt}",
    )


class FakeExecutor:
    """Takes `outcomes` by place in the plan, one for each attempt there; then all is well."""

    workers = 2

    def __init__(self, *outcomes: list[Outcome | BaseException]) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[str, int]] = []
        self.left = False
        self._places: dict[str, int] = {}

    def __enter__(self) -> "FakeExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self.left = True

    def run(self, waiting: deque[Task]) -> Iterator[Event]:
        while waiting:
            task = waiting.popleft()
            self.asked.append((task.id, task.attempt))
            place = self._places.setdefault(task.id, len(self._places))
            wanted = self.outcomes[place] if place < len(self.outcomes) else []
            outcome = wanted.pop(0) if wanted else Outcome.OK
            yield Started(task, "node7")
            yield CellStarted(task, 1, 2)
            if isinstance(outcome, BaseException):
                raise outcome
            yield make_record(task, outcome)


class SilentCallbacks:
    """Shows nothing, and remembers what began and how it ended."""

    def __init__(self) -> None:
        self.begun: tuple[list[str], int] | None = None
        self.ends: list[tuple[str, int, Outcome | None]] = []

    def on_begin(self, to_do: Sequence[Task], done: int) -> None:
        self.begun = [task.id for task in to_do], done

    def on_start(self, task: Task, where: str) -> None: ...

    def on_cell(self, task: Task, cell: int, cells: int) -> None: ...

    def on_end(self, record: RunRecord, kept: Path | None) -> None:
        self.ends.append((record.id, record.attempt, record.outcome))
