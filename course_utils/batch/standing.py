"""How a batch stands: whether it runs at all, and which of its runs do."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from course_utils.batch.journal.conductor import working_since
from course_utils.batch.journal.reader import read_journal
from course_utils.batch.journal.rows import Row

TO_DO, RUNNING, INTERRUPTED = "to do", "running", "interrupted"


@dataclass(frozen=True)
class Standing:
    """The runs of the latest plan, in its order, as they are just now."""

    rows: list[Row]
    since: datetime | None
    """When the conductor began that works there now; None if there is none."""
    doubt: str = ""
    """Why nobody can tell whether there is one; the journal is taken at its word then."""

    def outcome(self, row: Row) -> str:
        """Return how `row` ended, or that it is running, was interrupted or is to be done.

        An attempt that its conductor did not survive stays without an end in the journal.
        """
        if row.outcome != RUNNING:
            return str(row.outcome or TO_DO)
        if self.doubt or (self.since and datetime.fromisoformat(row.started) >= self.since):
            return RUNNING
        return INTERRUPTED

    def counts(self) -> Counter[str]:
        """Return how many runs there are of each outcome."""
        return Counter(map(self.outcome, self.rows))


def standing(folder: Path) -> Standing:
    """Look how the batch in `folder` stands, without disturbing it.

    Raises as `read_journal`.
    """
    with read_journal(folder) as journal:
        # One that ends meanwhile has written all; one that begins is seen by a second look.
        since, doubt = _conductor(folder)
        rows = journal.latest()
        if since is None and not doubt:
            since, doubt = _conductor(folder)
    return Standing(rows, since, doubt)


def _conductor(folder: Path) -> tuple[datetime | None, str]:
    try:
        return working_since(folder), ""
    except OSError as error:
        return None, str(error)
