from .batch import Callbacks, run_batch
from .course import run_course
from .executors import Executor, Processes
from .notebooks import Lesson, find_lessons, notebooks_folder, read_lesson
from .parameters import ParameterError, check_parameters
from .records import Failure, Limits, Outcome, RunRecord, Task
from .run import run_notebook
from .store import open_store, read_store

__all__ = [
    "Callbacks",
    "Executor",
    "Failure",
    "Lesson",
    "Limits",
    "Outcome",
    "ParameterError",
    "Processes",
    "RunRecord",
    "Task",
    "check_parameters",
    "find_lessons",
    "notebooks_folder",
    "open_store",
    "read_lesson",
    "read_store",
    "run_batch",
    "run_course",
    "run_notebook",
]
