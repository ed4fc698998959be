"""What all readers promise: names in any case, nothing opened too early, faults named by file."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from few_images import open_all, truncate, write_image

from course_utils.data import DATASETS
from course_utils.data.readers import find_reader

TILES = ("Free", "Blowhole", "Break", "Crack", "Fray", "Uneven")
LAYOUTS = {
    "folder": {"images/a.png": "masks/a.png", "images/c.png": "masks/c.png", "good/b.png": ""},
    "magnetic_tile": {f"MT_{t}/Imgs/exp1_num_1.jpg": f"MT_{t}/Imgs/exp1_num_1.png" for t in TILES},
    "sd_saliency_900": {f"images/{k}_1.bmp": f"masks/{k}_1.png" for k in ("In", "Pa", "Sc")},
    "kolektor_sdd": {f"kos0{i}/Part1.jpg": f"kos0{i}/Part1_label.bmp" for i in (1, 2)},
    "kolektor_sdd2": {f"{p}/1.png": f"{p}/1_GT.png" for p in ("train", "test")},
    "mvtec_ad": {
        "grid/test/bent/000.png": "grid/ground_truth/bent/000_mask.png",
        "grid/test/good/001.png": "",
        "grid/train/good/000.png": "",
    },
    "dagm": {
        "Class1/Test/0001.PNG": "Class1/Test/Label/0001_label.PNG",
        "Class1/Train/0002.PNG": "Class1/Train/Label/0002_label.PNG",
        "Class1/Test/0003.PNG": "",
    },
    "severstal": {"train_images/a.jpg": "", "train_images/b.jpg": ""},
    "dtd": {"images/banded/a.jpg": "", "images/dotted/b.jpg": ""},
    "tiny_imagenet": {"train/n01/images/a.JPEG": "", "val/images/b.JPEG": ""},
}
TEXTS = {
    "severstal": ("train.csv", "ImageId,ClassId,EncodedPixels\na.jpg,2,1 3\n"),
    "tiny_imagenet": ("val/val_annotations.txt", "b.JPEG\tn01\n"),
}
CATEGORIES = {"mvtec_ad": ("grid",), "dagm": ("1",)}
WITH_MASKS = [name for name, files in LAYOUTS.items() if any(files.values())]


class OneSet:
    """The set `name` in miniature; of its files the first image and its mask."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.size = (256, 1600) if name == "severstal" else (20, 30)
        rng = np.random.default_rng(0)
        mask = np.zeros(self.size, np.uint8)
        mask[4:8, 5:12] = 255
        for image, path in LAYOUTS[name].items():
            write_image(folder / image, rng.integers(0, 256, self.size, np.uint8))
            if path:
                write_image(folder / path, mask * ("Free" not in path))
        if name in TEXTS:
            (folder / TEXTS[name][0]).write_text(TEXTS[name][1])
        masked = (image for image, mask in LAYOUTS[name].items() if mask and "Free" not in mask)
        image = next(masked, next(iter(LAYOUTS[name])))
        self.image, self.mask = folder / image, folder / LAYOUTS[name][image]

    @property
    def files(self):
        return [self.folder / name for item in LAYOUTS[self.name].items() for name in item if name]

    def list(self):
        return find_reader(self.name).list_entries(self.folder, *CATEGORIES.get(self.name, ()))

    def open(self):
        read = find_reader(self.name).read
        return open_all(read(self.folder, *CATEGORIES.get(self.name, ())), self.size)


@pytest.fixture(params=LAYOUTS)
def one(request, tmp_path):
    return OneSet(request.param, tmp_path)


@pytest.fixture(params=WITH_MASKS)
def masked(request, tmp_path):
    return OneSet(request.param, tmp_path)


def test_no_reader_is_forgotten():
    assert set(LAYOUTS) - {"folder"} == {
        name for name, info in DATASETS.items() if info.needs_files
    }


def test_listing_finds_what_is_opened_and_opens_no_image(one):
    names = [entry.name for entry in one.open().entries]
    assert len(names) == len(set(names)) == len(LAYOUTS[one.name])
    for path in one.files:
        path.write_bytes(b"x")
    assert [entry.name for entry in one.list()] == names


def test_masks_and_labels_are_the_same_after_pickling(one):
    dataset = one.open()
    dataset.validate()
    again = pickle.loads(pickle.dumps(dataset))
    for index in range(len(dataset)):
        assert again[index].label == int(again[index].mask.max())
        assert (again[index].mask == dataset[index].mask).all()
    some = one.name not in ("dtd", "tiny_imagenet")
    assert any(sample.label for sample in map(again.__getitem__, range(len(again)))) == some


def test_endings_may_be_in_capitals_or_not(one):
    if one.name == "severstal":
        return  # its table names the files
    for path in one.files:
        path.rename(path.with_suffix(path.suffix.swapcase()))
    one.open().validate()


def test_what_file_managers_leave_behind_is_no_part_of_the_set(one):
    count = len(one.list())
    for folder in {path.parent for path in one.files}:
        (folder / ".DS_Store").touch()
        (folder / "Thumbs.db").touch()
    assert len(one.list()) == count


def test_a_file_that_is_no_image_is_named(one):
    (one.image.parent / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"notes\.txt is not "):
        one.list()


def test_a_folder_without_images_is_named(one):
    for path in [*one.image.parent.iterdir()]:
        path.unlink() if path.is_file() else shutil.rmtree(path)
    faults = r"holds no images|is a mask without an image|there is no image"
    with pytest.raises((FileNotFoundError, ValueError), match=faults):
        one.list()


def test_a_truncated_image_is_named(one):
    truncate(one.image, 40)
    with pytest.raises(ValueError, match=rf"{one.image.name} cannot be read as an image"):
        one.open().validate()


def test_a_damaged_or_colored_mask_or_one_of_another_size_is_named(masked):
    height, width = masked.size
    wider = np.full((height, width + 1), 255, np.uint8)
    colored = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    for fault, message in (
        (wider, f"is {width + 1} x {height} pixels but its image"),
        (colored, "is a color"),
    ):
        write_image(masked.mask, fault)
        with pytest.raises(ValueError, match=rf"{masked.mask.name} {message}"):
            masked.open().validate()
    truncate(masked.mask)
    with pytest.raises(ValueError, match=rf"{masked.mask.name} cannot be read as an image"):
        masked.open().validate()


def test_a_mask_without_an_image_is_named(masked):
    masked.image.unlink()
    with pytest.raises(ValueError, match=rf"{masked.mask.name} is a mask without an image"):
        masked.list()


def test_an_image_without_its_mask_is_named(masked):
    if masked.name == "dagm":
        pytest.skip("an image without a mask is good there")
    masked.mask.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{masked.image.name} has no mask"):
        masked.list()
