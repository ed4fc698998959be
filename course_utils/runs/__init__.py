"""Runs of notebooks: one, the lessons of the course, or a batch of many; and what became of each.

A plan (a file, the lessons, or a folder of students' notebooks) becomes tasks; `run_batch` gives
them to an executor, and keeps each `RunRecord` in the store of its folder; pages and reports show
it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
