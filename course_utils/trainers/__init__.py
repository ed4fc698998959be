"""Whole trainings, from the name of a data set to its scores: what notebooks and commands share."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
