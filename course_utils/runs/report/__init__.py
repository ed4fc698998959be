"""The report of a batch: one static page, and its runs as a table for other programs."""

from course_utils.runs.report.page import write_report
from course_utils.runs.report.tables import runs_table

__all__ = ["runs_table", "write_report"]
