"""Train, validation and test parts that share no group, and how they were made."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from course_utils.data.image_set import AUTHORS, ImageSet, Parts

SplitBy = Literal["group", "image"]
SPLIT_NAMES = ("train", "val", "test")
_WITHOUT_DEFECTS = {
    "train": "only methods that learn from good images can train",
    "val": "no threshold can be chosen by defects",
    "test": "nothing can be scored",
}


def group_split(
    groups: Sequence[object] | np.ndarray,
    labels: Sequence[int] | np.ndarray | None = None,
    *,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
) -> tuple[np.ndarray, ...]:
    """Return one array of sorted int64 indices for each fraction (train, val, test).

    No group is ever cut. With `labels` (N,), each part gets about its fraction of each label;
    since groups stay whole, only about. No part that wants some is left empty. Where every group
    has one label, a label found in at least as many groups as there are parts is found in each
    part; where groups mix labels this is tried for the rarest first. The result depends on `seed`
    and on the order of the items only.

    The rarest label's groups are dealt out first, large ones before small ones, each to the part
    that this brings closest to its share: the greedy idea of Sechidis et al., "On the
    stratification of multi-label data", 2011, section 3.2, for whole groups.

    Raises:
        ValueError: when lengths differ, fractions are negative or do not sum to 1, or there are
            fewer groups than parts that want some.

    Example:
        >>> train, val, test = group_split(["a", "a", "b", "c", "d", "e"], fractions=(.5, .25, .25))
        >>> len(train), len(val), len(test)
        (3, 2, 1)
    """
    group_of = _numbered(groups)
    label_of = np.zeros(len(group_of), np.int64) if labels is None else _numbered(labels)
    shares = np.asarray(fractions, np.float64)
    if len(label_of) != len(group_of):
        raise ValueError(
            f"got {len(group_of)} groups but {len(label_of)} labels: want one of each per item"
        )
    if shares.ndim != 1 or (shares < 0).any() or not np.isclose(shares.sum(), 1):
        raise ValueError(f"fractions must not be negative and sum to 1, got {tuple(fractions)}")
    group_count = int(group_of.max()) + 1 if len(group_of) else 0
    wanting = int((shares > 0).sum())
    if group_count < wanting:
        raise ValueError(
            f"{group_count} groups cannot fill {wanting} parts without cutting one: add images, "
            f"ask for fewer parts, or state yourself what is in which"
        )
    table = np.zeros((group_count, int(label_of.max()) + 1))  # images by group and label
    np.add.at(table, (group_of, label_of), 1)
    part_of = _deal(table, shares, np.random.default_rng(seed))
    return tuple(np.flatnonzero(part_of[group_of] == part) for part in range(len(shares)))


def split_images(
    image_set: ImageSet,
    split: str,
    *,
    seed: int = 0,
    split_by: SplitBy = "group",
    fold: int | None = None,
    normal_only: bool = False,
) -> tuple[np.ndarray, str]:
    """Return the indices of the part `split` and the sentences that say how it was made.

    Arguments as in `open_dataset`. Stated parts stay as they are. Where no validation part is
    stated, and where a fold is the test part, a fifth of the other images, in whole groups, is for
    validation. With `normal_only`, train and val hold good images alone, and where nobody has
    stated parts, all defective images are in test. Where folds cut a group in two, its images on
    the side of training are in no part: the test part stays comparable with what others report,
    and nothing leaks.

    Raises:
        ValueError: if there are too few groups for all parts.
    """
    count = len(image_set.entries)
    remarks = "".join(f" {remark}" for remark in image_set.remarks)
    if split == "all":
        return np.arange(count), f"All {count} images, no split.{remarks}"
    if fold is not None:
        parts, note = _fold_parts(image_set, fold, seed)
        note += _missing_classes(image_set, parts)
    elif image_set.parts is not None:
        parts, note = _stated_parts(image_set, image_set.parts, seed)
    else:
        parts, note = _own_parts(image_set, seed, split_by, normal_only)
    indices = parts[SPLIT_NAMES.index(split)]
    if normal_only and split != "test":
        indices = indices[image_set.labels[indices] == 0]
    return indices, note + remarks


def _own_parts(
    image_set: ImageSet, seed: int, split_by: SplitBy, normal_only: bool
) -> tuple[tuple[np.ndarray, ...], str]:
    """Deal out the images of a set whose parts nobody has stated."""
    good = image_set.labels == 0
    if normal_only and not good.any():
        raise ValueError("there is no good image, and this method learns from good ones: add some")
    with_defects = np.isin(image_set.groups, image_set.groups[~good])
    dealt = np.flatnonzero(~with_defects) if normal_only else np.arange(len(good))
    groups = image_set.groups[dealt]
    keys = groups if split_by == "group" else dealt
    if normal_only and len(np.unique(keys)) < len(SPLIT_NAMES):
        parts, note = _own_parts(image_set, seed, split_by, normal_only=False)
        left_out = int((~good[np.concatenate(parts[:2])]).sum())
        return parts, (
            f"{note} Nearly every group has a defect, so the {left_out} defective images of the "
            "training and validation groups are left out: nothing learns from them."
        )
    train, val, test = (dealt[p] for p in group_split(keys, image_set.labels[dealt], seed=seed))
    rest = np.flatnonzero(with_defects) if normal_only else np.empty(0, np.int64)
    parts = train, val, np.sort(np.concatenate([test, rest]))
    if split_by == "image":
        note = leak_note(image_set.groups, parts, image_set.grouping)
    else:
        note = (
            f"{len(dealt)} {'good ' * normal_only}images in {len(np.unique(groups))} groups "
            f"({image_set.grouping}) were split 60/20/20 by seed {seed}: no group is in two parts."
        )
    if normal_only:
        if len(rest):
            defective = int((~good).sum())
            note += f" All {defective} defective images are test images: nothing learns from them."
        if len(rest) > int((~good).sum()):
            note += f" So are {len(rest) - defective} good ones of their groups."
        return parts, note
    return parts, note + _missing_classes(image_set, parts)


def leak_note(groups: np.ndarray, parts: Sequence[np.ndarray], grouping: str) -> str:
    """Return the sentence on `parts`, indices of train, val and test, that cut `groups`."""
    train, _, test = parts
    leaking = np.isin(groups[test], groups[train]).mean()
    return (
        f"Leaks on purpose: {len(groups)} images were dealt out one by one, so {leaking:.0%} of "
        f"the test images show something that is in train too ({grouping})."
    )


def _stated_parts(
    image_set: ImageSet, stated: Parts, seed: int
) -> tuple[tuple[np.ndarray, ...], str]:
    train, val, test = (np.flatnonzero(stated.part_of == name) for name in SPLIT_NAMES)
    if len(val):
        note = (
            f"The parts of {len(train)}, {len(val)} and {len(test)} images for training, "
            f"validation and test are {stated.origin}."
        )
    else:
        train, val = _train_and_val(image_set, stated.part_of != "test", seed)
        note = (
            f"The test part of {len(test)} images is {stated.origin}; of the other "
            f"{len(train) + len(val)} images, {len(val)} were held out for validation by seed "
            f"{seed}."
        )
    parts = (train, val, test)
    if stated.origin != AUTHORS:  # theirs are as they are: a reader of the paper knows them
        note += _shared_groups(image_set, parts) + _missing_classes(image_set, parts)
    return parts, note


def _fold_parts(image_set: ImageSet, fold: int, seed: int) -> tuple[tuple[np.ndarray, ...], str]:
    if image_set.folds is None:
        raise ValueError("this set has no folds")
    in_test = image_set.folds.test_fold == fold
    shown_in_test = np.isin(image_set.groups, image_set.groups[in_test])
    train, val = _train_and_val(image_set, ~shown_in_test, seed)
    note = (
        f"The test part of {in_test.sum()} images is fold {fold}; folds are "
        f"{image_set.folds.origin}. Of the other {len(train) + len(val)} images, {len(val)} were "
        f"held out for validation by seed {seed}, in whole groups ({image_set.grouping})."
    )
    cut = shown_in_test & ~in_test
    if cut.any():
        first = image_set.entries[int(cut.argmax())].name
        note += (
            f" These folds cut groups in two: {cut.sum()} more images, such as {first}, show "
            f"what is in the test part and are in no part."
        )
    return (train, val, np.flatnonzero(in_test)), note


def _train_and_val(
    image_set: ImageSet, chosen: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    rest = np.flatnonzero(chosen)
    train, val = group_split(
        image_set.groups[rest], image_set.labels[rest], fractions=(0.8, 0.2), seed=seed
    )
    return rest[train], rest[val]


def _shared_groups(image_set: ImageSet, parts: Sequence[np.ndarray]) -> str:
    """Return a sentence for each part that shows what an earlier one shows."""
    sentences = ""
    for position, name in ((1, "val"), (2, "test")):
        earlier = image_set.groups[np.concatenate(parts[:position])]
        shared = parts[position][np.isin(image_set.groups[parts[position]], earlier)]
        if len(shared):
            sentences += (
                f" {len(shared)} images of {name}, such as {image_set.entries[shared[0]].name}, "
                f"share a group ({image_set.grouping}) with images of "
                f"{' or '.join(SPLIT_NAMES[:position])}: scores will be too good. Move them."
            )
    return sentences


def _missing_classes(image_set: ImageSet, parts: Sequence[np.ndarray]) -> str:
    """Return a sentence for each part that lacks a label, with what follows and what to do."""
    labels = image_set.labels
    defects = bool((labels > 0).any())
    sentences = ""
    for part_name, indices in zip(SPLIT_NAMES, parts, strict=True):
        without_defects = defects and not (labels[indices] > 0).any()
        gone = np.setdiff1d(labels, labels[indices])
        named = [_counted(image_set, label) for label in gone if not (without_defects and label)]
        if named:
            sentences += f" Not in {part_name}: {', '.join(named)}."
        if without_defects:
            sentences += (
                f" {part_name} has no defective image, so {_WITHOUT_DEFECTS[part_name]}: add "
                f"some, or state the parts yourself (train/, val/, test/)."
            )
    return sentences


def _counted(image_set: ImageSet, label: int) -> str:
    groups = image_set.groups[image_set.labels == label]
    images, count = len(groups), len(np.unique(groups))
    name = image_set.class_names[label] if label else "good"
    return f"{name} ({images} image{'s'[: images > 1]} in {count} group{'s'[: count > 1]})"


def _numbered(values: Sequence[object] | np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"groups and labels must be one value per item, got shape {array.shape}")
    return np.unique(array, return_inverse=True)[1]


def _deal(table: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the part of each group, (groups,), given the images by group and label."""
    order = rng.permutation(len(table))
    order = order[np.argsort(-table[order].sum(axis=1), kind="stable")]
    present = table > 0
    weights = table / table.sum(axis=0)  # a group's fraction of each label
    excess = -np.outer(shares, np.ones(table.shape[1]))  # (parts, labels): above its share
    open_parts = shares > 0
    holds = np.zeros(excess.shape, bool)  # (parts, labels): has an image with it
    part_of = np.full(len(table), -1)
    undealt = len(table)
    for label in np.argsort(present.sum(axis=0), kind="stable"):
        left = order[present[order, label] & (part_of[order] < 0)]
        for position, group in enumerate(left):
            candidates = _candidates(holds, label, open_parts, undealt, len(left) - position)
            cost = np.square(excess + weights[group]).sum(axis=1) - np.square(excess).sum(axis=1)
            part = candidates[np.argmin(cost[candidates])]
            excess[part] += weights[group]
            holds[part] |= present[group]
            part_of[group] = part
            undealt -= 1
    return part_of


def _candidates(
    holds: np.ndarray, label: int, open_parts: np.ndarray, undealt: int, groups_left: int
) -> np.ndarray:
    """Return the parts that may take the next group with `label`.

    All of them, unless the groups left are just enough for the parts that are still empty, or
    those with this label for the parts that still miss it.
    """
    empty = np.flatnonzero(open_parts & ~holds.any(axis=1))
    if len(empty) == undealt:
        return empty
    missing = np.flatnonzero(open_parts & ~holds[:, label])
    if len(missing) > 0 and len(missing) >= groups_left:
        return missing
    return np.flatnonzero(open_parts)
