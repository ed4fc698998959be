"""The ledger of a batch: one row per attempt at a run, which survives whatever happens."""

from course_utils.batch.journal.conductor import working_since
from course_utils.batch.journal.journal import Journal, open_journal
from course_utils.batch.journal.reader import NOTEBOOKS, JournalReader, read_journal
from course_utils.batch.journal.rows import Row

__all__ = [
    "NOTEBOOKS",
    "Journal",
    "JournalReader",
    "Row",
    "open_journal",
    "read_journal",
    "working_since",
]
