"""The Severstal layout, rebuilt in miniature: strips of full size, few of them."""

from functools import cache

import cv2
import numpy as np
import pytest
from few_images import open_all, samples_of

from course_utils.data.readers import severstal
from course_utils.data.registry import SEVERSTAL

NAMES = ("clean", "one", "two")
HEADER = "ImageId,ClassId,EncodedPixels"
EARLY_HEADER = "ImageId_ClassId,EncodedPixels"
ROWS = ["one.jpg,3,29102 12 29346 24", "two.jpg,1,1 10", "two.jpg,4,257 5 300 2"]
EARLY_ROWS = [
    *(f"clean.jpg_{label}," for label in (1, 2, 3, 4)),
    *("one.jpg_1,", "one.jpg_2,", "one.jpg_3,29102 12 29346 24", "one.jpg_4,"),
    *("two.jpg_1,1 10", "two.jpg_2,", "two.jpg_3,", "two.jpg_4,257 5 300 2"),
]


@cache
def strip(seed, height=256, width=1600):
    """A gray picture stored as RGB, as published."""
    few = np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)
    gray = cv2.resize(few, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))[1].tobytes()


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "train_images"
    place.mkdir()
    for seed, name in enumerate(NAMES):
        (place / f"{name}.jpg").write_bytes(strip(seed))
    write_table(tmp_path, ROWS)
    return tmp_path


def write_table(folder, rows, header=HEADER, **options):
    (folder / "train.csv").write_text("\n".join([header, *rows, ""]), **options)


def opened(folder):
    return open_all(severstal.read(folder), (256, 1600))


def samples(folder):
    return samples_of(opened(folder))


def pixels(mask, label):
    """(column, row) of the pixels of a class, in the order of the runs."""
    return [tuple(place) for place in mask.T.eq(label).nonzero().tolist()]


@pytest.mark.parametrize(("header", "rows"), [(HEADER, ROWS), (EARLY_HEADER, EARLY_ROWS)])
def test_runs_are_drawn_down_the_columns_with_their_class_in_both_versions(folder, header, rows):
    write_table(folder, rows, header)
    found = samples(folder)
    assert [found[name].label for name in ("clean", "one", "two")] == [0, 3, 1]
    assert not found["clean"].mask.any()
    one = found["one"].mask
    assert set(one.unique().tolist()) == {0, 3}
    column, row = 29101 // 256, 29101 % 256  # from 0
    assert pixels(one, 3)[:12] == [(column, row + step) for step in range(12)]
    column, row = 29345 // 256, 29345 % 256
    assert pixels(one, 3)[12:] == [(column, row + step) for step in range(24)]


def test_images_are_gray_at_their_published_size_and_named_by_their_file(folder):
    dataset = opened(folder)
    assert [entry.name for entry in dataset.entries] == list(NAMES)
    assert all(dataset[index].image.shape == (1, 256, 1600) for index in range(len(dataset)))
    assert tuple(dataset.class_names) == SEVERSTAL.class_names
    table = folder / "train.csv"
    assert [entry.mask for entry in dataset.entries] == [None, table, table]


@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]])
def test_all_rows_of_an_image_make_up_its_mask_in_whatever_order(folder, rows):
    write_table(folder, rows)
    mask = samples(folder)["two"].mask
    assert pixels(mask, 1) == [(0, row) for row in range(10)]
    assert pixels(mask, 4) == [(1, row) for row in (0, 1, 2, 3, 4, 43, 44)]
    assert int((mask > 0).sum()) == 17


@pytest.mark.parametrize(
    ("runs", "counts", "label"),
    [
        ({2: "1 10", 3: "5 3"}, {2: 7, 3: 3}, 2),  # the smaller one lies on the larger one
        ({2: "5 3", 3: "1 10"}, {2: 3, 3: 7}, 3),
        ({2: "1 4", 3: "3 4"}, {2: 2, 3: 4}, 3),  # at a draw, the higher number
        ({1: "1 5", 2: "1 5"}, {1: 0, 2: 5}, 2),
        ({1: "1 10", 2: "3 8"}, {1: 2, 2: 8}, 2),  # the label is what the mask shows most of
        ({1: "1 9", 2: "1 2", 4: "2 3"}, {1: 5, 2: 2, 4: 2}, 1),
    ],
)
def test_where_classes_overlap_the_smaller_one_is_seen(folder, runs, counts, label):
    write_table(folder, [f"two.jpg,{kind},{text}" for kind, text in runs.items()])
    sample = samples(folder)["two"]
    assert {kind: int((sample.mask == kind).sum()) for kind in runs} == counts
    assert sample.label == label


