"""What a lesson consists of, as far as the package knows it."""

import re
from dataclasses import dataclass

from course_utils.lessons.exercise import Exercise
from course_utils.lessons.parameters import LessonParameters
from course_utils.lessons.quiz import Question


@dataclass(frozen=True)
class LessonSpec:
    """Name, title, parameters, exercises and quiz of one lesson.

    `name` is that of the notebook without its ending, such as `"01_class_imbalance"`.

    Example:
        >>> LessonSpec("00_start_here", "Start here", LessonParameters).number
        '00'
    """

    name: str
    title: str
    parameters: type[LessonParameters]
    exercises: tuple[Exercise, ...] = ()
    quiz: tuple[Question, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d\d_[a-z0-9_]+", self.name):
            raise ValueError(f"lesson name {self.name!r} must look like '01_class_imbalance'")

    @property
    def number(self) -> str:
        """The two digits that the name starts with."""
        return self.name[:2]
