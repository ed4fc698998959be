from .catalog import PUBLISHED
from .choose import choose_parts, find_published, match_archives
from .download import Watch
from .installation import WORK_FOLDER, install, settle
from .published import Archive, Part, PublishedSet
from .verification import Findings, verify

__all__ = [
    "PUBLISHED",
    "WORK_FOLDER",
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
