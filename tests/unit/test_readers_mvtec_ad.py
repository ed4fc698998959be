"""MVTec AD's layout, rebuilt in miniature."""

import shutil

import numpy as np
import pytest
from few_images import write_image

from course_utils.data import find_datasets, open_dataset


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(3)
    place = tmp_path / "mvtec_ad" / "grid"
    for number in range(10):
        picture = rng.integers(0, 256, (20, 30), np.uint8)
        write_image(place / "train" / "good" / f"{number:03d}.png", picture)
        write_image(place / "test" / "good" / f"{number:03d}.png", picture)
    for kind in ("glue", "bent"):
        for number in range(3):
            mask = np.zeros((20, 30), np.uint8)
            mask[4:8, 5 : 10 + number] = 255
            write_image(place / "test" / kind / f"{number:03d}.png", mask + 50)
            write_image(place / "ground_truth" / kind / f"{number:03d}_mask.png", mask)
    return tmp_path


def names(root, split):
    return [entry.name for entry in open_dataset("mvtec_ad/grid", split, root=root).entries]


def test_the_test_part_is_the_authors_and_validation_is_held_out_of_good_images(root):
    parts = {split: names(root, split) for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 8, "val": 2, "test": 16}
    assert all(name.startswith("train/good/") for name in parts["train"] + parts["val"])
    assert not set(parts["train"]) & set(parts["val"])
    assert all(name.startswith("test/") for name in parts["test"])
    assert sorted(name for part in parts.values() for name in part) == sorted(names(root, "all"))
    note = open_dataset("mvtec_ad/grid", root=root).split_note
    assert "16 images is the authors'" in note
    assert "2 were held out" in note


def test_a_random_split_of_images_cannot_touch_the_published_test_part(root):
    by_image = open_dataset("mvtec_ad/grid", "test", root=root, split_by="image")
    assert [entry.name for entry in by_image.entries] == names(root, "test")


def test_classes_are_the_kinds_and_masks_hold_them(root):
    test = open_dataset("mvtec_ad/grid", "test", size=(20, 30), root=root)
    assert tuple(test.class_names) == ("background", "bent", "glue")
    found = {sample.name: sample for sample in map(test.__getitem__, range(len(test)))}
    glue = found["test/glue/002"]
    assert (glue.label, sorted(glue.mask.unique().tolist())) == (2, [0, 2])
    assert int((glue.mask == 2).sum()) == 4 * 7
    assert not found["test/good/000"].mask.any()
    assert found["test/good/000"].label == 0


def test_gray_categories_come_as_rgb(root):
    image = open_dataset("mvtec_ad/grid", size=(20, 30), root=root)[0].image
    assert image.shape == (3, 20, 30)
    assert bool((image[0] == image[2]).all())


def test_a_missing_category_names_those_that_are_there(root):
    for name in ("mvtec_ad", "mvtec_ad/bottle"):
        with pytest.raises(FileNotFoundError, match="choose mvtec_ad/grid"):
            open_dataset(name, root=root)


def test_a_set_that_is_not_on_disk_says_where_it_is_published(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mvtec\.com"):
        open_dataset("mvtec_ad/bottle", root=tmp_path)
    found = find_datasets(tmp_path)["mvtec_ad"]
    assert found.images == 0
    assert "does not exist" in found.problem


@pytest.mark.parametrize(
    ("gone", "message"),
    [("train/good", "not complete"), ("ground_truth/glue", "masks of test/glue")],
)
def test_what_is_missing_is_named(root, gone, message):
    shutil.rmtree(root / "mvtec_ad" / "grid" / gone)
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        open_dataset("mvtec_ad/grid", root=root)


def test_what_is_found_can_be_opened_by_its_name(root):
    (root / "mvtec_ad" / "bottle" / "train").mkdir(parents=True)
    found = find_datasets(root)
    assert (found["mvtec_ad/grid"].images, found["mvtec_ad/grid"].problem) == (26, "")
    assert "not complete" in found["mvtec_ad/bottle"].problem
    assert "mvtec_ad" not in found
    for name, one in found.items():
        if one.images:
            assert len(open_dataset(name, "all", root=root)) == one.images
