"""The published sets themselves: runs where they are on disk, skips where they are not."""

import numpy as np
import pytest

from course_utils.data import class_weights, count_pixels, find_datasets, open_dataset

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module", params=["magnetic_tile", "sd_saliency_900"])
def name(request):
    found = find_datasets()[request.param]
    if not found.folder.is_dir():
        pytest.skip(f"{request.param} is not in {found.folder.parent} (see COURSE_DATA_ROOT)")
    assert not found.problem
    return request.param


@pytest.fixture(scope="module")
def whole(name):
    dataset = open_dataset(name, "all", size=64)
    dataset.validate()
    return dataset


def labels(dataset):
    return np.bincount([entry.label for entry in dataset.entries]).tolist()


def test_every_image_is_there_and_can_be_read(name, whole):
    expected = {"magnetic_tile": [952, 115, 85, 57, 32, 103], "sd_saliency_900": [0, 300, 300, 300]}
    assert labels(whole) == expected[name]


def test_masks_hold_the_class_of_the_image_and_nothing_else(name, whole):
    empty = 0
    for sample in map(whole.__getitem__, range(len(whole))):
        assert set(sample.mask.unique().tolist()) <= {0, sample.label}
        empty += sample.label > 0 and not sample.mask.any()
    # Four uneven tiles are published with an empty mask; two blowholes are too small for 64 x 64.
    assert empty == {"magnetic_tile": 6, "sd_saliency_900": 0}[name]


def test_no_group_is_on_two_sides_and_every_class_on_all(name, whole):
    parts = [open_dataset(name, split, size=64) for split in SPLITS]
    assert sum(map(len, parts)) == len(whole)
    owners = [set(part.groups) for part in parts]
    assert len(set.union(*owners)) == sum(map(len, owners))
    for part, fraction in zip(parts, (0.6, 0.2, 0.2), strict=True):
        counts, total = np.array(labels(part)), np.array(labels(whole))
        assert (counts[total > 0] > 0).all()
        assert abs(len(part) / len(whole) - fraction) < 0.03


def test_most_tiles_have_six_shots_and_many_crops_of_steel_overlap(name, whole):
    sizes = np.unique(whole.groups, return_counts=True)[1]
    expected = {"magnetic_tile": (199, 6, 18), "sd_saliency_900": (428, 1, 58)}[name]
    assert (len(sizes), int(np.median(sizes)), sizes.max()) == expected


def test_what_was_seen_to_be_one_thing_is_one_group(name, whole):
    pairs = {
        "magnetic_tile": [
            ("MT_Free/exp6_num_9196", "MT_Free/exp6_num_10790"),
            ("MT_Free/exp3_num_355669", "MT_Free/exp1_num_358102"),
            ("MT_Free/exp4_num_13589", "MT_Free/exp4_num_5959"),
            ("MT_Free/exp3_num_306622", "MT_Free/exp6_num_309443"),
            ("MT_Free/exp4_num_283240", "MT_Free/exp6_num_283465"),
            ("MT_Fray/exp5_num_136716", "MT_Fray/exp3_num_136351"),
            ("MT_Crack/exp4_num_249762", "MT_Crack/exp2_num_249619"),
            ("MT_Uneven/exp1_num_124236", "MT_Uneven/exp6_num_124787"),
            ("MT_Break/exp5_num_242089", "MT_Break/exp4_num_241939"),
            ("MT_Break/exp5_num_348696", "MT_Break/exp6_num_348888"),
            ("MT_Break/exp5_num_98336", "MT_Break/exp3_num_98116"),
        ],
        "sd_saliency_900": [
            ("Sc_137", "Sc_138"),
            ("Sc_146", "Sc_148"),
            ("Sc_178", "Sc_185"),
            ("In_151", "In_162"),
            ("Pa_101", "Pa_105"),
        ],
    }[name]
    group_of = dict(zip([entry.name for entry in whole.entries], whole.groups, strict=True))
    assert [pair for pair in pairs if group_of[pair[0]] != group_of[pair[1]]] == []


def test_dealing_out_tiles_one_by_one_leaks(name):
    note = open_dataset(name, "test", split_by="image").split_note
    share = {"magnetic_tile": "100%", "sd_saliency_900": "65%"}[name]
    assert f"so {share} of the test images" in note


def test_defects_are_rare_and_weights_make_up_for_it(name, whole):
    counts = count_pixels(whole, len(whole.class_names))
    background = counts[0] / counts.sum()
    expected = {"magnetic_tile": 0.9745, "sd_saliency_900": 0.8823}[name]
    assert background == pytest.approx(expected, abs=0.001)
    weighted = class_weights(counts).double().numpy() * counts
    assert weighted == pytest.approx(np.full(len(counts), counts.sum() / len(counts)), rel=1e-5)


def test_the_bottles_are_all_there_and_the_masks_lie_on_bad_ones_only():
    if "mvtec_ad/bottle" not in find_datasets():
        pytest.skip("mvtec_ad/bottle is not here (see COURSE_DATA_ROOT)")
    parts = [open_dataset("mvtec_ad/bottle", split, size=64) for split in SPLITS]
    assert [len(part) for part in parts] == [167, 42, 83]
    for part in parts:
        part.validate()
    assert labels(parts[2]) == [20, 20, 22, 21]
    for sample in map(parts[2].__getitem__, range(len(parts[2]))):
        assert bool(sample.mask.any()) == (sample.label > 0)
