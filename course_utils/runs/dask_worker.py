"""What a worker of a Dask cluster does with a task that it is sent.

It needs the package and, for real images, the data sets (its own COURSE_DATA_ROOT); no disk is
shared: notebooks travel to the workers and back.
"""

import threading
from collections.abc import Callable
from typing import Any

from course_utils.config import visible_gpus
from course_utils.runs.execute import available_threads, execute
from course_utils.runs.fingerprints import package_fingerprint
from course_utils.runs.records import RunRecord, Task

TOPIC = "course-batch"
"""Of the events that tell how far a run is."""


class WorkerError(OSError):
    """A worker cannot execute runs at all: it lacks the package, or has another one."""


def execute_on_worker(task: Task, package: str, runs: dict[str, int]) -> RunRecord:
    """Execute `task` in a worker of Dask, and tell the batch how far it is.

    Args:
        task: what to run.
        package: the fingerprint of the package that it was planned for.
        runs: how many runs are executed at a time on each host.

    Raises:
        WorkerError: where the package is another one.
    """
    from dask.system import CPU_COUNT  # it knows the limits of a container
    from distributed import get_worker

    worker = get_worker()
    if package != package_fingerprint():
        raise WorkerError(
            f"the Dask worker {worker.address} has another course_utils than this machine: "
            "install the same on both, then start workers and batch again"
        )
    key = worker.get_current_task()

    def on_cell(cell: int, cells: int) -> None:
        worker.log_event(TOPIC, {"key": key, "cell": cell, "cells": cells})

    worker.log_event(TOPIC, {"key": key, "where": worker.address})
    beside = max(worker.state.nthreads, runs.get(host_of(worker.address), 1))
    gpus = visible_gpus()
    number = worker.name if isinstance(worker.name, int) else 0
    return execute(
        task,
        threads=max(1, min(CPU_COUNT, available_threads()) // beside),
        gpu=gpus[number % len(gpus)] if gpus else None,
        on_cell=on_cell,
        cancel=_Unwanted(worker, key),
    )


class _Unwanted(threading.Event):
    """Is set when nobody waits for a task of Dask any more, or its worker is being closed."""

    def __init__(self, worker: Any, key: object) -> None:
        super().__init__()
        self._worker, self._key = worker, key

    def is_set(self) -> bool:
        if self._worker.status.name not in ("running", "paused", "closing_gracefully"):
            return True
        state = self._worker.state.tasks.get(self._key)
        return state is None or state.state not in ("executing", "long-running")


def host_of(address: str) -> str:
    """Return the host in an address of Dask.

    Example:
        >>> host_of("tcp://10.0.0.1:8786"), host_of("inproc://10.0.0.1/77/4")
        ('10.0.0.1', '10.0.0.1')
    """
    rest = address.partition("://")[2].partition("/")[0]
    host, colon, _ = rest.rpartition(":")
    return host if colon else rest


def messenger() -> Callable[[bytes], bytes]:
    """Return a function that calls what it is sent, and that can be sent itself.

    Dask reads what it is given on the scheduler and in the midst of a worker's business: where the
    package is missing, that would stop the one and end the other. So both see only bytes and a
    function that is sent by value, since it is local, and what is missing is an error of the task.
    """

    def call(message: bytes) -> bytes:
        import pickle

        function, *arguments = pickle.loads(message)
        return pickle.dumps(function(*arguments))

    return call
