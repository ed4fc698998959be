"""`course train two-stage`: what reaches the training, what is printed, what is refused."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from course_utils.cli import app, trainings
from course_utils.trainers import TWO_STAGE_VARIANTS, TwoStageRecipe

SCORES = {
    "ap": 0.25, "ap_trapezoid": 0.5, "fp": 3.0, "fn": 1.0, "fp_oracle": 7.0, "fn_oracle": 9.0,
}  # fmt: skip


def call(*arguments: object):
    return CliRunner().invoke(app, ["train", "two-stage", *map(str, arguments)])


@pytest.fixture
def trained(monkeypatch):
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
        "data": "kolektor_sdd", "fold": 2, "height": 704, "width": 256, "channels": "slim",
        "epochs": 7, "batch_size": 4, "optimizer": "adamw", "learning_rate": 0.001,
        "weight_decay": 0.25, "delta": 0.5, "power": 1.5, "positive_weight": 3.0, "dilate": 7,
        "masks": "ellipse", "segmented": 5,
    }  # fmt: skip
    rest = {"variant", "seed", "split_seed"}
    assert set(given) | rest == {one.name for one in fields(TwoStageRecipe)}, "none is forgotten"
    options = [
        part for name, value in given.items() for part in ("--" + name.replace("_", "-"), value)
    ]
    result = call(
        *options, "--variant", "no_stops", "--seed", 5, "--looks", 3, "--quiet",
        "--device", "cpu", "--devices", "2", "--precision", "32-true", "--out", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    ((recipe, folder, looks, progress, where),) = trained
    assert recipe == TwoStageRecipe(variant="no_stops", seed=5, **given)
    assert folder == tmp_path / "no_stops" / "seed_5"
    assert (looks, progress) == (3, False)
    assert (where["devices"], where["device"].type, where["precision"]) == (2, "cpu", "32-true")


def test_without_options_the_default_recipe_is_trained(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call("--device", "cpu")
    assert result.exit_code == 0, result.output
    ((recipe, folder, looks, progress, _),) = trained
    assert recipe == TwoStageRecipe()
    assert folder == Path("runs/two_stage/two_stage/seed_0")
    assert (looks, progress) == (10, True)


def test_variants_and_seeds_are_all_trained_and_their_medians_printed(trained, tmp_path):
    result = call(
        "--variant", "two_stage", "--variant", "plain", "--seed", 0, "--seed", 1, "--seed", 0,
        "--out", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert [(one[0].variant, one[0].seed) for one in trained] == [
        ("two_stage", 0), ("two_stage", 1), ("plain", 0), ("plain", 1),
    ]  # fmt: skip
    for said in ("median of 2 seeds", "all four extensions", "none of the four", "AP", "misses"):
        assert said in result.output
    assert "0.375 (0.250-0.500)" in result.output
    assert json.loads((tmp_path / "scores.json").read_text()) == []  # the fakes left no scores


def test_images_are_counted_without_decimals_and_half_an_image_is_not_rounded_away(
    trained, tmp_path
):
    result = call("--out", tmp_path / "one")
    assert " 3 " in result.output
    assert "3.0" not in result.output
    result = call("--seed", 0, "--seed", 1, "--out", tmp_path / "two")
    assert "4.5 (3-6)" in result.output
    assert "1.5 (1-2)" in result.output


def test_every_variant_is_named_in_the_help():
    output = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["train", "two-stage", "--help"]).output
    for name in TWO_STAGE_VARIANTS:
        assert name in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variant", "no_stop"], "variant 'no_stop' is unknown: choose one of two_stage"),
        (["--optimizer", "adam"], "optimizer 'adam' is unknown: choose one of sgd, adamw"),
        (["--channels", "wide"], "channels 'wide' is unknown: choose one of published, slim"),
        (["--height", "100"], "height and width must be multiples of 8"),
        (["--fold", "4"], "fold must be 1, 2 or 3, or 0 for no folds, got 4"),
        (["--segmented", "-2"], "segmented must be at least 0, or -1 for all, got -2"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments, message, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not trained
    assert not list(Path(tmp_path).iterdir())


def test_a_second_fold_in_the_same_place_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "two_stage" / "seed_0"
    folder.mkdir(parents=True)
    recipe = {one.name: one.default for one in fields(TwoStageRecipe)}
    (folder / "recipe.json").write_text(json.dumps(recipe | {"data": "kolektor_sdd", "fold": 1}))
    (folder / "scores.json").write_text('{"scores": {"ap": 1}}')
    result = call("--data", "kolektor_sdd", "--fold", 2, "--out", tmp_path)
    assert result.exit_code == 2
    assert (
        "holds a training with fold 1, and this one has 2: choose another folder" in result.output
    )
