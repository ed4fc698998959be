"""Opening and finding data sets by name; tiles and steel strips, rebuilt in miniature."""

import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from few_images import write_image

from course_utils.data import DATASETS, DefectDataset, find_datasets, open_dataset

Missing = FileNotFoundError
RNG = np.random.default_rng(2)
TILE_CLASSES = ("Free", "Blowhole", "Break", "Crack", "Fray", "Uneven")


def surface(height=40, width=50):
    return cv2.resize(RNG.integers(0, 256, (8, 8), np.uint8), (width, height))


def soft_mask(height=40, width=50):
    """A defect with smoothed edges, as published."""
    mask = np.zeros((height, width), np.uint8)
    mask[10:20, 10:30] = 255
    mask[9, 10:30] = 128
    mask[20, 10:30] = 127
    return mask


@pytest.fixture
def tiles(tmp_path):
    """Three tiles of each class, each shot twice: 7 numbers apart, looking altogether different."""
    for label, name in enumerate(TILE_CLASSES):
        for tile in range(3):
            for shot in range(2):
                stem = f"exp{shot + 1}_num_{label * 100_000 + tile * 1000 + shot * 7}"
                place = tmp_path / "magnetic_tile" / f"MT_{name}" / "Imgs"
                write_image(place / f"{stem}.jpg", surface())
                write_image(place / f"{stem}.png", soft_mask() * (label > 0))
    return tmp_path


@pytest.fixture(params=[("images", "masks", ".png"), ("Source Images", "Ground truth", ".bmp")])
def steel(request, tmp_path):
    images, masks, suffix = request.param
    for prefix in ("In", "Pa", "Sc"):
        for number in range(900, 905):  # the real ones have known overlaps
            folder = tmp_path / "sd_saliency_900"
            write_image(folder / images / f"{prefix}_{number}{suffix}", surface())
            write_image(folder / masks / f"{prefix}_{number}.png", soft_mask())
    return tmp_path


def test_tiles_take_their_class_from_the_folder_and_their_edge_above_half(tiles):
    dataset = open_dataset("magnetic_tile", "all", size=(40, 50), root=tiles)
    assert isinstance(dataset, DefectDataset)
    assert tuple(dataset.class_names) == tuple(DATASETS["magnetic_tile"].class_names)
    assert len(dataset) == 36
    for sample in (dataset[index] for index in range(36)):
        folder = sample.name.removeprefix("MT_").partition("/")[0]
        assert sample.label == TILE_CLASSES.index(folder)
        expected = torch.zeros(40, 50, dtype=torch.int64)
        expected[9:20, 10:30] = sample.label  # the row of 128 belongs to it, that of 127 does not
        assert torch.equal(sample.mask, expected)
        assert sample.image.shape == (1, 40, 50)


def test_shots_with_neighboring_numbers_are_one_tile_even_if_they_look_different(tiles):
    dataset = open_dataset("magnetic_tile", "all", size=16, root=tiles)
    group_of = {sample.name: sample.group for sample in map(dataset.__getitem__, range(36))}
    assert len(set(group_of.values())) == 18
    assert group_of["MT_Crack/exp2_num_301007"] == "MT_Crack/exp1_num_301000"


def test_every_part_holds_every_class_of_tile_and_no_tile_is_in_two(tiles):
    splits = ("train", "val", "test")
    parts = [open_dataset("magnetic_tile", split, size=16, root=tiles) for split in splits]
    seen = [[part[index] for index in range(len(part))] for part in parts]
    for samples in seen:
        assert {sample.label for sample in samples} == set(range(6))
    owners = [{sample.group for sample in samples} for samples in seen]
    assert len(set.union(*owners)) == sum(map(len, owners))
    assert "one tile by file number or as near-duplicates" in parts[0].split_note


def rename(place, old, new):
    for path in [*place.rglob(f"{old}.*")]:
        path.rename(path.with_name(new + path.suffix))


