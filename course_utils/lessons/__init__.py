"""Lessons: parameters, recorded metrics, exercises, quizzes and figures to play with.

The names are loaded on demand: what a lesson is called, takes and leaves in its notebook can be
asked without waiting for torch, matplotlib or IPython.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
