"""Training, and running what was trained."""

from course_utils.training.fit import History, fit
from course_utils.training.probabilities import predict_probabilities

__all__ = ["History", "fit", "predict_probabilities"]
