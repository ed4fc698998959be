"""Where people's images lie, what they are called, and who is in which part."""

import unicodedata
from collections import Counter

import numpy as np
import pytest
from folder_cases import mark, masks_of, names_of, opened, save, surface, write_case

from course_utils.data import list_entries

PARTS = ("train", "val", "test")


def images(folder, *names, start=0):
    for number, name in enumerate(names, start):
        save(surface(number), folder / name)


def numbered(pattern, count):
    return [pattern.format(number) for number in range(count)]


def labels(dataset):
    return [entry.label for entry in dataset.entries]


def parts_of(folder, **options):
    return {part: opened(folder, part, **options) for part in PARTS}


def test_good_images_alone_are_a_set_of_one_label(tmp_path):
    images(tmp_path, *numbered("good/{}.png", 10))
    parts = parts_of(tmp_path)
    assert {part: len(dataset) for part, dataset in parts.items()} == {
        "train": 6,
        "val": 2,
        "test": 2,
    }
    assert all(set(labels(dataset)) == {0} for dataset in parts.values())
    assert tuple(parts["train"].class_names) == ("background", "defect")
    assert "no defective image" not in parts["val"].split_note


def test_images_sorted_by_hand_have_labels_and_empty_masks(tmp_path):
    images(tmp_path, *numbered("good/{}.png", 10), *numbered("defective/{}.png", 5))
    dataset = opened(tmp_path)
    assert labels(dataset) == [0] * 10 + [1] * 5
    assert not any(mask.any() for mask in masks_of(dataset))
    assert tuple(dataset.class_names) == ("background", "defect")
    for part in parts_of(tmp_path).values():
        assert set(labels(part)) == {0, 1}


def test_folders_in_defective_are_kinds_of_defects(tmp_path):
    images(tmp_path, "good/0.png", "defective/scratch/0.png", "defective/dent/0.png")
    dataset = opened(tmp_path)
    assert tuple(dataset.class_names) == ("background", "dent", "scratch")
    by_name = dict(zip(names_of(dataset), labels(dataset), strict=True))
    assert by_name["defective/scratch/0.png"] == 2
    (tmp_path / "classes.txt").write_text("scratch\nDent")
    assert tuple(opened(tmp_path).class_names) == ("background", "scratch", "Dent")
    assert sorted(labels(opened(tmp_path))) == [0, 1, 2]
    assert (
        dict(zip(names_of(dataset), labels(opened(tmp_path)), strict=True))[
            "defective/scratch/0.png"
        ]
        == 1
    )
    (tmp_path / "classes.txt").write_text("scratch\npit")
    with pytest.raises(ValueError, match=r"folder dent, which .*classes\.txt does not name"):
        opened(tmp_path)


def test_masks_good_and_defective_images_go_together(tmp_path):
    write_case(tmp_path)
    images(tmp_path, "defective/a.png", "defective/b.png", start=50)
    assert labels(opened(tmp_path)) == [1] * 6 + [0] * 3 + [1] * 2


def layout(kind, part, place):
    return f"{part}/{place}" if kind == "around" else f"{place}/{part}"


def write_parts(folder, kind, names=PARTS, count=4):
    """Write images with masks and good ones for each part."""
    for number, part in enumerate(names):
        for index in range(count):
            seed = 10 * number + index
            save(surface(seed), folder / layout(kind, part, "images") / f"{index}.png")
            save(mark(seed), folder / layout(kind, part, "masks") / f"{index}_mask.png")
            save(surface(100 + seed), folder / layout(kind, part, "good") / f"{index}.png")