def test_a_tile_that_came_back_later_is_one_group_with_its_first_shots(tiles):
    rename(tiles, "exp1_num_0", "exp6_num_9196")
    rename(tiles, "exp2_num_7", "exp1_num_9175")
    rename(tiles, "exp1_num_1000", "exp6_num_10790")
    dataset = open_dataset("magnetic_tile", "all", size=16, root=tiles)
    group_of = {entry.name: g for entry, g in zip(dataset.entries, dataset.groups, strict=True)}
    names = ("exp6_num_9196", "exp1_num_9175", "exp6_num_10790")
    assert len({group_of[f"MT_Free/{name}"] for name in names}) == 1
    assert len(set(group_of.values())) == 18  # exp2_num_1007 is alone now


def test_an_uneven_tile_with_an_empty_mask_keeps_its_label(tiles):
    place = tiles / "magnetic_tile" / "MT_Uneven" / "Imgs"
    first = min(place.glob("*.png"))
    write_image(first, np.zeros((40, 50), np.uint8))
    dataset = open_dataset("magnetic_tile", "all", size=16, root=tiles)
    sample = next(s for s in map(dataset.__getitem__, range(36)) if s.name.endswith(first.stem))
    assert sample.label == 5
    assert not sample.mask.any()


def test_a_free_tile_with_a_marked_defect_is_an_error(tiles):
    place = tiles / "magnetic_tile" / "MT_Free" / "Imgs"
    write_image(min(place.glob("*.png")), soft_mask())
    with pytest.raises(ValueError, match=r"marks a defect but exp1_num_0\.jpg is filed as free"):
        open_dataset("magnetic_tile", "all", size=16, root=tiles).validate()


def add(path):
    write_image(path, surface())


def misname(place):
    for suffix in (".jpg", ".png"):
        (place / f"exp1_num_0{suffix}").rename(place / f"a{suffix}")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (misname, ValueError, "a.jpg is not named exp"),
        (lambda p: p.rename(p.parent / "Images"), Missing, "Imgs is missing"),
        (lambda p: add(p / "exp1_num_1.bmp"), ValueError, r"exp1_num_1\.bmp is"),
        (lambda p: add(p / "exp1_num_0.jpeg"), ValueError, r"0\.jpeg and .*0\.jpg differ only in"),
    ],
)
def test_a_faulty_tile_is_named_when_the_set_is_opened(tiles, change, kind, message):
    change(tiles / "magnetic_tile" / "MT_Free" / "Imgs")
    with pytest.raises(kind, match=message):
        open_dataset("magnetic_tile", root=tiles)


def test_steel_is_read_from_both_layouts(steel):
    dataset = open_dataset("sd_saliency_900", "all", size=(40, 50), root=steel)
    assert len(dataset) == 15
    assert tuple(dataset.class_names) == ("background", "inclusion", "patches", "scratches")
    labels = {"In": 1, "Pa": 2, "Sc": 3}
    for sample in (dataset[index] for index in range(15)):
        assert sample.label == labels[sample.name[:2]]
        assert set(sample.mask.unique().tolist()) == {0, sample.label}
        assert (sample.mask > 0).sum() == 11 * 20


def test_steel_without_a_class_in_its_name_is_an_error(steel):
    folder = steel / "sd_saliency_900"
    for path in [*folder.rglob("In_900.*")]:
        path.rename(path.with_name(f"Cr_0{path.suffix}"))
    with pytest.raises(ValueError, match=r"Cr_0\.\w+ names no class: want a name that starts with"):
        open_dataset("sd_saliency_900", root=steel)


def test_overlapping_crops_of_one_photograph_are_one_group(steel):
    rename(steel, "Sc_900", "Sc_137")
    rename(steel, "Sc_901", "Sc_138")
    dataset = open_dataset("sd_saliency_900", "all", size=16, root=steel)
    group_of = {entry.name: g for entry, g in zip(dataset.entries, dataset.groups, strict=True)}
    assert group_of["Sc_137"] == group_of["Sc_138"]
    assert len(set(group_of.values())) == 14
    assert "crops known to overlap" in open_dataset("sd_saliency_900", root=steel).split_note


def test_steel_without_one_of_its_classes_is_an_error(steel):
    for path in [*steel.rglob("Pa_*")]:
        path.unlink()
    with pytest.raises(FileNotFoundError, match="holds no images: want Pa_<i> for patches"):
        open_dataset("sd_saliency_900", root=steel)
    assert "Pa_<i>" in find_datasets(steel)["sd_saliency_900"].problem
    for folder in [*(steel / "sd_saliency_900").iterdir()][:1]:
        shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match="is not complete: want"):
        open_dataset("sd_saliency_900", root=steel)


