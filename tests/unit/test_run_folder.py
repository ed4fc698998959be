"""A training in its folder: what it leaves there, how it goes on, what it refuses to touch."""

import csv
import json
import math
from itertools import pairwise
from pathlib import Path

import matplotlib.image
import pytest
import torch
from few_images import write_images
from filelock import FileLock
from stoppable_training import Stopped

from course_utils import load_detector
from course_utils.data import BinaryMasks, CachedDataset, open_dataset
from course_utils.trainers import (
    UNetConfig,
    UNetTrainer,
    check_folder,
    collect_scores,
    read_scores,
    trainer,
)
from course_utils.trainers.splits import with_defects
from course_utils.training import Checkpoint, launch


@pytest.fixture(autouse=True)
def images_are_read_anew():
    trainer._open_once.cache_clear()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> UNetConfig:
    data = write_images(tmp_path_factory.mktemp("data") / "few")
    return UNetConfig(data=data, height=32, width=32, channels=2, steps=5, batch_size=4)


def train(config: UNetConfig, folder: Path, eval_every: int = 3) -> dict[str, float]:
    settings = {"device": "cpu", "precision": "32-true"}
    return launch(UNetTrainer.run_in_folder, config, folder, eval_every, False, **settings)


def changed(config: UNetConfig, **settings) -> UNetConfig:
    return config.model_copy(update=settings)


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "deep" / "er"
    return folder, train(tiny, folder)


def no_training(monkeypatch) -> None:
    for name in ("train", "open_splits"):
        monkeypatch.setattr(UNetTrainer, name, lambda *_, **__: pytest.fail("trained"))


def no_pictures(monkeypatch) -> None:
    monkeypatch.setattr(UNetTrainer, "pictures", lambda *_: {})
    monkeypatch.setattr(trainer, "as_png", lambda _: b"")
    monkeypatch.setattr(trainer, "training_curves", lambda *_, **__: None)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_training_leaves_its_files_and_no_drafts(finished, tiny):
    folder, _ = finished
    # The system decides whether the lock stays as an empty file.
    found = {path.name for path in folder.iterdir()} - {".training.lock"}
    wanted = (
        "checkpoint.pt config.json data.json learning.png predictions.png scores.json tensorboard"
    )
    answers = "detector.json predictions.csv weights.safetensors"
    assert found == {*wanted.split(), *answers.split()}
    assert json.loads((folder / "config.json").read_text()) == tiny.model_dump()
    assert Checkpoint.load(folder / "checkpoint.pt").step == 5
    for name in ("learning.png", "predictions.png"):
        assert min(matplotlib.image.imread(folder / name).shape[:2]) > 100


def test_the_folder_opens_as_the_detector_that_gave_its_predictions(finished, tiny):
    folder, _ = finished
    detector = load_detector(folder, device="cpu")
    root = Path(tiny.data.removeprefix("folder:"))
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    for row in rows:
        answer = detector.predict(root / row["name"])
        assert float(row["score"]) == pytest.approx(answer.score, rel=1e-4)
        assert row["decision"] == ("defective" if answer.is_defective else "good")
        assert float(row["threshold"]) == answer.threshold


def test_the_report_says_how_the_scores_came_about(finished):
    folder, scores = finished
    report = json.loads((folder / "scores.json").read_text())
    assert report["scores"] == scores
    assert set(scores) == {"iou", "dice", "ap"}
    assert 0 <= report["pixel_threshold"] <= 1
    assert report["threshold"]["source"].startswith("the lowest score of 4 defective")
    assert "no group is in two parts" in report["split"]
    assert report["images"] == {"train": 12, "val": 4, "test": 4}
    assert (report["device"], report["precision"]) == ("cpu", "32-true")
    assert (report["processes"], report["torch"]) == (1, torch.__version__)


