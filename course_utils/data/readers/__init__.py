"""How each data set lies on disk: a module each, named as the set, and one for people's folders.

Each is a `Reader`. None imports torch, so that data sets are listed quickly.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from course_utils.data.image_set import Entry, ImageSet


class Reader(Protocol):
    """The functions of such a module."""

    read: Callable[..., ImageSet]
    """Takes the folder of the set, the category if it is opened by category, and options."""
    list_entries: Callable[..., list[Entry]]
    """Takes the same, and opens no image; labels that only pixels show are 0."""
    categories: Callable[[Path], list[str]]
    """Folder of the set to the categories in it; only of a set that is opened by category."""


def find_reader(name: str) -> Reader:
    """Return the reader of the data set `name`, or of `"folder"`."""
    return cast(Reader, import_module(f"{__name__}.{name}"))
