"""`course train memseg` and `course train nearest`: what reaches the training, what is printed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from course_utils.cli import app, train, trainings
from course_utils.trainers import MemSegRecipe

SCORES = {"image_auroc": 0.5, "pixel_auroc": 0.25, "aupro": 0.125, "ap": 0.0625}


def call(*arguments: object):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Put scores in the place of trainings, and note what would have been trained."""
    monkeypatch.setenv("COLUMNS", "120")
    noted = []

    def launch(function, recipe, folder, looks, progress, **where):
        noted.append((recipe, folder, looks, progress, where))
        folder.mkdir(parents=True)
        return {name: value * (1 + recipe.seed) for name, value in SCORES.items()}

    monkeypatch.setattr(trainings, "launch", launch)
    return noted


def test_every_option_reaches_the_recipe(trained, tmp_path):
    given = {
        "data": "mvtec_ad/bottle", "weights": "none", "size": 128, "steps": 7, "batch_size": 4,
        "learning_rate": 0.001, "weight_decay": 0.25, "gamma": 2.0, "focal_weight": 0.5,
        "memory_size": 9, "workers": 3,
    }  # fmt: skip
    options = [
        part for name, value in given.items() for part in ("--" + name.replace("_", "-"), value)
    ]
    result = call(
        "memseg", *options, "--variant", "no_memory", "--seed", 5, "--looks", 3, "--quiet",
        "--device", "cpu", "--devices", "2", "--precision", "32-true", "--out", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    ((recipe, folder, looks, progress, where),) = trained
    assert recipe == MemSegRecipe(variant="no_memory", seed=5, **given)
    assert folder == tmp_path / "no_memory" / "seed_5"
    assert (looks, progress) == (3, False)
    assert (where["devices"], where["device"].type, where["precision"]) == (2, "cpu", "32-true")


def test_variants_and_seeds_are_all_trained_and_their_medians_printed(trained, tmp_path):
    result = call(
        "memseg", "--variant", "memseg", "--variant", "texture_only", "--seed", 0, "--seed", 1,
        "--out", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert [(one[0].variant, one[0].seed) for one in trained] == [
        ("memseg", 0), ("memseg", 1), ("texture_only", 0), ("texture_only", 1),
    ]  # fmt: skip
    assert "median of 2 seeds" in result.output
    assert "textures only" in result.output
    assert "0.750 (0.500-1.000)" in result.output
    assert json.loads((tmp_path / "scores.json").read_text()) == []  # the fakes left no scores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memseg", "--variant", "memsec"], "variant 'memsec' is unknown: choose one of memseg"),
        (["memseg", "--size", "100"], "size must be a multiple of 32"),
        (["nearest", "--weights", "vgg"], "weights 'vgg' is unknown"),
        (["nearest", "--data", "mvtec_ad/bottel"], "MVTec AD is not here"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments, message, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not trained
    assert not list(Path(tmp_path).iterdir())


@pytest.mark.parametrize("content", ["{}", "mine", '[{"name": "me"}]'])
def test_a_file_of_the_users_is_not_overwritten_by_the_scores(content, trained, tmp_path):
    (tmp_path / "scores.json").write_text(content)
    result = call("memseg", "--out", tmp_path)
    assert result.exit_code == 2
    assert "is no list of scores of trainings: choose another --out" in result.output
    assert (tmp_path / "scores.json").read_text() == content
    assert not trained


def test_the_baseline_prints_a_row_for_each_kind_of_weights(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    asked = []

    def score(parts, **settings):
        asked.append((settings["weights"], settings["seed"]))
        return dict(SCORES), None

    monkeypatch.setattr(train, "open_normal_parts", lambda *_, **__: None)
    monkeypatch.setattr(train, "score_nearest_patches", score)
    result = call("nearest", "--weights", "offline", "--weights", "none", "--seed", 3)
    assert result.exit_code == 0, result.output
    assert asked == [("offline", 3), (None, 3)]
    assert "offline" in result.output
    assert "0.125" in result.output