@pytest.mark.parametrize("kind", ["around", "inside"])
@pytest.mark.parametrize(
    "names",
    [
        PARTS,
        ("training", "validation", "testing"),
        ("Train", "Valid", "Test"),
        ("TRAIN", "VAL", "TEST"),
        ("train", "valid", "testing"),
    ],
)
def test_stated_parts_are_taken_as_they_are(tmp_path, kind, names):
    write_parts(tmp_path, kind, names)
    for part, name in zip(PARTS, names, strict=True):
        for split_by in ("group", "image"):
            dataset = opened(tmp_path, part, split_by=split_by, seed=3)
            assert len(dataset) == 8
            assert all(f"{name}/" in one for one in names_of(dataset))
    assert (
        "The parts of 8, 8 and 8 images for training, validation and test are as your folders"
        in (dataset.split_note)
    )
    assert len(opened(tmp_path)) == 24


@pytest.mark.parametrize("kind", ["around", "inside"])
def test_without_a_stated_val_a_fifth_of_train_is_held_out_in_whole_groups(tmp_path, kind):
    write_parts(tmp_path, kind, ("train", "test"), count=10)
    save(surface(100), tmp_path / layout(kind, "train", "good") / "twin.png")
    parts = parts_of(tmp_path)
    assert len(parts["test"]) == 20
    assert (len(parts["train"]), len(parts["val"])) in ((16, 5), (17, 4))
    together = [
        sum(
            one.endswith(("good/0.png", "train/0.png", "twin.png")) and "good" in one
            for one in names_of(parts[p])
        )
        for p in ("train", "val")
    ]
    assert sorted(together) == [0, 2]
    assert "The test part of 20 images is as your folders state it" in parts["val"].split_note


@pytest.mark.parametrize("places", [("good",), ("good", "defective"), ("defective/pit", "good")])
def test_parts_hold_any_layout(tmp_path, places):
    for seed, part in enumerate(PARTS):
        for number, place in enumerate(places):
            images(tmp_path, *numbered(f"{part}/{place}/{{}}.png", 3), start=20 * seed + 5 * number)
    parts = parts_of(tmp_path)
    assert [len(part) for part in parts.values()] == [3 * len(places)] * 3
    assert sum(labels(parts["test"])) == 3 * (len(places) - 1)


def test_good_ones_alone_to_train_on_and_sorted_ones_to_test(tmp_path):
    images(tmp_path, *numbered("train/good/{}.png", 10))
    images(
        tmp_path, *numbered("test/good/{}.png", 3), *numbered("test/defective/{}.png", 3), start=20
    )
    parts = parts_of(tmp_path)
    assert Counter(labels(parts["test"])) == {0: 3, 1: 3}
    note = parts["test"].split_note
    assert "val has no defective image, so no threshold can be chosen by defects: add some" in note
    assert "train has no defective image, so only methods that learn from good images" in note


def test_a_tree_like_mvtec_ad_is_understood(tmp_path):
    images(tmp_path, *numbered("train/good/{:03d}.png", 10))
    images(tmp_path, "test/good/000.png", "test/bent/000.png", "test/defective/000.png", start=30)
    for kind in ("bent", "defective"):
        save(mark(0) * np.uint8(255), tmp_path / "ground_truth" / kind / "000_mask.png")
    test = opened(tmp_path, "test")
    assert tuple(test.class_names) == ("background", "bent", "defective")
    assert sorted(labels(test)) == [0, 1, 2]
    assert [mask.max() for mask in masks_of(test)] == [e.label for e in test.entries if e.label]
    (tmp_path / "ground_truth" / "bent" / "000_mask.png").rename(tmp_path / "elsewhere.png")
    (tmp_path / "ground_truth" / "bent").rmdir()
    with pytest.raises(
        FileNotFoundError, match=r"bent has no masks: want them in ground_truth/bent"
    ):
        opened(tmp_path, "test")


