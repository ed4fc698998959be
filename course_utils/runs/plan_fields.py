"""What can stand in a plan file, and how its errors are told."""

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

from course_utils.config import MAX_SEED
from course_utils.runs.parameters import format_error, format_value
from course_utils.runs.plan_file import PlanFile

MAX_RUNS = 10_000  # of one plan: more is a slip of a range
_RANGE = re.compile(r"([0-9]{1,10}) *- *([0-9]{1,10})")
_FILE_NAME = re.compile(r"\w([\w .-]{0,98}[\w-])?")


def check_name(name: str) -> str:
    """Return `name` if it can be that of a folder everywhere; else raise `ValueError`."""
    if not _FILE_NAME.fullmatch(name):
        raise ValueError("1 to 100 letters, digits, and _ - . or spaces between them")
    return name


def _read_lesson(given: Any) -> Any:
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


def _read_seeds(given: Any) -> Any:
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


def _check_grid(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    if "seed" in given:
        raise ValueError("seeds: beside parameters:, so that results are gathered over them")
    empty = [name for name, values in given.items() if values == []]
    if empty:
        raise ValueError(f"at least one value of {empty[0]}: an empty list makes no runs")
    return given


Lesson = Annotated[str, BeforeValidator(_read_lesson)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Seeds = Annotated[list[Seed], Field(min_length=1), BeforeValidator(_read_seeds)]
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
    parameters: Annotated[dict[str, Any], BeforeValidator(_check_grid)] = {}
    """Name to a value, or to a list of values."""
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
    """None: the plan leaves it open."""
    scheduler: Annotated[str, Field(pattern=r"^[a-z]+://\S+$")] | None = None
    """Address of a dask scheduler; None: dask on this machine."""

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
    """A plan file."""

    name: Annotated[str, AfterValidator(check_name)] | None = None
    profile: Literal["auto", "smoke", "laptop", "full"] = "auto"
    seeds: Seeds | None = None
    runs: Annotated[list[RunFields], Field(min_length=1)]
    limits: LimitFields = LimitFields()
    retries: Annotated[int, Field(ge=0, le=100)] = 0
    executor: ExecutorFields = ExecutorFields()


_BLOCKS: dict[str, type[BaseModel]] = {
    "runs": RunFields,
    "limits": LimitFields,
    "executor": ExecutorFields,
}


def validate(file: PlanFile) -> tuple[PlanFields, dict[int, RunFields]]:
    """Return the fields that are right, and the right entries of `runs` by their position.

    What is wrong is added to the file's errors. They are raised where no entry is right, as
    nothing is left then that could be checked further.
    """
    try:
        fields = PlanFields.model_validate(file.values)
        return fields, dict(enumerate(fields.runs))
    except ValidationError as error:
        problems = error.errors()
    for problem in problems:
        file.add_error(problem["loc"], _format_problem(problem))
    wrong = {x["loc"][: 2 if x["loc"][:1] == ("runs",) else 1] for x in problems}
    if {(), ("runs",)} & wrong:
        file.raise_errors()
    right = {name: value for name, value in file.values.items() if (name,) not in wrong}
    positions = [i for i in range(len(right["runs"])) if ("runs", i) not in wrong]
    if not positions:
        file.raise_errors()
    right["runs"] = [right["runs"][i] for i in positions]
    fields = PlanFields.model_validate(right)
    return fields, dict(zip(positions, fields.runs, strict=True))


def _format_problem(problem: Mapping[str, Any]) -> str:
    place = problem["loc"]
    if not place:
        return f"got {format_value(problem['input'])}, wanted a mapping with runs: and others"
    if problem["type"] == "string_pattern_mismatch":
        return (
            f"got {format_value(problem['input'])}, wanted an address such as tcp://10.0.0.1:8786"
        )
    if problem["type"] != "extra_forbidden":
        return format_error(problem)
    model: type[BaseModel] = PlanFields
    for step in place[:-1]:
        model = _BLOCKS.get(str(step), model)
    close = difflib.get_close_matches(str(place[-1]), model.model_fields, n=1)
    guess = f" (did you mean {close[0]}?)" if close else ""
    return f"unknown field{guess}: there can be {', '.join(model.model_fields)}"
