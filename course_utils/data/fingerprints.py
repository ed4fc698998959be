"""What names the files of a data set, so that a change of them is seen without opening any."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from course_utils.data.opening import FOLDER_PREFIX, list_entries
from course_utils.data.registry import is_synthetic


def data_fingerprint(dataset: str, root: str | Path | None = None) -> str:
    """Return what names the files of a data set as they lie on disk, by default in `data_root()`.

    Of a set on disk these are the images and masks that its reader lists and what lies beside them
    at the top of its folder, such as tables and splits; of `folder:<path>` all files below it. Each
    counts with its path within the folder, its size and the time of its last change, so a set may
    be moved. Files are not opened, hidden ones not looked at. The synthetic sets have no files:
    their code is part of the package.

    Raises:
        ValueError: for an unknown name.
        FileNotFoundError: with the command that fetches it for a set that is not here, and whatever
            its reader finds wrong.

    Example:
        >>> data_fingerprint("synthetic")
        'synthetic'
    """
    if is_synthetic(dataset):
        return dataset
    if dataset.startswith(FOLDER_PREFIX):
        folder, entries = list_entries(dataset)
        others = _below(folder)
    else:
        folder, entries = list_entries(dataset, root)
        others = [path for path in folder.iterdir() if path.is_file()]
    listed = {path for entry in entries for path in (entry.image, entry.mask) if path is not None}
    rows = [dataset.partition(":")[0], *_stamps(folder, listed.union(others))]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


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
            try:
                stat = path.stat()
            except FileNotFoundError:  # a link to nowhere, or an editor's file that is gone
                continue
            rows.append((path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns))
    return sorted(rows)
