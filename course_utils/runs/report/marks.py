"""The marks of a class: one line per student, one column per exercise."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from course_utils.lessons import Outcome as Verdict
from course_utils.lessons import exercise as exercise_of
from course_utils.runs.graded_notebook import without_magics
from course_utils.runs.handed_in import JUDGED, HandedIn, Person, Submission
from course_utils.runs.records import Outcome, RunRecord

UNKNOWN = "not checked"
"""No verdict: the run was stopped before, or in, the check."""
# Where a student has several runs of a lesson, the least of their verdicts counts.
_RANK = (UNKNOWN, Verdict.NOT_ATTEMPTED, Verdict.ERROR, Verdict.INCORRECT, Verdict.CORRECT)
VERDICTS = {
    Verdict.CORRECT: ("✔", "correct"),
    Verdict.INCORRECT: ("✘", "incorrect"),
    Verdict.ERROR: ("⚠", "error"),
    Verdict.NOT_ATTEMPTED: ("○", "not attempted"),
}
SMALL = 25  # parts of a program: what has fewer is often equal by chance


@dataclass(frozen=True)
class Mark:
    """The verdict on one exercise."""

    verdict: Verdict | str = UNKNOWN
    message: str = ""
    shown: str = ""
    """What the notebook shows of itself, where that is another verdict."""
    equal_to: tuple[str, ...] = ()
    """Students whose answer is the same program."""


@dataclass(frozen=True)
class StudentMarks:
    """A line of the table."""

    person: Person
    runs: tuple[RunRecord, ...]
    files: tuple[Submission, ...]
    marks: tuple[Mark | None, ...]
    """In the order of the columns; None where no notebook of the lesson is judged."""
    days_late: int = 0

    @property
    def student(self) -> str:
        """What the student is called."""
        return self.person.name

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

    def notes(self) -> list[str]:
        """Say what a person should look at."""
        if not self.files and not self.runs:
            return ["nothing handed in"]
        return [
            *(f"{each.file} {each.state}: {each.reason}" for each in self.files if each.reason),
            *(
                f"{run.lesson}: {run.state}" + (f": {run.message}" if run.message else "")
                for run in self.runs
                if run.outcome is not Outcome.OK
            ),
        ]


@dataclass(frozen=True)
class MarkTable:
    """All students, and how many have each exercise right."""

    columns: tuple[tuple[str, str], ...]
    """Lesson and exercise."""
    students: tuple[StudentMarks, ...]
    handed_in: HandedIn

    def correct(self) -> list[int]:
        """Return how many students have the exercise of each column right."""
        return [
            sum(_is_correct(student.marks[column]) for student in self.students)
            for column in range(len(self.columns))
        ]

    def points(self, mark: Mark | None, exercise: str) -> float | None:
        """Return what a mark is worth; None where a person has to look."""
        if mark is None or mark.verdict == UNKNOWN:
            return None
        return self.handed_in.points_of(exercise) if _is_correct(mark) else 0.0

    def total(self, student: StudentMarks) -> float:
        """Return the points of all marks of a student."""
        pairs = zip(student.marks, self.columns, strict=True)
        return sum(self.points(mark, exercise) or 0.0 for mark, (_, exercise) in pairs)


def mark_table(runs: Sequence[RunRecord], handed_in: HandedIn | None = None) -> MarkTable:
    """Return the verdicts in the runs of students, who stand in the order of their names.

    Everybody who handed in a file, or stands in the roster, has a line. The columns are the
    exercises of the lessons that were handed in, and all others that a run has a verdict on.
    """
    handed_in = handed_in or HandedIn()
    runs = [run for run in runs if run.student]
    columns = tuple(dict.fromkeys(_columns(runs, handed_in)))
    people = {person.name: person for person in handed_in.roster}
    names = [*(run.student for run in runs), *(each.student for each in handed_in.submissions)]
    for name in filter(None, names):  # a file can be nobody's
        people.setdefault(name, Person(name))
    equal = equal_answers(handed_in.submissions)
    students = []
    for person in sorted(people.values(), key=lambda person: (person.name.casefold(), person.name)):
        own = tuple(run for run in runs if run.student == person.name)
        files = tuple(each for each in handed_in.submissions if each.student == person.name)
        marks = tuple(_least(own, lesson, exercise, equal) for lesson, exercise in columns)
        late = max((handed_in.days_late(each) for each in files if each.state == JUDGED), default=0)
        students.append(StudentMarks(person, own, files, marks, late))
    return MarkTable(columns, tuple(students), handed_in)


def in_words(verdict: Verdict | str) -> tuple[str, str]:
    """Return the sign and the words for a verdict."""
    return VERDICTS[verdict] if isinstance(verdict, Verdict) else ("?", verdict)


def equal_answers(submissions: Sequence[Submission]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return, by student and exercise, who else answers with the same program.

    Comments and blanks count for nothing. Programs of a few signs, and those that are the
    solution that the exercise itself shows, are left out.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for each in submissions:
        for exercise, source in each.answers.items():
            if program := _program(source, exercise):
                found.setdefault((exercise, program), []).append(each.student)
    return {
        (student, exercise): tuple(other for other in students if other != student)
        for (exercise, _), students in found.items()
        for student in students
        if len(set(students)) > 1
    }


def _program(source: str, exercise: str) -> str:
    """Return what an answer does, however it is written; empty where that tells nothing."""
    try:
        answer = ast.parse(without_magics(source))
        known = exercise_of(exercise)
        given = {ast.dump(ast.parse(text)) for text in (known.stub, known.solution_source)}
    except (SyntaxError, ValueError, RecursionError):
        return ""
    # The check may stand in the cell of the answer.
    answer.body = [each for each in answer.body if ".check(" not in ast.unparse(each)]
    text = ast.dump(answer)
    return "" if text in given or sum(1 for _ in ast.walk(answer)) < SMALL else text


def _is_correct(mark: Mark | None) -> bool:
    return mark is not None and mark.verdict is Verdict.CORRECT


def _columns(runs: Sequence[RunRecord], handed_in: HandedIn) -> Iterator[tuple[str, str]]:
    for lesson in sorted({*(run.lesson for run in runs), *handed_in.exercises}):
        yield from ((lesson, exercise) for exercise in handed_in.exercises.get(lesson, ()))
        for run in runs:
            if run.lesson == lesson:
                yield from ((lesson, each["exercise"]) for each in run.exercises)


def _least(
    runs: Sequence[RunRecord],
    lesson: str,
    exercise: str,
    equal: Mapping[tuple[str, str], tuple[str, ...]],
) -> Mark | None:
    marks = [
        _mark(run, exercise, equal.get((run.student, exercise), ()))
        for run in runs
        if run.lesson == lesson
    ]
    return min(marks, key=lambda mark: _RANK.index(mark.verdict), default=None)


def _mark(run: RunRecord, exercise: str, equal_to: tuple[str, ...]) -> Mark:
    """Return the mark of an exercise; one that an ended run has no verdict on is not checked."""
    for each in run.exercises if run.outcome else ():
        if each["exercise"] == exercise:
            verdict = next((known for known in Verdict if known == each.get("outcome")), UNKNOWN)
            shown = str(each.get("shown", ""))
            message = str(each.get("message") or "")
            return Mark(verdict, message, "" if shown == verdict else shown, equal_to)
    return Mark()
