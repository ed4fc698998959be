"""The plan of a batch: lessons x parameters x seeds, checked whole before any kernel starts."""

from dataclasses import dataclass, field
from pathlib import Path

from course_utils.batch.plan.fields import (
    ExecutorFields,
    PlanFields,
    RunFields,
    check_name,
    problems,
)
from course_utils.batch.plan.task_maker import TaskMaker
from course_utils.batch.plan.yaml_lines import YamlFile, shown
from course_utils.batch.tasks import Task
from course_utils.config import get_profile
from course_utils.runs.notebooks import notebooks_folder


@dataclass(frozen=True)
class Executor:
    """What runs the tasks."""

    kind: str = "serial"
    """`serial`, `processes` or `dask`."""
    workers: int | None = None
    """None: the plan leaves it open."""
    scheduler: str = ""
    """Address of a dask scheduler; empty: dask on this machine."""


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
    executor: Executor
    notes: tuple[str, ...]
    """What a person should know: what was dropped, and what has no effect."""
    _tasks: tuple[Task, ...] = field(repr=False)

    def tasks(self) -> list[Task]:
        """Return a task for every combination, in the order of the file, seeds changing fastest."""
        return list(self._tasks)


def read_plan(path: str | Path, *, notebooks: str | Path | None = None) -> Plan:
    """Read a plan file (YAML), check it against the lessons and the data, return the plan.

    Lessons are those in the folder `notebooks`, by default `notebooks_folder()`. Each combination
    is checked against the parameters of its own notebook, names and types; text is not taken for a
    number. A relative `folder:<path>` starts at the plan file. A run's `limits` replace those of
    the plan one by one. A notebook that has no `seed` is run once, and no parameter is passed that
    it does not have. A task that two entries give is made once.

    Raises:
        FileNotFoundError: if there is no such file, and one `ValueError` that names file, line and
            field of all that is wrong in it, data sets that are not on disk among them.
    """
    file = YamlFile(path)
    given = file.values
    if not isinstance(given, dict):
        file.complain((), f"got {shown(given)}, wanted a mapping with runs: and others")
        file.raise_complaints()
    wrong = problems(PlanFields, given)
    for place, text in wrong:
        file.complain(place, text)
    # What is right is read on, so that its entries are checked in the same go.
    right = {key: v for key, v in given.items() if key not in {place[0] for place, _ in wrong}}
    fields = PlanFields.model_validate({"runs": [None], **right})
    name, profile = _name(file, fields), _profile(file, fields)
    folder = Path(notebooks) if notebooks else notebooks_folder()
    maker = TaskMaker(file, folder, fields, profile)
    for number, entry in enumerate(right.get("runs", [])):
        mistakes = problems(RunFields, entry)
        for place, text in mistakes:
            file.complain(("runs", number, *place), text)
        if not mistakes:
            maker.add(number, RunFields.model_validate(entry))
    file.raise_complaints()
    executor, notes = _executor(fields.executor), tuple(maker.notes)
    return Plan(file.path, name, profile, fields.retries, executor, notes, maker.tasks())


def _name(file: YamlFile, fields: PlanFields) -> str:
    name = fields.name or file.path.stem
    try:
        return check_name(name)
    except ValueError as error:
        file.complain(("name",), f"is missing, and the name of the file is not {error}")
        return ""


def _profile(file: YamlFile, fields: PlanFields) -> str:
    try:
        return str(get_profile(fields.profile))
    except ValueError as error:
        file.complain(("profile",), str(error))
        return "laptop"


def _executor(given: ExecutorFields) -> Executor:
    return Executor(given.kind, given.workers, given.scheduler or "")
