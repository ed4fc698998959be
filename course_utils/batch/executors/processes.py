"""Where the runs of a batch are executed: one after the other, side by side, or on a cluster.

All executors take tasks and yield records, in the order in which runs end.
"""

import platform
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from course_utils.batch.executors.executing import available_threads, execute
from course_utils.batch.tasks import Record, Task
from course_utils.config import visible_gpus


class Follow(Protocol):
    """Is told what happens on the way."""

    def started(self, task: Task, where: str) -> None: ...

    def cell(self, task: Task, cell: int, cells: int) -> None: ...


class Executor(Protocol):
    """Executes tasks; a context manager that ends every run it started when it is left."""

    @property
    def workers(self) -> int:
        """How many runs are executed at a time; 0 if none can be yet."""

    def __enter__(self) -> "Executor": ...

    def __exit__(self, *_: object) -> None: ...

    def run(self, waiting: deque[Task], follow: Follow) -> Iterator[Record]:
        """Execute what is `waiting`, from its left end; yield one record for each, as it comes.

        Whoever takes a record may add to `waiting` before the next one. Raises `OSError` when no
        more can be executed here.
        """
        ...


_Events: TypeAlias = "queue.SimpleQueue[tuple[int, Callable[[], Record | None]]]"
"""Slots, each with what is to be called: it gives the record if that run has ended."""


@dataclass(frozen=True)
class _Slot:
    """What one run may use of this machine."""

    threads: int
    gpu: str | None


class Processes(AbstractContextManager["Processes"]):
    """Runs `workers` tasks at a time on this machine, each in processes of its own.

    Cores are shared out evenly, so that runs do not fight for them; GPUs, where there are some, in
    turn. With one worker it is one run after the other.

    Raises:
        ValueError: unless `workers` is at least 1.
    """

    def __init__(self, workers: int = 1) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self.workers = workers
        gpus = visible_gpus()
        threads = max(1, available_threads() // workers)
        self._slots = [
            _Slot(threads, gpus[number % len(gpus)] if gpus else None) for number in range(workers)
        ]
        self._cancel = threading.Event()
        self._threads: dict[int, threading.Thread] = {}
        """The newest one of each slot."""

    def __enter__(self) -> "Processes":
        self._cancel.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._cancel.set()
        for thread in self._threads.values():
            if thread.is_alive():  # or it has never been started
                thread.join()

    def run(self, waiting: deque[Task], follow: Follow) -> Iterator[Record]:
        events: _Events = queue.SimpleQueue()
        free = deque(range(self.workers))
        while True:
            while waiting and free:
                self._begin(free.popleft(), waiting.popleft(), events, follow)
            if len(free) == self.workers:
                return
            slot, event = events.get()  # it can be interrupted by Ctrl-C
            record = event()
            if record is None:
                continue
            free.append(slot)
            if waiting:  # the slot shall not idle while the record is being written
                self._begin(free.popleft(), waiting.popleft(), events, follow)
            yield record

    def _begin(self, slot: int, task: Task, events: _Events, follow: Follow) -> None:
        work = threading.Thread(target=self._work, args=(slot, task, events, follow), daemon=True)
        self._threads[slot] = work
        work.start()

    def _work(self, slot: int, task: Task, events: _Events, follow: Follow) -> None:
        """Execute `task`. All that is told is told by the thread that reads `events`."""
        events.put((slot, lambda: follow.started(task, platform.node())))

        def on_cell(cell: int, cells: int) -> None:
            events.put((slot, lambda: follow.cell(task, cell, cells)))

        try:
            record = execute(
                task,
                threads=self._slots[slot].threads,
                gpu=self._slots[slot].gpu,
                on_cell=on_cell,
                cancel=self._cancel,
            )
        except BaseException as error:  # a fault of ours: the batch must hear of it
            fault = error
            events.put((slot, lambda: _raise(fault)))
        else:
            events.put((slot, lambda: record))


def serial() -> Processes:
    """Return an executor of one run after the other."""
    return Processes(1)


def _raise(error: BaseException) -> Any:
    raise error
