"""Arrays that took long to compute, such as decoded photographs, kept on disk between commands.

They lie in `cache_root()`, which `COURSE_CACHE` may name, and may be deleted there at any time.
Nothing needs a lock: a file is put into its place whole, under a name that says all that it depends
on, and one that is damaged all the same is made anew.
"""

import hashlib
import io
import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import get_ident

import cv2
import numpy as np

from course_utils.config import cache_root
from course_utils.data.image_files import FileStamp

LIMIT = 20e9
"""Bytes that the cache may take; beyond, what was not used for longest is removed."""
SETTLED = 2.0
"""Seconds for which a file must not have changed: within one tick of the file system's clock, a
second change cannot be seen."""
_DIGEST = 32  # bytes


def load_or_make(
    kind: str,
    key: Sequence[object],
    files: Sequence[FileStamp],
    make: Callable[[], Sequence[np.ndarray]],
) -> Sequence[np.ndarray]:
    """Return `make()`, or what it returned when it was last called for this key and these files.

    Args:
        kind: folder of the cache, for people who look into it.
        key: what the arrays depend on besides the files, the code of `course_utils.data` and the
            version of OpenCV. Its `repr` must say all of it.
        files: stamps of all files that `make` reads.
        make: computes the arrays. What it raises is raised, and not kept.

    Example:
        >>> made = [load_or_make("ranges", [4], [], lambda: [np.arange(4)]) for _ in range(2)]
        >>> [array.tolist() for (array,) in made]
        [[0, 1, 2, 3], [0, 1, 2, 3]]
    """
    name = hashlib.sha256(repr((_code_fingerprint(), *key, *files)).encode()).hexdigest()
    path = cache_root() / kind / name[:2] / name[2:]
    found = _load(path)
    if found is None:
        found = make()
        if all(time.time() - changed / 1e9 > SETTLED for _, changed, _ in files):
            _save(path, found)
    return found


def _load(path: Path) -> Sequence[np.ndarray] | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        return None
    with suppress(OSError):
        os.utime(path)  # used now
    with np.load(io.BytesIO(content[_DIGEST:])) as arrays:
        return list(arrays.values())


def _save(path: Path, arrays: Sequence[np.ndarray]) -> None:
    file = io.BytesIO()
    np.savez(file, *arrays)
    content = file.getvalue()
    draft = path.with_name(f"{path.name}.{os.getpid()}.{get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_oldest()
        draft.write_bytes(hashlib.sha256(content).digest() + content)
        os.replace(draft, path)
    except OSError as error:  # the cache is a help, not a need
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        _warn_once(
            f"{cache_root()} cannot be written ({error.strerror}): images are read each time"
        )


@cache
def _warn_once(text: str) -> None:
    warnings.warn(text, stacklevel=5)


@cache
def _remove_oldest() -> None:
    """Once in a process: of more than `LIMIT` bytes, keep the half that was used last."""
    files = []
    for file in cache_root().glob("*/??/*"):
        with suppress(OSError):  # another process has removed it
            files.append((file.stat(), file))
    total = sum(stat.st_size for stat, _ in files)
    if total > LIMIT:
        for stat, file in sorted(files, key=lambda item: item[0].st_mtime):
            if total > LIMIT / 2:
                file.unlink(missing_ok=True)
                total -= stat.st_size


@cache
def _code_fingerprint() -> str:
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    content = b"".join(file.read_bytes() for file in sources)
    return f"{cv2.__version__} {hashlib.sha256(content).hexdigest()}"
