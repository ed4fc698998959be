"""Bring a plan to its end: give tasks to an executor, record what becomes of them."""

from collections import Counter, deque
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from course_utils.runs.execute import end_of
from course_utils.runs.executors import CellStarted, Executor, Started
from course_utils.runs.records import Outcome, RunRecord, Task
from course_utils.runs.run_pages import PageWriter
from course_utils.runs.store import NOTEBOOKS, RunStore, open_store

WORTH_ANOTHER_TRY = (Outcome.KILLED, Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY, Outcome.CANCELLED)
"""Outcomes that may be the machine's and not the notebook's."""


class Callbacks(Protocol):
    """Hears how a batch goes: a display, or a test. What it hears is in the store by then."""

    def on_begin(self, to_do: Sequence[Task], done: int) -> None:
        """So many tasks are to be run; `done` of the plan were well before."""

    def on_start(self, task: Task, where: str) -> None:
        """`task` has begun, at the worker `where`."""

    def on_cell(self, task: Task, cell: int, cells: int) -> None:
        """Code cell `cell` of `cells` starts."""

    def on_end(self, record: RunRecord, kept: Path | None) -> None:
        """A run has ended; `kept` is the new place of its earlier notebook, if that was edited."""


def run_batch(
    tasks: Sequence[Task],
    folder: Path,
    executor: Executor,
    *,
    retries: int = 0,
    again: Collection[Outcome] = (),
    callbacks: Callbacks,
    notebooks: str = NOTEBOOKS,
    pages: PageWriter | None = None,
) -> None:
    """Execute those of `tasks` that are not done in `folder`, and record each as it ends.

    Done is what ended with an outcome that is not in `again`, the notebook as it was written.
    Whatever stops this, the store holds all that has ended; the same call goes on from there.
    After Ctrl-C what was running is recorded as cancelled.

    Args:
        tasks: the plan.
        folder: of the store, see `open_store`.
        executor: is entered, and left whatever happens.
        retries: how often runs that ended as in `WORTH_ANOTHER_TRY` are tried once more in this
            call, behind those that are waiting.
        again: outcomes that are not taken for done.
        callbacks: hears how it goes.
        notebooks: where the executed notebooks go, within `folder`.
        pages: is entered likewise, and writes a page of each run that has ended.

    Raises:
        OSError: as `open_store` and the executor, and if a record cannot be written.
        ValueError: as `open_store`.
    """
    with ExitStack() as executing:
        executing.enter_context(executor)
        if pages:
            executing.enter_context(pages)
        with open_store(folder, notebooks=notebooks) as store:
            store.plan(tasks)
            to_do = store.to_do(tasks, again={Outcome.CANCELLED, *again})
            callbacks.on_begin(to_do, len(tasks) - len(to_do))
            by_id = {task.id: task for task in tasks}
            begun: dict[str, Task] = {}
            tries: Counter[str] = Counter()
            waiting = deque(to_do)
            try:
                for event in executor.run(waiting):
                    match event:
                        case Started(task, where):
                            begun[task.id] = task
                            store.start(task, where)
                            callbacks.on_start(task, where)
                        case CellStarted(task, cell, cells):
                            callbacks.on_cell(task, cell, cells)
                        case record:
                            callbacks.on_end(record, store.end(record))
                            tries[record.id] += 1
                            if pages:
                                pages.write(store.attempts(record.id)[-1])
                            if record.outcome in WORTH_ANOTHER_TRY and tries[record.id] <= retries:
                                waiting.append(
                                    replace(by_id[record.id], attempt=record.attempt + 1)
                                )
                if pages:  # those that an earlier batch had no time for
                    for record in store.latest():
                        pages.write(record)
            except KeyboardInterrupt:
                executing.close()  # all runs have ended when this is through
                for record in _cut_off(store, begun):
                    callbacks.on_end(record, store.end(record))
                raise


def _cut_off(store: RunStore, begun: dict[str, Task]) -> list[RunRecord]:
    """Return the records of what was begun here and has no end, as stopped by hand."""
    return [
        replace(
            end_of(task, Outcome.CANCELLED, "stopped by hand", run.started),
            host=run.host,
        )
        for run in store.latest()
        if (task := begun.get(run.id)) and run.attempt == task.attempt and run.outcome is None
    ]
