"""Where the runs of a batch are executed: one after the other, side by side, or on a cluster.

All executors take tasks and yield records, in the order in which runs end.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

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

    def run(self, tasks: Sequence[Task], follow: Follow) -> Iterator[Record]:
        """Execute `tasks`; yield one record for each, as it comes.

        Raises `OSError` when no more can be executed here.
        """
        ...


@dataclass(frozen=True)
class _Slot:
    """What one run may use of this machine."""

    threads: int
    gpu: str | None


class Processes(AbstractContextManager["Processes"]):
    """Runs `workers` tasks at a time on this machine, each in processes of its own.

    Cores are shared out evenly, so that runs do not fight for them; GPUs, where there are some, in
    turn. With one worker it is one run after the other.

    Raises `ValueError` unless `workers` is at least 1.
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
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Processes":
        self._cancel.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._cancel.set()
        for thread in self._threads:
            thread.join()

    def run(self, tasks: Sequence[Task], follow: Follow) -> Iterator[Record]:
        waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for task in tasks:
            waiting.put(task)
        events: queue.SimpleQueue[Callable[[], Record | None]] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(slot, waiting, events, follow), daemon=True)
            for slot in self._slots[: len(tasks)]
        ]
        for thread in self._threads:
            thread.start()
        # A queue's get() can be interrupted by Ctrl-C.
        left = len(tasks)
        while left:
            record = events.get()()
            if record is not None:
                left -= 1
                yield record

    def _work(
        self,
        slot: _Slot,
        waiting: "queue.SimpleQueue[Task]",
        events: "queue.SimpleQueue[Callable[[], Record | None]]",
        follow: Follow,
    ) -> None:
        """Execute what is waiting. All that is told is told by the thread that reads `events`."""
        while not self._cancel.is_set():
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            events.put(lambda task=task: follow.started(task, "here"))  # type: ignore[misc]

            def on_cell(cell: int, cells: int, task: Task = task) -> None:
                events.put(lambda: follow.cell(task, cell, cells))

            try:
                record = execute(
                    task, threads=slot.threads, gpu=slot.gpu, on_cell=on_cell, cancel=self._cancel
                )
            except BaseException as error:  # a fault of ours: the batch must hear of it
                events.put(lambda error=error: _raise(error))  # type: ignore[misc]
                return
            events.put(lambda record=record: record)  # type: ignore[misc]


def serial() -> Processes:
    """Return an executor of one run after the other."""
    return Processes(1)


def _raise(error: BaseException) -> Any:
    raise error
