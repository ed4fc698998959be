"""Annotations of the common tools, turned into a folder that `folder:PATH` reads."""

from course_utils.data.annotations.importing import TOOLS, Imported, import_annotations

__all__ = ["TOOLS", "Imported", "import_annotations"]
