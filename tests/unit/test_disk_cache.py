"""Decoded images that are kept on disk: used while nothing has changed, and if they are whole."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from few_images import write_image

from course_utils.config import cache_root
from course_utils.data import (
    disk_cache,
    image_mask_dataset,
    near_duplicates,
    open_dataset,
    read_image_set,
)
from course_utils.data.disk_cache import load_or_make
from course_utils.data.readers.folder import masks

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    disk_cache._remove_oldest.cache_clear()
    disk_cache._warn_once.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path) -> Path:
    """Five photographs, larger than what is left of them, and an older date than now."""
    folder = tmp_path / "photos"
    for index in range(5):
        write_image(folder / "images" / f"{index}.png", noise())
        write_image(folder / "masks" / f"{index}.png", square(8 * index))
    settle(folder)
    return folder


def noise():
    return RNG.integers(0, 256, (64, 80, 3), np.uint8)


def square(left):
    mask = np.zeros((64, 80), np.uint8)
    mask[20:40, left : left + 20] = 255
    return mask


def settle(folder, age=10.0):
    for file in folder.rglob("*.*"):
        os.utime(file, (time.time() - age,) * 2)


def read(folder, *, size=16, name="images/1.png"):
    """Return one sample, and whether its picture was decoded."""
    dataset = open_dataset(f"folder:{folder}", "all", size=size)
    index = [entry.name for entry in dataset.entries].index(name)
    decoded = []
    with pytest.MonkeyPatch.context() as patch:
        kept = image_mask_dataset._read_color
        patch.setattr(
            image_mask_dataset, "_read_color", lambda path: decoded.append(path) or kept(path)
        )
        sample = dataset[index]
    return sample, bool(decoded)


def kept_files(place):
    return [file for file in (place / "pixels").rglob("*") if file.is_file()]


def same(one, other):
    return torch.equal(one.image, other.image) and torch.equal(one.mask, other.mask)


def test_a_photograph_is_decoded_once_and_comes_back_bit_for_bit(photos, place):
    first, decoded = read(photos)
    again, decoded_again = read(photos)
    assert (decoded, decoded_again) == (True, False)
    assert same(first, again)
    assert first[2:] == again[2:]
    assert not [file for file in photos.rglob("*") if "cache" in file.name]
    assert len(kept_files(place)) == 1
    assert place == cache_root()


def rewrite_image(photos):
    write_image(photos / "images" / "1.png", noise())
    settle(photos, 8)


def rewrite_mask(photos):
    write_image(photos / "masks" / "1.png", square(50))
    settle(photos, 8)


def name_classes(photos):
    for file in (photos / "masks").iterdir():
        write_image(file, np.minimum(cv2.imread(str(file), 0), 1))
    (photos / "classes.txt").write_text("crack\ndent\n")
    settle(photos, 8)


def move(photos):
    os.utime(photos / "images" / "1.png", (5, 5))


@pytest.mark.parametrize("change", [rewrite_image, rewrite_mask, name_classes, move])
def test_a_changed_file_is_read_anew(change, photos):
    read(photos)
    change(photos)
    found, decoded = read(photos)
    assert decoded
    os.environ["COURSE_CACHE"] += "/other"
    plain, decoded = read(photos)
    assert decoded
    assert same(found, plain)


def test_another_size_another_code_and_another_opencv_are_kept_apart(photos, monkeypatch):
    read(photos)
    assert read(photos, size=(16, 20))[0].image.shape == (3, 16, 20)
    monkeypatch.setattr(disk_cache, "_code_fingerprint", lambda: "changed")
    assert read(photos)[1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: bytes(len(content)),
        lambda content: content[:-200] + b"x" + content[-199:],
        lambda content: b"x" + content[1:],
        lambda content: content + b"x",
        lambda content: b"<html>no image</html>",
    ],
)
def test_a_damaged_file_is_made_anew_and_mended(damage, photos, place):
    first, _ = read(photos)
    (file,) = kept_files(place)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    again, decoded = read(photos)
    assert decoded
    assert same(first, again)
    assert file.read_bytes() == whole
    assert kept_files(place) == [file], "no draft is left"


def test_a_file_that_changed_just_now_is_not_kept(photos, place):
    (photos / "images" / "1.png").touch()
    assert read(photos)[1]
    assert read(photos)[1]
    assert not kept_files(place)


def test_what_would_take_more_than_the_file_itself_is_not_kept(photos, place):
    read(photos, size=64)
    assert not kept_files(place)


def test_what_cannot_be_read_is_an_error_each_time_and_not_kept(photos, place):
    dataset = open_dataset(f"folder:{photos}", "all", size=16)
    (photos / "images" / "1.png").write_bytes(b"no picture" * 500)
    settle(photos)
    for _ in range(2):
        with pytest.raises(ValueError, match="cannot be read as an image"):
            dataset[1]
    assert not kept_files(place)


def test_checking_files_looks_at_them_and_not_at_the_cache(photos):
    dataset = open_dataset(f"folder:{photos}", "all", size=16)
    first = dataset[1]
    stamp = (photos / "images" / "1.png").stat()
    content = (photos / "images" / "1.png").read_bytes()
    (photos / "images" / "1.png").write_bytes(content[:-40] + bytes(40))
    os.utime(photos / "images" / "1.png", ns=(stamp.st_mtime_ns, stamp.st_mtime_ns))
    assert same(dataset[1], first)
    with pytest.raises(ValueError, match=r"1\.png cannot be read"):
        dataset.validate()


def test_a_place_that_cannot_be_written_is_said_once_and_does_no_harm(photos, place):
    place.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="cannot be written .* images are read each time") as said:
        decoded = [read(photos)[1] for _ in range(2)]
    assert (decoded, len(said)) == ([True, True], 1)


def test_beyond_the_limit_what_was_used_last_stays(place, monkeypatch):
    for name in "abcd":
        load_or_make("pixels", [name], [], lambda: [np.zeros(1000, np.uint8)])
    ages = dict(zip(kept_files(place), (40, 10, 30, 20), strict=True))
    for file, age in ages.items():
        os.utime(file, (time.time() - age,) * 2)
    size = kept_files(place)[0].stat().st_size
    monkeypatch.setattr(disk_cache, "LIMIT", 3.9 * size)
    load_or_make("pixels", ["e"], [], lambda: [np.zeros(1000, np.uint8)])
    assert set(ages) - set(kept_files(place)) == set(), "once in a process is enough"
    disk_cache._remove_oldest.cache_clear()  # the next command
    load_or_make("pixels", ["f"], [], lambda: [np.zeros(1000, np.uint8)])
    left = set(kept_files(place))
    assert {age for file, age in ages.items() if file in left} == set()
    assert len(left) == 2


def test_what_is_used_again_counts_as_used_now(place):
    load_or_make("pixels", ["a"], [], lambda: [np.zeros(3)])
    (file,) = kept_files(place)
    os.utime(file, (5, 5))
    load_or_make("pixels", ["a"], [], lambda: pytest.fail("made again"))
    assert time.time() - file.stat().st_mtime < 60


def write_many(number):
    return [
        load_or_make("pixels", [key], [], lambda key=key: [np.full(5000, key)])[0][0].item()
        for key in range(30)
    ]


def test_writers_of_the_same_at_once_do_not_disturb_each_other(place):
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(write_many, range(4)))
    assert found == [list(range(30))] * 4
    assert len(kept_files(place)) == 30


def test_the_first_look_at_a_folder_is_kept_until_a_file_changes(photos, monkeypatch):
    def look():
        near_duplicates.survey_stamps.cache_clear()  # as another command would begin
        masks._survey.cache_clear()
        return read_image_set(f"folder:{photos}")

    first = look()

    def refuse(path, *_):
        raise AssertionError(f"{path} was decoded again")

    monkeypatch.setattr(near_duplicates, "read_with_orientation", refuse)
    monkeypatch.setattr(masks, "stored_values", refuse)
    again = look()
    assert again.entries == first.entries
    assert again.groups.tolist() == first.groups.tolist()
    assert again.remarks == first.remarks
    for changed in (photos / "images" / "2.png", photos / "masks" / "3.png"):
        before = changed.stat().st_mtime
        os.utime(changed, (before + 1, before + 1))
        with pytest.raises(AssertionError, match=r"\.png was decoded again"):
            look()
        os.utime(changed, (before, before))


def test_files_that_cannot_be_read_are_told_each_time(photos):
    (photos / "images" / "2.png").write_bytes(b"no picture")
    (photos / "masks" / "3.png").write_bytes(b"no picture")
    settle(photos)
    for _ in range(2):
        near_duplicates.survey_stamps.cache_clear()
        masks._survey.cache_clear()
        with pytest.raises(ValueError, match=r"(?s)2 faults.*2\.png.*3\.png"):
            read_image_set(f"folder:{photos}")
