"""Fetching published data sets: their archives, download, unpacking, checking."""

from course_utils.fetching.catalog import PUBLISHED
from course_utils.fetching.choose import choose_parts, find_published, match_archives
from course_utils.fetching.install import WORKPLACE, install, settle
from course_utils.fetching.published import Archive, Part, PublishedSet
from course_utils.fetching.verify import Findings, verify
from course_utils.fetching.watch import Watch

__all__ = [
    "PUBLISHED",
    "WORKPLACE",
    "Archive",
    "Findings",
    "Part",
    "PublishedSet",
    "Watch",
    "choose_parts",
    "find_published",
    "install",
    "match_archives",
    "settle",
    "verify",
]