def test_a_look_alike_in_another_stated_part_is_said(tmp_path):
    write_parts(tmp_path, "around")
    assert "share a group" not in opened(tmp_path, "test").split_note
    save(surface(0), tmp_path / "test" / "good" / "again.png")
    assert (
        "1 images of test, such as test/good/again.png, share a group (near-identical images) with"
        " images of train or val: scores will be too good."
    ) in opened(tmp_path, "train").split_note


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/good/{}.png", "val/good/{}.png"), "no image for test: rename val to test"),
        (("train/good/{}.png",), "no image for test: put a part of your images there"),
        (("test/good/{}.png",), "no image for train"),
        (
            ("train/good/{}.png", "test/good/{}.png", "good/{}.png"),
            r"good lies beside .*: put good/",
        ),
        (("good/train/{}.png", "good/test/{}.png", "good/{}.png"), "holds other things than parts"),
        (
            ("good/train/{}.png", "good/test/{}.png", "defective/{}.png"),
            r"defective holds other things than parts, and other folders here hold",
        ),
        (("train/good/{}.png", "test/good/{}.png", "testing/good/{}.png"), "are one part, test"),
        (("defective/{}.png", "defective/pit/{}.png"), r"0\.png lies beside pit/"),
        (("images/{}.png",), "masks does not exist for .*images"),
        (("masks/{}.png", "good/{}.png"), "images does not exist for .*masks"),
        (("{}.png",), r"holds no images: want images/ .*\. It has 0\.png, 1\.png"),
        (("ok/{}.png", "ng/{}.png"), r"holds no images: .* It has ng, ok"),
        (("good/{}.png", "Good/{}.png"), "differ in capitals: join them"),
        (("images/{}.png", "masks/{}.png", "defective/pit/{}.png"), r"write .*classes\.txt, one"),
        (("test/good/{}.png", "train/images/{}.png"), "masks does not exist for .*train.images"),
    ],
)
def test_a_layout_that_is_not_whole_says_what_to_do(tmp_path, names, message):
    for number, name in enumerate(names):
        images(tmp_path, *numbered(name, 2), start=10 * number)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        opened(tmp_path)


def test_folders_without_a_meaning_are_said(tmp_path):
    images(tmp_path, *numbered("good/{}.png", 5), *numbered("bad/{}.png", 5))
    assert opened(tmp_path).split_note.endswith("Not read: bad.")


ENDINGS = ["_mask", "-mask", ".mask", "_masks", "_MASK", "_label", "_labels", "_GT", "_gt", "_seg"]
ENDINGS += ["_segmentation", "_annotation"]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        *(("{}.png", "{}" + ending + ".png") for ending in ENDINGS),
        ("{}.png", "mask_{}.png"),
        ("{}.png", "label-{}.png"),
        ("IMG_{}.png", "img_{}.PNG"),
        ("Teil_{}.PNG", "TEIL_{}_mask.png"),
        ("{}_image.png", "{}_mask.png"),
        ("img_{}.png", "mask_{}.png"),
        ("a b {}.png", "a b {} label.png"),
        ("{}.v2.jpg", "{}.v2_gt.png"),
        (unicodedata.normalize("NFD", "prüf_{}.png"), unicodedata.normalize("NFC", "prüf_{}.png")),
        (unicodedata.normalize("NFC", "é{}.png"), unicodedata.normalize("NFD", "é{}_mask.png")),
        ("{}_mask.png", "{}_mask.png"),
    ],
)
def test_usual_names_of_masks_fit_their_images(tmp_path, image, mask):
    write_case(tmp_path, image_name=image, mask_name=mask)
    found = masks_of(opened(tmp_path))
    assert all(np.array_equal(one, mark(number)) for number, one in enumerate(found))
    assert len(found) == 6
    assert len(list_entries(f"folder:{tmp_path}")[1]) == 9


