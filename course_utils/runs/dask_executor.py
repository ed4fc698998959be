"""Runs on a Dask cluster: on this machine, by dask-jobqueue on Slurm, by dask-kubernetes, ..."""

import logging
import pickle
import queue
import time
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from course_utils.runs.dask_worker import (
    TOPIC,
    WorkerError,
    execute_on_worker,
    host_of,
    messenger,
)
from course_utils.runs.execute import end_of
from course_utils.runs.executors import CellStarted, Event, Started
from course_utils.runs.fingerprints import package_fingerprint
from course_utils.runs.records import Outcome, RunRecord, Task

QUIET = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio")
CONNECT_SECONDS = 30.0
AHEAD = 32  # tasks that wait on the cluster beyond one per worker: all would fill its memory
POLL_EVERY = 2.0  # seconds between two questions which workers are still there


@dataclass
class _Running:
    """A task that the cluster has."""

    task: Task
    future: Any
    worker: str = ""
    """Address of the worker that has begun it."""
    begun: str = ""


class DaskExecutor(AbstractContextManager["DaskExecutor"]):
    """Runs tasks on the cluster at `scheduler`; without one, on a cluster of this machine.

    Each thread of a Dask worker takes one run at a time: start workers with as many threads as
    runs they shall take (`--nthreads 1` where a run should have the worker's GPU for itself).
    Workers may come and go meanwhile. A run whose worker is lost is recorded as killed; it is not
    begun again unseen.

    Leaving it ends the runs that are still executed, and so does the death of this process.

    Raises:
        ValueError: if Dask is not installed.
        OSError: if nothing answers at `scheduler`, when it is lost, and when a worker has not the
            same package.
    """

    def __init__(self, scheduler: str | None = None, *, workers: int = 2) -> None:
        try:
            from distributed import Client, LocalCluster
        except ModuleNotFoundError as error:
            raise ValueError(
                "Dask is not installed here: pip install 'course-utils[cluster]'"
            ) from error
        self._cluster: Any = None
        self._place = scheduler or "of this machine"
        # What goes wrong is told by us; Dask would write it across the display.
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if scheduler is None:
            # Workers are threads: each run is in processes of its own anyway, and scripts need no
            # `if __name__ == "__main__"`.
            self._cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=False,
                dashboard_address=None,
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            )
        try:
            self._client = Client(
                scheduler or self._cluster, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, ValueError) as error:
            raise OSError(
                f"no Dask scheduler answers at {scheduler} ({_first_line(error)}): "
                "see that it runs, and that its version of Dask is the one here"
            ) from error
        # Others may use the cluster too: our tasks are known by this.
        self._batch = uuid.uuid4().hex
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._client.subscribe_topic(TOPIC, self._hear)

    @property
    def workers(self) -> int:
        """How many runs are executed at a time; 0 until a worker has joined the scheduler."""
        return sum(self._nthreads().values())

    def __exit__(self, *_: object) -> None:
        # The scheduler gives up the tasks of a client that is gone, and workers end those runs.
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def run(self, waiting: deque[Task]) -> Iterator[Event]:
        """Execute what is `waiting`; see `Executor`."""
        # Dask tells everything in threads of its own; all is passed on in the caller's.
        running: dict[str, _Running] = {}
        threads = self._nthreads()
        next_look = time.monotonic() + POLL_EVERY
        while waiting or running:
            while waiting and len(running) < sum(threads.values()) + AHEAD:
                self._submit(waiting.popleft(), running, threads)
            try:
                key, what = self._events.get(timeout=max(0.01, next_look - time.monotonic()))
            except queue.Empty:
                threads = self._nthreads()
                next_look = time.monotonic() + POLL_EVERY
                for key, one in list(running.items()):
                    if one.worker and one.worker not in threads:
                        yield self._give_up(running.pop(key))
                continue
            if key not in running:  # another's, or its last words came after its record
                continue
            one = running[key]
            if not isinstance(what, dict):
                del running[key]
                yield self._record(one)
            elif "cell" in what:
                yield CellStarted(one.task, what["cell"], what["cells"])
            elif not one.worker:
                one.worker, one.begun = what["where"], _now()
                yield Started(one.task, one.worker)
            else:  # Dask has begun it again: the first worker is lost
                del running[key]
                yield self._give_up(one)

    def _submit(self, task: Task, running: dict[str, _Running], threads: dict[str, int]) -> None:
        key = f"{TOPIC}-{self._batch}-{task.id}-{task.attempt}"
        call = execute_on_worker, task, package_fingerprint(), _runs_by_host(threads)
        future = self._client.submit(
            messenger(), pickle.dumps(call), pure=False, retries=0, key=key
        )
        running[key] = _Running(task, future)
        future.add_done_callback(lambda future: self._events.put((key, future)))

    def _record(self, one: _Running) -> RunRecord:
        """Return the record of a run that Dask is done with."""
        from distributed import KilledWorker

        if one.future.status == "error":
            error = one.future.exception()
            if isinstance(error, KilledWorker):  # before we heard that it had begun
                return _lost(one)
            if isinstance(error, WorkerError):
                raise error
            raise WorkerError(
                f"a worker of the Dask cluster {self._place} cannot execute runs "
                f"({type(error).__name__}: {_first_line(error)}): it needs the same course_utils "
                "as here, and room on its disk; what was recorded before is kept"
            ) from error
        try:
            record: RunRecord = pickle.loads(one.future.result())
        except (CancelledError, OSError, TimeoutError) as error:
            raise self._scheduler_lost() from error
        one.future.release()
        return record

    def _give_up(self, one: _Running) -> RunRecord:
        one.future.cancel()
        return _lost(one)

    def _nthreads(self) -> dict[str, int]:
        try:
            return dict(self._client.nthreads())
        except (OSError, CancelledError, TimeoutError, AttributeError) as error:
            # The last: a client that has closed itself has no scheduler any more.
            raise self._scheduler_lost() from error

    def _scheduler_lost(self) -> OSError:
        return OSError(
            f"the Dask scheduler {self._place} was lost: start it again, then this batch; "
            "what was recorded before is kept"
        )

    def _hear(self, event: tuple[Any, dict[str, Any]]) -> None:
        self._events.put((event[1]["key"], event[1]))


def _runs_by_host(threads: dict[str, int]) -> dict[str, int]:
    runs: dict[str, int] = {}
    for address, number in threads.items():
        runs[host_of(address)] = runs.get(host_of(address), 0) + number
    return runs


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _lost(one: _Running) -> RunRecord:
    """Return the record of a run whose worker is gone."""
    message = f"the Dask worker {one.worker} was lost".replace("  ", " ")
    lost = end_of(one.task, Outcome.KILLED, message, one.begun or _now())
    return replace(lost, host=host_of(one.worker))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
