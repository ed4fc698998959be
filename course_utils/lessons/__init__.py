"""Lessons: parameters, recorded metrics, exercises, quizzes and figures to play with."""

from course_utils.lessons.equality import prove_equal
from course_utils.lessons.exercise import Exercise
from course_utils.lessons.explore import explore
from course_utils.lessons.live import LiveCurves
from course_utils.lessons.metrics import read_metrics, record_metric
from course_utils.lessons.outline import LessonSpec
from course_utils.lessons.parameters import LessonParameters
from course_utils.lessons.predict import predict
from course_utils.lessons.quiz import Choice, Question
from course_utils.lessons.registry import all_exercises, exercise, find_lesson, quiz
from course_utils.lessons.start import Lesson, start_lesson
from course_utils.lessons.verdicts import Outcome, Verdict

__all__ = [
    "Choice",
    "Exercise",
    "Lesson",
    "LessonParameters",
    "LessonSpec",
    "LiveCurves",
    "Outcome",
    "Question",
    "Verdict",
    "all_exercises",
    "exercise",
    "explore",
    "find_lesson",
    "predict",
    "prove_equal",
    "quiz",
    "read_metrics",
    "record_metric",
    "start_lesson",
]
