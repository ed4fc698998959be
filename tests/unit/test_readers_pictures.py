"""DTD and Tiny-ImageNet, rebuilt in miniature: pictures without defects."""

import shutil

import numpy as np
import pytest
from few_images import open_all, write_image

from course_utils.anomaly.textures import TextureFolder
from course_utils.data import group_split
from course_utils.data.labeled_images import find_labeled_images
from course_utils.data.readers import dtd as dtd_reader
from course_utils.data.readers import tiny_imagenet

RNG = np.random.default_rng(4)


def write(path):
    write_image(path, RNG.integers(0, 256, (10, 14, 3), np.uint8))


@pytest.fixture
def dtd(tmp_path):
    for kind in ("dotted", "banded"):
        for number in (2, 4, 5, 6):
            write(tmp_path / "images" / kind / f"{kind}_{number:04d}.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "images" / ".directory").touch()
    return tmp_path


@pytest.fixture
def tiny(tmp_path):
    lines = []
    for number, kind in enumerate(("n01443537", "n01629819")):
        for image in range(3):
            write(tmp_path / "train" / kind / "images" / f"{kind}_{image}.JPEG")
        (tmp_path / "train" / kind / f"{kind}_boxes.txt").write_text("")
        write(tmp_path / "val" / "images" / f"val_{number}.JPEG")
        lines.append(f"val_{number}.JPEG\t{kind}\t0\t0\t9\t9\n")
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(lines))
    write(tmp_path / "test" / "images" / "test_0.JPEG")
    return tmp_path


def opened(image_set):
    return open_all(image_set, (10, 14))


def names(image_set):
    return [entry.name for entry in image_set.entries]


def test_textures_are_named_by_their_class_and_hold_no_defect(dtd):
    dataset = opened(dtd_reader.read(dtd))
    assert [entry.name for entry in dataset.entries] == [
        f"{kind}/{kind}_{number:04d}" for kind in ("banded", "dotted") for number in (2, 4, 5, 6)
    ]
    assert tuple(dataset.class_names) == ("background",)
    for sample in map(dataset.__getitem__, range(len(dataset))):
        assert sample.image.shape == (3, 10, 14)
        assert sample.label == 0
        assert sample.mask.shape == (10, 14)
        assert not sample.mask.any()


def test_textures_are_the_pictures_that_the_texture_folder_takes(dtd):
    assert TextureFolder(dtd).paths == [entry.image for entry in dtd_reader.list_entries(dtd)]


def test_each_picture_is_a_group_and_can_be_split_though_all_labels_are_one(dtd):
    image_set = dtd_reader.read(dtd)
    assert len(set(image_set.groups.tolist())) == 8
    assert image_set.parts is None
    parts = group_split(image_set.groups, image_set.labels)
    assert sorted(np.concatenate(parts).tolist()) == list(range(8))
    assert all(len(part) for part in parts)


def test_the_validation_part_of_tiny_imagenet_is_the_test_part(tiny):
    image_set = tiny_imagenet.read(tiny)
    assert names(image_set) == [
        *(f"train/n01443537/images/n01443537_{image}" for image in range(3)),
        *(f"train/n01629819/images/n01629819_{image}" for image in range(3)),
        "val/images/val_0",
        "val/images/val_1",
    ]
    assert image_set.parts.part_of.tolist() == ["train"] * 6 + ["test"] * 2
    assert len(set(image_set.groups.tolist())) == 8
    assert not image_set.labels.any()


def test_tiny_imagenet_is_the_images_that_an_encoder_is_pretrained_on(tiny):
    files = find_labeled_images(tiny)
    assert [str(entry.image) for entry in tiny_imagenet.list_entries(tiny)] == [
        path for path, _ in files.train + files.val
    ]


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("images", r"images is missing: want images/<class>/\*\.jpg"),
        ("images/*", "images holds no images"),
        ("images/banded/*", "banded holds no images"),
    ],
)
def test_what_is_missing_of_dtd_is_named(dtd, gone, message):
    take_away(dtd, gone)
    with pytest.raises(FileNotFoundError, match=message):
        dtd_reader.read(dtd)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("train", "train is missing: want train/<class>/images"),
        ("train/*", "train holds no images"),
        ("train/n01443537/images", "images is missing"),
        ("train/n01443537/images/*", "images holds no images"),
        ("val/images", "images is missing"),
        ("val/val_annotations.txt", r"val_annotations\.txt is missing"),
    ],
)
def test_what_is_missing_of_tiny_imagenet_is_named(tiny, gone, message):
    take_away(tiny, gone)
    with pytest.raises(FileNotFoundError, match=message):
        tiny_imagenet.read(tiny)


def take_away(folder, pattern):
    for path in [*folder.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
