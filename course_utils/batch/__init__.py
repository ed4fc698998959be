"""Batches: many runs of notebooks, on one machine or a cluster, and what became of each.

A `plan` (a file, or a folder of students' notebooks) becomes tasks; `conduct` gives them to an
executor (`executors`) and writes each record into the `journal`; `report` shows it.
"""

from course_utils.batch.conduct import conduct
from course_utils.batch.tasks import Limits, Record, Task, task_id

__all__ = ["Limits", "Record", "Task", "conduct", "task_id"]
