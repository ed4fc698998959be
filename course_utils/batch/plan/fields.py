"""What may stand in a plan file, and what people hear of what may not."""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from course_utils.batch.plan.yaml_lines import Place, shown
from course_utils.config import MAX_SEED

MAX_RUNS = 10_000  # of one plan: more is a slip of a range
_RANGE = re.compile(r"([0-9]{1,10}) *- *([0-9]{1,10})")
_FILE_NAME = re.compile(r"\w([\w .-]{0,98}[\w-])?")


def check_name(name: str) -> str:
    """Return `name` if it can be that of a folder everywhere; else raise `ValueError`."""
    if not _FILE_NAME.fullmatch(name):
        raise ValueError("1 to 100 letters, digits, and _ - . or spaces between them")
    return name


def _lesson_as_text(given: Any) -> Any:
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


def _seeds(given: Any) -> Any:
    if isinstance(given, int) and not isinstance(given, bool):
        raise ValueError(f"a list such as [{given}], or a range such as 0-4")
    if not isinstance(given, str):
        return given
    match = _RANGE.fullmatch(given)
    if not match:
        raise ValueError("a list such as [0, 1, 2], or a range such as 0-4")
    first, last = int(match[1]), int(match[2])
    if not first <= last <= MAX_SEED:
        raise ValueError(f"a range of rising whole numbers in 0..{MAX_SEED}")
    if last - first >= MAX_RUNS:
        raise ValueError(f"at most {MAX_RUNS} seeds")
    return list(range(first, last + 1))


def _as_grid(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    empty = [name for name, values in given.items() if values == []]
    if empty:
        raise ValueError(f"at least one value of {empty[0]}: an empty list makes no runs")
    return {name: v if isinstance(v, list) else [v] for name, v in given.items()}


Lesson = Annotated[str, BeforeValidator(_lesson_as_text)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Seeds = Annotated[list[Seed], Field(min_length=1), BeforeValidator(_seeds)]
Above0 = Annotated[float, Field(gt=0)]


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LimitFields(_Fields):
    """The block `limits`; null lifts a limit."""

    seconds: Above0 = 3600
    cell_seconds: Above0 | None = None
    memory_gb: Above0 | None = None
    written_gb: Above0 | None = None


class RunFields(_Fields):
    """One entry of `runs`."""

    lesson: Lesson | None = None
    lessons: Annotated[list[Lesson], Field(min_length=1)] | None = None
    parameters: Annotated[dict[str, list[Any]], BeforeValidator(_as_grid)] = {}
    seeds: Seeds | None = None
    limits: LimitFields = LimitFields()

    @model_validator(mode="after")
    def _one_way_to_name_lessons(self) -> "RunFields":
        if (self.lesson is None) == (self.lessons is None):
            raise ValueError("either lesson or lessons")
        return self


class ExecutorFields(_Fields):
    """The block `executor`."""

    kind: Literal["serial", "processes", "dask"] = "serial"
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    scheduler: Annotated[str, Field(pattern=r"^[a-z]+://\S+$")] | None = None

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> "ExecutorFields":
        if self.kind == "serial" and self.workers not in (None, 1):
            raise ValueError("kind: processes or kind: dask, since serial has one worker")
        if self.scheduler and self.kind != "dask":
            raise ValueError("kind: dask, since only dask has a scheduler")
        if self.scheduler and self.workers:
            raise ValueError("scheduler or workers, since a scheduler brings its own workers")
        return self


class PlanFields(_Fields):
    """A plan file, but for its entries of `runs`, which are checked one by one."""

    name: Annotated[str, AfterValidator(check_name)] | None = None
    profile: Literal["auto", "smoke", "laptop", "full"] = "auto"
    seeds: Seeds | None = None
    runs: Annotated[list[Any], Field(min_length=1)]
    limits: LimitFields = LimitFields()
    retries: Annotated[int, Field(ge=0, le=100)] = 0
    executor: ExecutorFields = ExecutorFields()


def complaint(model: type[BaseModel], problem: Mapping[str, Any]) -> tuple[Place, str]:
    """Return the place of one of pydantic's errors on `model`, and what to tell of it."""
    place: Place = problem["loc"]
    kind, given = problem["type"], shown(problem["input"])
    if kind == "extra_forbidden":
        known = _known_fields(model, place[:-1])
        close = difflib.get_close_matches(str(place[-1]), known, n=1)
        guess = f" (did you mean {close[0]}?)" if close else ""
        return place, f"unknown field{guess}: there can be {', '.join(known)}"
    if kind == "missing":
        return place, "is missing"
    wanted = _WANTED.get(kind) or problem["msg"].removeprefix("Input should be ")
    if kind == "string_type" and isinstance(problem["input"], bool | int | float):
        wanted += ": put it in quotes"
    if kind == "string_pattern_mismatch":
        wanted = "an address such as tcp://10.0.0.1:8786"
    return place, f"got {given}, wanted {wanted.removeprefix('Value error, ')}"


def problems(model: type[BaseModel], given: Any) -> list[tuple[Place, str]]:
    """Return what is wrong with `given` as a `model`: where, and what to tell of it."""
    try:
        model.model_validate(given)
    except ValidationError as error:
        return [complaint(model, dict(problem)) for problem in error.errors()]
    return []


_WANTED = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "too_short": "a list with at least one thing in it",
}


def _known_fields(model: type[BaseModel], place: Place) -> list[str]:
    for step in place:
        default = model.model_fields[str(step)].default
        if isinstance(default, BaseModel):
            model = type(default)
    return list(model.model_fields)
