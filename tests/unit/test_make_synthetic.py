"""The synthetic set on disk: every reader reads back what was written, and nothing stays half."""

import hashlib
import importlib.util
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from course_utils.data import find_datasets, open_dataset
from course_utils.data.image_files import resize_mask
from course_utils.data.image_mask_dataset import ImageMaskDataset
from course_utils.data.readers.kolektor_sdd import _FIRST_TAKEN_AS
from course_utils.data.synthetic import SURFACES
from course_utils.data.synthetic_layouts import (
    LAYOUTS,
    Picture,
    estimate_bytes,
    lay_out,
    write_set,
)

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "make_synthetic.py"
SEED = 3
COUNTS = {"dagm": 8, "severstal": 8}
FAMILIES = {"dagm": ("wood", "leather")}
"""Few images of few classes: they are made for every layout."""
KINDS_OF = {
    "line": ("scratch", "crack"),
    "spot": ("pit", "inclusion"),
    "area": ("stain", "dent", "peeling"),
}
KNOWS_GROUPS = ("kolektor_sdd", "magnetic_tile")
NAMES = list(LAYOUTS)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_synthetic", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def planned(name: str, count: int | None = None, **options: object) -> list[Picture]:
    usual = {
        "count": count or COUNTS.get(name, 14),
        "surfaces": FAMILIES.get(name, SURFACES),
        "size": None if name == "severstal" else (48, 32),
        "seed": SEED,
    }
    return lay_out(LAYOUTS[name], **usual | options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write a layout when it is first asked for, and return its data root."""
    roots = {}

    def root_of(name):
        if name not in roots:
            roots[name] = tmp_path_factory.mktemp(name)
            write_set(LAYOUTS[name], planned(name), roots[name])
        return roots[name]

    return root_of


def opened(root: Path, name: str, split: str = "all", *, category: int = 1) -> ImageMaskDataset:
    size = (256, 1600) if name == "severstal" else (48, 32)
    known = LAYOUTS[name].opens.format(root=root).replace("dagm/1", f"dagm/{category}")
    dataset = open_dataset(known, split, root=root, size=size)
    assert isinstance(dataset, ImageMaskDataset)
    return dataset


def with_pictures(root: Path, name: str) -> list[tuple[ImageMaskDataset, int, Picture]]:
    """Every image as the reader finds it, with what was planned of it."""
    by_file = {root / LAYOUTS[name].folder / one.image: one for one in planned(name)}
    found = [
        (dataset, index, by_file.pop(entry.image))
        for category in range(1, 1 + len(FAMILIES.get(name, "1")))
        for dataset in [opened(root, name, category=category)]
        for index, entry in enumerate(dataset.entries)
    ]
    assert not by_file
    return found


def truth(name: str, picture: Picture) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and mask of the public synthetic set."""
    surfaces = open_dataset(
        "synthetic",
        picture.source.split,
        size=(160, 1000) if name == "severstal" else (48, 32),
        seed=SEED,
        length=picture.index + 1,
        surfaces=FAMILIES.get(name, SURFACES),
        labels="ellipse" if name == "dagm" else "exact",
    )
    sample = surfaces[picture.index]
    return sample.image, sample.mask


@pytest.mark.parametrize("name", NAMES)
def test_images_and_masks_are_read_back(written, name):
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]  # of ITU-R BT.601
    defective = 0
    for dataset, index, picture in with_pictures(written(name), name):
        image, wanted = truth(name, picture)
        sample = dataset[index]
        mask = sample.mask
        if name == "severstal":  # its images are enlarged
            wanted = torch.from_numpy(resize_mask(wanted.numpy().astype(np.uint8), (256, 1600)))
        else:
            if dataset.channels == 1:
                image = (image * luma).sum(0, keepdim=True)
            error = 255 * (sample.image - image).abs()
            if picture.image.endswith(".jpg"):
                assert error.mean() < 4, picture.image
            else:
                assert error.max() <= (0.51 if dataset.channels == 1 else 1e-3)
        if name not in ("folder", "severstal"):
            wanted, mask = wanted > 0, mask > 0  # the layout has one kind of defect for each image
        assert (mask == wanted).all(), picture.image
        assert mask.any() == picture.defective == (sample.label > 0)
        defective += picture.defective
    assert defective >= 2


