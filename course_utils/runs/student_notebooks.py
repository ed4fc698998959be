"""A folder of students' notebooks as tasks of a batch, and a row for each file of it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from course_utils.data import data_fingerprint
from course_utils.runs.fingerprints import notebook_fingerprint, package_fingerprint
from course_utils.runs.graded_notebook import answer_sources, prepare, started_lesson
from course_utils.runs.handed_in import JUDGED, Submission
from course_utils.runs.inbox import LEFT_OUT, NOTEBOOK, PACKED, UNREADABLE, InboxFile, read_inbox
from course_utils.runs.notebooks import Lesson
from course_utils.runs.parameters import check_parameters
from course_utils.runs.records import STUDENT_LIMITS, Limits, Task, task_id
from course_utils.runs.run import blank_notebook

_COPY = re.compile(r"([ _-]*(\((\d+)\)|copy ?(\d*)))*$", re.IGNORECASE)
"""What browsers, Jupyter and systems add to the name of a second copy."""


def read_students(
    folder: Path,
    lessons: Sequence[Lesson],
    *,
    parameters: dict[str, Any],
    limits: Limits = STUDENT_LIMITS,
    names: Callable[[PurePosixPath], tuple[str, str] | None] = lambda place: None,
) -> tuple[list[Task], list[Submission]]:
    """Return a task for each notebook that is to be judged, and a row for each file of the inbox.

    Which lesson it is, the notebook's metadata say, else its call of `start_lesson`, else its
    name. Of two files of a lesson by one student, the newest counts. A cell that raises an error,
    or is interrupted since it takes too long, does not keep later cells from running, and at the
    end the batch itself checks every exercise of the lesson: see `graded_notebook`.

    Args:
        folder: the inbox, see `read_inbox`.
        lessons: what the notebooks may be of.
        parameters: of every run, as far as its lesson has them. Without a data set among them,
            each lesson gets its own.
        limits: of every run.
        names: returns name and id of a student from the place of a file in the inbox; for None
            they are called as the file lies: `ada/01_class_imbalance.ipynb` is `ada`,
            `ada/work.ipynb` is `ada/work`, and `ada/01_class_imbalance (1).ipynb` is `ada`.

    Raises:
        FileNotFoundError: if there is no such folder, or no file in it.
        ValueError: for parameters that a lesson refuses.
    """
    files = read_inbox(folder)
    if not files:
        raise FileNotFoundError(f"no files below {folder}")
    found = [_look(file, lessons, names) for file in files]
    rows, texts, ids = _of_folders(files, [row for row, _, _ in found]), {}, {}
    for row, text, id in found:
        texts[row.file], ids[row.file] = text, id
    rows = _newest(_told_apart(rows, ids))
    tasks = {}
    for lesson in lessons:
        own = [row for row in rows if row.state == JUDGED and row.lesson == lesson.name]
        if not own:
            continue
        given = {"dataset": lesson.parameters.get("dataset"), **parameters}
        given = {key: value for key, value in given.items() if key in lesson.parameters}
        values = check_parameters(lesson, given)
        data = data_fingerprint(str(values.get("dataset", "synthetic")))
        for row in own:
            text = texts[row.file]
            code = notebook_fingerprint(text)
            name = task_id(code, values, package_fingerprint(), data, row.student)
            tasks[row.file] = Task(name, lesson.name, text, values, limits, student=row.student)
    return list(tasks.values()), [
        replace(row, task=tasks[row.file].id) if row.file in tasks else row for row in rows
    ]


def _look(
    file: InboxFile,
    lessons: Sequence[Lesson],
    names: Callable[[PurePosixPath], tuple[str, str] | None],
) -> tuple[Submission, str, str]:
    """Return a file's row, its text if it is to be judged, and the id of its student."""
    state = file.fault or LEFT_OUT
    reason = file.reason or "of no lesson that is known: no metadata, start_lesson or name tell"
    try:
        lesson, text, answers = _read_notebook(file, lessons)
    except ValueError as error:
        lesson, text, answers = _by_name(file, lessons), "", {}
        state, reason = UNREADABLE, str(error)
    if text:
        state, reason = JUDGED, ""
    student, id = names(file.place) or (_student(file.owner, lesson), "")
    known = lesson.name if lesson else ""
    place = str(file.place)
    return Submission(place, student, state, reason, known, file.modified, "", answers), text, id


