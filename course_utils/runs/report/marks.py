"""The verdicts of a class: one line per student, one column per exercise."""

from collections.abc import Sequence
from dataclasses import dataclass

from course_utils.lessons import Outcome as Verdict
from course_utils.lessons import find_lesson
from course_utils.runs.records import Outcome, RunRecord

UNKNOWN = "not checked"
"""No verdict: the check was not run, or the run was stopped before it, or it says nonsense."""
# Where a student has several runs of a lesson, the least of their verdicts counts.
_RANK = (UNKNOWN, Verdict.NOT_ATTEMPTED, Verdict.ERROR, Verdict.INCORRECT, Verdict.CORRECT)


@dataclass(frozen=True)
class Mark:
    """The verdict on one exercise."""

    verdict: Verdict | str = UNKNOWN
    message: str = ""


@dataclass(frozen=True)
class StudentMarks:
    """A line of the table."""

    student: str
    runs: tuple[RunRecord, ...]
    marks: tuple[Mark | None, ...]
    """In the order of the columns; None where the exercise is of a lesson not handed in."""

    @property
    def correct(self) -> int:
        """How many exercises are right."""
        return sum(_is_correct(mark) for mark in self.marks)

    @property
    def asked(self) -> int:
        """How many exercises there are in the lessons that were handed in."""
        return sum(mark is not None for mark in self.marks)

    @property
    def ok(self) -> int:
        """How many runs went well."""
        return sum(run.outcome is Outcome.OK for run in self.runs)


@dataclass(frozen=True)
class MarkTable:
    """All students, and how many have each exercise right."""

    columns: tuple[tuple[str, str], ...]
    """Lesson and exercise."""
    students: tuple[StudentMarks, ...]

    def correct(self) -> list[int]:
        """Return how many students have the exercise of each column right."""
        return [
            sum(_is_correct(student.marks[column]) for student in self.students)
            for column in range(len(self.columns))
        ]


def mark_table(runs: Sequence[RunRecord]) -> MarkTable:
    """Return the verdicts in the runs of students, who stand in the order of their names.

    A lesson of the course has its own exercises as columns, whether anybody came that far or
    not; of another notebook those are known that somebody's run has a verdict on.
    """
    runs = [run for run in runs if run.student]
    columns = tuple(
        (lesson, exercise)
        for lesson in sorted({run.lesson for run in runs})
        for exercise in _exercises(lesson, runs)
    )
    students = []
    for name in sorted({run.student for run in runs}, key=lambda name: (name.casefold(), name)):
        own = tuple(run for run in runs if run.student == name)
        marks = tuple(_least(own, lesson, exercise) for lesson, exercise in columns)
        students.append(StudentMarks(name, own, marks))
    return MarkTable(columns, tuple(students))


def _is_correct(mark: Mark | None) -> bool:
    return mark is not None and mark.verdict is Verdict.CORRECT


def _exercises(lesson: str, runs: Sequence[RunRecord]) -> list[str]:
    try:
        return [exercise.id for exercise in find_lesson(lesson).exercises]
    except ValueError:  # not of the course
        found = (x for run in runs if run.lesson == lesson for x in _marks(run))
        return list(dict.fromkeys(found))


def _least(runs: Sequence[RunRecord], lesson: str, exercise: str) -> Mark | None:
    marks = [_marks(run).get(exercise, Mark()) for run in runs if run.lesson == lesson]
    return min(marks, key=lambda mark: _RANK.index(mark.verdict), default=None)


def _marks(run: RunRecord) -> dict[str, Mark]:
    """Return the mark of each exercise that an ended run has a verdict on."""
    found = {}
    for exercise in run.exercises if run.outcome else ():
        verdict, message = exercise.get("outcome"), str(exercise.get("message") or "")
        known = [each for each in Verdict if each == verdict]
        found[exercise["exercise"]] = Mark(known[0], message) if known else Mark()
    return found
