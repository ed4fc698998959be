"""What a run depends on, as fingerprints: the notebook's code, the package, the data set."""

import hashlib
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import nbformat

import course_utils
from course_utils.data import list_entries

FOLDER_PREFIX = "folder:"
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


def data_fingerprint(dataset: str, root: str | Path | None = None) -> str:
    """Return what names the files of a data set as they lie on disk, by default in `data_root()`.

    Of a set on disk these are the images and masks that its reader lists and what lies beside them
    at the top of its folder, such as tables and splits; of `folder:<path>` all files below it. Each
    counts with its path within the folder, its size and the time of its last change, so a set may
    be moved. Files are not opened, hidden ones not looked at. The synthetic set has no files: its
    code is part of the package.

    Raises:
        ValueError: for an unknown name.
        FileNotFoundError: with the command that fetches it for a set that is not here, and whatever
            its reader finds wrong.

    Example:
        >>> data_fingerprint("synthetic")
        'synthetic'
    """
    if dataset == "synthetic":
        return dataset
    if dataset.startswith(FOLDER_PREFIX):
        folder, entries = list_entries(dataset)
        others = _below(folder)
    else:
        folder, entries = list_entries(dataset, root)
        others = [path for path in folder.iterdir() if path.is_file()]
    listed = {path for entry in entries for path in (entry.image, entry.mask) if path is not None}
    return _digest([folder_name(dataset), *_stamps(folder, listed.union(others))])


def folder_name(dataset: str) -> str:
    """Return the name of the data set, without the place of a person's own.

    Example:
        >>> folder_name("folder:/srv/images"), folder_name("mvtec_ad/bottle")
        ('folder', 'mvtec_ad/bottle')
    """
    return dataset.partition(":")[0]


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in files]
    return found


def _stamps(folder: Path, files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Return path, size and time of last change of each file, sorted; without hidden files."""
    rows = []
    for path in files:
        if not path.name.startswith("."):
            stat = path.stat()
            rows.append((path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns))
    return sorted(rows)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
