"""DAGM's two layouts, rebuilt in miniature: mask files, and ellipses in labels.txt."""

import math
import pickle
import shutil

import cv2
import numpy as np
import pytest
from few_images import open_all, samples_of, write_image
from hypothesis import given
from hypothesis import strategies as st

from course_utils.data.readers import dagm
from course_utils.data.readers.dagm import Ellipse, ellipse_mask, read_ellipses
from course_utils.data.registry import DAGM

Missing = FileNotFoundError
RNG = np.random.default_rng(6)
SIZE = (40, 50)
ELLIPSES = {
    1: Ellipse(12, 5, 0.6, 25, 20),
    2: Ellipse(6, 6, 0, 3, 38),
    10: Ellipse(9, 2, -1, 30, 9),
}
DEFECTIVE = {"Train/0003", "Train/0010", "Test/0012"}


def texture():
    return RNG.integers(0, 256, SIZE, np.uint8)


def blob(value=255):
    mask = np.zeros(SIZE, np.uint8)
    mask[10:20, 10:30] = value
    return mask


@pytest.fixture
def competition(tmp_path):
    """Class 7 as published: five images to train on and four to test on."""
    for part, numbers in (("Train", (3, 4, 5, 9, 10)), ("Test", (1, 2, 11, 12))):
        place = tmp_path / "Class7" / part
        for number in numbers:
            write_image(place / f"{number:04d}.PNG", texture())
            if f"{part}/{number:04d}" in DEFECTIVE:
                value = 1 if number == 3 else 255
                write_image(place / "Label" / f"{number:04d}_label.PNG", blob(value))
        (place / "Label" / "Labels.txt").write_text("1\t0\t0001.PNG\t0\t0\n")
    return tmp_path


