"""What `course_utils.inference` offers, and where it is; `lazy_loader` reads this."""

from .detector import Detector, DetectorSettings, Prediction, load_detector
from .export import export_onnx
from .folder import predict_folder
from .photographs import find_photographs
from .thresholds import ErrorRate, Threshold, choose_image_threshold, error_rate

__all__ = [
    "Detector",
    "DetectorSettings",
    "ErrorRate",
    "Prediction",
    "Threshold",
    "choose_image_threshold",
    "error_rate",
    "export_onnx",
    "find_photographs",
    "load_detector",
    "predict_folder",
]
