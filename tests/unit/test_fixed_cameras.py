"""One product before a fixed camera: a split is found, and what it rests on is said."""

from collections import Counter

import numpy as np
import pytest
from folder_cases import mark, opened, save, surface

from course_utils.data.fixed_cameras import divide_large_groups
from course_utils.data.near_duplicates import correlated_rows, near_duplicate_groups

PARTS = ("train", "val", "test")


def shots(count, scene=999, grain=4, seed=0, **shape):
    """Return `count` images of one scene, which differ in grain."""
    rng = np.random.default_rng(seed)
    image = surface(scene, **shape).astype(int)
    return [
        np.clip(image + rng.integers(-grain, grain + 1, image.shape), 0, 255).astype(np.uint8)
        for _ in range(count)
    ]


def with_defect(image, seed):
    image = image.copy()
    image[mark(seed) > 0] = 20
    return image


def divided(images, labels=None):
    thumbnails = np.stack([image.astype(np.float32) for image in images])
    groups = near_duplicate_groups(images)
    labels = np.zeros(len(images), np.int64) if labels is None else np.array(labels)
    return groups, divide_large_groups(thumbnails, groups, labels)


def test_one_scene_is_one_group_by_looks_and_each_image_its_own_by_differences():
    groups, found = divided(shots(30))
    assert len(set(groups)) == 1
    assert (len(set(found.groups)), found.by_difference, found.alone) == (30, 30, 0)


def test_a_twin_that_did_not_move_is_found_in_its_differences_too():
    images = shots(30)
    images[7] = np.clip(images[3].astype(int) + 2, 0, 255).astype(np.uint8)
    found = divided(images)[1]
    assert found.groups[7] == found.groups[3]
    assert len(set(found.groups)) == 29


def test_three_products_are_not_one_part_each():
    images = [image for scene in (1, 2, 3) for image in shots(12, scene)]
    groups, found = divided(images)
    assert len(set(groups)) == 3
    assert (len(set(found.groups)), found.by_difference) == (36, 36)


def test_a_label_that_only_one_group_holds_is_divided():
    images = [surface(seed) for seed in range(60)] + shots(8)
    groups, found = divided(images, [1] * 60 + [0] * 8)
    assert len(set(groups)) == 61
    assert (len(set(found.groups)), found.by_difference) == (68, 8)


def test_shots_of_one_thing_stay_one_group():
    images = [image for scene in range(20) for image in shots(5, scene)]
    groups, found = divided(images, [0] * 95 + [1] * 5)
    assert np.array_equal(found.groups, groups)
    assert len(set(groups)) == 20
    assert (found.by_difference, found.alone) == (0, 0)


def test_what_drifts_with_the_light_alone_stands_one_by_one():
    product, light = surface(1).astype(float), surface(2).astype(float)
    images = [product + light * strength for strength in np.linspace(-0.05, 0.05, 20)]
    found = divided(images)[1]
    assert (len(set(found.groups)), found.by_difference, found.alone) == (20, 20, 20)


def test_equal_images_are_never_parted():
    images = [*shots(1) * 10, *shots(1, seed=1) * 10, *shots(1, seed=2) * 10]
    found = divided(images)[1]
    assert [len(set(found.groups[start : start + 10])) for start in (0, 10, 20)] == [1, 1, 1]
    assert len(set(found.groups)) == 3


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6])
def test_few_images_that_look_alike_are_divided_too(count):
    assert len(set(divided(shots(count))[1].groups)) == count


def write(folder, good, defective, masks=True):
    for number, image in enumerate(good):
        save(image, folder / "good" / f"{number:03d}.png")
    for number, image in enumerate(defective):
        place = "images" if masks else "defective"
        save(with_defect(image, number), folder / place / f"{number:03d}.png")
        if masks:
            save(mark(number), folder / "masks" / f"{number:03d}.png")
    return folder


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize(("good", "defective"), [(20, 20), (60, 5), (12, 0), (6, 6)])
def test_every_part_gets_good_and_defective_images_and_the_note_says_how(
    tmp_path, masks, good, defective
):
    write(tmp_path, shots(good), shots(defective, seed=1), masks)
    wanted = {0: good > 0, 1: defective > 0}
    for part in PARTS:
        dataset = opened(tmp_path, part)
        found = Counter(entry.label for entry in dataset.entries)
        assert all(found[label] > 0 for label, there in wanted.items() if there)
        note = dataset.split_note
        assert "look alike all over, as before a fixed camera: they were compared by what" in note
        assert "does not find two shots of one thing if it moved by a pixel" in note
        assert "state them in groups.csv (columns file,group) or put them into train/, val/" in note


def test_a_label_whose_few_images_look_alike_is_named_where_it_is_missing(tmp_path):
    write(tmp_path, shots(3), [surface(seed) for seed in range(10)])
    notes = [opened(tmp_path, part).split_note for part in PARTS]
    assert all("Not in val: good (3 images in 1 group)." in note for note in notes)


def test_images_of_different_things_are_split_as_before_and_without_that_note(tmp_path):
    write(
        tmp_path, [surface(seed) for seed in range(20)], [surface(seed) for seed in range(30, 40)]
    )
    assert "fixed camera" not in opened(tmp_path, "test").split_note


def test_copies_of_two_images_cannot_be_split(tmp_path):
    write(tmp_path, shots(1) * 6 + shots(1, 5) * 6, [])
    with pytest.raises(ValueError, match="2 groups cannot fill 3 parts"):
        opened(tmp_path, "train")


def test_stated_groups_are_taken_before_a_fixed_camera_too(tmp_path):
    write(tmp_path, shots(12), [])
    lines = [f"{number:03d}.png,{number // 4}" for number in range(12)]
    (tmp_path / "groups.csv").write_text("\n".join(["file,group", *lines]))
    note = opened(tmp_path, "test").split_note
    assert "12 images in 3 groups (groups.csv)" in note
    assert "fixed camera" not in note


def test_a_part_without_a_defect_is_named_with_what_to_do(tmp_path):
    write(tmp_path, [surface(seed) for seed in range(20)], [surface(40), surface(41)])
    note = opened(tmp_path, "test").split_note
    assert "val has no defective image, so " in note or "test has no defective image, so" in note
    assert ": add some, or state the parts yourself (train/, val/, test/)." in note


def test_many_likes_are_grouped_as_by_all_pairs(monkeypatch):
    monkeypatch.setattr("course_utils.data.near_duplicates._ROWS_AT_ONCE", 7)
    rng = np.random.default_rng(3)
    scenes = rng.normal(0, 1, (6, 40))
    rows = scenes[rng.integers(0, 6, 60)] + rng.normal(0, 0.15, (60, 40))
    pairs = np.corrcoef(rows) > 0.98
    reached = np.linalg.matrix_power(pairs.astype(float), 59) > 0
    found = correlated_rows(rows)
    assert np.array_equal(found[:, None] == found, reached)
    assert 6 < len(set(found)) < 60
