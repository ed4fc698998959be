"""Training that can be stopped, continued and trusted, and predictions of what was trained."""

from course_utils.training.checkpoint import Checkpoint
from course_utils.training.devices import launch
from course_utils.training.epoch_loader import EpochLoader
from course_utils.training.fit import fit
from course_utils.training.history import History
from course_utils.training.predict import evaluating, predict_probabilities
from course_utils.training.tiles import predict_in_tiles

__all__ = [
    "Checkpoint",
    "EpochLoader",
    "History",
    "evaluating",
    "fit",
    "launch",
    "predict_in_tiles",
    "predict_probabilities",
]
