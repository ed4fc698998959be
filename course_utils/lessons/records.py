"""What a lesson leaves in its executed notebook, and how to read it. Imports next to nothing."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import nbformat

LESSON_MIME = "application/vnd.course.lesson+json"
"""Of `start_lesson`: profile, data set, seed, own parameters, device and versions."""
METRIC_MIME = "application/vnd.course.metric+json"
"""Of `record_metric`: name, value and unit; of `record_metrics`: a list of these."""
EXERCISE_MIME = "application/vnd.course.exercise+json"
"""Of `Exercise.check`: exercise, outcome and message."""


class Outcome(StrEnum):
    """What came of an attempt at an exercise: four different answers."""

    NOT_ATTEMPTED = "not_attempted"
    INCORRECT = "incorrect"
    ERROR = "error"
    CORRECT = "correct"


def read_metrics(notebook: "nbformat.NotebookNode | str | Path") -> dict[str, float]:
    """Return the recorded metrics of an executed notebook: name -> value.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it records one name twice.

    Example:
        >>> import nbformat
        >>> read_metrics(nbformat.v4.new_notebook())
        {}
    """
    import nbformat  # seconds, which no kernel that only records has to wait

    read = nbformat.read(notebook, 4) if isinstance(notebook, str | Path) else notebook
    metrics: dict[str, float] = {}
    for cell in read["cells"]:
        for output in cell.get("outputs", []):
            content = output.get("data", {}).get(METRIC_MIME, [])
            for metric in content if isinstance(content, list) else [content]:
                if metric["name"] in metrics:
                    raise ValueError(f"the notebook records metric {metric['name']!r} twice")
                metrics[metric["name"]] = metric["value"]
    return metrics
