"""Parameters of a lesson, checked against its notebook and its declaration before it starts."""

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from course_utils.config import check_seed, get_profile
from course_utils.lessons.content import LESSONS

if TYPE_CHECKING:
    from course_utils.runs.notebooks import Lesson

_WANTED = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "too_short": "a list with at least one thing in it",
}
"""What pydantic's types of errors want, in words that need no Python."""
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


class ParameterError(ValueError):
    """Parameters that a lesson does not take.

    Attributes:
        reasons: what is wrong with each, by its name; `""` for the parameters together.
    """

    def __init__(self, lesson: str, reasons: Mapping[str, str]) -> None:
        lines = [f"{name}: {reason}" if name else reason for name, reason in reasons.items()]
        super().__init__("\n  ".join([f"lesson {lesson} cannot start:", *lines]))
        self.reasons = dict(reasons)


def check_parameters(
    lesson: "Lesson", given: Mapping[str, Any], *, convert_text: bool = True
) -> dict[str, Any]:
    """Return `given` with each value in the type of the lesson's default.

    The path of a data set `folder:<path>` becomes absolute.

    Args:
        lesson: whose parameters these are.
        given: their values; what is left out keeps the default of the notebook.
        convert_text: take text for a number or a list where the lesson wants one, as on the
            command line; else, as from a plan file, refuse it.

    Raises:
        ParameterError: for parameters that the lesson does not have, values of another type, an
            unknown profile, or a seed out of range; for a lesson of the course also for whatever
            else its own declaration refuses, such as a data set that it does not know.
    """
    checked, reasons = {}, {}
    for name, value in given.items():
        try:
            checked[name] = _check(lesson, name, value, convert_text)
        except ValueError as error:
            reasons[name] = str(error)
    declared = [spec.parameters for spec in LESSONS if spec.name == lesson.name]
    if declared and not reasons:
        try:
            declared[0].model_validate(checked)
        except ValidationError as error:
            for problem in error.errors():
                name = str(problem["loc"][0]) if problem["loc"] else ""
                reasons.setdefault(name, format_error(problem))
    if reasons:
        raise ParameterError(lesson.name, reasons)
    return checked


def format_error(problem: Mapping[str, Any]) -> str:
    """Return one of pydantic's errors as what was given and what is wanted."""
    if problem["type"] == "missing":
        return "is missing"
    wanted = _WANTED.get(problem["type"]) or problem["msg"].removeprefix("Input should be ")
    if problem["type"] == "string_type" and isinstance(problem["input"], bool | int | float):
        wanted += ": put it in quotes"
    return f"got {format_value(problem['input'])}, wanted {wanted.removeprefix('Value error, ')}"


def format_value(value: Any) -> str:
    """Return a value in few words.

    Example:
        >>> format_value("0"), format_value(0), format_value(None), format_value({"a": 1})
        ('"0"', '0', 'nothing', 'a mapping')
    """
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_literal(text: str) -> Any:
    """Return the value of a Python literal; other text as it is."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _check(lesson: "Lesson", name: str, value: Any, convert_text: bool) -> Any:
    if name not in lesson.parameters:
        known = ", ".join(lesson.parameters) or "none"
        raise ValueError(f"{lesson.name} has no such parameter: it has {known}")
    default = lesson.parameters[name]
    kind: type = str if name in ("profile", "dataset") else type(default)
    if convert_text and isinstance(value, str) and kind is not str:
        value = _read_text(value)
    if kind is float and type(value) is int:
        value = float(value)
    if kind not in (type(value), type(None)):
        wanted = f"{_KINDS.get(kind, kind.__name__)} such as {format_value(default)}"
        hint = "" if convert_text else _hint(kind, value)
        raise ValueError(f"got {format_value(value)}, wanted {wanted} of {lesson.name}{hint}")
    if name == "profile":
        return str(get_profile(value))
    if name == "dataset" and value.startswith("folder:") and value != "folder:":
        folder = Path(value.removeprefix("folder:")).expanduser()
        return f"folder:{folder.absolute()}"  # the notebook runs in another directory
    return check_seed(value) if name == "seed" else value


def _hint(kind: type, value: Any) -> str:
    """Return how to write a value of that kind in YAML."""
    if kind is str and not isinstance(value, list | dict):
        return ": put it in quotes"
    if kind in (int, float) and isinstance(value, str):
        return ": without quotes, in decimals"
    return ": write it in the list of its values" if kind is list else ""


def _read_text(text: str) -> Any:
    spelled = {"true": "true", "false": "false", "none": "null"}.get(text.lower(), text)
    try:
        return json.loads(spelled)
    except json.JSONDecodeError:
        return read_literal(text)
