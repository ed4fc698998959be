"""One look at every image of a folder, remembered for as long as the process lives."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from course_utils.data.image_files import read_image
from course_utils.data.near_duplicates import near_duplicate_groups, thumbnail


class ImageSurvey(NamedTuple):
    """What the pixels of a folder's images tell."""

    look_alikes: np.ndarray
    """(N,): the near-duplicate group of each; read-only, since it is shared."""
    shapes: tuple[tuple[int, int], ...]
    """(height, width) of each."""
    channels: int
    """1 if every file is gray, else 3."""


def survey_images(paths: Sequence[Path]) -> ImageSurvey:
    """Decode each image once. A second survey of unchanged files costs a look at their dates.

    Raises:
        ValueError: naming a file that cannot be read.
    """
    return _survey(file_stamps(paths))


FileStamp = tuple[Path, int, int]
"""A file, when it was last written, and its length: enough to see that it has changed."""


def file_stamps(paths: Sequence[Path]) -> tuple[FileStamp, ...]:
    """Return the stamp of each file. Raises `FileNotFoundError` for one that is not there."""
    states = [(path, path.stat()) for path in paths]
    return tuple((path, state.st_mtime_ns, state.st_size) for path, state in states)


@lru_cache(maxsize=8)
def _survey(stamps: tuple[FileStamp, ...]) -> ImageSurvey:
    thumbnails, shapes, channels = [], [], 1
    for path, *_ in stamps:
        image = read_image(path)
        thumbnails.append(thumbnail(image))
        shapes.append((image.shape[0], image.shape[1]))
        channels = max(channels, 1 if image.ndim == 2 else 3)
    look_alikes = near_duplicate_groups(thumbnails)
    look_alikes.flags.writeable = False
    return ImageSurvey(look_alikes, tuple(shapes), channels)
