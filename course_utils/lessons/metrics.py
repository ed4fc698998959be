"""Numbers that a lesson reports: readable for people, and as JSON for tests and tables."""

import math
import re
from collections.abc import Mapping
from typing import Any

from course_utils.lessons.cards import quiet_html
from course_utils.lessons.expect import as_array
from course_utils.lessons.frontend import execution_id, is_interactive, show_bundle
from course_utils.lessons.records import METRIC_MIME

SLUG = re.compile(r"[a-z0-9_./-]+")

# Name of each metric of this lesson's run -> the execution of the cell that recorded it.
_recorded: dict[str, str | None] = {}


def record_metric(
    name: str, value: Any, *, unit: str | None = None, note: str | None = None
) -> None:
    """Report a number: a line for people, and a MIME bundle that `read_metrics` finds again.

    The line is small print, rounded to 4 significant digits, the bundle is not. A person who runs
    a cell again replaces its metrics; `start_lesson` forgets them all.

    Args:
        name: made of `a-z 0-9 _ . / -`, and unused in this run.
        value: a finite number: Python, NumPy or tensor.
        unit: shown behind the number.
        note: shown in brackets, such as what the number was measured on.

    Raises:
        ValueError: for another name or value, and for a name that this run has used before.

    Example:
        >>> record_metric("doctest/iou", 0.512345, note="validation, one seed")
        doctest/iou = 0.5123  (validation, one seed)
    """
    metric = _checked(name, value, unit)
    _claim(name)
    _show([metric], note, content=metric)


def record_metrics(values: Mapping[str, Any], *, note: str | None = None) -> None:
    """Report several numbers in one line: name -> value, as `record_metric` takes them.

    Raises:
        ValueError: as `record_metric`; nothing is recorded then.

    Example:
        >>> record_metrics({"doctest/ap": 0.25, "doctest/dice": 0.5}, note="one seed")
        doctest/ap = 0.25, doctest/dice = 0.5  (one seed)
    """
    metrics = [_checked(name, value) for name, value in values.items()]
    for name in values:
        _claim(name)
    _show(metrics, note, content=metrics)


def forget_metrics() -> None:
    """Start a new run: every name is free again."""
    _recorded.clear()


def _checked(name: str, value: Any, unit: str | None = None) -> dict[str, Any]:
    if not isinstance(name, str) or not SLUG.fullmatch(name):
        raise ValueError(f"metric name {name!r} must be made of a-z, 0-9, _ . / - only")
    return {"name": name, "value": finite_number(name, value), "unit": unit}


def _show(metrics: list[dict[str, Any]], note: str | None, *, content: object) -> None:
    shown = []
    for metric in metrics:
        value, unit = metric["value"], metric["unit"]
        rounded = str(value) if isinstance(value, int) else f"{value:.4g}"
        shown.append(f"{metric['name']} = {rounded}" + (f" {unit}" if unit else ""))
    text = ", ".join(shown) + (f"  ({note})" if note else "")
    show_bundle({METRIC_MIME: content, "text/html": quiet_html(text), "text/plain": text})


def finite_number(name: str, value: Any) -> int | float:
    """Return `value` as a number of Python; raise `ValueError` unless it is one finite number."""
    array = as_array(value)
    if array is not None and not array.ndim and math.isfinite(array):
        number = value.item() if hasattr(value, "item") else value
        if not isinstance(number, bool):
            return number
    raise ValueError(f"{name!r} must be one finite number, got {value!r}")


def _claim(name: str) -> None:
    execution = execution_id()
    # A batch runs each cell once, so there a second use of a name is always a fault of the lesson.
    again = is_interactive() and _recorded.get(name) != execution
    if name in _recorded and not again:
        raise ValueError(f"metric {name!r} is recorded already: give this one another name")
    _recorded[name] = execution
