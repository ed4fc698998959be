"""Running lessons: one in a process of its own, or the course with its pages."""

from course_utils.batch.course import failed, run_lessons
from course_utils.batch.ledger import Entry
from course_utils.batch.notebooks import (
    Lesson,
    check_parameters,
    find_lessons,
    notebooks_folder,
    read_lesson,
)
from course_utils.batch.pages import write_index, write_lesson_page
from course_utils.batch.run import Failure, Outcome, RunResult, run_notebook

__all__ = [
    "Entry",
    "Failure",
    "Lesson",
    "Outcome",
    "RunResult",
    "check_parameters",
    "failed",
    "find_lessons",
    "notebooks_folder",
    "read_lesson",
    "run_lessons",
    "run_notebook",
    "write_index",
    "write_lesson_page",
]