@pytest.mark.parametrize("name", ["magnetic_tile", "sd_saliency_900", "kolektor_sdd"])
def test_a_set_that_is_not_here_says_where_it_is_and_where_it_goes(name, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        open_dataset(name, root=tmp_path)
    for part in (str(tmp_path / name), "COURSE_DATA_ROOT", DATASETS[name].page, f"{name}/ with"):
        assert part in str(caught.value)


def test_the_data_root_comes_from_the_environment(steel, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_ROOT", str(steel))
    assert len(open_dataset("sd_saliency_900", "all")) == 15


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("steel", {}, "'steel' is unknown: choose one of synthetic, synthetic_product, mag"),
        ("synthetic", {"split": "dev"}, "split 'dev' is unknown"),
        ("synthetic", {"split_by": "tile"}, "split_by must be"),
        ("synthetic", {"size": 0}, "size must be a number of pixels"),
        ("synthetic", {"size": (64, 64, 3)}, "size must be a number of pixels"),
        ("synthetic", {"size": 64.5}, "size must be a number of pixels"),
        ("magnetic_tile", {"contrast": 1}, "magnetic_tile has no option 'contrast'"),
        ("synthetic", {"fold": 1}, "synthetic has no option 'fold': it has length, surf"),
        ("magnetic_tile", {"cache": True}, "magnetic_tile has no option 'cache': it has none"),
        *(
            (name, {"seed": seed}, r"seed must be a whole number in 0\.\.4294967295")
            for name in ("synthetic", "magnetic_tile", "folder:.")
            for seed in (-1, 2**32, 1.5, True, None, "0")
        ),
    ],
)
def test_requests_that_cannot_be_met_say_what_can(name, options, message):
    with pytest.raises(ValueError, match=message):
        open_dataset(name, **options)


def test_finding_data_sets_counts_images_and_says_what_is_wrong(tiles):
    found = find_datasets(tiles)
    assert set(found) == {name for name, info in DATASETS.items() if info.needs_files}
    assert (found["magnetic_tile"].images, found["magnetic_tile"].problem) == (36, "")
    assert found["sd_saliency_900"].images == 0
    assert "SongGuorong/MCITF" in found["sd_saliency_900"].problem
    next((tiles / "magnetic_tile" / "MT_Fray" / "Imgs").glob("*.png")).unlink()
    assert "has no mask" in find_datasets(tiles)["magnetic_tile"].problem


def names(dataset):
    return [dataset[index].name for index in range(len(dataset))]


def test_all_of_the_synthetic_set_is_its_three_parts():
    sets = [
        open_dataset("synthetic", s, size=32, length=5) for s in ("train", "val", "test", "all")
    ]
    assert names(sets[3]) == names(sets[0]) + names(sets[1]) + names(sets[2])
    assert isinstance(sets[3], DefectDataset)


def test_dealing_out_the_synthetic_set_image_by_image_leaks_and_says_so():
    parts = [
        open_dataset("synthetic", split, size=32, length=20, split_by="image")
        for split in ("train", "val", "test")
    ]
    dealt = [names(part) for part in parts]
    assert [len(part) for part in dealt] == [20, 20, 20]
    assert len({name for part in dealt for name in part}) == 60
    train, _, test = [[part[index].group for index in range(20)] for part in parts]
    share = sum(group in train for group in test) / 20
    assert 0 < share < 1
    assert parts[0].split_note.startswith("Leaks on purpose")
    assert f"so {share:.0%} of the test images" in parts[0].split_note


def test_listing_data_sets_and_their_images_loads_no_torch(steel):
    code = (
        "import sys; from course_utils.data import DATASETS, find_datasets\n"
        "from course_utils.data.readers import find_reader\n"
        "for name, info in DATASETS.items():\n"
        "    if info.needs_files: find_reader(name)\n"
        f"assert find_datasets({str(steel)!r})['sd_saliency_900'].images == 15\n"
        "print([name for name in ('torch', 'scipy', 'sklearn') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr
