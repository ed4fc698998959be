"""Groups of look-alikes, and splits that keep each group whole."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data.image_set import Entry, ImageSet
from course_utils.data.near_duplicates import join_groups, near_duplicate_groups, thumbnail
from course_utils.data.splits import group_split, split_images

RNG = np.random.default_rng(5)
SCENES = [np.clip(RNG.normal(128, 40, (8, 8)), 0, 255).repeat(10, 0).repeat(10, 1) for _ in "abcd"]


def slow_groups(images, threshold):
    """From the definition: correlate all pairs, then spread along the links."""
    flat = [thumbnail(image).ravel().astype(float) for image in images]
    twins = np.corrcoef(flat) > threshold
    group = [-1] * len(flat)
    for start in range(len(flat)):
        if group[start] < 0:
            reached, number = [start], max(group) + 1
            while reached:
                here = reached.pop()
                if group[here] < 0:
                    group[here] = number
                    reached += np.flatnonzero(twins[here]).tolist()
    return group


def noisy(scene, amount, seed):
    return scene + np.random.default_rng(seed).normal(0, amount, scene.shape)


def test_twins_are_found_whatever_their_size_exposure_and_type():
    first, second = SCENES[0].astype(np.uint8), SCENES[1].astype(np.uint8)
    images = [
        first,
        second,
        first[::2, ::2],
        (first * 0.5 + 20).astype(np.float32) / 255,
        np.repeat(first[..., None], 3, axis=2),
        torch.from_numpy(second)[None].expand(3, -1, -1) / 255,
    ]
    assert near_duplicate_groups(images).tolist() == [0, 1, 0, 0, 0, 1]


def test_groups_equal_the_slow_definition_also_across_blocks(monkeypatch):
    monkeypatch.setattr("course_utils.data.near_duplicates._ROWS_AT_ONCE", 3)
    images = [noisy(SCENES[i % 4], 90 * (i % 3), seed=i) for i in range(20)]
    for threshold in (0.9, 0.95, 0.98):
        expected = slow_groups(images, threshold)
        assert near_duplicate_groups(images, threshold=threshold).tolist() == expected


def test_likeness_is_passed_on_along_a_chain():
    a, b = SCENES[0], SCENES[1]
    chain = [a + (b - a) * step for step in np.linspace(0, 1, 12)]
    assert len(set(near_duplicate_groups(chain).tolist())) == 1
    assert near_duplicate_groups([chain[0], chain[-1]]).tolist() == [0, 1]


def test_constant_images_are_twins_of_the_same_gray_only():
    gray = np.full((40, 50), 90, np.uint8)
    images = [gray, SCENES[0], gray[:20], gray + 3, np.zeros((4, 4)), np.zeros((9, 9))]
    assert near_duplicate_groups(images).tolist() == [0, 1, 0, 2, 3, 3]


@settings(max_examples=25)
@given(st.permutations(range(8)))
def test_groups_do_not_depend_on_the_order_of_the_images(order):
    images = [noisy(SCENES[i % 4], 5, seed=i) for i in range(8)]
    straight = near_duplicate_groups(images)
    shuffled = near_duplicate_groups([images[i] for i in order])
    same = straight[list(order)][:, None] == straight[list(order)]
    assert np.array_equal(shuffled[:, None] == shuffled, same)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {}, "no images"),
        ([np.zeros(5)], {}, r"got \(5,\)"),
        ([np.zeros((2, 8, 8))], {}, r"got \(2, 8, 8\)"),
        ([np.full((8, 8), np.nan)], {}, "not finite"),
        ([np.eye(8)], {"threshold": 1.0}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(images, options, message):
    with pytest.raises(ValueError, match=message):
        near_duplicate_groups(images, **options)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=20))
def test_joined_groups_keep_together_what_either_grouping_does(pairs):
    a, b = np.array(pairs).T
    joined = join_groups(a, b)
    linked = (a[:, None] == a) | (b[:, None] == b)
    closure = np.linalg.matrix_power(linked.astype(float), len(a)) > 0
    assert np.array_equal(joined[:, None] == joined, closure)


grouped_items = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=120)


@given(grouped_items, st.integers(0, 5))
def test_every_item_is_in_one_part_and_every_group_too(items, seed):
    groups, labels = np.array(items).T
    if len(set(groups)) < 3:
        with pytest.raises(ValueError, match="cannot fill 3 parts"):
            group_split(groups, labels, seed=seed)
        return
    parts = group_split(groups, labels, seed=seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(items)))
    owners = [set(groups[part].tolist()) for part in parts]
    assert len(set.union(*owners)) == sum(map(len, owners))
    again = group_split(groups, labels, seed=seed)
    assert all(np.array_equal(one, two) for one, two in zip(parts, again, strict=True))


@given(st.lists(st.integers(1, 9), min_size=9, max_size=40), st.integers(0, 5))
def test_a_label_in_three_groups_or_more_reaches_every_part(sizes, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = groups % 3  # each label in at least three groups, however uneven their sizes
    for part in group_split(groups, labels, seed=seed):
        assert set(labels[part].tolist()) == {0, 1, 2}


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5)), min_size=3, max_size=30),
    st.sampled_from([(0.6, 0.2, 0.2), (0.9, 0.05, 0.05), (0.5, 0.0, 0.5), (0.4, 0.3, 0.2, 0.1)]),
    st.integers(0, 5),
)
def test_no_part_that_wants_groups_is_left_empty(items, fractions, seed):
    groups, labels = np.array(items).T
    wanting = [fraction > 0 for fraction in fractions]
    if len(set(groups.tolist())) < sum(wanting):
        return
    parts = group_split(groups, labels, fractions=fractions, seed=seed)
    assert [len(part) > 0 for part in parts] == wanting


def test_single_images_are_split_exactly_by_label():
    labels = np.repeat([0, 1, 2], [500, 100, 50])
    parts = group_split(np.arange(650), labels)
    assert [np.bincount(labels[part]).tolist() for part in parts] == [
        [300, 60, 30],
        [100, 20, 10],
        [100, 20, 10],
    ]


def test_groups_of_tiles_come_close_to_the_fractions():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(200), rng.integers(1, 13, 200))
    labels = np.where(groups % 10 < 7, 0, groups % 10 - 6)
    for part, fraction in zip(group_split(groups, labels), (0.6, 0.2, 0.2), strict=True):
        share = np.bincount(labels[part], minlength=4) / np.bincount(labels)
        assert np.abs(share - fraction).max() < 0.05


def test_the_seed_decides_who_goes_where():
    firsts = {tuple(group_split(np.arange(50), seed=seed)[2]) for seed in range(10)}
    assert len(firsts) == 10


@pytest.mark.parametrize(
    ("groups", "labels", "fractions", "message"),
    [
        (["a", "b"], None, (0.6, 0.2, 0.2), "2 groups cannot fill 3 parts"),
        ([], None, (0.6, 0.2, 0.2), "0 groups"),
        ([1, 2, 3], [0, 1], (0.6, 0.2, 0.2), "3 groups but 2 labels"),
        ([1, 2, 3], None, (0.6, 0.2, 0.3), "sum to 1"),
        ([1, 2, 3], None, (1.2, -0.2, 0.0), "not be negative"),
        ([[1, 2, 3]], None, (0.6, 0.2, 0.2), "one value per item"),
    ],
)
def test_impossible_splits_are_refused(groups, labels, fractions, message):
    with pytest.raises(ValueError, match=message):
        group_split(groups, labels, fractions=fractions)


def test_what_shares_a_group_with_a_defect_is_not_learnt_from():
    groups = np.repeat(np.arange(12), 2)
    labels = np.array([0, 1] * 3 + [0, 0] * 9)  # three pieces were photographed good and defective
    entries = [Entry(Path(f"{i}.png"), None, int(label), f"{i}") for i, label in enumerate(labels)]
    images = ImageSet(entries, groups, "pieces", ("background", "defect"), 1, lambda entry: None)
    parts = {
        name: split_images(images, name, normal_only=True)[0] for name in ("train", "val", "test")
    }
    assert not labels[parts["train"]].any()
    assert not labels[parts["val"]].any()
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not set(groups[parts[one]]) & set(groups[parts[other]])
    assert sum(map(len, parts.values())) == 24
    note = split_images(images, "test", normal_only=True)[1]
    assert "All 3 defective images are test images" in note
    assert "3 good ones of their groups" in note


def test_where_every_group_has_a_defect_its_good_images_are_learnt_from_all_the_same():
    groups, labels = np.repeat(np.arange(12), 3), np.tile([0, 0, 1], 12)
    entries = [Entry(Path(f"{i}.png"), None, int(label), f"{i}") for i, label in enumerate(labels)]
    images = ImageSet(entries, groups, "pieces", ("background", "defect"), 1, lambda entry: None)
    parts = {
        name: split_images(images, name, normal_only=True)[0] for name in ("train", "val", "test")
    }
    assert len(parts["train"])
    assert len(parts["val"])
    assert not labels[np.concatenate([parts["train"], parts["val"]])].any()
    assert 0 < labels[parts["test"]].sum() < 12
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not set(groups[parts[one]]) & set(groups[parts[other]])
    left_out = 12 - labels[parts["test"]].sum()
    note = split_images(images, "test", normal_only=True)[1]
    assert f"the {left_out} defective images of the training and validation groups" in note
