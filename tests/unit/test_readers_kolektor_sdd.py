"""KolektorSDD's layout, rebuilt in miniature: labels, repeated items, folds, and box masks."""

import pickle
import shutil
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from few_images import open_all, write_image

from course_utils.data import open_dataset
from course_utils.data.readers import kolektor_sdd

Missing = FileNotFoundError
ITEMS = [f"kos{number:02d}" for number in (1, 2, 3, 4, 21, 25, 26, 27, 34, 35, 38, 39)]
PARTS = 2
PAIRS = (("kos01", "kos26"), ("kos27", "kos34"), ("kos38", "kos39"))
RNG = np.random.default_rng(7)


def write_part(place, part, *, value=0):
    mask = np.zeros((30, 12), np.uint8)
    mask[4:8, 3:5] = value
    write_image(place / f"Part{part}.jpg", RNG.integers(0, 256, (30, 12), np.uint8))
    write_image(place / f"Part{part}_label.bmp", mask)


@pytest.fixture
def root(tmp_path):
    """Twelve items with two parts each; the first part has a defect."""
    for item in ITEMS:
        for part in range(PARTS):
            write_part(tmp_path / "kolektor_sdd" / item, part, value=255 if part == 0 else 0)
    return tmp_path


def opened(root, split="train", **options):
    return open_dataset("kolektor_sdd", split, root=root, size=(30, 12), **options)


def items_of(dataset):
    return {entry.name.partition("/")[0] for entry in dataset.entries}


def names_of(dataset):
    return [entry.name for entry in dataset.entries]


def published(test, train=None, everything=ITEMS):
    """The content of a split file, given the items each fold tests."""
    train = train or [sorted(set(everything) - set(names)) for names in test]
    return [train, test, list(everything)]


def place_folds(root, content, protocol=2):
    (root / "kolektor_sdd" / "split.pyb").write_bytes(pickle.dumps(content, protocol))


WHOLE_PAIRS = [
    ["kos01", "kos26", "kos04", "kos02"],
    ["kos27", "kos34", "kos03", "kos21"],
    ["kos38", "kos39", "kos25", "kos35"],
]


@pytest.mark.parametrize("value", [1, 100, 255])
def test_what_is_not_zero_is_defect_and_gives_the_image_its_label(root, value):
    write_part(root / "kolektor_sdd" / "kos02", 1, value=value)
    for sample in opened(root, "all"):
        defect = sample.name == "kos02/Part1" or sample.name.endswith("Part0")
        assert sample.label == defect
        assert int(sample.mask.sum()) == 8 * defect
        assert sample.image.shape == (1, 30, 12)


def test_a_defect_of_one_pixel_counts_whatever_the_size_images_are_opened_at(root):
    mask = np.zeros((30, 12), np.uint8)
    mask[29, 11] = 255
    write_image(root / "kolektor_sdd" / "kos02" / "Part1_label.bmp", mask)
    small = open_dataset("kolektor_sdd", "all", root=root, size=4)
    assert small.entries[names_of(small).index("kos02/Part1")].label == 1


def test_repeated_items_are_one_group_and_all_others_their_own(root):
    dataset = opened(root, "all")
    group_of = {e.name[:5]: g for e, g in zip(dataset.entries, dataset.groups, strict=True)}
    assert all(group_of[a] == group_of[b] for a, b in PAIRS)
    assert len(set(dataset.groups)) == len(ITEMS) - len(PAIRS)


def test_the_stray_part_is_left_out_where_it_repeats_the_one_before(root):
    place = root / "kolektor_sdd" / "kos21"
    write_part(place, 7)
    assert "kos21/Part7" in names_of(opened(root, "all"))  # nothing it could repeat
    write_part(place, 6)
    write_part(root / "kolektor_sdd" / "kos02", 6)
    write_part(root / "kolektor_sdd" / "kos02", 7)
    found = names_of(opened(root, "all"))
    assert "kos21/Part7" not in found
    assert {"kos21/Part6", "kos02/Part7"} <= set(found)
    (place / "Part7.jpg").unlink()  # its mask alone is no fault either
    assert names_of(opened(root, "all")) == found


