"""A folder of students' notebooks as tasks of a batch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

from course_utils.data import data_fingerprint
from course_utils.runs.fingerprints import notebook_fingerprint, package_fingerprint
from course_utils.runs.notebooks import Lesson
from course_utils.runs.parameters import check_parameters
from course_utils.runs.records import STUDENT_LIMITS, Limits, Task, task_id
from course_utils.runs.run import without_outputs

PYTHON = {"display_name": "Python 3", "language": "python", "name": "python3"}


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
    file is called. A student's cell that raises an error, or is interrupted since it takes too
    long, does not keep later cells from running, so that each exercise is graded; the run counts
    as failed nevertheless.

    Args:
        folder: with their notebooks, in any depth.
        lessons: what the notebooks may be of.
        parameters: of every run, as far as its lesson has them.
        limits: of every run.

    Raises:
        FileNotFoundError: if there is no notebook at all.
        ValueError: for two notebooks of one lesson by one student, and parameters that a lesson
            refuses.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: give the one with their notebooks")
    paths = sorted(
        path
        for path in folder.rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts and not path.is_dir()
    )
    if not paths:
        raise FileNotFoundError(f"no notebooks (*.ipynb) below {folder}")
    by_title = {lesson.title: lesson for lesson in lessons}
    package = package_fingerprint()
    tasks: list[Task] = []
    wrong: dict[Path, str] = {}
    taken: dict[tuple[str, str], Path] = {}
    for path in paths:
        try:
            title, text, code = _read_notebook(path)
        except (ValueError, OSError) as error:
            wrong[path] = _as_utf8(str(error))
            continue
        lesson = by_title.get(title)
        if lesson is None:
            said = f"{path} says of no lesson that it is one: was it made from a lesson?"
            wrong[path] = _as_utf8(said)
            continue
        student = _student(path, folder, lesson)
        if (student, lesson.name) in taken:
            earlier = taken[student, lesson.name]
            both = _as_utf8(f"{earlier} and {path}")
            raise ValueError(f"{both} are both {lesson.name} by {student}: keep one")
        taken[student, lesson.name] = path
        values = check_parameters(
            lesson, {key: value for key, value in parameters.items() if key in lesson.parameters}
        )
        dataset = str(values.get("dataset", lesson.parameters.get("dataset", "synthetic")))
        identity = task_id(code, values, package, data_fingerprint(dataset), student)
        tasks.append(Task(identity, lesson.name, text, values, limits, student=student))
    return tasks, wrong


def _read_notebook(path: Path) -> tuple[str, str, str]:
    """Return the title of the lesson that a notebook says it is, its text, and its fingerprint."""
    notebook = without_outputs(path)
    try:
        about = notebook.metadata.get("course", {})
        title, text = str(about.get("title", "")), _running_on(notebook)
        text.encode()  # a notebook can spell what no file can hold
        code = notebook_fingerprint(text)
    except (AttributeError, KeyError, TypeError, UnicodeEncodeError) as error:
        raise ValueError(f"{path} is not a notebook ({error}): take a fresh copy of it") from error
    return title, text, code


def _student(path: Path, folder: Path, lesson: Lesson) -> str:
    place = path.relative_to(folder)
    name = place.parent if path.stem == lesson.name else place.with_suffix("")
    return _as_utf8(name.as_posix() if name.parts else path.stem)


def _as_utf8(text: str) -> str:
    r"""Return a text with file names in it such that it can be written in UTF-8.

    Example:
        >>> _as_utf8("Zo\udceb"), _as_utf8("Zoë")
        ('Zo\\udceb', 'Zoë')
    """
    return text.encode("utf-8", "backslashreplace").decode()


def _running_on(notebook: nbformat.NotebookNode) -> str:
    """Return the notebook's text, such that it goes on after a cell that raised an error."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            tags = cell.metadata.get("tags") or []
            cell.metadata["tags"] = [*tags, *{"raises-exception"}.difference(tags)]
    # Some editors leave out what language it is, which papermill must know.
    notebook.metadata["kernelspec"] = PYTHON
    return nbformat.writes(notebook)
