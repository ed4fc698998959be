"""What a class has handed in: each file, who is expected, and what counts; kept beside the runs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from math import ceil
from pathlib import Path

from course_utils.io import write_atomic

HANDED_IN = "handed_in.json"
JUDGED = "judged"
DAY = 24 * 3600


@dataclass(frozen=True)
class Submission:
    """A file of the inbox, and what becomes of it."""

    file: str
    student: str
    state: str
    """`judged`, `could not be read` or `left out`."""
    reason: str = ""
    lesson: str = ""
    """Empty where it is not known."""
    modified: float = 0.0
    """Seconds since 1970."""
    task: str = ""
    """Of one that is judged."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """Exercise -> the cell that defines its answer, where there is one."""


@dataclass(frozen=True)
class Person:
    """A student of the roster."""

    name: str
    id: str = ""
    group: str = ""


@dataclass(frozen=True)
class HandedIn:
    """All that the report says of a class beside its runs."""

    submissions: tuple[Submission, ...] = ()
    roster: tuple[Person, ...] = ()
    """Empty: nobody is expected."""
    exercises: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each lesson that anybody handed in."""
    points: Mapping[str, float] = field(default_factory=dict)
    """Of exercises that are not worth 1."""
    deadline: float | None = None
    """Seconds since 1970."""

    def points_of(self, exercise: str) -> float:
        """Return what a correct answer is worth."""
        return self.points.get(exercise, 1.0)

    def days_late(self, submission: Submission) -> int:
        """Return how many days after the deadline a file was changed last, begun ones whole."""
        if self.deadline is None:
            return 0
        return max(0, ceil((submission.modified - self.deadline) / DAY))


def write_handed_in(folder: Path, handed_in: HandedIn) -> None:
    """Keep it in the folder of a batch."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / HANDED_IN, json.dumps(asdict(handed_in), indent=1))


def read_handed_in(folder: Path) -> HandedIn:
    """Return what is kept in the folder of a batch; nothing where that is not of a class.

    Raises:
        ValueError: for a file that is none of ours.

    Example:
        >>> read_handed_in(Path("nowhere")).submissions
        ()
    """
    path = folder / HANDED_IN
    if not path.exists():
        return HandedIn()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["submissions"] = tuple(Submission(**each) for each in content["submissions"])
        content["roster"] = tuple(Person(**each) for each in content["roster"])
        return HandedIn(**content)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error!r}): delete it and give `course batch students` once more"
        ) from error


def read_deadline(text: str) -> float:
    """Return a time such as `2031-05-06 18:00` or a whole day, in the time of this machine.

    Example:
        >>> read_deadline("2031-05-07T00:00") == read_deadline("2031-05-06")
        True
        >>> read_deadline("tomorrow")
        Traceback (most recent call last):
        ValueError: the deadline must be like 2031-05-06 or '2031-05-06 18:00', got 'tomorrow'
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"the deadline must be like 2031-05-06 or '2031-05-06 18:00', got {text!r}"
        ) from None
    return (moment + timedelta(days=1) if len(text) <= len("2031-05-06") else moment).timestamp()


def read_points(given: list[str], exercises: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """Return the points of exercises from texts such as `defect_share=2`.

    Raises:
        ValueError: for an exercise that nobody was asked, or what is no number from 0 on.

    Example:
        >>> read_points(["defect_share=2"], {"00": ("defect_share",)})
        {'defect_share': 2.0}
    """
    known = [exercise for each in exercises.values() for exercise in each]
    points = {}
    for text in given:
        exercise, _, value = text.partition("=")
        if exercise not in known:
            raise ValueError(f"no exercise {exercise!r} here: there are {', '.join(known)}")
        try:
            points[exercise] = float(value)
        except ValueError:
            points[exercise] = -1.0
        if not 0 <= points[exercise] < float("inf"):
            raise ValueError(f"points must be like {exercise}=2, got {text!r}")
    return points
