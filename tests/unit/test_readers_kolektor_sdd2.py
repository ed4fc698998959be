"""KolektorSDD2's layout, rebuilt in miniature: parts, pairs in one folder, and the stray copy."""

import shutil

import numpy as np
import pytest
from few_images import open_all, write_image

from course_utils.data.readers import kolektor_sdd2, masks
from course_utils.data.registry import KOLEKTOR_SDD2

Missing = FileNotFoundError
IDS = {"train": range(10300, 10305), "test": range(20000, 20003)}
DEFECTIVE = {"train/10300": 1, "train/10303": 255, "test/20001": 3}
RNG = np.random.default_rng(4)


def mask_of(value):
    mask = np.zeros((30, 12), np.uint8)
    mask[4:8, 3:5] = value
    return mask


@pytest.fixture
def folder(tmp_path):
    """Five images to train on and three to test on, three of the eight with a defect."""
    for part, numbers in IDS.items():
        for number in numbers:
            picture = RNG.integers(0, 256, (30, 12, 3), np.uint8)
            write_image(tmp_path / part / f"{number}.png", picture)
            value = DEFECTIVE.get(f"{part}/{number}", 0)
            write_image(tmp_path / part / f"{number}_GT.png", mask_of(value))
    return tmp_path


def opened(folder):
    return open_all(kolektor_sdd2.read(folder), (30, 12))


def names(entries):
    return [entry.name for entry in entries]


def test_each_image_has_its_mask_in_which_what_is_not_zero_is_defect(folder):
    (folder / "split_weakly_16.pyb").write_bytes(b"\x80\x02]q\x00.")  # lies in the archive too
    dataset = opened(folder)
    assert len(dataset) == 8
    for sample in map(dataset.__getitem__, range(8)):
        assert sample.image.shape == (3, 30, 12)
        assert sample.label == (sample.name in DEFECTIVE)
        expected = mask_of(sample.name in DEFECTIVE)
        assert np.array_equal(sample.mask.numpy(), expected)


def test_the_test_part_is_that_of_the_authors(folder):
    image_set = kolektor_sdd2.read(folder)
    in_test = np.array(names(image_set.entries))[image_set.parts.part_of == "test"].tolist()
    assert in_test == [f"test/{number}" for number in IDS["test"]]
    assert tuple(image_set.class_names) == KOLEKTOR_SDD2.class_names
    assert image_set.folds is None


def test_near_duplicates_are_one_group_across_the_parts(folder):
    shutil.copy(folder / "train" / "10302.png", folder / "test" / "20002.png")
    image_set = kolektor_sdd2.read(folder)
    group_of = dict(zip(names(image_set.entries), image_set.groups.tolist(), strict=True))
    assert group_of["train/10302"] == group_of["test/20002"]
    assert len(set(group_of.values())) == 7
    assert "do not say which show one piece" in image_set.grouping


def test_the_stray_copy_is_left_out_and_other_copies_are_not(folder):
    before = names(kolektor_sdd2.list_entries(folder))
    for ending in ("", "_GT"):
        original = folder / "train" / f"10301{ending}.png"
        shutil.copy(original, folder / "train" / f"10301{ending} (copy).png")
    assert names(kolektor_sdd2.list_entries(folder)) == before
    assert "train/10301" in before
    (folder / "train" / "10301 (copy).png").unlink()  # its mask alone is no fault either
    assert names(kolektor_sdd2.list_entries(folder)) == before
    for number in (10301, 20000):
        path = folder / "test" / f"{number} (copy).png"
        shutil.copy(folder / "train" / "10301.png", path)
        with pytest.raises(FileNotFoundError, match=rf"{number} \(copy\)\.png has no mask"):
            kolektor_sdd2.list_entries(folder)
        path.unlink()


def test_a_mask_is_read_once_for_its_label_until_it_changes(folder, monkeypatch):
    read = []
    monkeypatch.setattr(masks, "read_mask", lambda path: read.append(path.name) or mask_of(1))
    assert [kolektor_sdd2.read(folder).labels.sum() for _ in range(2)] == [8, 8]
    assert len(read) == len(set(read)) == 8
    write_image(folder / "test" / "20001_GT.png", mask_of(0))
    kolektor_sdd2.read(folder)
    assert read.count("20001_GT.png") == 2


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda p: (p / "10301_GT.png").unlink(), Missing, r"10301\.png has no mask: .* holds no"),
        (lambda p: shutil.rmtree(p), Missing, "train is missing: want train and test"),
        (lambda p: shutil.rmtree(p.parent / "test"), Missing, "test is missing: want train and"),
        (lambda p: [path.unlink() for path in p.iterdir()], Missing, r"train holds no images:"),
    ],
)
def test_what_is_wrong_is_named_when_the_set_is_opened(folder, change, kind, message):
    change(folder / "train")
    with pytest.raises(kind, match=message):
        kolektor_sdd2.read(folder)
