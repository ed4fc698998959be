"""A person's own images and masks: what is read, and how each fault is named."""

import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from few_images import truncate, write_image
from torch.utils.data import DataLoader

from course_utils.data import DefectDataset, open_dataset
from course_utils.data.image_files import _jpeg_is_whole, read_image

RNG = np.random.default_rng(11)


def picture(height=24, width=30, channels=1):
    shape = (height, width) if channels == 1 else (height, width, channels)
    return RNG.integers(0, 256, shape, np.uint8)


def mask_with(value, height=24, width=30):
    mask = np.zeros((height, width), np.uint8)
    mask[4:10, 5:15] = value
    return mask


@pytest.fixture
def folder(tmp_path):
    """Eight defective images, two good ones, in a place with a name beyond ASCII."""
    root = tmp_path / "Prüfung 検査"
    for index in range(8):
        write_image(root / "images" / f"teil_ß{index}.png", picture())
        write_image(root / "masks" / f"teil_ß{index}.png", mask_with(255))
    for index in range(2):
        write_image(root / "good" / f"gut{index}.bmp", picture())
    return root


def opened(folder, split="all", size=(24, 30), **options):
    return open_dataset(f"folder:{folder}", split, size=size, **options)


def test_a_folder_is_a_defect_dataset_of_the_promised_types(folder):
    dataset = opened(folder)
    assert isinstance(dataset, DefectDataset)
    assert (len(dataset), dataset.channels) == (10, 1)
    assert tuple(dataset.class_names) == ("background", "defect")
    for sample in (dataset[index] for index in range(len(dataset))):
        assert (sample.image.dtype, sample.image.shape) == (torch.float32, (1, 24, 30))
        assert (sample.mask.dtype, sample.mask.shape) == (torch.int64, (24, 30))
        assert 0 <= sample.image.min() < sample.image.max() <= 1
        assert sample.label == int(sample.mask.any())
    assert [dataset[i].label for i in range(10)] == [1] * 8 + [0] * 2
    assert dataset[-1].name == dataset[9].name == "good/gut1.bmp"
    with pytest.raises(IndexError):
        dataset[10]


def test_pixels_at_their_own_size_are_those_of_the_file(folder):
    path = folder / "images" / "teil_ß3.png"
    stored = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    sample = opened(folder)[3]
    assert np.array_equal((sample.image[0] * 255).round().byte().numpy(), stored)
    assert np.array_equal(sample.mask.numpy(), mask_with(1))


