"""A trained network takes photographs and answers: `load_detector`, thresholds, folders, ONNX."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