@pytest.mark.parametrize("name", NAMES)
def test_the_set_is_found_as_complete_and_opened(written, name):
    if name != "folder":
        found = find_datasets(written(name))[LAYOUTS[name].opens]
        assert found.problem == ""
        assert found.images == COUNTS.get(name, 14) // len(FAMILIES.get(name, "1"))
    for split in ("train", "val", "test"):
        assert len(opened(written(name), name, split)) >= 1
    assert [path.name for path in written(name).iterdir()] == [LAYOUTS[name].folder]


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("folder", ("line", "spot", "area")),
        ("sd_saliency_900", ("scratches", "inclusion", "patches")),
        ("severstal", ("class 1", "class 2", "class 3")),
    ],
)
def test_defects_of_one_class_are_filed_as_that_class(written, name, classes):
    seen = set()
    for dataset, index, picture in with_pictures(written(name), name):
        marked = truth(name, picture)[1].unique().tolist()[1:]
        if len(marked) == 1:
            assert dataset.class_names[dataset[index].label] == classes[marked[0] - 1]
            seen.add(marked[0])
    assert len(seen) >= 2


@pytest.mark.parametrize("name", ["mvtec_ad", "kolektor_sdd2", "dagm"])
def test_the_published_parts_are_those_of_the_synthetic_set(written, name):
    in_test = {
        entry.image
        for category in range(1, 1 + len(FAMILIES.get(name, "1")))
        for entry in opened(written(name), name, "test", category=category).entries
    }
    splits = set()
    for dataset, index, picture in with_pictures(written(name), name):
        split = picture.source.split
        assert (split == "test") == (dataset.entries[index].image in in_test)
        splits.add(split)
    assert splits == {"train", "test"}


def test_mvtec_trains_on_good_images_and_names_the_classes_in_test():
    of_kind = {kind: name for name, kinds in KINDS_OF.items() for kind in kinds}
    seen = set()
    for picture in planned("mvtec_ad", 60):
        classes = {of_kind[kind] for kind in picture.source.describe(picture.index).kinds}
        wanted = "combined" if len(classes) > 1 else next(iter(classes), "good")
        split, kind = picture.image.split("/")[1:3]
        assert (split, kind) == (picture.source.split, wanted)
        seen.add((split, kind))
    kinds = ("good", "line", "spot", "area", "combined")
    assert seen == {("train", "good"), *(("test", kind) for kind in kinds)}


def test_an_item_of_kolektor_is_one_surface_with_all_its_shots(written):
    pairs = {
        (dataset[index].group, picture.source.describe(picture.index).group)
        for dataset, index, picture in with_pictures(written("kolektor_sdd"), "kolektor_sdd")
    }
    assert len(pairs) == len({item for item, _ in pairs}) == len({shown for _, shown in pairs})
    assert len(pairs) < 14
    # No surface is taken for the second take of another.
    items = {picture.image.partition("/")[0] for picture in planned("kolektor_sdd", 90)}
    assert len(items) > 39
    assert not items & set(_FIRST_TAKEN_AS)


def test_shots_of_one_tile_share_a_group(written):
    groups: dict[str, set[str]] = {}
    for dataset, index, picture in with_pictures(written("magnetic_tile"), "magnetic_tile"):
        shown = picture.source.describe(picture.index)
        groups.setdefault(shown.group, set()).add(dataset[index].group)
    assert all(len(group) == 1 for group in groups.values())
    assert len(groups) < 14
    assert len(set.union(*groups.values())) == len(groups)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in KNOWS_GROUPS])