def test_an_exact_name_comes_before_one_with_an_ending(tmp_path):
    write_case(tmp_path)
    save(surface(40), tmp_path / "images" / "0_mask.png")
    save(mark(4), tmp_path / "masks" / "0_mask_mask.png")
    dataset = opened(tmp_path)
    assert [e.mask.name for e in dataset.entries[:2]] == ["0.png", "0_mask_mask.png"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("masks/0_mask.png", r"0_mask\.png is a mask without an image"),
        ("images/x.png", r"x\.png has no mask: .* no file called x\.\*, nor with .*_mask, _label"),
        ("images/X.png images/x.png masks/x.png", r"X\.png and x\.png differ only in capitals"),
        ("images/x.png masks/x_mask.png masks/x_gt.png", r"several masks .*: merge or remove"),
        ("masks/notes.json", r"notes\.json is not an image of a kind that is read here"),
    ],
)
def test_names_that_fit_nothing_or_twice_are_named(tmp_path, extra, message):
    write_case(tmp_path)
    images(tmp_path, *(name for name in extra.split() if name.endswith("png")), start=30)
    for name in extra.split():
        (tmp_path / name).touch()
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        opened(tmp_path)


JUNK = [
    *("Thumbs.db", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "Desktop.ini", ".DS_Store"),
    *("._0.png", "@eaDir/x.png", "__MACOSX/._0.png", "#recycle/x.png", "$RECYCLE.BIN/x.png"),
    *("System Volume Information/x.png", "Icon\r", "0.png~", "~$notes.docx", "#snapshot/x.png"),
]


@pytest.mark.parametrize("junk", JUNK)
def test_what_systems_and_nas_leave_behind_is_passed_over(tmp_path, junk):
    write_case(tmp_path)
    images(tmp_path, *numbered("defective/pit/{}.png", 2), start=70)
    (tmp_path / "classes.txt").write_text("pit")
    before = names_of(opened(tmp_path))
    for place in ("", "images", "masks", "good", "defective", "defective/pit"):
        path = tmp_path / place / junk
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    dataset = opened(tmp_path)
    assert names_of(dataset) == before
    assert "Not read" not in dataset.split_note


def test_all_faults_are_told_at_once_each_with_its_file(tmp_path):
    write_case(tmp_path, count=8)
    (tmp_path / "images" / "0.png").write_bytes(b"no picture")
    (tmp_path / "masks" / "1.png").unlink()
    save(mark(0, 10, 10), tmp_path / "masks" / "2.png")
    save(mark(0) * np.uint8(7), tmp_path / "masks" / "3.png")
    (tmp_path / "good" / "notes.txt").touch()
    (tmp_path / "good" / "0.png").write_bytes(b"")
    (tmp_path / "classes.txt").write_text("pit\npit")
    (tmp_path / "groups.csv").write_text("file,group\n2.png,\n")
    (tmp_path / "exif.txt").write_text("turned")
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is looked at below
        opened(tmp_path)
    text = str(caught.value)
    for name in (
        "images/0.png cannot",
        "1.png has no mask",
        "2.png is 10 x 10",
        "notes.txt is not",
    ):
        assert name in text
    for name in (
        "good/0.png cannot",
        "classes.txt must hold",
        "groups.csv, line 2",
        "exif.txt holds",
    ):
        assert name in text
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(ValueError, match=r"3\.png holds values 0, 7: if these are classes"):
        opened(tmp_path)


def test_many_faults_end_with_how_many_more(tmp_path):
    write_case(tmp_path, count=30)
    for path in (tmp_path / "masks").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"(?s)^30 faults:\n.* and 10 more$") as caught:
        opened(tmp_path)
    assert str(caught.value).count("has no mask") == 20


def test_mixed_sizes_and_colors_are_said(tmp_path):
    write_case(tmp_path)
    assert "sizes" not in opened(tmp_path).split_note
    save(surface(60, 48, 20), tmp_path / "good" / "tall.png")
    save(np.dstack([surface(61)] * 3), tmp_path / "good" / "rgb.png")
    note = opened(tmp_path).split_note
    assert (
        "Images have 2 sizes, height x width: 10 are 24 x 32, all from 24 x 32 to 48 x 20" in note
    )
    assert "10 of 11 images are gray and come as RGB like the rest" in note
