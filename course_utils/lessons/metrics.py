"""Numbers that a lesson reports: readable for people, and as JSON for tests and tables."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_utils.lessons.cards import show_bundle
from course_utils.lessons.likeness import as_array
from course_utils.lessons.presence import execution_id, is_interactive

if TYPE_CHECKING:
    import nbformat

METRIC_MIME = "application/vnd.course.metric+json"
SLUG = re.compile(r"[a-z0-9_./-]+")

# Name of each metric of this lesson's run -> the execution of the cell that recorded it.
_recorded: dict[str, str | None] = {}


def record_metric(
    name: str, value: Any, *, unit: str | None = None, note: str | None = None
) -> None:
    """Report a number: a line for people, and a MIME bundle that `read_metrics` finds again.

    `name` is made of `a-z 0-9 _ . / -`; `value` is a finite number (Python, NumPy, tensor).
    The line is rounded to 4 significant digits, the bundle is not. Raises `ValueError` for
    anything else, and for a name that this run has used before. A person who runs a cell again
    replaces its metrics; `start_lesson` forgets them all.

    Example:
        >>> record_metric("doctest/iou", 0.512345, note="validation, one seed")
        doctest/iou = 0.5123  (validation, one seed)
    """
    if not isinstance(name, str) or not SLUG.fullmatch(name):
        raise ValueError(f"metric name {name!r} must be made of a-z, 0-9, _ . / - only")
    number = _finite_number(name, value)
    _claim(name)
    shown = f"{name} = {_rounded(number)}" + (f" {unit}" if unit else "")
    show_bundle(
        {
            METRIC_MIME: {"name": name, "value": number, "unit": unit},
            "text/plain": shown + (f"  ({note})" if note else ""),
        }
    )


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
            content = output.get("data", {}).get(METRIC_MIME)
            if content is None:
                continue
            if content["name"] in metrics:
                raise ValueError(f"the notebook records metric {content['name']!r} twice")
            metrics[content["name"]] = content["value"]
    return metrics


def forget_metrics() -> None:
    """Start a new run: every name is free again.

    Example:
        >>> forget_metrics()
    """
    _recorded.clear()


def _finite_number(name: str, value: Any) -> int | float:
    array = as_array(value)
    if array is None or array.ndim or isinstance(value, bool) or not math.isfinite(array):
        raise ValueError(f"metric {name!r} must be one finite number, got {value!r}")
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, bool):
        raise ValueError(f"metric {name!r} must be one finite number, got {value!r}")
    return number


def _claim(name: str) -> None:
    execution = execution_id()
    # A batch runs each cell once, so there a second use of a name is always a fault of the lesson.
    again = is_interactive() and _recorded.get(name) != execution
    if name in _recorded and not again:
        raise ValueError(f"metric {name!r} is recorded already: give this one another name")
    _recorded[name] = execution


def _rounded(number: int | float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.4g}"
