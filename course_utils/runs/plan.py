"""The plan of a batch: lessons x parameters x seeds, checked whole before any kernel starts."""

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import nbformat

from course_utils.config import get_profile
from course_utils.data import data_fingerprint
from course_utils.data.opening import FOLDER_PREFIX
from course_utils.runs.fingerprints import notebook_fingerprint, package_fingerprint
from course_utils.runs.notebooks import Lesson, find_lessons, notebooks_folder
from course_utils.runs.parameters import ParameterError, check_parameters, format_value
from course_utils.runs.plan_fields import (
    MAX_RUNS,
    ExecutorFields,
    PlanFields,
    RunFields,
    check_name,
    validate,
)
from course_utils.runs.plan_file import Place, PlanFile
from course_utils.runs.records import Limits, Task, task_id
from course_utils.runs.run import without_outputs


@dataclass(frozen=True)
class Plan:
    """A plan file that has been found right, and the tasks that it makes."""

    path: Path
    name: str
    """The one in the file, else the file's own without its ending."""
    profile: str
    """Never `auto`."""
    retries: int
    """Further attempts after killed, timeout or out-of-memory."""
    executor: ExecutorFields
    notes: tuple[str, ...]
    """What a person should know: what was dropped, and what has no effect."""
    tasks: tuple[Task, ...] = field(repr=False)
    """One for every combination, in the order of the file, seeds changing fastest."""


def read_plan(path: str | Path, *, notebooks: str | Path | None = None) -> Plan:
    """Read a plan file (YAML), check it against the lessons and the data, return the plan.

    Each combination is checked against the parameters of its own notebook, names and types; text
    is not taken for a number. A relative `folder:<path>` starts at the plan file. A run's `limits`
    replace those of the plan one by one. A notebook that has no `seed` is run once, and no
    parameter is passed that it does not have. A task that two entries give is made once.

    Args:
        path: the file.
        notebooks: folder of the lessons, by default `notebooks_folder()`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: with file, line and field of all that is wrong in it, data sets that are not on
            disk among them.
    """
    file = PlanFile(path)
    fields, runs = validate(file)
    name = fields.name or file.path.stem
    try:
        check_name(name)
    except ValueError as error:
        file.add_error(("name",), f"is missing, and the name of the file is not {error}")
    profile = "laptop"
    try:
        profile = str(get_profile(fields.profile))
    except ValueError as error:
        file.add_error(("profile",), str(error))
    folder = Path(notebooks) if notebooks else notebooks_folder()
    tasks, notes = expand_grid(file, fields, runs, profile=profile, notebooks=folder)
    file.raise_errors()
    return Plan(file.path, name, profile, fields.retries, fields.executor, notes, tasks)


def expand_grid(
    file: PlanFile,
    fields: PlanFields,
    runs: Mapping[int, RunFields],
    *,
    profile: str,
    notebooks: Path,
) -> tuple[tuple[Task, ...], tuple[str, ...]]:
    """Return a task for each combination in `runs`, entries by their position, and notes.

    What does not fit its notebook or the data is added to the errors of `file`, and makes no task.
    """
    made: dict[str, tuple[Task, int]] = {}
    notes: dict[str, None] = {}
    read_notebook, check_data = cache(_read_notebook), cache(_check_data)
    for position, entry in runs.items():
        limits = Limits(**fields.limits.model_dump() | entry.limits.model_dump(exclude_unset=True))
        repeated: Counter[int] = Counter()
        for place, lesson_name in _named_lessons(position, entry):
            try:
                lesson, text, code = read_notebook(notebooks, lesson_name)
            except (ValueError, OSError) as error:
                file.add_error(place, str(error))
                continue
            notes |= dict.fromkeys(_without_effect(lesson, fields, entry))
            axes = _axes(file, position, entry, lesson, profile)
            seeds = _seeds(lesson, fields, entry)
            if len(made) + math.prod(map(len, axes)) * len(seeds) > MAX_RUNS:
                too_large = f"makes the plan larger than {MAX_RUNS} runs: split it"
                file.add_error(("runs", position), too_large)
                continue
            for choices in product(*axes):
                places = {choice.name: choice.place for choice in choices}
                given = {choice.name: choice.value for choice in choices}
                try:
                    values = check_parameters(lesson, given, convert_text=False)
                except ParameterError as error:
                    reasons = error.reasons
                else:
                    data, reasons = check_data(values.get("dataset", ""))
                for name, reason in reasons.items():
                    file.add_error(places.get(name, place), reason)
                if reasons:
                    continue
                for seed in seeds:
                    task = _task(lesson, text, code, {**values, **seed}, data, limits)
                    if task.id in made:
                        repeated[made[task.id][1]] += 1
                    else:
                        made[task.id] = task, position
        for earlier, count in repeated.items():
            notes[
                f"line {file.line(('runs', position))}, runs[{position}]: {count} of its runs "
                f"{'is' if count == 1 else 'are'} there already, from runs[{earlier}] in line "
                f"{file.line(('runs', earlier))}: made once, as they stand there"
            ] = None
    return tuple(task for task, _ in made.values()), tuple(notes)


@dataclass(frozen=True)
class Estimate:
    """What is known before a batch starts."""

    work: float
    """Seconds of all runs whose length is known, one after the other."""
    wall_clock: float
    """Seconds until the last of these has ended."""
    known: int
    """How many runs these are."""
    unknown: int
    """How many other runs there are: the more, the more the seconds above fall short."""