def test_color_comes_as_rgb_and_gray_files_join_it(folder):
    red = np.zeros((24, 30, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes BGR
    write_image(folder / "images" / "teil_ß0.png", red)
    dataset = opened(folder)
    assert dataset.channels == 3
    assert dataset[0].image.mean((1, 2)).tolist() == [1, 0, 0]
    gray = dataset[1].image
    assert gray.shape == (3, 24, 30)
    assert torch.equal(gray[0], gray[2])


def test_named_classes_are_mask_values_and_the_largest_is_the_label(folder):
    (folder / "classes.txt").write_text("Riß\npit\n\n", encoding="utf-8")
    for index in range(8):
        mask = mask_with(2)
        mask[20, 3:5] = 1
        write_image(folder / "masks" / f"teil_ß{index}.png", mask)
    dataset = opened(folder, size=48)
    assert tuple(dataset.class_names) == ("background", "Riß", "pit")
    assert set(dataset[0].mask.unique().tolist()) == {0, 1, 2}
    assert dataset[0].label == 2


def test_one_means_255_an_empty_mask_is_good_and_a_changed_file_is_read_anew(folder):
    before = opened(folder)[0]
    write_image(folder / "masks" / "teil_ß0.png", mask_with(1))
    assert torch.equal(opened(folder)[0].mask, before.mask)
    write_image(folder / "masks" / "teil_ß0.png", mask_with(0))
    assert (before.label, opened(folder)[0].label) == (1, 0)


def test_shrinking_averages_the_image_even_where_the_other_side_grows(folder):
    stripes = np.resize(np.uint8([[255], [0], [0], [255]]), (24, 1)).repeat(30, 1)
    write_image(folder / "images" / "teil_ß0.png", stripes)
    for width in (15, 60):
        small = opened(folder, size=(6, width))[0].image
        assert small.shape == (1, 6, width)
        assert (small - 0.5).abs().max() < 0.01


def test_masks_keep_hard_classes_at_the_place_of_their_image(folder):
    half, twice = (opened(folder, size=size)[0].mask for size in ((12, 15), (48, 60)))
    assert np.array_equal(half, mask_with(1)[1::2, 1::2])
    assert np.array_equal(twice, mask_with(1).repeat(2, 0).repeat(2, 1))


def test_splits_are_disjoint_complete_and_keep_twins_together(folder):
    twin = picture()
    for index in range(4):
        write_image(folder / "images" / f"teil_ß{index}.png", cv2.add(twin, 3 * index))
    parts = [opened(folder, split) for split in ("train", "val", "test")]
    names = [[part[i].name for i in range(len(part))] for part in parts]
    assert sorted(name for part in names for name in part) == sorted(
        sample.name for sample in map(opened(folder).__getitem__, range(10))
    )
    owners = [{part[i].group for i in range(len(part))} for part in parts]
    assert len(set.union(*owners)) == sum(map(len, owners))
    assert "7 groups" in parts[0].split_note
    assert "no group is in two parts" in parts[0].split_note


def test_dealing_out_images_one_by_one_says_that_it_leaks(folder):
    for index in range(1, 8):
        (folder / "images" / f"teil_ß{index}.png").unlink()
        (folder / "masks" / f"teil_ß{index}.png").unlink()
    for index in range(2, 10):
        shutil.copy(folder / "good" / "gut0.bmp", folder / "good" / f"gut{index}.bmp")
    note = opened(folder, "test", split_by="image").split_note
    assert note.startswith("Leaks on purpose: 11 images were dealt out one by one, so 100% of")


def test_a_class_too_rare_for_every_part_is_named(folder):
    (folder / "classes.txt").write_text("scratch\npit", encoding="utf-8")
    for index in range(8):
        write_image(folder / "masks" / f"teil_ß{index}.png", mask_with(2 if index == 5 else 1))
    note = opened(folder, "train").split_note
    assert "Not in val: pit (1 image in 1 group)." in note


def test_the_data_set_pickles_for_worker_processes(folder):
    dataset = opened(folder)
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[3].image, dataset[3].image)
    batch = next(iter(DataLoader(dataset, batch_size=4)))
    assert batch.image.shape == (4, 1, 24, 30)
    assert list(batch.name) == [dataset[index].name for index in range(4)]


def put(*shape, times=1):
    """Write another picture there; `times` 16 makes it one of 16 bits."""
    pixels = RNG.integers(0, 256, shape, np.uint8)
    return lambda path: write_image(path, pixels * np.uint16(times) if times > 1 else pixels)


def mask_of(value, *size):
    return lambda path: write_image(path, mask_with(value, *size))


def text(words):
    return lambda path: path.write_text(words)


def half_a_jpeg(path):
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    path.unlink()
    write_image(path.with_suffix(".jpg"), pixels)
    truncate(path.with_suffix(".jpg"), 60)


def smoothed(path):
    write_image(path, np.arange(720, dtype=np.uint16).reshape(24, 30).astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("images/teil_ß0.png", text(""), r"images.teil_ß0\.png cannot be read"),
        ("good/gut0.bmp", text("hello"), r"gut0\.bmp cannot be read as an image"),
        ("images/teil_ß0.png", half_a_jpeg, r"teil_ß0\.jpg cannot be read as an image"),
        (
            "masks/teil_ß3.png",
            mask_of(255, 24, 31),
            r"ß3\.png is 31 x 24 pixels but its .* 30 x 24",
        ),
        (
            "masks/teil_ß4.png",
            mask_of(7),
            r"ß4\.png holds values 0, 7: if these are classes, name them in classes\.txt",
        ),
        ("masks/teil_ß4.png", smoothed, "values 0, 1, 2, 3, 4, 5, 6, 7 and 248 more"),
        ("images/teil_ß5.png", put(24, 30, times=16), r"teil_ß5\.png holds uint16 values"),
        ("images/teil_ß5.png", put(24, 30, 4), r"teil_ß5\.png has see-through pixels"),
        ("good/gut0.tif", Path.touch, r"tif is not an image of a kind .*: convert it or take it"),
        ("images/teil_ß6.bmp", Path.touch, r"ß6\.bmp and teil_ß6\.png differ only in their ending"),
        ("classes.txt", text("pit\n\nscratch"), "1 to 255 different names"),
        ("classes.txt", text("scratch\nBackground"), "names Background after a class"),
        ("classes.txt", text("pit\nscratch"), r"ß0\.png holds value 255, but .* values 1\.\.2"),
    ],
)
def test_each_fault_is_an_error_that_names_the_file(folder, name, change, message):
    assert len(opened(folder)) == 10
    change(folder / name)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        opened(folder)


