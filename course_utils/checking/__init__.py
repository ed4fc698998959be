"""The first look at a person's own images: what is there, what is lacking, what fits."""

from course_utils.checking.facts import FolderFacts, look_through
from course_utils.checking.methods import Method, fitting_methods
from course_utils.checking.page import write_page

__all__ = ["FolderFacts", "Method", "fitting_methods", "look_through", "write_page"]
