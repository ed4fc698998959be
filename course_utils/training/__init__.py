"""Training, and running what was trained."""

from course_utils.training.fit import History, fit
from course_utils.training.predict import predict

__all__ = ["History", "fit", "predict"]
