"""Which images show the same thing?"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from course_utils.data.disk_cache import load_or_make
from course_utils.data.faults import Faults
from course_utils.data.image_files import (
    FileStamp,
    file_stamps,
    read_with_orientation,
    resize_image,
    to_gray,
)

if TYPE_CHECKING:
    from torch import Tensor

THUMBNAIL = 32
"""Side of the thumbnails, in pixels."""
_ROWS_AT_ONCE = 256  # bounds the memory: one block of correlations is 256 x N
_FLAT = 1e-5  # std, relative to the brightest value, below which only rounding is left


def near_duplicate_groups(
    images: "Iterable[np.ndarray | Tensor]", *, threshold: float = 0.98, size: int = THUMBNAIL
) -> np.ndarray:
    """Return int64 group numbers, (N,): near-duplicates share one.

    Images are compared as gray thumbnails. Two whose Pearson correlation exceeds `threshold` are
    near-duplicates, whatever their brightness and gain, so the same tile under two exposures counts
    as one. Groups are the connected components of such pairs, numbered in the order in which they
    first appear. Constant images correlate with nothing: those of one gray are a group. The same
    thing shifted, turned or mirrored is not found.

    Args:
        images: arrays (H, W) or (H, W, 1 or 3), tensors (H, W) or (C, H, W), of any sizes; an array
            (N, H, W) will do.
        threshold: between 0 and 1, both excluded.
        size: side of the thumbnails, in pixels.

    Raises:
        ValueError: for other shapes, values that are not finite, or no images at all.

    Example:
        >>> ramp = np.arange(64.0).reshape(8, 8)
        >>> near_duplicate_groups([ramp, ramp.T, 3 * ramp + 5]).tolist()
        [0, 1, 0]
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must lie between 0 and 1, got {threshold}")
    thumbnails = [thumbnail(image, size).ravel() for image in images]
    if not thumbnails:
        raise ValueError("there are no images to compare")
    return correlated_rows(np.stack(thumbnails), threshold)


def correlated_rows(values: np.ndarray, threshold: float = 0.98) -> np.ndarray:
    """Return int64 group numbers, (N,), of `values` (N, D) by correlation, as for thumbnails.

    Needs about twice the memory of `values` as float32, however many are alike.

    Example:
        >>> correlated_rows(np.array([[1.0, 2, 4], [4, 2, 1], [3, 6, 12]])).tolist()
        [0, 1, 0]
    """
    unit = np.empty(values.shape, np.float32)
    flat = np.empty(len(values), bool)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        block = values[rows].astype(np.float64)
        centered = block - block.mean(axis=1, keepdims=True)
        length = np.linalg.norm(centered, axis=1, keepdims=True)
        flat[rows] = length[:, 0] <= _FLAT * values.shape[1] ** 0.5 * np.abs(block).max(axis=1)
        length[flat[rows]] = 1
        unit[rows] = centered / length
    return _first_come_numbers(_join_flat(_join_similar(unit, threshold), values, flat))


def thumbnail(image: "np.ndarray | Tensor", size: int = THUMBNAIL) -> np.ndarray:
    """Return `image` as a gray float32 thumbnail, (size, size), in the units of `image`.

    Example:
        >>> thumbnail(np.full((100, 80, 3), 7, np.uint8)).mean().item()
        7.0
    """
    if isinstance(image, np.ndarray):
        pixels = image
    else:
        pixels = image.detach().cpu().numpy()
        pixels = np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,)) or not pixels.size:
        raise ValueError(
            f"an image must be an array (H, W) or (H, W, 3), or a tensor (3, H, W), got "
            f"{tuple(image.shape)}"
        )
    pixels = to_gray(np.ascontiguousarray(pixels, dtype=np.float32))
    if not np.isfinite(pixels).all():
        raise ValueError("an image holds values that are not finite: nothing can be compared")
    return resize_image(pixels, (size, size))


def join_groups(*groupings: np.ndarray) -> np.ndarray:
    """Return the finest grouping, (N,), in which whoever shares a group in any of them shares one.

    Example:
        >>> join_groups(np.array([0, 0, 1, 2]), np.array([5, 6, 6, 7])).tolist()
        [0, 0, 0, 1]
    """
    joined = _first_come_numbers(groupings[0])
    for other in map(_first_come_numbers, groupings[1:]):
        # The groups are the nodes, and each image links its two.
        first = int(joined.max()) + 1
        joined = _components(joined, first + other, first + int(other.max()) + 1)[joined]
    return _first_come_numbers(joined)


