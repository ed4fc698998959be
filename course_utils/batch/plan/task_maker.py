"""The runs of a plan as tasks: each combination, checked against its own notebook."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import nbformat

from course_utils.batch.plan.fields import MAX_RUNS, LimitFields, PlanFields, RunFields
from course_utils.batch.plan.identity import (
    FOLDER_PREFIX,
    data_fingerprint,
    notebook_fingerprint,
    package_fingerprint,
)
from course_utils.batch.plan.yaml_lines import Place, YamlFile, shown
from course_utils.batch.tasks import Limits, Task, task_id
from course_utils.config import get_profile
from course_utils.runs.notebooks import Lesson, find_lessons
from course_utils.runs.parameters import check_parameters
from course_utils.runs.run import without_outputs

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class _Choice:
    """A parameter's value and where it stands."""

    name: str
    value: Any
    place: Place


class TaskMaker:
    """Makes the tasks of one plan file; complaints go to the file, which raises them at the end."""

    def __init__(self, file: YamlFile, notebooks: Path, fields: PlanFields, profile: str) -> None:
        self.file = file
        self.notebooks = notebooks
        self.fields = fields
        self.profile = profile
        self.notes: dict[str, None] = {}
        self._made: dict[str, tuple[Task, int]] = {}
        """By id: the task and the entry that gave it."""
        self._lessons: dict[str, Lesson | str] = {}
        self._texts: dict[Path, tuple[str, str]] = {}
        self._data: dict[str, tuple[str, str]] = {}

    def tasks(self) -> tuple[Task, ...]:
        """Return the tasks that were made, in the order of the file."""
        return tuple(task for task, _ in self._made.values())

    def add(self, number: int, entry: RunFields) -> None:
        """Make the tasks of entry `number` of the file's runs."""
        limits = _limits(self.fields.limits, entry.limits)
        dropped: dict[int, int] = {}
        for place, name in _named_lessons(number, entry):
            lesson = self._lesson(name)
            if isinstance(lesson, str):
                self.file.complain(place, lesson)
                continue
            axes = self._axes(number, entry, lesson)
            if axes is None:
                continue
            for choices in product(*axes):
                task = self._task(lesson, choices, limits, place)
                if task is None:
                    continue
                if task.id in self._made:
                    earlier = self._made[task.id][1]
                    dropped[earlier] = dropped.get(earlier, 0) + 1
                else:
                    self._made[task.id] = task, number
        for earlier, count in dropped.items():
            where = self.file.line(("runs", earlier))
            self.notes[
                f"{self._where(('runs', number))}: {count} of its runs "
                f"{'is' if count == 1 else 'are'} there already, from runs[{earlier}] in line "
                f"{where}: made once, as they stand there"
            ] = None

    def _axes(self, number: int, entry: RunFields, lesson: Lesson) -> list[list[_Choice]] | None:
        """Return the values of each parameter; None, after complaints, if they do not fit."""
        axes = []
        if "profile" in lesson.parameters and "profile" not in entry.parameters:
            axes.append([_Choice("profile", self.profile, ("profile",))])
        grid: Place = ("runs", number, "parameters")
        given = _at(self.file.values, grid) if entry.parameters else {}
        for name, values in entry.parameters.items():
            listed = isinstance(given[name], list)
            axes.append(
                [
                    _Choice(name, value, (*grid, name, i) if listed else (*grid, name))
                    for i, value in enumerate(values)
                ]
            )
        place: Place = ("seeds",) if entry.seeds is None else ("runs", number, "seeds")
        seeds = self.fields.seeds if entry.seeds is None else entry.seeds
        if "seed" in lesson.parameters and "seed" not in entry.parameters:
            axes.append([_Choice("seed", seed, place) for seed in seeds or [0]])
        elif seeds and "seed" not in entry.parameters:
            self.notes[f"{lesson.name} has no parameter seed: run once, not for each seed"] = None
        if self.fields.profile != "auto" and "profile" not in lesson.parameters:
            self.notes[f"{lesson.name} has no parameter profile: run as it is"] = None
        wrong = [
            (choice.place, text)
            for choices in axes
            for choice in choices
            if (text := _misfit(lesson, choice))
        ]
        runs = math.prod(len(choices) for choices in axes)
        if not wrong and len(self._made) + runs > MAX_RUNS:
            wrong = [(("runs", number), f"makes the plan larger than {MAX_RUNS} runs: split it")]
        for where, text in wrong:
            self.file.complain(where, text)
        return None if wrong else axes

    def _task(
        self, lesson: Lesson, choices: tuple[_Choice, ...], limits: Limits, place: Place
    ) -> Task | None:
        places = {choice.name: choice.place for choice in choices}
        given = {choice.name: self._absolute(choice) for choice in choices}
        if isinstance(lesson.parameters.get("dataset"), str):
            given.setdefault("dataset", lesson.parameters["dataset"])
        try:
            checked = check_parameters(lesson, given)
        except ValueError as error:
            for name, text in _by_parameter(str(error), places):
                self.file.complain(places.get(name, place), text)
            return None
        data, missing = self._data_of(checked)
        if missing:
            at = places.get("dataset", place)
            self.file.complain(at, f"got {shown(checked['dataset'])}: {missing}")
            return None
        text, code = self._text(lesson)
        # A value that is the notebook's own makes the same work as none.
        own = {
            name: value
            for name, value in checked.items()
            if name in ("profile", "dataset", "seed") or value != lesson.parameters[name]
        }
        name = task_id(code, own, package_fingerprint(), data)
        return Task(name, lesson.name, text, checked, limits)

    def _lesson(self, name: str) -> Lesson | str:
        """Return the lesson, or what is wrong."""
        if name not in self._lessons:
            try:
                (self._lessons[name],) = find_lessons(self.notebooks, [name])
            except (ValueError, OSError) as error:
                self._lessons[name] = str(error)
            except (TypeError, AttributeError, KeyError) as error:
                # nbformat and the metadata's readers stumble over JSON that is no notebook.
                self._lessons[name] = f"lesson {name!r} cannot be read as a notebook: {error}"
        return self._lessons[name]

    def _text(self, lesson: Lesson) -> tuple[str, str]:
        """Return the notebook without its outputs, and what names its code."""
        if lesson.path not in self._texts:
            text = nbformat.writes(without_outputs(lesson.path))
            self._texts[lesson.path] = text, notebook_fingerprint(text)
        return self._texts[lesson.path]

    def _data_of(self, parameters: dict[str, Any]) -> tuple[str, str]:
        """Return what names the data, and why it cannot be used; one of them is empty."""
        dataset = parameters.get("dataset", "")
        if dataset and dataset not in self._data:
            try:
                self._data[dataset] = data_fingerprint(dataset), ""
            except (ValueError, OSError) as error:
                self._data[dataset] = "", str(error)
        return self._data.get(dataset, ("", ""))

    def _absolute(self, choice: _Choice) -> Any:
        """Return the value; that of a data set in a folder from where the plan lies."""
        value = choice.value
        if choice.name != "dataset" or not value.startswith(FOLDER_PREFIX):
            return value
        folder = value.removeprefix(FOLDER_PREFIX)
        if not folder:
            return value
        return f"{FOLDER_PREFIX}{self.file.path.absolute().parent / Path(folder).expanduser()}"

    def _where(self, place: tuple[str, int]) -> str:
        return f"line {self.file.line(place)}, {place[0]}[{place[1]}]"