@pytest.fixture
def development(tmp_path):
    """Class 1 as published: eleven good images and three with an ellipse."""
    for number in range(1, 12):
        write_image(tmp_path / "Class1" / f"{number}.png", texture())
    for number in ELLIPSES:
        write_image(tmp_path / "Class1_def" / f"{number}.png", texture())
    lines = ["\t".join(map(str, (number, *ellipse))) for number, ellipse in ELLIPSES.items()]
    (tmp_path / "Class1_def" / "labels.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def opened(folder, number):
    return open_all(dagm.read(folder, number), SIZE)


def samples(folder, number):
    return samples_of(opened(folder, number))


def slow_ellipse(ellipse, size):
    """Every point within, from the two focal points: their distances sum to the major axis."""
    long, short = max(ellipse[:2]), min(ellipse[:2])
    turn = ellipse.angle + (math.pi / 2 if ellipse.semi_minor > ellipse.semi_major else 0)
    reach = math.sqrt(long**2 - short**2)
    across, down = reach * math.cos(turn), reach * math.sin(turn)
    distance = np.zeros(size)
    for row, column in np.ndindex(size):
        y, x = row - ellipse.y, column - ellipse.x
        distance[row, column] = math.hypot(x - across, y - down) + math.hypot(x + across, y + down)
    return distance, 2 * long


def test_a_competition_image_is_defective_if_it_has_a_mask(competition):
    found = samples(competition, "7")
    assert len(found) == 9
    for name, sample in found.items():
        assert sample.label == (name in DEFECTIVE)
        assert np.array_equal(sample.mask.numpy(), blob(1) * (name in DEFECTIVE))
        assert sample.image.shape == (1, *SIZE)


def test_the_test_part_of_the_competition_is_the_authors(competition):
    image_set = dagm.read(competition, "7")
    assert [entry.name for entry in image_set.entries[:2]] == ["Train/0003", "Train/0004"]
    assert image_set.parts.part_of.tolist() == ["train"] * 5 + ["test"] * 4
    assert image_set.class_names == DAGM.class_names
    assert len(set(image_set.groups)) == 9


def test_development_images_are_defective_by_their_folder_and_have_no_test_part(development):
    image_set = dagm.read(development, "1")
    names = [f"Class1/{number}" for number in range(1, 12)]
    names += [f"Class1_def/{number}" for number in ELLIPSES]
    assert [entry.name for entry in image_set.entries] == names
    assert image_set.labels.tolist() == [0] * 11 + [1] * 3
    assert image_set.parts is None
    assert len(set(image_set.groups)) == 14


def test_each_defect_is_marked_by_its_own_ellipse(development):
    for name, sample in samples(development, "1").items():
        folder, number = name.split("/")
        mask = sample.mask.numpy()
        if folder == "Class1":
            assert not mask.any()
        else:
            distance, major_axis = slow_ellipse(ELLIPSES[int(number)], SIZE)
            assert np.array_equal(mask, distance <= major_axis)


@given(
    semi_axes=st.tuples(st.floats(0.5, 30), st.floats(0.5, 30)),
    angle=st.floats(-7, 7),
    center=st.tuples(st.floats(-10, 60), st.floats(-10, 50)),
)
def test_an_ellipse_holds_the_points_near_enough_to_its_foci(semi_axes, angle, center):
    ellipse = Ellipse(*semi_axes, angle, *center)
    distance, major_axis = slow_ellipse(ellipse, (12, 14))
    clear = abs(distance - major_axis) > 1e-6  # neither side is wrong on the very edge
    assert np.array_equal(ellipse_mask(ellipse, (12, 14))[clear], (distance <= major_axis)[clear])


@pytest.mark.parametrize("angle", [0, 0.3, 1.2, 2.5, -0.7])
def test_angles_turn_as_those_of_opencv(angle):
    drawn = np.zeros((90, 100), np.uint8)
    cv2.ellipse(drawn, (48, 43), (32, 9), math.degrees(angle), 0, 360, 1, -1)
    ours = ellipse_mask(Ellipse(32, 9, angle, 48, 43), (90, 100))
    assert (ours & (drawn > 0)).sum() / (ours | (drawn > 0)).sum() > 0.9


@pytest.mark.parametrize(
    "text",
    [
        "1 12.0 5 0.6 25 20\r\n2   6 6 0 3 38\r\n10 9 2 -1 30 9",
        "\ufeff10\t9\t2\t-1\t30\t9\t\n\n2\t6\t6\t0\t3\t38\n1\t12\t5\t6e-1\t25\t20\n\n",
    ],
)
def test_lines_may_come_in_any_order_with_tabs_or_blanks(development, text):
    path = development / "Class1_def" / "labels.txt"
    path.write_text(text, encoding="utf-8")
    assert read_ellipses(path) == ELLIPSES


def test_ellipses_are_the_same_after_pickling(development):
    dataset = opened(development, "1")
    again = pickle.loads(pickle.dumps(dataset))
    assert again[13].mask.any()
    assert (again[13].mask == dataset[13].mask).all()


def test_an_ellipse_that_was_corrected_gives_a_new_mask(development):
    path = development / "Class1_def" / "labels.txt"
    before = samples(development, "1")["Class1_def/2"].mask.sum()
    path.write_text(path.read_text().replace("2\t6\t6", "2\t12\t12"))
    assert samples(development, "1")["Class1_def/2"].mask.sum() > before


def test_classes_are_those_that_are_there_in_the_order_of_their_numbers(tmp_path):
    for name in ("Class10", "Class2", "Class1_def", "Class1", "Classes", "Class3.zip", "class4"):
        (tmp_path / name).mkdir()
    (tmp_path / "Class5").write_bytes(b"x")
    assert dagm.categories(tmp_path) == ["1", "2", "10"]
    assert dagm.categories(tmp_path / "nowhere") == []


@pytest.mark.parametrize("number", ["2", "01", "", "x", "Class7"])
def test_a_class_that_is_not_there_names_those_that_are(competition, development, number):
    with pytest.raises(FileNotFoundError, match=f"holds no Class{number}: choose dagm/1, dagm/7"):
        dagm.read(competition, number)
    with pytest.raises(FileNotFoundError, match=f"holds no Class{number}: want Class1 to Class10"):
        dagm.read(competition / "nowhere", number)


def add(path):
    write_image(path, texture())


def empty(folder):
    for path in folder.glob("*.[pP][nN][gG]"):
        path.unlink()


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda p: shutil.rmtree(p / "Test" / "Label"), Missing, "Label is missing: want the"),
        (lambda p: shutil.rmtree(p / "Test"), Missing, "is not complete: want Train and"),
        (lambda p: empty(p / "Test"), Missing, r"Test holds no images: want <number>\.PNG"),
        (lambda p: add(p / "Train/3.png"), ValueError, r"0003\.PNG and 3\.png have one number"),
        (lambda p: add(p / "Train/a.png"), ValueError, r"a\.png is not named <number>\.png"),
        (lambda p: add(p / "Train/Label/4.PNG"), ValueError, r"not named <number>_label\.png"),
        (lambda p: add(p / "1.png"), ValueError, "both the competition's Train"),
        (lambda p: (p.parent / "Class7_def").mkdir(), ValueError, "both the competition's Train"),
    ],
)
def test_a_fault_in_the_competition_layout_is_named(competition, change, kind, message):
    change(competition / "Class7")
    with pytest.raises(kind, match=message):
        dagm.read(competition, "7")


