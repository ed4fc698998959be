"""One notebook: what it says of itself, and its run in a process of its own, within limits."""

from course_utils.runs.notebooks import (
    Lesson,
    find_lessons,
    notebooks_folder,
    read_lesson,
)
from course_utils.runs.parameters import ParameterError, check_parameters
from course_utils.runs.run import Failure, Outcome, RunResult, run_notebook

__all__ = [
    "Failure",
    "Lesson",
    "Outcome",
    "ParameterError",
    "RunResult",
    "check_parameters",
    "find_lessons",
    "notebooks_folder",
    "read_lesson",
    "run_notebook",
]
