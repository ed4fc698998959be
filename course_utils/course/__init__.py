"""`course run`: the lessons in order, their pages, and a record of what became of each."""

from course_utils.course.ledger import Entry
from course_utils.course.pages import write_index, write_lesson_page
from course_utils.course.running import failed, run_lessons

__all__ = ["Entry", "failed", "run_lessons", "write_index", "write_lesson_page"]
