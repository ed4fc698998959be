"""Networks that find defects."""

from course_utils.models.small import SmallSegmenter

__all__ = ["SmallSegmenter"]
