"""KolektorSDD itself: runs where it is on disk, skips where it is not."""

from collections import Counter

import numpy as np
import pytest

from course_utils.data import find_datasets, near_duplicate_groups, open_dataset

SPLITS = ("train", "val", "test")
SIZE = (176, 64)


@pytest.fixture(scope="module")
def whole():
    found = find_datasets()["kolektor_sdd"]
    if not found.folder.is_dir():
        pytest.skip(f"kolektor_sdd is not in {found.folder.parent} (see COURSE_DATA_ROOT)")
    assert not found.problem
    dataset = open_dataset("kolektor_sdd", "all", size=SIZE)
    dataset.validate()
    return dataset


def item(name):
    return name.partition("/")[0]


def test_there_are_399_images_of_50_items_and_52_have_a_defect(whole):
    assert len(whole) == 399
    sizes = Counter(item(entry.name) for entry in whole.entries)
    assert len(sizes) == 50
    assert {name: count for name, count in sizes.items() if count != 8} == {"kos21": 7}
    defective = [item(entry.name) for entry in whole.entries if entry.label]
    assert len(defective) == 52
    assert len(set(defective)) == 50


def test_masks_lie_on_defective_images_only(whole):
    for sample in map(whole.__getitem__, range(len(whole))):
        assert bool(sample.mask.any()) <= bool(sample.label)


def test_near_duplicate_items_are_one_group_and_no_others_are(whole):
    duplicates = near_duplicate_groups([sample.image for sample in whole], threshold=0.985)
    alike = set()
    for number in np.flatnonzero(np.bincount(duplicates) > 1):
        members = sorted(
            {item(whole.entries[index].name) for index in np.flatnonzero(duplicates == number)}
        )
        alike |= {tuple(members)} if len(members) > 1 else set()
    joined = {}
    for entry, group in zip(whole.entries, whole.groups, strict=True):
        joined.setdefault(group, set()).add(item(entry.name))
    assert alike == {tuple(sorted(items)) for items in joined.values() if len(items) > 1}
    assert alike == {("kos01", "kos26"), ("kos27", "kos34"), ("kos38", "kos39")}


@pytest.mark.parametrize("seed", [0, 1])
def test_each_image_is_tested_in_one_fold_and_no_group_is_on_two_sides(whole, seed):
    tested = []
    for fold in (1, 2, 3):
        parts = [open_dataset("kolektor_sdd", s, fold=fold, seed=seed, size=SIZE) for s in SPLITS]
        owners = [set(part.groups) for part in parts]
        assert len(set.union(*owners)) == sum(map(len, owners))
        assert 120 <= len(parts[2]) <= 145
        for part in parts:
            share = np.mean([entry.label for entry in part.entries])
            assert share == pytest.approx(52 / 399, abs=0.03)
        tested += [entry.name for entry in parts[2].entries]
    assert sorted(tested) == sorted(entry.name for entry in whole.entries)


def test_the_folds_of_this_course(whole):
    parts = [open_dataset("kolektor_sdd", s, fold=f, size=SIZE) for f in (1, 2, 3) for s in SPLITS]
    if "dealt out by this course" not in parts[0].split_note:
        pytest.skip("split.pyb is here, so folds are the authors'")
    counts = [(len(part), sum(entry.label for entry in part.entries)) for part in parts]
    assert counts == [
        *((208, 28), (55, 7), (136, 17)),
        *((208, 28), (55, 7), (136, 17)),
        *((216, 27), (56, 7), (127, 18)),
    ]