def test_where_groups_are_not_known_there_is_one_shot_of_each_surface(name):
    groups = [one.source.describe(one.index).group for one in planned(name, 40)]
    assert len(set(groups)) == len(groups) == 40


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", ["folder", "kolektor_sdd", "severstal"])
def test_the_share_of_defects_is_as_asked(name, share):
    pictures = planned(name, 20, defect_share=share)
    assert sum(picture.defective for picture in pictures) == 20 * share
    assert all(one.defective == bool(one.source.describe(one.index).kinds) for one in pictures)


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("name", ["folder", "mvtec_ad", "kolektor_sdd2"])
def test_a_set_of_one_sort_of_image_can_be_opened(tmp_path, name, share):
    write_set(LAYOUTS[name], planned(name, 8, defect_share=share), tmp_path)
    tested = opened(tmp_path, name, "test")
    assert {bool(tested[index].label) for index in range(len(tested))} == {bool(share)}


def test_each_class_of_dagm_is_one_kind_of_surface():
    families: dict[str, Counter[str]] = {}
    for one in planned("dagm", 30, surfaces=("wood", "concrete", "leather")):
        family = one.source.describe(one.index).family
        families.setdefault(one.image.partition("/")[0], Counter())[family] += 1
    assert families == {
        f"Class{number}": {family: 10}
        for number, family in enumerate(("wood", "concrete", "leather"), start=1)
    }


