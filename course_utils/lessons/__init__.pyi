from .challenges import challenge
from .content import LESSONS, find_lesson
from .equality import prove_equal
from .exercises import Exercise, Verdict
from .live import LiveCurves
from .metrics import record_metric, record_metrics
from .parameters import LessonParameters, read_parameters
from .photographs import show_real_photographs
from .prediction import Prediction, predict, predictions
from .quizzes import Choice, Question
from .records import EXERCISE_MIME, LESSON_MIME, METRIC_MIME, Outcome, read_metrics
from .registry import all_exercises, exercise, quiz
from .sliders import explore
from .spec import LessonSpec
from .start import Lesson, start_lesson

__all__ = [
    "EXERCISE_MIME",
    "LESSONS",
    "LESSON_MIME",
    "METRIC_MIME",
    "Choice",
    "Exercise",
    "Lesson",
    "LessonParameters",
    "LessonSpec",
    "LiveCurves",
    "Outcome",
    "Prediction",
    "Question",
    "Verdict",
    "all_exercises",
    "challenge",
    "exercise",
    "explore",
    "find_lesson",
    "predict",
    "predictions",
    "prove_equal",
    "quiz",
    "read_metrics",
    "read_parameters",
    "record_metric",
    "record_metrics",
    "show_real_photographs",
    "start_lesson",
]
