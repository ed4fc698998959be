"""The verdicts of a class: one line per student, one column per exercise."""

from collections.abc import Sequence
from dataclasses import dataclass

from course_utils.batch.journal.rows import Row
from course_utils.batch.report.summary import ended
from course_utils.lessons import Outcome, find_lesson
from course_utils.runs.run import Outcome as RunOutcome

UNKNOWN = "not checked"
"""No verdict: the check was not run, or the run was stopped before it, or it says nonsense."""
# Where a student has several runs of a lesson, the least of their verdicts counts.
_RANK = (UNKNOWN, Outcome.NOT_ATTEMPTED, Outcome.ERROR, Outcome.INCORRECT, Outcome.CORRECT)


@dataclass(frozen=True)
class Mark:
    """The verdict on one exercise."""

    outcome: Outcome | str = UNKNOWN
    message: str = ""


@dataclass(frozen=True)
class StudentMarks:
    """A line of the table."""

    student: str
    rows: tuple[Row, ...]
    marks: tuple[Mark | None, ...]
    """In the order of the columns; None where the exercise is of a lesson not handed in."""

    @property
    def correct(self) -> int:
        return sum(mark is not None and mark.outcome == Outcome.CORRECT for mark in self.marks)

    @property
    def asked(self) -> int:
        return sum(mark is not None for mark in self.marks)

    @property
    def ok(self) -> int:
        return sum(row.outcome == RunOutcome.OK for row in self.rows)


@dataclass(frozen=True)
class MarkTable:
    """All students, and how many have each exercise right."""

    columns: tuple[tuple[str, str], ...]
    """Lesson and exercise."""
    students: tuple[StudentMarks, ...]

    def correct(self) -> list[int]:
        return [
            sum(
                mark is not None and mark.outcome == Outcome.CORRECT
                for mark in (student.marks[index] for student in self.students)
            )
            for index in range(len(self.columns))
        ]


def mark_table(rows: Sequence[Row]) -> MarkTable:
    """Return the verdicts in the runs of students, who stand in the order of their names.

    A lesson of the course has its own exercises as columns, whether anybody came that far or
    not; of another notebook those are known that somebody's run has a verdict on.
    """
    rows = [row for row in rows if row.student]
    columns = tuple(
        (lesson, exercise)
        for lesson in sorted({row.lesson for row in rows})
        for exercise in _exercises(lesson, rows)
    )
    students = []
    for name in sorted({row.student for row in rows}, key=lambda name: (name.casefold(), name)):
        own = tuple(row for row in rows if row.student == name)
        marks = tuple(_least(own, lesson, exercise) for lesson, exercise in columns)
        students.append(StudentMarks(name, own, marks))
    return MarkTable(columns, tuple(students))


def _exercises(lesson: str, rows: Sequence[Row]) -> list[str]:
    try:
        return [exercise.id for exercise in find_lesson(lesson).exercises]
    except ValueError:  # not of the course
        found = (x for row in rows if row.lesson == lesson for x in _verdicts(row))
        return list(dict.fromkeys(found))


def _least(rows: Sequence[Row], lesson: str, exercise: str) -> Mark | None:
    marks = [_verdicts(row).get(exercise, Mark()) for row in rows if row.lesson == lesson]
    return min(marks, key=lambda mark: _RANK.index(mark.outcome), default=None)


def _verdicts(row: Row) -> dict[str, Mark]:
    if not ended(row):
        return {}
    found = {}
    for verdict in row.exercises:
        exercise, outcome = verdict.get("exercise"), verdict.get("outcome")
        if isinstance(exercise, str):
            message = str(verdict.get("message") or "")
            known = [each for each in Outcome if each == outcome]
            found[exercise] = Mark(known[0], message) if known else Mark()
    return found
