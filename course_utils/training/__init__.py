"""Training that can be stopped, watched and trusted, and running what was trained."""

from course_utils.training.checkpoint import Checkpoint
from course_utils.training.devices import launch
from course_utils.training.fit import fit
from course_utils.training.history import History
from course_utils.training.probabilities import predict_probabilities

__all__ = ["Checkpoint", "History", "fit", "launch", "predict_probabilities"]