def test_near_duplicates_are_one_group_and_test_images_are_not_read(folder):
    (folder / "train_images" / "again.jpg").write_bytes(strip(1))
    (folder / "test_images").mkdir()
    (folder / "test_images" / "unknown.jpg").write_bytes(b"")
    dataset = opened(folder)
    assert [entry.name for entry in dataset.entries] == ["again", "clean", "one", "two"]
    assert dataset.groups == ["again", "clean", "again", "two"]


def test_a_table_that_was_changed_is_read_again(folder):
    assert samples(folder)["one"].label == 3
    write_table(folder, ["one.jpg,2,1 1"])
    found = samples(folder)
    assert found["one"].label == 2
    assert found["two"].label == 0


@pytest.mark.parametrize(
    ("header", "rows", "options"),
    [
        ("EncodedPixels,ClassId,ImageId", [",".join(r.split(",")[::-1]) for r in ROWS], {}),
        (HEADER, ROWS, {"encoding": "utf-8-sig", "newline": "\r\n"}),
        (HEADER, [f'"{row.replace(",", chr(34) + "," + chr(34))}"' for row in ROWS], {}),
    ],
)
def test_the_table_is_read_as_spreadsheets_save_it(folder, header, rows, options):
    plain = samples(folder)
    write_table(folder, rows, header, **options)
    for name, sample in samples(folder).items():
        assert (sample.mask == plain[name].mask).all()


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (HEADER, "one.jpg,3,5 5", r"line 5: one\.jpg, class 3 is in line 2 already"),
        (HEADER, "gone.jpg,3,1 1", r"line 5: there is no image .*gone\.jpg"),
        (HEADER, "one,4,1 1", r"line 5: there is no image"),
        (HEADER, "one.jpg,5,1 1", "line 5: want a class from 1 to 4, got '5'"),
        (HEADER, "one.jpg,0,1 1", "line 5: want a class from 1 to 4, got '0'"),
        (HEADER, "one.jpg,,1 1", "line 5: want a class from 1 to 4, got ''"),
        (HEADER, "one.jpg,4,", "line 5: there are no runs: an image without defects has no row"),
        (HEADER, "one.jpg,4", "line 5: want 3 values, got 2"),
        (HEADER, "one.jpg,4,1 1,1 1", "line 5: want 3 values, got 4"),
        (HEADER, 'one.jpg,4,"1 1', r"train\.csv cannot be read after line 5"),
        (HEADER, "one.jpg,4,\N{DEGREE SIGN}", r"train\.csv cannot be read after line"),
        (EARLY_HEADER, "one.jpg,1 1", r"line 5: want a class from 1 to 4, got 'one\.jpg'"),
        (EARLY_HEADER, "gone.jpg_1,", r"line 5: there is no image .*gone\.jpg"),
        (EARLY_HEADER, "one.jpg_3,", r"line 5: one\.jpg, class 3 is in line 2 already"),
    ],
)
def test_a_faulty_row_is_named_by_its_line(folder, header, row, message):
    early = header == EARLY_HEADER
    good = [r.replace("jpg,", "jpg_") for r in ROWS] if early else ROWS
    write_table(folder, [*good, row], header, encoding="latin-1")
    for read in (severstal.list_entries, severstal.read):
        with pytest.raises(ValueError, match=message):
            read(folder)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("1 2 3", "line 5: 3 values are no pairs"),
        ("0 4", "line 5: '0' is no start or length"),
        ("409600 2", "line 5: the run '409600 2' ends beyond the 409600 pixels of a mask of 1600"),
        ("1 2 2 1", "line 5: two runs hold pixel 2"),
    ],
)
def test_faulty_runs_are_named_by_their_line_when_the_set_is_opened(folder, runs, message):
    write_table(folder, [*ROWS, f"one.jpg,1,{runs}"])
    with pytest.raises(ValueError, match=message):
        severstal.read(folder)


@pytest.mark.parametrize(
    "header", ["ImageId,EncodedPixels", f"{HEADER},ImageId", "", "one.jpg,1,5"]
)
def test_a_table_with_other_columns_is_refused(folder, header):
    write_table(folder, ROWS, header)
    with pytest.raises(ValueError, match=r"train\.csv, line 1: want the columns ImageId, ClassId,"):
        severstal.read(folder)


def test_runs_are_bound_to_the_published_size(folder):
    place = folder / "train_images"
    (place / "clean.jpg").write_bytes(strip(7, 128, 800))  # no runs, so nothing can be wrong
    assert not samples(folder)["clean"].mask.any()
    (place / "one.jpg").write_bytes(strip(8, 128, 800))
    with pytest.raises(ValueError, match=r"one\.jpg is 800 x 128 pixels, but the runs of train\."):
        severstal.read(folder)


@pytest.mark.parametrize("name", ["train.csv", "train_images"])
def test_what_is_missing_is_named(folder, name):
    (folder / name).rename(folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
        severstal.read(folder)
