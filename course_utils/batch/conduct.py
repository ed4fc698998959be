"""Bring a plan to its end: give tasks to an executor, write down what becomes of them."""

from collections import deque
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from course_utils.batch.executors.processes import Executor
from course_utils.batch.journal.journal import Journal, open_journal
from course_utils.batch.tasks import Record, Task, lost_record
from course_utils.runs.run import Outcome

WORTH_ANOTHER_TRY = (Outcome.KILLED, Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY, Outcome.CANCELLED)
"""Outcomes that may be the machine's and not the notebook's."""


class Follower(Protocol):
    """Is told how a batch goes: a display, or a test."""

    def begin(self, to_do: Sequence[Task], done: int) -> None:
        """So many tasks are to be run; `done` of the plan were well before."""

    def started(self, task: Task, where: str) -> None:
        """`task` has begun, at the worker `where`."""

    def cell(self, task: Task, cell: int, cells: int) -> None:
        """Code cell `cell` of `cells` starts."""

    def ended(self, task: Task, record: Record) -> None:
        """`record` stands in the journal."""


def conduct(
    tasks: Sequence[Task],
    folder: Path,
    executor: Executor,
    *,
    retries: int = 0,
    again: Collection[Outcome] = (),
    follower: Follower,
) -> None:
    """Execute those of `tasks` that are not done in `folder`, and record each as it ends.

    Done is what ended with an outcome that is not in `again`, the notebook as it was written.
    Runs that ended as in `WORTH_ANOTHER_TRY` are tried up to `retries` times more in this call,
    behind those that are waiting.

    The executor is entered, and left whatever happens. Whatever stops this, the journal holds all
    that has ended; the same call goes on from there. After Ctrl-C what was running is recorded as
    cancelled.

    Raises as `open_journal` and the executor, and `OSError` if a record cannot be written.
    """
    with ExitStack() as executing:
        executing.enter_context(executor)
        with open_journal(folder) as journal:
            journal.plan(tasks)
            to_do = journal.to_do(tasks, again={Outcome.CANCELLED, *again})
            follower.begin(to_do, len(tasks) - len(to_do))
            by_id = {task.id: task for task in tasks}
            tries = dict.fromkeys(by_id, 0)
            waiting, starting = deque(to_do), _Starting(journal, follower)
            try:
                for record in executor.run(waiting, starting):
                    journal.end(record)
                    tries[record.id] += 1
                    follower.ended(by_id[record.id], record)
                    if record.outcome in WORTH_ANOTHER_TRY and tries[record.id] <= retries:
                        waiting.append(replace(by_id[record.id], attempt=record.attempt + 1))
            except KeyboardInterrupt:
                executing.close()  # all runs have ended when this is through
                starting.cancel()
                raise


class _Starting:
    """Writes starts into the journal before it passes them on, and at last those cut off."""

    def __init__(self, journal: Journal, follower: Follower) -> None:
        self._journal = journal
        self._follower = follower
        self._begun: dict[tuple[str, int], Task] = {}

    def started(self, task: Task, where: str) -> None:
        self._journal.start(task, where)
        self._begun[task.id, task.attempt] = task
        self._follower.started(task, where)

    def cell(self, task: Task, cell: int, cells: int) -> None:
        self._follower.cell(task, cell, cells)

    def cancel(self) -> None:
        """Record that what was begun here and has no end was stopped by hand."""
        for row in self._journal.latest():
            if row.outcome == "running" and (row.id, row.attempt) in self._begun:
                task, begun = self._begun[row.id, row.attempt], datetime.fromisoformat(row.started)
                cut = lost_record(task, Outcome.CANCELLED, "stopped by hand", row.host, begun)
                self._journal.end(cut)