def _of_folders(files: Sequence[InboxFile], rows: Sequence[Submission]) -> list[Submission]:
    """Give all that lies in the folder of a student to that student.

    What is no notebook makes no student: elsewhere it belongs to nobody. An archive that cannot
    be read may hold one, so it is its student's, as its content would have been.
    """
    judged = {row.student for row in rows if row.state == JUDGED}
    found = []
    for file, row in zip(files, rows, strict=True):
        student = row.student
        if row.state != JUDGED and student == _student(file.owner, None):
            folder = str(file.owner.parent)
            alone = student if NOTEBOOK.search(file.place.name) else ""
            if file.place.name.lower().endswith((".zip", *PACKED)):
                alone = folder if file.owner.parent.name else file.owner.stem
            student = folder if folder in judged else alone
        found.append(replace(row, student=student))
    return found


def _told_apart(rows: list[Submission], ids: Mapping[str, str]) -> list[Submission]:
    """Add their ids to students of one name, where one lesson comes from several."""
    found: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        found.setdefault((row.student, row.lesson), set()).add(ids[row.file])
    several = {student for (student, _), known in found.items() if len(known - {""}) > 1}
    return [
        replace(row, student=f"{row.student} ({ids[row.file]})")
        if row.student in several and ids[row.file]
        else row
        for row in rows
    ]


def _newest(rows: list[Submission]) -> list[Submission]:
    """Leave out, of the files that a student handed in for a lesson, all but the newest."""
    newest: dict[tuple[str, str], Submission] = {}
    for row in rows:
        key = row.student, row.lesson
        if row.state == JUDGED and (key not in newest or _age(row) > _age(newest[key])):
            newest[key] = row
    counting = {row.file for row in newest.values()}
    return [
        row
        if row.state != JUDGED or row.file in counting
        else replace(
            row,
            state=LEFT_OUT,
            reason=f"{newest[row.student, row.lesson].file} is newer, and counts",
            task="",
            answers={},
        )
        for row in rows
    ]


def _age(row: Submission) -> tuple[float, int, str]:
    """Return what is larger for the newer file; where a download kept no times, for the copy."""
    copy = _COPY.search(NOTEBOOK.sub("", row.file))
    number = int(copy[3] or copy[4] or 1) if copy and copy[2] else 0
    return row.modified, number, row.file


def _read_notebook(
    file: InboxFile, lessons: Sequence[Lesson]
) -> tuple[Lesson | None, str, dict[str, str]]:
    """Return the lesson of a notebook, its text to be run, and the sources of its answers."""
    if file.fault:
        return _by_name(file, lessons), "", {}
    notebook = blank_notebook(file.content)
    try:
        title = str(notebook.metadata.get("course", {}).get("title", ""))
        called = started_lesson(notebook)
        lesson = (
            next((each for each in lessons if each.title == title), None)
            or next((each for each in lessons if called in (each.name, each.number)), None)
            or _by_name(file, lessons)
        )
        if lesson is None:
            return None, "", {}
        answers = answer_sources(notebook, lesson.exercises)
        text = prepare(notebook, lesson)
        text.encode()  # a notebook can spell what no file can hold
        notebook_fingerprint(text)
    except (AttributeError, KeyError, TypeError, UnicodeEncodeError) as error:
        raise ValueError(f"not a notebook ({error}): take a fresh copy of it") from error
    return lesson, text, answers


def _by_name(file: InboxFile, lessons: Sequence[Lesson]) -> Lesson | None:
    name = file.place.name.lower()
    return next((lesson for lesson in lessons if lesson.name.lower() in name), None)


def _student(owner: PurePosixPath, lesson: Lesson | None) -> str:
    """Return what a student is called by where their file lies."""
    stem = NOTEBOOK.sub("", owner.name)
    if lesson and owner.parent.name and _COPY.sub("", stem).lower() == lesson.name.lower():
        return str(owner.parent)
    return str(owner.parent / stem)
