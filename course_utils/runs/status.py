"""How a batch stands: whether it runs at all, and which of its runs do."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from course_utils.runs.records import Outcome, RunRecord
from course_utils.runs.store import is_running, open_reader

SAID = (
    "id", "lesson", "student", "parameters", "attempt", "host", "started", "seconds", "message",
    "notebook",
)  # fmt: skip
TO_DO, RUNNING, INTERRUPTED = "to do", "running", "interrupted"


@dataclass(frozen=True)
class BatchStatus:
    """The runs of the latest plan, in its order, as they are just now."""

    runs: list[RunRecord]
    began: str
    """When the latest batch began, UTC, ISO 8601."""
    running: bool
    """Whether it is still at work."""
    doubt: str = ""
    """Why nobody can tell whether it is; the store is taken at its word then."""

    def state(self, run: RunRecord) -> str:
        """Return how `run` ended, or that it is running, was interrupted or is to be done.

        An attempt that its batch did not survive stays without an end in the store.
        """
        if run.state != RUNNING or self.doubt or (self.running and run.started >= self.began):
            return run.state
        return INTERRUPTED

    def counts(self) -> Counter[str]:
        """Return how many runs there are of each state."""
        return Counter(map(self.state, self.runs))

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {
            "running": self.running,
            "doubt": self.doubt,
            "began": self.began,
            "counts": dict(self.counts()),
            "runs": [
                {name: getattr(run, name) for name in SAID} | {"state": self.state(run)}
                for run in self.runs
            ],
        }

    def summary(self) -> str:
        """Say in one line whether the batch runs, and what to do if it does not."""
        counts = self.counts()
        left = counts[RUNNING] + counts[INTERRUPTED] + counts[TO_DO]
        if self.doubt:
            return f"whether this batch is running cannot be told ({self.doubt})"
        if self.running:
            ended = f"{len(self.runs) - left} of {len(self.runs)} runs have ended"
            return f"this batch is running, since {format_time(self.began)}; {ended}"
        if left + counts[Outcome.CANCELLED]:
            return "this batch is not running: `course batch` with its plan goes on from there"
        return "this batch is not running: all its runs have ended"


def batch_status(folder: Path) -> BatchStatus:
    """Look how the batch in `folder` stands, without disturbing it.

    Raises as `open_reader`.
    """
    with open_reader(folder) as store:
        # One that ends meanwhile has written all; one that begins is seen by a second look.
        running, doubt = _look(folder)
        runs, began = store.latest(), store.began()
        if not running and not doubt:
            running, doubt = _look(folder)
    return BatchStatus(runs, began, running, doubt)


def format_time(utc: str) -> str:
    """Return a time of a record in the time of this machine."""
    return datetime.fromisoformat(utc).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _look(folder: Path) -> tuple[bool, str]:
    try:
        return is_running(folder), ""
    except OSError as error:
        return False, str(error)