def folds(root, seed=0):
    return [
        [opened(root, split, fold=fold, seed=seed) for split in ("train", "val", "test")]
        for fold in (1, 2, 3)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_no_pair_is_parted_and_with_folds_each_item_is_tested_once(root, seed):
    without_fold = [opened(root, split, seed=seed) for split in ("train", "val", "test")]
    tested = []
    for parts in [without_fold, *folds(root, seed)]:
        items = [items_of(part) for part in parts]
        assert sum(map(len, items)) == len(ITEMS) == len(set.union(*items))
        assert all(any({a, b} <= part for part in items) for a, b in PAIRS)
        assert all(len(part) for part in parts)
        tested.append(items[2])
    assert sorted(item for items in tested[1:] for item in items) == ITEMS


def test_without_the_authors_file_groups_are_dealt_out_in_turn_and_the_note_says_so(root):
    by_hand = [  # nine groups in the order of their first items
        {"kos01", "kos26", "kos04", "kos27", "kos34"},
        {"kos02", "kos21", "kos35"},
        {"kos03", "kos25", "kos38", "kos39"},
    ]
    for parts, expected in zip(folds(root), by_hand, strict=True):
        assert items_of(parts[2]) == expected
        assert "folds are dealt out by this course, item after item" in parts[0].split_note


def test_the_seed_moves_validation_but_never_the_test_part(root):
    place_folds(root, published(WHOLE_PAIRS))
    val, test = [
        [names_of(opened(root, split, fold=2, seed=seed)) for seed in (0, 1, 2, 3, 0)]
        for split in ("val", "test")
    ]
    assert all(names == test[0] for names in test)
    assert any(names != val[0] for names in val)
    assert val[4] == val[0]


def test_a_fifth_of_the_groups_left_is_for_validation(tmp_path):
    for number in range(2, 17):  # 15 items, 10 of them to train and validate on
        for part in range(2):
            place = tmp_path / "kolektor_sdd" / f"kos{number:02d}"
            write_part(place, part, value=255 * part)
    for parts in folds(tmp_path):
        assert [len(items_of(part)) for part in parts] == [8, 2, 5]


@pytest.mark.parametrize(
    ("container", "protocol"),
    [(list, 0), (tuple, 2), (set, 2), (frozenset, 3), (set, 4), (list, pickle.HIGHEST_PROTOCOL)],
)
def test_the_authors_folds_are_taken_where_their_file_is(root, container, protocol):
    content = published(WHOLE_PAIRS)
    content[1] = [container(names) for names in WHOLE_PAIRS]
    place_folds(root, content, protocol)
    for parts, expected in zip(folds(root), WHOLE_PAIRS, strict=True):
        assert items_of(parts[2]) == set(expected)
        assert "folds are the authors'" in parts[0].split_note
        assert "in no part" not in parts[0].split_note


def test_a_split_file_written_by_python_2_is_read(root):
    content = pickle.dumps(published(WHOLE_PAIRS), 2)
    assert b"X\x05\x00\x00\x00" in content
    old = content.replace(b"X\x05\x00\x00\x00", b"U\x05")  # its texts were bytes
    (root / "kolektor_sdd" / "split.pyb").write_bytes(old)
    assert items_of(opened(root, "test", fold=3)) == set(WHOLE_PAIRS[2])


def test_authors_folds_that_part_a_pair_leave_its_training_side_out_and_say_so(root):
    parted = [
        ["kos01", "kos27", "kos34", "kos02"],
        ["kos26", "kos03", "kos21", "kos04"],
        ["kos38", "kos39", "kos25", "kos35"],
    ]
    place_folds(root, published(parted))
    left_out = ({"kos26"}, {"kos01"}, set())
    for parts, tested, gone in zip(folds(root), parted, left_out, strict=True):
        assert items_of(parts[2]) == set(tested)
        assert items_of(parts[0]) | items_of(parts[1]) == set(ITEMS) - set(tested) - gone
        said = f"{PARTS} more images, such as {min(gone, default='')}/Part0, show"
        assert (said in parts[0].split_note) == bool(gone)
    assert len(opened(root, "all", fold=1)) == len(ITEMS) * PARTS


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_split_file_that_would_run_code_runs_none(root, tmp_path):
    place_folds(root, published([*WHOLE_PAIRS[:2], [Trap(tmp_path / "sprung")]]))
    with pytest.raises(ValueError, match=r"split\.pyb is no pickle of plain lists and names \(it "):
        opened(root, fold=1)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("thing", [np.array(["kos01"]), OrderedDict(a=1), print, Path("kos01")])
def test_a_split_file_with_anything_but_plain_containers_is_refused(root, thing):
    place_folds(root, published([*WHOLE_PAIRS[:2], thing], train=WHOLE_PAIRS))
    with pytest.raises(ValueError, match=r"no pickle of plain lists and names \(it asks for"):
        opened(root, fold=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE_PAIRS[:2], r"does not hold \(train, test, all\)"),
        ({"train": []}, r"does not hold \(train, test, all\)"),
        ([[["kos01"]], [["kos02"]], []], "does not hold 3 lists of item names"),
        ([WHOLE_PAIRS, [*WHOLE_PAIRS[:2], [("kos38", True)]], []], "does not hold 3 lists"),
        ([WHOLE_PAIRS, "abc", []], "does not hold 3 lists"),
        ([WHOLE_PAIRS, ["abc", "def", "ghi"], []], "does not hold 3 lists"),
        (published([*WHOLE_PAIRS[:2], WHOLE_PAIRS[2][:3]]), "tests kos35 in no fold"),
        (published([*WHOLE_PAIRS[:2], [*WHOLE_PAIRS[2], "kos50"]]), "lists kos50, which is not"),
        (published([*WHOLE_PAIRS[:2], [*WHOLE_PAIRS[2], "kos26"]]), "tests kos26 in folds 1 and 3"),
        (published(WHOLE_PAIRS, train=WHOLE_PAIRS), "both trains and tests on kos01 in fold 1"),
    ],
)
def test_a_split_file_that_does_not_fit_the_images_is_refused(root, content, message):
    place_folds(root, content)
    with pytest.raises(ValueError, match=message) as caught:
        opened(root, fold=1)
    assert "KolektorSDD-training-splits.zip" in str(caught.value)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"\x80\x02]q\x00(", b"\x80\x63."])
