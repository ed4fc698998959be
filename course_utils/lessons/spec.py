"""What a lesson consists of, as far as the package knows it."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from course_utils.lessons.parameters import LessonParameters

if TYPE_CHECKING:
    from course_utils.lessons.exercises import Exercise
    from course_utils.lessons.quizzes import Question


@dataclass(frozen=True)
class LessonSpec:
    """Name, title and parameters of one lesson; its exercises and quiz are read on demand.

    `name` is that of the notebook without its ending, such as `"01_class_imbalance"`.

    Example:
        >>> LessonSpec("00_start_here", "Start here", LessonParameters).number
        '00'
    """

    name: str
    title: str
    parameters: type[LessonParameters]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d\d_[a-z0-9_]+", self.name):
            raise ValueError(f"lesson name {self.name!r} must look like '01_class_imbalance'")

    @property
    def number(self) -> str:
        """The two digits that the name starts with."""
        return self.name[:2]

    @property
    def exercises(self) -> "tuple[Exercise, ...]":
        """The exercises, in the order of the lesson."""
        return self._content[0]

    @property
    def quiz(self) -> "tuple[Question, ...]":
        """The questions at its end."""
        return self._content[1]

    @cached_property
    def _content(self) -> "tuple[tuple[Exercise, ...], tuple[Question, ...]]":
        from course_utils.lessons.texts import read_content  # torch, which a name does not need

        return read_content(self.number)
