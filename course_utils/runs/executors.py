"""Where runs are executed: one after the other or side by side here, or on a cluster.

All executors take tasks and yield what happens: that runs and their cells start, and the record of
each run, in the order in which runs end. `DaskExecutor` is in `dask_executor`, which loads Dask.
"""

import platform
import queue
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from course_utils.config import visible_gpus
from course_utils.runs.container import Container
from course_utils.runs.execute import available_threads, execute
from course_utils.runs.records import RunRecord, Task


@dataclass(frozen=True)
class Started:
    """A run has begun."""

    task: Task
    where: str
    """The host, or the address of the worker."""


@dataclass(frozen=True)
class CellStarted:
    """A run has come to its code cell `cell` of `cells`."""

    task: Task
    cell: int
    cells: int


Event: TypeAlias = Started | CellStarted | RunRecord
"""A record tells that its run has ended."""


class Executor(Protocol):
    """Executes tasks; a context manager that ends every run it started when it is left."""

    @property
    def workers(self) -> int:
        """How many runs are executed at a time; 0 if none can be yet."""

    def __enter__(self) -> "Executor": ...

    def __exit__(self, *_: object) -> None: ...

    def run(self, waiting: deque[Task]) -> Iterator[Event]:
        """Execute what is `waiting`, from its left end; yield what happens, as it comes.

        Whoever takes a record may add to `waiting` before the next event. Raises `OSError` when
        no more can be executed here.
        """
        ...


@dataclass(frozen=True)
class _Slot:
    """What one run may use of this machine; None: all that its environment leaves it."""

    threads: int | None = None
    gpu: str | None = None


class Processes(AbstractContextManager["Processes"]):
    """Runs `workers` tasks at a time on this machine, each in processes of its own.

    Cores are shared out evenly, so that runs do not fight for them; GPUs, where there are some, in
    turn. With one worker it is one run after the other, and each has all. With a `container`, each
    run is executed in one of its own.

    Raises:
        ValueError: unless `workers` is at least 1.
    """

    def __init__(self, workers: int = 1, container: Container | None = None) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self.workers = workers
        self._container = container
        self._slots = [_Slot()]
        if workers > 1:
            threads = max(1, available_threads() // workers)
            gpus: list[str | None] = [*visible_gpus()] or [None]
            self._slots = [_Slot(threads, gpus[i % len(gpus)]) for i in range(workers)]
        self._cancel = threading.Event()
        self._threads: dict[int, threading.Thread] = {}
        """The newest one of each slot."""
        self._events: queue.SimpleQueue[tuple[int, Event | BaseException]] = queue.SimpleQueue()
        """Slots, each with what happens there."""

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self._cancel.set()
        for thread in self._threads.values():
            if thread.is_alive():  # or it has never been started
                thread.join()

    def run(self, waiting: deque[Task]) -> Iterator[Event]:
        """Execute what is `waiting`; see `Executor`."""
        free = deque(range(self.workers))
        while True:
            while waiting and free:
                self._begin(free.popleft(), waiting.popleft())
            if len(free) == self.workers:
                return
            slot, event = self._events.get()  # it can be interrupted by Ctrl-C
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, RunRecord):
                free.append(slot)
                if waiting:  # the slot shall not idle while the record is being written
                    self._begin(free.popleft(), waiting.popleft())
            yield event

    def _begin(self, slot: int, task: Task) -> None:
        work = threading.Thread(target=self._work, args=(slot, task), daemon=True)
        self._threads[slot] = work
        work.start()

    def _work(self, slot: int, task: Task) -> None:
        events = self._events
        events.put((slot, Started(task, platform.node())))
        try:
            record = execute(
                task,
                threads=self._slots[slot].threads,
                gpu=self._slots[slot].gpu,
                on_cell=lambda cell, cells: events.put((slot, CellStarted(task, cell, cells))),
                cancel=self._cancel,
                container=self._container,
            )
        except BaseException as error:  # a fault of ours: the batch must hear of it
            events.put((slot, error))
        else:
            events.put((slot, record))