def test_the_report_tells_which_kinds_were_found(tmp_path):
    data = write_images(tmp_path / "kinds", classes=2)
    config = UNetConfig(data=data, height=32, width=32, channels=2, steps=2, batch_size=4)
    train(config, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert set(report["scores"]) == {"iou", "dice", "ap"}
    assert set(report["iou_by_kind"]) == {"kind1", "kind2"}


def test_a_finished_training_returns_its_scores_at_once(finished, tiny, monkeypatch):
    folder, scores = finished
    no_training(monkeypatch)
    before = contents(folder)
    assert train(tiny, folder, eval_every=5) == scores
    assert contents(folder) == before


@pytest.mark.parametrize(("eval_every", "steps"), [(0, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_validation_images_are_evaluated_so_often(eval_every, steps, tiny, tmp_path, monkeypatch):
    no_pictures(monkeypatch)
    train(tiny, tmp_path, eval_every)
    history = Checkpoint.load(tmp_path / "checkpoint.pt").history
    assert history.metric("val/iou")[0] == steps


def test_a_number_of_steps_cannot_be_negative(tiny, tmp_path):
    with pytest.raises(ValueError, match="evaluate_every must be at least 0, got -1"):
        train(tiny, tmp_path / "out", eval_every=-1)
    assert not (tmp_path / "out").exists()


def test_stopped_in_the_middle_it_ends_in_the_same_bits(finished, tiny, tmp_path, monkeypatch):
    evaluate = UNetTrainer.evaluate

    def stop(self, model):
        if (tmp_path / "checkpoint.pt").exists():
            raise Stopped
        return evaluate(self, model)

    no_pictures(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(UNetTrainer, "evaluate", stop)
        for _ in range(2):  # the second stop is at the same place: nothing was saved in between
            with pytest.raises(Stopped):
                train(tiny, tmp_path)
    assert Checkpoint.load(tmp_path / "checkpoint.pt").step == 3
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
        patch.setattr(UNetTrainer, "pictures", fail)
        with pytest.raises(Stopped):
            train(tiny, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    no_pictures(monkeypatch)
    train(tiny, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert (tmp_path / "scores.json").exists()


@pytest.mark.parametrize("kept", ["checkpoint.pt", "scores.json"])
def test_another_config_is_refused_and_the_difference_named(kept, tiny, tmp_path, monkeypatch):
    no_training(monkeypatch)
    (tmp_path / "config.json").write_text(tiny.model_dump_json())
    (tmp_path / kept).write_text('{"scores": {"iou": 1}}')
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="holds a training with channels 2, and this one has 3"):
        train(changed(tiny, channels=3), tmp_path)
    assert contents(tmp_path) == before


def test_other_evaluations_are_refused(tiny, tmp_path, monkeypatch):
    def stopped(*_):
        raise Stopped

    monkeypatch.setattr(UNetTrainer, "pictures", stopped)
    with pytest.raises(Stopped):
        train(tiny, tmp_path)
    with pytest.raises(ValueError, match=r"every 3 steps.* go on with --eval-every 3"):
        train(tiny, tmp_path, eval_every=1)


def test_a_config_that_was_never_trained_by_may_change(tiny, tmp_path, monkeypatch):
    no_pictures(monkeypatch)
    (tmp_path / "config.json").write_text(changed(tiny, channels=3).model_dump_json())
    train(tiny, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["channels"] == 2


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("thesis.tex", "mine", r"holds thesis\.tex and no config\.json"),
        ("checkpoint.pt", "mine", r"holds checkpoint\.pt and no config\.json"),
        ("config.json", '{"flour": "500 g"}', "is no config of this version"),
        ("config.json", "{}", "is no config of this version"),
        ("config.json", "[]", "is not of a training of this course"),
        ("config.json", "500 g of flour", "is damaged"),
        ("config.json", "", "is damaged"),
        ("config.json", "\xff", "is damaged"),
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


def test_looking_for_a_place_writes_nothing_and_takes_that_of_a_killed_training(tiny, tmp_path):
    check_folder(tmp_path / "new" / "folder", tiny)
    check_folder(tmp_path, tiny)
    assert not list(tmp_path.iterdir())
    (tmp_path / ".config.json.7.part").write_text('{"da')
    (tmp_path / ".training.lock").touch()
    check_folder(tmp_path, tiny)


def test_images_that_cannot_be_read_leave_no_folder(tiny, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        train(changed(tiny, data=f"folder:{tmp_path / 'none'}"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_process_at_a_time(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(UNetTrainer, "train", lambda *_, **__: pytest.fail("trained"))
    with (
        FileLock(tmp_path / ".training.lock"),
        pytest.raises(FileExistsError, match="another process is working in"),
    ):
        train(tiny, tmp_path)
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is damaged"), ("[]", "is not of a training"), ("{}", "holds no scores")],
)
def test_damaged_scores_are_named(content, message, tiny, tmp_path):
    (tmp_path / "config.json").write_text(tiny.model_dump_json())
    (tmp_path / "scores.json").write_text(content)
    with pytest.raises(ValueError, match=rf"scores\.json {message}"):
        train(tiny, tmp_path)


# Several classes, one of them never shown


@pytest.fixture(scope="module")
def a_rare_class(tmp_path_factory):
    data = tmp_path_factory.mktemp("rare") / "few"
    name = write_images(data, classes=2)
    (data / "classes.txt").write_text("kind1\nkind2\nunseen\n")
    config = UNetConfig(
        data=name,
        classes="all",
        height=32,
        width=32,
        channels=2,
        steps=2,
        batch_size=4,
        loss="weighted",
    )
    out = tmp_path_factory.mktemp("out")
    return config, out, train(config, out / "weighted" / "seed_0")


def test_a_score_that_is_not_defined_is_null_on_disk_and_nan_in_memory(a_rare_class):
    config, out, scores = a_rare_class
    folder = out / "weighted" / "seed_0"
    assert math.isnan(scores["ap/unseen"])
    assert not math.isnan(scores["ap"])

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    report = json.loads((folder / "scores.json").read_text(), parse_constant=refuse)
    assert report["scores"]["ap/unseen"] is None
    assert report["pixel_threshold"] is None
    again = train(config, folder)
    assert again.keys() == scores.keys()
    assert math.isnan(again["ap/unseen"])
    assert again["iou/kind1"] == scores["iou/kind1"]


def test_all_finished_trainings_are_collected_with_their_configs(a_rare_class, tmp_path):
    config, out, scores = a_rare_class
    finished = contents(out / "weighted" / "seed_0")
    for name in ("focal/seed_10", "focal/seed_9", "weighted/seed_0"):
        (tmp_path / name).mkdir(parents=True)
        loss, seed = name.split("/seed_")
        other = changed(config, loss=loss, seed=int(seed))
        (tmp_path / name / "config.json").write_text(other.model_dump_json())
        (tmp_path / name / "scores.json").write_bytes(finished["scores.json"])
    (tmp_path / "dice" / "seed_0").mkdir(parents=True)  # begun, not finished
    with pytest.raises(FileNotFoundError):
        read_scores(tmp_path / "dice" / "seed_0")
    rows = collect_scores(tmp_path)
    wanted = [("focal", 9), ("focal", 10), ("weighted", 0)]
    assert [(row["loss"], row["seed"]) for row in rows] == wanted
    assert rows[2]["iou"] == scores["iou"]
    assert rows[2]["ap/unseen"] is None
    assert (rows[0]["data"], rows[0]["steps"]) == (config.data, 2)


# The picture


def test_the_picture_shows_images_with_defects_evenly_spaced():
    surfaces = BinaryMasks(open_dataset("synthetic", "test", size=32))
    images = CachedDataset(surfaces, indices=range(60))
    defects = [i for i in range(60) if images[i].mask.any()]
    few = CachedDataset(surfaces, indices=range(12))
    assert with_defects(few, 8) == [i for i in defects if i < 12], "few are all shown"
    chosen = with_defects(images, 8)
    assert len(set(chosen)) == 8
    assert set(chosen) <= set(defects)
    assert chosen[0] == defects[0]
    gaps = [defects.index(b) - defects.index(a) for a, b in pairwise(chosen)]
    assert max(gaps) - min(gaps) <= 1
