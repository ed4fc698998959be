"""The ledger of a batch: one row per attempt at a run, which survives whatever happens."""

from course_utils.batch.journal.journal import NOTEBOOKS, Journal, open_journal, read_journal
from course_utils.batch.journal.rows import Row

__all__ = ["NOTEBOOKS", "Journal", "Row", "open_journal", "read_journal"]
