"""A training in its folder: what it leaves there, how it goes on, what it refuses to touch."""

import json
import math
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import matplotlib.image
import pytest
import torch
from few_images import write_images
from filelock import FileLock

from course_utils.data import BinaryMasks, CachedDataset, open_dataset
from course_utils.trainers import (
    SegmentationRecipe,
    collect_scores,
    iou_by_kind,
    read_scores,
    require_place,
    run_folder,
    run_in_folder,
)
from course_utils.trainers import segmentation_procedure as procedure
from course_utils.training import Checkpoint, launch

FILES = [
    ".training.lock",
    "checkpoint.pt",
    "learning.png",
    "predictions.png",
    "recipe.json",
    "scores.json",
    "tensorboard",
]


class Stopped(Exception):
    """The training was stopped from outside."""


@pytest.fixture(autouse=True)
def images_are_read_anew():
    run_folder._read_once.cache_clear()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> SegmentationRecipe:
    data = write_images(tmp_path_factory.mktemp("data") / "few")
    return SegmentationRecipe(data=data, size=32, width=2, steps=5, batch_size=4)


def train(recipe: SegmentationRecipe, folder: Path, looks: int = 2) -> dict[str, float]:
    settings = {"device": "cpu", "precision": "32-true"}
    return launch(run_in_folder, recipe, folder, looks, False, **settings)


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "deep" / "er"
    return folder, train(tiny, folder)


def no_training(monkeypatch) -> None:
    for name in ("train", "open_parts"):
        monkeypatch.setattr(procedure, name, lambda *_, **__: pytest.fail("trained"))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_training_leaves_its_files_and_no_drafts(finished, tiny):
    folder, _ = finished
    # The system decides whether the lock stays as an empty file.
    names = {path.name for path in folder.iterdir()}
    assert names | {".training.lock"} == set(FILES)
    assert json.loads((folder / "recipe.json").read_text()) == asdict(tiny)
    assert Checkpoint.load(folder / "checkpoint.pt").step == 5
    for name in ("learning.png", "predictions.png"):
        assert min(matplotlib.image.imread(folder / name).shape[:2]) > 100


def test_the_report_says_how_the_scores_came_about(finished):
    folder, scores = finished
    report = json.loads((folder / "scores.json").read_text())
    assert report["scores"] == scores
    assert set(scores) == {"iou", "dice", "ap"}
    assert 0 <= report["threshold"] <= 1
    assert "no group is in two parts" in report["split"]
    assert report["images"] == {"train": 12, "val": 4, "test": 4}
    assert (report["device"], report["precision"]) == ("cpu", "32-true")
    assert (report["processes"], report["torch"]) == (1, torch.__version__)