def tree_hash(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", ["kolektor_sdd", "folder"])
def test_a_seed_decides_every_byte(written, tmp_path, name):
    again, other = tmp_path / "again", tmp_path / "other"
    write_set(LAYOUTS[name], planned(name), again)
    write_set(LAYOUTS[name], planned(name, seed=SEED + 1), other)
    first = tree_hash(written(name))
    assert tree_hash(again) == first
    pictures = {path for path in first if path.endswith((".png", ".jpg"))}
    assert not {first[path] for path in pictures} & set(tree_hash(other).values())


def test_what_is_there_already_stays_and_an_empty_folder_and_other_sets_do_not_hinder(
    written, tmp_path
):
    place, other = tmp_path / "synthetic_folder", tmp_path / "dtd" / "mine.txt"
    for folder in (place, other.parent):
        folder.mkdir()
    other.write_text("mine")
    write_set(LAYOUTS["folder"], planned("folder"), tmp_path)
    before = tree_hash(tmp_path)
    assert tree_hash(place) == tree_hash(written("folder") / "synthetic_folder")
    with pytest.raises(FileExistsError, match="nothing is overwritten: move it away"):
        write_set(LAYOUTS["folder"], planned("folder"), tmp_path)
    assert tree_hash(tmp_path) == before
    assert other.read_text() == "mine"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("after", [1, 14])
def test_a_stop_leaves_nothing(tmp_path, stop, after):
    tick = Mock(side_effect=[*[None] * (after - 1), stop])
    with pytest.raises((KeyboardInterrupt, OSError)):
        write_set(LAYOUTS["folder"], planned("folder"), tmp_path, tick=tick)
    assert list(tmp_path.iterdir()) == []


def test_of_two_at_once_the_first_wins(tmp_path):
    theirs = tmp_path / "synthetic_folder" / "theirs.txt"

    def tick():
        theirs.parent.mkdir(exist_ok=True)
        theirs.write_text("theirs")

    with pytest.raises(FileExistsError, match="exists already"):
        write_set(LAYOUTS["folder"], planned("folder"), tmp_path, tick=tick)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [theirs]


@pytest.mark.parametrize("name", ["folder", "kolektor_sdd"])
def test_the_estimate_is_near_the_size(written, name):
    size = sum(path.stat().st_size for path in written(name).rglob("*") if path.is_file())
    assert size / 1.5 < estimate_bytes(LAYOUTS[name], planned(name)) < size * 1.5


TINY = ["--count", "14", "--size", "48x32", "--seed", str(SEED)]


def run(script: ModuleType, *arguments: str, out: Path) -> Result:
    return CliRunner().invoke(script.app, [*arguments, "--out", str(out)])


@pytest.mark.parametrize("name", ["folder", "mvtec_ad"])
def test_the_command_says_what_it_does_and_how_to_open_it(script, written, tmp_path, name):
    root = tmp_path / "a root"
    ended = run(script, "--layout", name, *TINY, out=root)
    assert ended.exit_code == 0, ended.output
    assert tree_hash(root) == tree_hash(written(name))
    assert re.search(r"14 images of 48x32 pixels .* \d with defects", ended.output)
    assert str(root / LAYOUTS[name].folder) in ended.output
    last = ended.output.strip().splitlines()[-1]
    call = re.match(r'open_dataset\("(.*?)", root="(.*?)"\)', last)
    assert call is not None
    assert len(open_dataset(call[1], "all", root=call[2], size=32)) == 14
    assert last.endswith(f"COURSE_DATA_ROOT={root} and dataset={call[1]}")


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["--layout", "imagenet"], "'imagenet' is unknown: choose one of folder, mvtec_ad"),
        (["--layout", "folder", "--size", "big"], "256 or 640x256, got 'big'"),
        (["--layout", "folder", "--size", "16"], "whole number in 32..1024, got 16"),
        (["--layout", "folder", "--count", "0"], "at least 1, got 0"),
        (["--layout", "folder", "--count", "7"], "ask for 8 or more"),
        (["--layout", "dagm", "--count", "31"], "ask for 32 or more"),
        (["--layout", "dagm", "--defect-share", "0"], "Class1/Train/Label would be empty"),
        (["--layout", "magnetic_tile", "--defect-share", "1"], "MT_Free would be empty"),
        (["--layout", "folder", "--seed", "-1"], "seed must be a whole number in 0.."),
        (["--layout", "folder", "--defect-share", "1.5"], "defect_share must lie in 0..1"),
        (["--layout", "folder", "--defect-share", "nan"], "defect_share must lie in 0..1"),
        (["--layout", "sd_saliency_900", "--defect-share", "0.5"], "leave the share out"),
        (["--layout", "severstal", "--size", "256"], "all 256x1600, got size 256x256"),
        (["--layout", "folder", "--surface", "cheese"], "unknown: 'cheese'"),
        (["--layout", "folder", "--surface", "wood", "--surface", "wood"], "must differ"),
        (
            ["--layout", "magnetic_tile", "--surface", "concrete", "--count", "12"],
            "find 1 more MT_Break on concrete: ask for more kinds of surface",
        ),
    ],
)
def test_a_wrong_argument_is_reported_in_one_line(script, tmp_path, arguments, reported):
    root = tmp_path / "root"
    ended = run(script, *arguments, out=root)
    assert ended.exit_code == 2
    (line,) = ended.output.strip().splitlines()
    assert line.startswith("error: ")
    assert reported in line
    assert not root.exists()


def test_a_target_that_is_taken_is_reported(script, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    (tmp_path / "mvtec_ad").mkdir()
    (tmp_path / "mvtec_ad" / "mine.txt").write_text("mine")
    for out, reported in ((file, "is a file"), (tmp_path, "exists already")):
        ended = run(script, "--layout", "mvtec_ad", *TINY, out=out)
        assert ended.exit_code == 2
        assert reported in ended.output
    assert len(list(tmp_path.rglob("*"))) == 3


def test_a_full_disk_is_reported_before_anything_is_written(script, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(script.shutil, "disk_usage", lambda place: usage)
    root = tmp_path / "new" / "root"
    ended = run(script, "--layout", "folder", *TINY, out=root)
    assert ended.exit_code == 2
    assert "has 0.0 MB left" in ended.output
    assert not root.parent.exists()


def test_an_interrupt_is_reported(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "write_set", Mock(side_effect=KeyboardInterrupt))
    ended = run(script, "--layout", "folder", *TINY, out=tmp_path)
    assert ended.exit_code == 130
    assert "stopped. Nothing was written." in ended.output