def test_a_damaged_split_file_is_refused(root, damage):
    (root / "kolektor_sdd" / "split.pyb").write_bytes(damage)
    with pytest.raises(ValueError, match="no pickle of plain lists and names"):
        opened(root, fold=1)


@pytest.mark.parametrize("fold", [0, 4, -1, 1.0, True, "1"])
def test_a_fold_that_there_is_not_says_which_there_are(root, fold):
    with pytest.raises(ValueError, match=r"fold of kolektor_sdd must be a whole number in 1\.\.3"):
        opened(root, fold=fold)


def test_folds_hold_whole_groups_so_images_cannot_be_dealt_out_one_by_one(root):
    with pytest.raises(ValueError, match="leave fold out, or split_by='image'"):
        opened(root, fold=1, split_by="image")
    assert "Leaks on purpose" in opened(root, split_by="image").split_note


def rename(path, name):
    path.rename(path.with_name(name))


@pytest.mark.parametrize(
    ("pattern", "change", "kind", "message"),
    [
        ("kos02/Part1_label.bmp", lambda p: rename(p, "Part1.bmp"), ValueError, "is no mask: want"),
        ("kos02/*", Path.unlink, Missing, r"kos02 holds no images:"),
        (
            "kos*",
            lambda p: rename(p, f"x{p.name}"),
            Missing,
            "holds no images: want kos01 to kos50",
        ),
    ],
)
def test_a_faulty_item_is_named_when_the_set_is_opened(root, pattern, change, kind, message):
    for path in [*(root / "kolektor_sdd").glob(pattern)]:
        change(path)
    with pytest.raises(kind, match=message):
        opened(root)


def place_boxes(root, values):
    """Write box masks of all items; `values` holds those that are not the rule, by name."""
    for item in ITEMS:
        for part in range(PARTS):
            mask = np.zeros((30, 12), np.uint8)
            mask[2:10, 2:7] = values.get(f"{item}/Part{part}", 255 if part == 0 else 0)
            write_image(root / "kolektor_sdd" / "boxes" / item / f"Part{part}_label.bmp", mask)


def boxed(root):
    return open_all(kolektor_sdd.read(root / "kolektor_sdd", masks="boxes"), (30, 12))


