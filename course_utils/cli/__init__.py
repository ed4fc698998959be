"""The command `course`."""

from course_utils.cli.commands import app

__all__ = ["app"]
