"""Find an exercise or a quiz by name."""

import difflib
from collections.abc import Iterable

from course_utils.lessons.content import LESSONS, find_lesson
from course_utils.lessons.exercises import Exercise
from course_utils.lessons.frontend import show_bundle
from course_utils.lessons.quizzes import quiz_bundle


def exercise(id: str) -> Exercise:
    """Return the exercise called `id`; in a notebook, it shows its question.

    Every call returns the same object, so that hints go on where they stopped.

    Raises:
        ValueError: with the nearest names for an unknown one.

    Example:
        >>> exercise("defect_share").title
        'What share of a mask is defect?'
    """
    exercises = all_exercises()
    if id not in exercises:
        raise ValueError(f"no exercise is called {id!r}{_nearest(id, exercises)}")
    return exercises[id]


def quiz(lesson: str) -> None:
    """Display the quiz of a lesson, given by its number or name.

    Raises:
        ValueError: for an unknown lesson, or one without a quiz.
    """
    found = find_lesson(lesson)
    if not found.quiz:
        raise ValueError(f"lesson {found.name} has no quiz")
    show_bundle(quiz_bundle(found.quiz))


def all_exercises() -> dict[str, Exercise]:
    """Return every exercise of the course by its id.

    Raises:
        ValueError: where two exercises have the same id.

    Example:
        >>> "defect_share" in all_exercises()
        True
    """
    found: dict[str, Exercise] = {}
    for spec in LESSONS:
        for task in spec.exercises:
            if task.id in found:
                raise ValueError(f"two exercises are called {task.id!r}")
            found[task.id] = task
    return found


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f": did you mean {' or '.join(close)}?" if close else f": {', '.join(known)} are known"
