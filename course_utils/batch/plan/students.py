"""A folder of students' notebooks as tasks of a batch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

from course_utils.batch.plan.identity import (
    data_fingerprint,
    notebook_fingerprint,
    package_fingerprint,
)
from course_utils.batch.tasks import Limits, Task, task_id
from course_utils.runs.notebooks import Lesson, check_parameters
from course_utils.runs.run import without_outputs

STUDENT_LIMITS = Limits(seconds=600, memory_gb=4, written_gb=1)
"""What a run of code that nobody has read may use."""


def read_students(
    folder: Path,
    lessons: Sequence[Lesson],
    *,
    parameters: dict[str, Any],
    limits: Limits = STUDENT_LIMITS,
) -> tuple[list[Task], dict[Path, str]]:
    """Return a task for each notebook below `folder`, and the files that are none, with reasons.

    A student is called as their file lies: `ada/01_class_imbalance.ipynb` is `ada`,
    `01_ada.ipynb` is `01_ada`. Which lesson it is, the notebook's own metadata tell, whatever the
    file is called. A student's cell that raises an error does not keep later cells from running,
    so that each exercise is judged; the run counts as failed nevertheless. `parameters` are given
    to all, as far as a lesson has them.

    Raises `FileNotFoundError` if there is no notebook at all, `ValueError` for two notebooks of
    one lesson by one student, and parameters that a lesson refuses.
    """
    paths = sorted(p for p in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    if not paths:
        raise FileNotFoundError(f"no notebooks (*.ipynb) below {folder}")
    by_title = {lesson.title: lesson for lesson in lessons}
    package = package_fingerprint()
    tasks: list[Task] = []
    wrong: dict[Path, str] = {}
    taken: dict[tuple[str, str], Path] = {}
    for path in paths:
        try:
            notebook = without_outputs(path)
        except ValueError as error:
            wrong[path] = str(error)
            continue
        lesson = by_title.get(notebook.metadata.get("course", {}).get("title", ""))
        if lesson is None:
            wrong[path] = f"{path} says of no lesson that it is one: was it made from a lesson?"
            continue
        student = _student(path, folder, lesson)
        if (student, lesson.name) in taken:
            earlier = taken[student, lesson.name]
            raise ValueError(f"{earlier} and {path} are both {lesson.name} by {student}: keep one")
        taken[student, lesson.name] = path
        values = check_parameters(
            lesson, {key: value for key, value in parameters.items() if key in lesson.parameters}
        )
        text = _running_on(notebook)
        dataset = str(values.get("dataset", lesson.parameters.get("dataset", "synthetic")))
        code, data = notebook_fingerprint(text), data_fingerprint(dataset)
        identity = task_id(code, values, package, data, student)
        tasks.append(Task(identity, lesson.name, text, values, limits, student=student))
    return tasks, wrong


def _student(path: Path, folder: Path, lesson: Lesson) -> str:
    place = path.relative_to(folder)
    return (
        "/".join(place.parts[:-1]) if path.stem == lesson.name else place.with_suffix("").as_posix()
    )


def _running_on(notebook: nbformat.NotebookNode) -> str:
    """Return the notebook's text, such that it goes on after a cell that raised an error."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            tags = cell.metadata.get("tags", [])
            cell.metadata["tags"] = [*tags, *{"raises-exception"}.difference(tags)]
    return nbformat.writes(notebook)