def estimate(
    tasks: Sequence[Task], durations: Mapping[tuple[str, str], float], workers: int
) -> Estimate:
    """Estimate the seconds that `workers` need for `tasks`, taken in their order.

    Args:
        tasks: A task counts with the seconds of its lesson and data set; else with those of
            (lesson, ""), if they are there; else with the mean over the lesson's other data sets;
            else as unknown. One whose notebook has no data set counts as (lesson, "").
        durations: seconds by (lesson, data set), of runs of the same profile.
        workers: how many run at a time.

    Raises:
        ValueError: for fewer than one worker.

    Example:
        >>> three = [Task(str(i), "01_a", "", {"dataset": "synthetic"}) for i in range(3)]
        >>> estimate(three, {("01_a", "synthetic"): 10.0}, workers=2)
        Estimate(work=30.0, wall_clock=20.0, known=3, unknown=0)
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    lengths = [_length(task, durations) for task in tasks]
    known = [length for length in lengths if length is not None]
    free_at = [0.0] * min(workers, max(1, len(known)))  # a heap: the first to be free comes first
    for length in known:
        heapq.heapreplace(free_at, free_at[0] + length)
    return Estimate(sum(known, 0.0), max(free_at), len(known), len(tasks) - len(known))


@dataclass(frozen=True)
class _Choice:
    """A parameter's value and where it stands in the file."""

    name: str
    value: Any
    place: Place


def _named_lessons(position: int, entry: RunFields) -> Iterator[tuple[Place, str]]:
    if entry.lesson is not None:
        yield ("runs", position, "lesson"), entry.lesson
    for i, name in enumerate(entry.lessons or []):
        yield ("runs", position, "lessons", i), name


def _read_notebook(folder: Path, name: str) -> tuple[Lesson, str, str]:
    """Return the lesson, its notebook without outputs, and what names the notebook's code."""
    try:
        (lesson,) = find_lessons(folder, [name])
        text = nbformat.writes(without_outputs(lesson.path))
        return lesson, text, notebook_fingerprint(text)
    except (TypeError, AttributeError, KeyError) as error:
        # nbformat and the metadata's readers stumble over JSON that is no notebook.
        raise ValueError(f"lesson {name!r} cannot be read as a notebook: {error}") from error


def _check_data(dataset: str) -> tuple[str, dict[str, str]]:
    """Return what names the files of a data set, and the reason if it cannot be used."""
    try:
        return data_fingerprint(dataset) if dataset else "", {}
    except (ValueError, OSError) as error:
        return "", {"dataset": f"got {format_value(dataset)}: {error}"}


def _axes(
    file: PlanFile, position: int, entry: RunFields, lesson: Lesson, profile: str
) -> list[list[_Choice]]:
    """Return the values of each parameter but the seed."""
    own = {"profile": profile, "dataset": lesson.parameters.get("dataset")}
    axes = [
        [_Choice(name, value, (name,) if name == "profile" else ("runs", position))]
        for name, value in own.items()
        if name in lesson.parameters and name not in entry.parameters and value is not None
    ]
    for name, values in entry.parameters.items():
        place: Place = ("runs", position, "parameters", name)
        if isinstance(values, list):
            axes.append([_Choice(name, v, (*place, i)) for i, v in enumerate(values)])
        else:
            axes.append([_Choice(name, values, place)])
    folder = file.path.absolute().parent
    return [[replace(c, value=_start_at(folder, c.name, c.value)) for c in axis] for axis in axes]


def _start_at(folder: Path, name: str, value: Any) -> Any:
    """Return the value of a parameter; a data set's relative path made to start at `folder`."""
    prefix, path = FOLDER_PREFIX, str(value).removeprefix(FOLDER_PREFIX)
    if name != "dataset" or not str(value).startswith(prefix) or not path:
        return value
    return f"{prefix}{folder / Path(path).expanduser()}"


def _seeds(lesson: Lesson, fields: PlanFields, entry: RunFields) -> list[dict[str, int]]:
    if "seed" not in lesson.parameters:
        return [{}]
    return [{"seed": seed} for seed in entry.seeds or fields.seeds or [0]]


def _without_effect(lesson: Lesson, fields: PlanFields, entry: RunFields) -> Iterator[str]:
    if "seed" not in lesson.parameters and (entry.seeds or fields.seeds):
        yield f"{lesson.name} has no parameter seed: run once, not for each seed"
    if "profile" not in lesson.parameters and fields.profile != "auto":
        yield f"{lesson.name} has no parameter profile: run as it is"


def _task(
    lesson: Lesson, text: str, code: str, values: dict[str, Any], data: str, limits: Limits
) -> Task:
    # A value that is the notebook's own makes the same work as none.
    named = {
        name: value
        for name, value in values.items()
        if name in ("profile", "dataset", "seed") or value != lesson.parameters[name]
    }
    name = task_id(code, named, package_fingerprint(), data)
    return Task(name, lesson.name, text, values, limits)


def _length(task: Task, durations: Mapping[tuple[str, str], float]) -> float | None:
    for dataset in (str(task.parameters.get("dataset", "")), ""):
        if (task.lesson, dataset) in durations:
            return durations[task.lesson, dataset]
    others = [seconds for (lesson, _), seconds in durations.items() if lesson == task.lesson]
    return mean(others) if others else None
