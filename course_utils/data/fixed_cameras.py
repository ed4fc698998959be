"""Groups by looks where most images look alike: one product before a fixed camera."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from course_utils.data.image_files import FileStamp, file_stamps
from course_utils.data.near_duplicates import correlated_rows, survey_stamps

_PARTS = 3
_LARGEST_SHARE = 0.2
"""A group that holds more of a set than a validation or test part can be in neither."""
_FEW = 5
"""Shots of one thing: up to so many images are never too many for one group."""


class LookGroups(NamedTuple):
    """Groups by looks, and how many images they were made for in another way."""

    groups: np.ndarray
    """(N,): the group of each; read-only, since it is shared."""
    by_difference: int
    """Images that were compared by their difference from the mean image of their group."""
    alone: int
    """Those of them that look alike in their differences, too, and stand one by one."""


def group_by_looks(paths: Sequence[Path], labels: Sequence[int]) -> LookGroups:
    """Return groups of near-duplicates that can fill three parts, if there are three images.

    Near-duplicates are those of `near_duplicate_groups`. Good images of one product before a fixed
    camera correlate above its threshold, so that all are one group. A group that no part could hold
    is divided: its thumbnails without their mean are compared in the same way. What then still is
    one group (the light of the day, say, is all that differs) is taken apart into single images, of
    which equal ones stay together.

    A group is such if it has more than five images and more than a fifth of the set, or more than
    five images and half of those with one of `labels` (N,); and each is if there are fewer than
    three groups. Compared by differences, two shots of one thing are no longer found if one of them
    is shifted by a pixel: measured on 40 such pairs, none was.

    The result is kept until a file or a label changes. Files that cannot be read count as black.
    """
    return _group(file_stamps(paths), tuple(labels))


@lru_cache(maxsize=8)
def _group(stamps: tuple[FileStamp, ...], labels: tuple[int, ...]) -> LookGroups:
    survey = survey_stamps(stamps)
    found = divide_large_groups(survey.thumbnails, survey.groups, np.array(labels, np.int64))
    found.groups.flags.writeable = False
    return found


def divide_large_groups(
    thumbnails: np.ndarray, groups: np.ndarray, labels: np.ndarray
) -> LookGroups:
    """Divide those of `groups` (N,) that no part could hold, as `group_by_looks` says.

    Example:
        >>> grain = np.random.default_rng(0).normal(0, 1, (12, 8, 8))
        >>> product = 50 * np.add.outer(np.arange(8), np.arange(8))
        >>> one_group = np.zeros(12, np.int64)
        >>> found = divide_large_groups(product + grain, one_group, one_group)
        >>> len(set(found.groups.tolist())), found.by_difference, found.alone
        (12, 12, 0)
    """
    rows = thumbnails.reshape(len(thumbnails), -1)
    groups = groups.copy()
    by_difference = alone = 0
    for number in _too_large(groups, labels):
        members = np.flatnonzero(groups == number)
        differences = rows[members] - rows[members].mean(axis=0, dtype=np.float64)
        groups[members] = groups.max() + 1 + correlated_rows(differences.astype(np.float32))
        by_difference += len(members)
    for number in _too_large(groups, labels):
        members = np.flatnonzero(groups == number)
        equal = np.unique(rows[members], axis=0, return_inverse=True)[1].ravel()
        groups[members] = groups.max() + 1 + equal
        alone += len(members)
    return LookGroups(np.unique(groups, return_inverse=True)[1], by_difference, alone)


def _too_large(groups: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the numbers of the groups that are to be divided."""
    numbers, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(numbers) < _PARTS:
        return numbers[sizes > 1]
    table = np.zeros((len(numbers), int(labels.max()) + 1), np.int64)  # images by group and label
    np.add.at(table, (group_of, labels), 1)
    most_of_a_label = (table > np.maximum(table.sum(axis=0) / 2, _FEW)).any(axis=1)
    return numbers[(sizes > max(_LARGEST_SHARE * len(groups), _FEW)) | most_of_a_label]
