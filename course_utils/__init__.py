"""The tested building blocks of a hands-on course on finding surface defects in images."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from course_utils.inference import load_detector as load_detector


def __getattr__(name: str) -> Any:
    # The command line must not wait for torch, which a detector needs.
    if name == "load_detector":
        from course_utils.inference import load_detector

        return load_detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
