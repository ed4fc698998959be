"""What a run depends on, as fingerprints: the notebook's code and the package.

That of its data set is `course_utils.data.data_fingerprint`.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import nbformat

import course_utils

WEIGHTS = "*.safetensors"
_TAGS_THAT_MATTER = ("parameters", "raises-exception", "skip-execution")


def notebook_fingerprint(notebook: str) -> str:
    """Return what names the code of a notebook, given as the text of its file.

    It depends on the sources of the code cells, their order, and those of their tags that change
    how they are run. Outputs, execution counts and prose are left out: to execute a notebook, or
    to mend a sentence of it, gives no new work.
    """
    cells = [
        [cell.source, [tag for tag in _TAGS_THAT_MATTER if tag in cell.metadata.get("tags", [])]]
        for cell in nbformat.reads(notebook, as_version=4).cells
        if cell.cell_type == "code"
    ]
    return _digest(cells)


@cache
def package_fingerprint() -> str:
    """Return what names the installed `course_utils`: its sources and the weights it ships.

    They are read once in a process.
    """
    (place,) = course_utils.__path__
    return fingerprint_sources(Path(place))


def fingerprint_sources(folder: Path) -> str:
    """Return what names the Python sources and weights below `folder`, by path and content."""
    files = [path for pattern in ("*.py", WEIGHTS) for path in folder.rglob(pattern)]
    rows = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in files]
    return _digest(sorted((name, hashlib.sha256(content).hexdigest()) for name, content in rows))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