class ImageSurvey(NamedTuple):
    """What the images of a folder have in common, and what is known of each."""

    groups: np.ndarray
    """(N,): the group of near-duplicates of each; read-only, since it is shared."""
    thumbnails: np.ndarray
    """float32, (N, 32, 32), of 0 where a file cannot be read; read-only."""
    shapes: tuple[tuple[int, int], ...]
    """(height, width) of each, as shown; (0, 0) where a file cannot be read."""
    gray: tuple[bool, ...]
    """Whether each file is gray."""
    orientations: tuple[int, ...]
    """EXIF orientation of each; 1: not turned."""
    faults: tuple[str, ...]
    """Why files cannot be read."""

    @property
    def channels(self) -> int:
        """1 if every file is gray, else 3."""
        return 1 if all(self.gray) else 3


def survey_images(paths: Sequence[Path], *, faults: Faults | None = None) -> ImageSurvey:
    """Decode each image once; the result is kept until one of the files changes.

    Raises:
        ValueError: naming all files that cannot be read; `faults` collects them instead, if given.
    """
    survey = survey_stamps(file_stamps(paths))
    found = Faults() if faults is None else faults
    found.add(*survey.faults)
    if faults is None:
        found.raise_any()
    return survey


@lru_cache(maxsize=8)
def survey_stamps(stamps: tuple[FileStamp, ...]) -> ImageSurvey:
    """Return the survey of files by their stamps, with the faults of those that cannot be read.

    It is kept on disk, too: to decode large photographs takes minutes.
    """
    groups, thumbnails, facts, faults = load_or_make("images", [], stamps, lambda: _look(stamps))
    thumbnails.flags.writeable = groups.flags.writeable = False
    return ImageSurvey(
        groups,
        thumbnails,
        shapes=tuple((height, width) for height, width in facts[:, :2].tolist()),
        gray=tuple(map(bool, facts[:, 2])),
        orientations=tuple(facts[:, 3].tolist()),
        faults=tuple(faults.tolist()),
    )


def _look(stamps: Sequence[FileStamp]) -> list[np.ndarray]:
    """Return groups, thumbnails, (height, width, gray, orientation) and the faults of files."""
    thumbnails = np.zeros((len(stamps), THUMBNAIL, THUMBNAIL), np.float32)
    facts, faults = np.tile([0, 0, 1, 1], (len(stamps), 1)), []
    for number, (path, *_) in enumerate(stamps):
        try:
            image, orientation = read_with_orientation(path)
        except (ValueError, OSError) as error:
            faults.append(str(error))
            continue
        thumbnails[number] = thumbnail(image, THUMBNAIL)
        facts[number] = *image.shape[:2], image.ndim == 2, orientation
    groups = near_duplicate_groups(thumbnails) if len(stamps) else np.zeros(0, np.int64)
    return [groups, thumbnails, facts, np.array(faults, dtype=np.str_)]


def _join_similar(unit: np.ndarray, threshold: float) -> np.ndarray:
    groups = np.arange(len(unit))
    for start in range(0, len(unit), _ROWS_AT_ONCE):
        # Those before `start` were compared with these already; those in one group need no link.
        rows = unit[start : start + _ROWS_AT_ONCE]
        similar = rows @ unit[start:].T > threshold
        similar &= groups[start : start + len(rows), None] != groups[start:]
        left, right = np.nonzero(similar)
        # Each image is linked to one member of its group so far: few links, however large it is.
        _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
        left = np.concatenate([left + start, np.arange(len(unit))])
        right = np.concatenate([right + start, first[inverse]])
        groups = _components(left, right, len(unit))
        if not groups.any():  # all are one
            break
    return groups


def _join_flat(groups: np.ndarray, values: np.ndarray, flat: np.ndarray) -> np.ndarray:
    if not flat.any():
        return groups
    groups = groups.copy()
    grays = np.round(values[flat].mean(axis=1, dtype=np.float64), 4)
    groups[flat] = len(groups) + np.unique(grays, return_inverse=True)[1]
    return groups


def _components(left: np.ndarray, right: np.ndarray, nodes: int) -> np.ndarray:
    # Imported here: half a second that listing data sets should not wait for.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = coo_matrix((np.ones(len(left), bool), (left, right)), shape=(nodes, nodes))
    return connected_components(links, directed=False)[1]


def _first_come_numbers(groups: np.ndarray) -> np.ndarray:
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