def test_the_report_tells_which_kinds_were_found(tmp_path):
    data = write_images(tmp_path / "kinds", classes=2)
    recipe = SegmentationRecipe(data=data, size=32, width=2, steps=2, batch_size=4)
    train(recipe, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert set(report["scores"]) == {"iou", "dice", "ap"}
    assert set(report["iou_by_kind"]) == {"kind1", "kind2"}


def test_the_iou_of_a_kind_pools_the_images_of_that_kind_alone():
    masks = torch.zeros(4, 2, 2, dtype=torch.long)
    masks[:3, 0] = 1
    found = masks.clone()
    found[1, 1] = 1  # twice what is there
    found[3] = 1  # a false alarm on a good image: of no kind
    names = ("background", "crack", "fray", "never seen")
    assert iou_by_kind(found, masks, [1, 2, 1, 0], names) == {"crack": 1.0, "fray": 0.5}


def test_a_finished_training_returns_its_scores_at_once(finished, tiny, monkeypatch):
    folder, scores = finished
    no_training(monkeypatch)
    before = contents(folder)
    assert train(tiny, folder, looks=5) == scores
    assert contents(folder) == before


@pytest.mark.parametrize("looks", [1, 2, 3, 4, 5, 9])
def test_it_never_looks_more_often_than_asked(looks, tiny, tmp_path, monkeypatch):
    asked = {}

    def note(*_, **settings):
        asked.update(settings)
        raise Stopped

    monkeypatch.setattr(procedure, "train", note)
    monkeypatch.setattr(procedure, "open_parts", lambda *_, **__: None)
    with pytest.raises(Stopped):
        train(tiny, tmp_path, looks)
    every = asked["evaluate_every"]
    steps = [step for step in range(1, 6) if step % every == 0 or step == 5]
    assert 1 <= len(steps) <= looks


def test_a_look_is_the_least(tiny, tmp_path):
    with pytest.raises(ValueError, match="looks must be at least 1, got 0"):
        train(tiny, tmp_path / "out", looks=0)
    assert not (tmp_path / "out").exists()


def test_stopped_in_the_middle_it_ends_in_the_same_bits(finished, tiny, tmp_path, monkeypatch):
    whole = procedure.train

    def stop(history):
        if len(history.loss) == 3:
            raise Stopped

    monkeypatch.setattr(procedure, "pictures", lambda *_: {})
    with monkeypatch.context() as patch:
        patch.setattr(procedure, "train", lambda *a, **k: whole(*a, **k, watch=stop))
        for _ in range(2):  # the second stop is at the same place: nothing was saved in between
            with pytest.raises(Stopped):
                train(tiny, tmp_path)
    assert not (tmp_path / "scores.json").exists()
    assert train(tiny, tmp_path) == finished[1]
    ours, theirs = (
        Checkpoint.load(folder / "checkpoint.pt").model for folder in (tmp_path, finished[0])
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_stopped_while_drawing_the_pictures_it_need_not_train_again(tiny, tmp_path, monkeypatch):
    def fail(*_):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(procedure, "pictures", fail)
        with pytest.raises(Stopped):
            train(tiny, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    monkeypatch.setattr(procedure, "pictures", lambda *_: {})
    train(tiny, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert (tmp_path / "scores.json").exists()


@pytest.mark.parametrize("kept", ["checkpoint.pt", "scores.json"])
def test_another_recipe_is_refused_and_the_difference_named(kept, tiny, tmp_path, monkeypatch):
    no_training(monkeypatch)
    (tmp_path / "recipe.json").write_text(json.dumps(asdict(tiny)))
    (tmp_path / kept).write_text('{"scores": {"iou": 1}}')
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="holds a training with width 2, and this one has 3"):
        train(replace(tiny, width=3), tmp_path)
    assert contents(tmp_path) == before


def test_another_number_of_looks_is_refused_with_the_one_to_go_on_with(tiny, tmp_path, monkeypatch):
    def stopped(*_):
        raise Stopped

    monkeypatch.setattr(procedure, "pictures", stopped)
    with pytest.raises(Stopped):
        train(tiny, tmp_path, looks=2)
    with pytest.raises(ValueError, match=r"every 3 steps, and looks=5 .*go on with looks=2 \(--l"):
        train(tiny, tmp_path, looks=5)
    with pytest.raises(Stopped):
        train(tiny, tmp_path, looks=2)


def test_a_recipe_that_was_never_trained_by_may_change(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(procedure, "pictures", lambda *_: {})
    (tmp_path / "recipe.json").write_text(json.dumps(asdict(replace(tiny, width=3))))
    train(tiny, tmp_path)
    assert json.loads((tmp_path / "recipe.json").read_text())["width"] == 2


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("thesis.tex", "mine", r"holds thesis\.tex and no recipe\.json"),
        ("checkpoint.pt", "mine", r"holds checkpoint\.pt and no recipe\.json"),
        ("recipe.json", '{"flour": "500 g"}', "is no recipe of this version"),
        ("recipe.json", "{}", "is no recipe of this version"),
        ("recipe.json", "[]", "is not of a training of this course"),
        ("recipe.json", "500 g of flour", "is damaged"),
        ("recipe.json", "", "is damaged"),
        ("recipe.json", "\xff", "is damaged"),
    ],
)
def test_what_is_not_ours_is_refused_and_stays(file, content, message, tiny, tmp_path, monkeypatch):
    no_training(monkeypatch)
    (tmp_path / file).write_text(content, encoding="latin-1")
    before = contents(tmp_path)
    with pytest.raises((ValueError, FileExistsError), match=message):
        train(tiny, tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("below", ["", "one/two"])
def test_a_file_as_the_folder_is_refused_and_stays(below, tiny, tmp_path, monkeypatch):
    no_training(monkeypatch)
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FileExistsError, match="out is a file: choose another folder"):
        train(tiny, tmp_path / "out" / below)
    assert (tmp_path / "out").read_text() == "mine"


def test_looking_for_a_place_writes_nothing(tiny, tmp_path):
    require_place(tmp_path / "new" / "folder", tiny)
    require_place(tmp_path, tiny)
    assert not list(tmp_path.iterdir())


def test_killed_at_its_first_moment_it_starts_anew(tiny, tmp_path):
    (tmp_path / "recipe.json.part").write_text('{"da')
    (tmp_path / ".training.lock").touch()
    require_place(tmp_path, tiny)


def test_images_that_cannot_be_read_leave_no_folder(tiny, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        train(replace(tiny, data=f"folder:{tmp_path / 'none'}"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_process_at_a_time(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(procedure, "train", lambda *_, **__: pytest.fail("trained"))
    with (
        FileLock(tmp_path / ".training.lock"),
        pytest.raises(FileExistsError, match="another process trains in"),
    ):
        train(tiny, tmp_path)
    assert not (tmp_path / "recipe.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is damaged"), ("[]", "is not of a training"), ("{}", "holds no scores")],
)
def test_damaged_scores_are_named(content, message, tiny, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps(asdict(tiny)))
    (tmp_path / "scores.json").write_text(content)
    with pytest.raises(ValueError, match=rf"scores\.json {message}"):
        train(tiny, tmp_path)


# Several classes, one of them never shown


@pytest.fixture(scope="module")
def a_rare_class(tmp_path_factory):
    data = tmp_path_factory.mktemp("rare") / "few"
    name = write_images(data, classes=2)
    (data / "classes.txt").write_text("kind1\nkind2\nunseen\n")
    recipe = SegmentationRecipe(
        data=name, classes="all", size=32, width=2, steps=2, batch_size=4, loss="weighted"
    )
    out = tmp_path_factory.mktemp("out")
    return recipe, out, train(recipe, out / "weighted" / "seed_0")


def test_a_score_that_is_not_defined_is_null_on_disk_and_nan_in_memory(a_rare_class):
    recipe, out, scores = a_rare_class
    folder = out / "weighted" / "seed_0"
    assert math.isnan(scores["ap/unseen"])
    assert not math.isnan(scores["ap"])

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    report = json.loads((folder / "scores.json").read_text(), parse_constant=refuse)
    assert report["scores"]["ap/unseen"] is None
    assert report["threshold"] is None
    again = train(recipe, folder)
    assert again.keys() == scores.keys()
    assert math.isnan(again["ap/unseen"])
    assert again["iou/kind1"] == scores["iou/kind1"]


def test_all_finished_trainings_are_collected_with_their_recipes(a_rare_class, tmp_path):
    recipe, out, scores = a_rare_class
    finished = contents(out / "weighted" / "seed_0")
    for name in ("focal/seed_10", "focal/seed_9", "weighted/seed_0"):
        (tmp_path / name).mkdir(parents=True)
        loss, seed = name.split("/seed_")
        changed = asdict(replace(recipe, loss=loss, seed=int(seed)))
        (tmp_path / name / "recipe.json").write_text(json.dumps(changed))
        (tmp_path / name / "scores.json").write_bytes(finished["scores.json"])
    (tmp_path / "dice" / "seed_0").mkdir(parents=True)  # begun, not finished
    rows = collect_scores(tmp_path)
    assert [(row["loss"], row["seed"]) for row in rows] == [
        ("focal", 9),
        ("focal", 10),
        ("weighted", 0),
    ]
    assert rows[2]["iou"] == scores["iou"]
    assert rows[2]["ap/unseen"] is None
    assert (rows[0]["data"], rows[0]["steps"]) == (recipe.data, 2)


def test_scores_that_are_missing_are_said_to_be(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_scores(tmp_path)


# The picture


def test_the_picture_shows_images_with_defects_evenly_spaced():
    surfaces = BinaryMasks(open_dataset("synthetic", "test", size=32))
    images = CachedDataset(surfaces, indices=range(60))
    chosen = procedure.with_defects(images)
    defects = [i for i in range(60) if images[i].mask.any()]
    assert len(chosen) == 8
    assert len(set(chosen)) == 8
    assert set(chosen) <= set(defects)
    assert chosen[0] == defects[0]
    gaps = [defects.index(b) - defects.index(a) for a, b in pairwise(chosen)]
    assert max(gaps) - min(gaps) <= 1


def test_few_defects_are_all_shown():
    images = CachedDataset(
        BinaryMasks(open_dataset("synthetic", "test", size=32)), indices=range(12)
    )
    defects = [i for i in range(12) if images[i].mask.any()]
    assert 0 < len(defects) < 8
    assert procedure.with_defects(images) == defects