def put(place, *lines):
    """Add `lines` to labels.txt, from line 4 on."""
    path = place / "labels.txt"
    path.write_text(path.read_text() + "\n".join(lines))


def without_line(place, number):
    path = place / "labels.txt"
    kept = [line for line in path.read_text().splitlines() if line.split()[0] != number]
    path.write_text("\n".join(kept))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda p: without_line(p, "2"), Missing, r"2\.png has no mask: .*labels\.txt has no line"),
        (lambda p: (p / "2.png").unlink(), ValueError, r"labels\.txt has an ellipse for 2, which"),
        (lambda p: put(p, "2\t6\t6\t0\t3\t8"), ValueError, "line 4 is a second ellipse for 2"),
        (lambda p: put(p, "3 6 6 0 3"), ValueError, r"line 4 is '3 6 6 0 3': want 6 numbers"),
        (lambda p: put(p, "3 6 6 0 3 8 1"), ValueError, "line 4 is .*: want 6 numbers"),
        (lambda p: put(p, "", "3 6 6 0 3 x"), ValueError, "line 5 is .*: want 6 numbers"),
        (lambda p: put(p, "3 6 6 0 3 nan"), ValueError, "line 4 is .*: want 6 numbers"),
        (lambda p: put(p, "3.5 6 6 0 3 8"), ValueError, "line 4 is .*: want 6 numbers"),
        (lambda p: put(p, "3 6 0 0 3 8"), ValueError, "line 4 is .*: want axes above 0"),
        (lambda p: put(p, "3 -6 6 0 3 8"), ValueError, "line 4 is .*: want axes above 0"),
        (lambda p: (p / "labels.txt").write_bytes(b"\xff\xfe"), ValueError, "line 1 is .*: want 6"),
        (lambda p: (p / "labels.txt").unlink(), Missing, r"labels\.txt is missing: it holds the"),
        (lambda p: shutil.rmtree(p), Missing, "Class1_def is missing: want Class1 to"),
        (lambda p: shutil.rmtree(p.parent / "Class1"), Missing, "Class1 is missing: want Class1"),
        (empty, Missing, r"Class1_def holds no"),
        (
            lambda p: empty(p.parent / "Class1"),
            Missing,
            r"Class1 holds no images: want good images",
        ),
        (lambda p: add(p / "7_label.png"), ValueError, r"7_label\.png is not"),
    ],
)
def test_a_fault_in_the_development_layout_is_named(development, change, kind, message):
    change(development / "Class1_def")
    with pytest.raises(kind, match=message):
        dagm.read(development, "1")


def test_an_empty_mask_of_the_competition_is_named_when_it_is_read(competition):
    write_image(competition / "Class7" / "Train" / "Label" / "0003_label.PNG", blob(0))
    with pytest.raises(ValueError, match=r"0003_label\.PNG marks no pixel of .*0003\.PNG, which"):
        opened(competition, "7").validate()


@pytest.mark.parametrize("center", ["500\t20", "25\t-9", "25.5\t20.5"])
def test_an_ellipse_that_holds_no_pixel_is_named_when_it_is_read(development, center):
    path = development / "Class1_def" / "labels.txt"
    path.write_text(path.read_text().replace("12\t5\t0.6\t25\t20", f"0.4\t0.3\t0\t{center}"))
    with pytest.raises(ValueError, match=r"labels\.txt marks no pixel of .*Class1_def.1\.png"):
        opened(development, "1").validate()
