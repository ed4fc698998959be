"""One fold is the test part, and what shows the same things is kept out of the others."""

import numpy as np

from course_utils.data.image_mask_dataset import ImageSet
from course_utils.data.splits import group_split

_VALIDATION = 0.2


def split_by_fold(
    image_set: ImageSet, fold: int, *, seed: int = 0
) -> tuple[tuple[np.ndarray, ...], str]:
    """Return the indices of train, val and test, and the sentence that says how they were made.

    Fold `fold` is the test part. A fifth of the groups of the other folds, by `seed`, is for
    validation. Where the folds cut a group in two, the images on the side of training are in no
    part: the test part stays comparable with what others report, and nothing leaks.

    Raises:
        ValueError: if the set has no folds, or too few groups are left to train and validate.
    """
    if image_set.folds is None:
        raise ValueError("this set has no folds")
    fold_of, groups = image_set.folds.test_fold, image_set.groups
    in_test = fold_of == fold
    twins = ~in_test & np.isin(groups, groups[in_test])
    rest = np.flatnonzero(~in_test & ~twins)
    train, val = group_split(
        groups[rest],
        image_set.labels[rest],
        fractions=(1 - _VALIDATION, _VALIDATION),
        seed=seed,
    )
    note = (
        f"The test part of {in_test.sum()} images is fold {fold}; folds are "
        f"{image_set.folds.origin}. Of the other {len(rest)} images, {len(val)} were held out for "
        f"validation by seed {seed}, in whole groups ({image_set.grouping})."
    )
    if twins.any():
        first = image_set.entries[int(twins.argmax())].name
        note += (
            f" These folds cut groups in two: {twins.sum()} more images, such as {first}, show "
            f"what is in the test part and are in no part."
        )
    return (rest[train], rest[val], np.flatnonzero(in_test)), note