def test_box_masks_give_masks_and_labels_and_leave_the_fine_ones_alone(root):
    place_boxes(root, {"kos02/Part0": 0, "kos02/Part1": 1})
    for sample in map(boxed(root).__getitem__, range(len(ITEMS) * PARTS)):
        item, part = sample.name.split("/")
        defect = (part == "Part0") != (item == "kos02")
        assert (sample.label, int(sample.mask.sum())) == (defect, 40 * defect)
    fine = opened(root, "all")
    assert [entry.name for entry in fine.entries] == names_of(boxed(root))
    assert fine[names_of(fine).index("kos02/Part0")].mask.sum() == 8
    assert "boxes" not in items_of(fine)
    for path in [*(root / "kolektor_sdd").rglob("*.*")]:
        path.rename(path.with_suffix(path.suffix.upper()))
    assert [e.label for e in boxed(root).entries].count(1) == len(ITEMS)


def test_items_and_folds_are_the_same_with_box_masks(root):
    place_boxes(root, {})
    place_folds(root, published(WHOLE_PAIRS))
    fine, boxes = (kolektor_sdd.read(root / "kolektor_sdd", masks=m) for m in ("fine", "boxes"))
    assert np.array_equal(fine.groups, boxes.groups)
    assert np.array_equal(fine.folds.test_fold, boxes.folds.test_fold)


def test_images_in_the_box_archive_and_fine_masks_beside_the_images_are_not_looked_at(root):
    place_boxes(root, {})
    (root / "kolektor_sdd" / "boxes" / "kos02" / "Part0.jpg").write_bytes(b"x")
    (root / "kolektor_sdd" / "boxes" / "kos02" / "Part9.jpg").write_bytes(b"x")
    (root / "kolektor_sdd" / "kos02" / "Part0_label.bmp").unlink()
    (root / "kolektor_sdd" / "kos02" / "Part1_label.bmp").write_bytes(b"x")
    assert len(boxed(root)) == len(ITEMS) * PARTS
    boxed(root).validate()


@pytest.mark.parametrize("with_box", [True, False])
def test_the_stray_part_is_left_out_of_the_box_masks_too(root, with_box):
    place_boxes(root, {})
    boxes = root / "kolektor_sdd" / "boxes" / "kos21"
    for part in (6, 7):
        write_part(root / "kolektor_sdd" / "kos21", part)
        if part == 6 or with_box:
            write_image(boxes / f"Part{part}_label.bmp", np.zeros((30, 12), np.uint8))
    assert "kos21/Part6" in names_of(boxed(root))
    assert "kos21/Part7" not in names_of(boxed(root))


def test_listing_box_masks_opens_no_image(root):
    place_boxes(root, {})
    for path in (root / "kolektor_sdd").rglob("*.*"):
        path.write_bytes(b"x")
    listed = kolektor_sdd.list_entries(root / "kolektor_sdd", masks="boxes")
    assert len(listed) == len(ITEMS) * PARTS
    assert all(entry.mask.parent.parent.name == "boxes" for entry in listed)


def damage(path):
    path.write_bytes(b"x")


FETCH_BOXES = r"Get them with `course data fetch kolektor_sdd/boxes`"


@pytest.mark.parametrize(
    ("path", "change", "kind", "message"),
    [
        ("boxes", shutil.rmtree, Missing, f"kos01 is missing: .*{FETCH_BOXES}"),
        ("boxes/kos02", shutil.rmtree, Missing, "boxes.kos02 is missing: it holds the"),
        ("boxes/kos50", Path.mkdir, ValueError, "boxes.kos50 holds masks without images:"),
        ("kos02/Part1.jpg", Path.unlink, ValueError, r"Part1_label\.bmp is a mask without"),
        ("boxes/kos02/Part1_label.bmp", damage, ValueError, r"Part1_label\.bmp cannot be read"),
        ("boxes/kos02/Part1.png", damage, ValueError, r"Part1\.png is not an image of a kind"),
    ],
)
def test_a_fault_in_the_box_masks_is_named(root, path, change, kind, message):
    place_boxes(root, {})
    change(root / "kolektor_sdd" / path)
    with pytest.raises(kind, match=message):
        boxed(root)
    if kind is FileNotFoundError:
        assert len(opened(root, "all")) == len(ITEMS) * PARTS  # fine masks are all there


@pytest.mark.parametrize("masks", ["box", "", None, "Fine"])
def test_masks_of_another_kind_are_refused(root, masks):
    with pytest.raises(ValueError, match=f"masks {masks!r} is unknown: choose one of fine, boxes"):
        kolektor_sdd.read(root / "kolektor_sdd", masks=masks)