def test_a_cut_jpeg_is_seen_even_if_the_thumbnail_in_it_is_whole():
    whole = cv2.imencode(".jpg", picture())[1].tobytes()
    application_data = b"Exif\0\0" + whole  # as cameras store their preview
    length = (len(application_data) + 2).to_bytes(2, "big")
    camera = whole[:2] + b"\xff\xe1" + length + application_data + whole[2:]
    assert _jpeg_is_whole(whole)
    assert _jpeg_is_whole(camera)
    assert _jpeg_is_whole(camera + b"appended by a phone")
    assert not _jpeg_is_whole(whole[:-2])
    assert not _jpeg_is_whole(camera[:-2])


def test_a_fully_opaque_alpha_channel_is_dropped(folder):
    colors = picture(channels=3)
    opaque = np.dstack([colors, np.full((24, 30), 255, np.uint8)])
    write_image(folder / "images" / "teil_ß0.png", opaque)
    image = (opened(folder)[0].image * 255).round().byte().numpy()
    assert np.array_equal(image, colors[..., ::-1].transpose(2, 0, 1))


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist: want a folder with"):
        opened(tmp_path / "nowhere")
    (tmp_path / "images").mkdir()
    with pytest.raises(FileNotFoundError, match="masks does not exist"):
        opened(tmp_path)
    (tmp_path / "masks").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no images: want images/ and masks/"):
        opened(tmp_path)


def test_validate_lists_every_file_that_went_bad_since(folder):
    dataset = opened(folder)
    dataset.validate()
    (folder / "images" / "teil_ß1.png").write_bytes(b"no")
    (folder / "masks" / "teil_ß2.png").unlink()
    with pytest.raises(ValueError, match=r"(?s)2 of 10 images .*teil_ß1\.png.*teil_ß2\.png"):
        dataset.validate()


def test_a_relative_path_starts_at_the_root(folder):
    assert len(open_dataset(f"folder:{folder.name}", "all", root=folder.parent)) == 10


def test_too_few_images_to_split_can_still_be_opened_whole(tmp_path):
    for name in "ab":
        write_image(tmp_path / "images" / f"{name}.png", picture())
        write_image(tmp_path / "masks" / f"{name}.png", mask_with(255))
    with pytest.raises(ValueError, match="2 groups cannot fill 3 parts"):
        opened(tmp_path, "train")
    assert len(opened(tmp_path, "all")) == 2


def test_a_header_that_promises_an_impossible_picture_is_a_damaged_file(tmp_path):
    header = b"BM" + (54).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    info = (40).to_bytes(4, "little") + 2 * (2**31 - 1).to_bytes(4, "little")
    depth = (1).to_bytes(2, "little") + (24).to_bytes(2, "little") + bytes(24)
    path = tmp_path / "huge.bmp"
    path.write_bytes(header + info + depth)
    with pytest.raises(ValueError, match="damaged or no picture"):
        read_image(path)