def _named_lessons(number: int, entry: RunFields) -> Iterator[tuple[Place, str]]:
    if entry.lesson is not None:
        yield ("runs", number, "lesson"), entry.lesson
    for i, name in enumerate(entry.lessons or []):
        yield ("runs", number, "lessons", i), name


def _misfit(lesson: Lesson, choice: _Choice) -> str:
    """Return why a value does not fit its parameter's name and type; empty if it does."""
    if choice.name not in lesson.parameters:
        known = ", ".join(lesson.parameters) or "none"
        return f"{lesson.name} has no such parameter: it has {known}"
    if choice.name == "seed" and choice.place[-1] != "seeds":
        return "write seeds: beside parameters:, so that results are gathered over them"
    default, value = lesson.parameters[choice.name], choice.value
    if choice.name in ("profile", "dataset") and default is None:
        default = "auto" if choice.name == "profile" else "synthetic"
    kind = type(default)
    if choice.name == "profile" and isinstance(value, str):
        return _unknown_profile(value)
    fits = type(value) is kind or (kind is float and type(value) is int)
    if default is None or fits:
        return ""
    wanted = _KINDS.get(kind, "a list, in the list of its values" if kind is list else "a mapping")
    hint = ""
    if kind is str and not isinstance(value, list | dict):
        hint = ": put it in quotes"
    elif isinstance(value, str) and kind in (int, float):
        hint = ": without quotes, in decimals"
    return f"got {shown(value)}, wanted {wanted} such as {shown(default)} of {lesson.name}{hint}"


def _unknown_profile(name: str) -> str:
    try:
        get_profile(name)
    except ValueError as error:
        return str(error)
    return ""


def _by_parameter(message: str, places: dict[str, Place]) -> Iterator[tuple[str, str]]:
    """Split what a lesson refuses, a line for each parameter, as `read_parameters` writes it."""
    _, *rows = message.split("\n  ")
    named = [(name, text) for row in rows for name, _, text in [row.partition(": ")]]
    if named and all(name in (*places, "dataset") for name, _ in named):
        yield from named
    else:
        yield "", message


def _limits(plan: LimitFields, run: LimitFields) -> Limits:
    return Limits(**{**plan.model_dump(), **run.model_dump(exclude_unset=True)})


def _at(values: Any, place: Place) -> Any:
    for step in place:
        values = values[step]
    return values
