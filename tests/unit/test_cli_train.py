"""`course train`: exit codes, messages, and what is left behind."""

import json
import pickle
import signal
from pathlib import Path

import pytest
import torch
from few_images import write_images
from torch import nn
from typer.testing import CliRunner

from course_utils.cli import app, trainings
from course_utils.trainers import segmentation, segmentation_procedure
from course_utils.training import Checkpoint

TINY = [
    *("--size", "32", "--width", "2", "--steps", "4", "--batch-size", "4", "--looks", "2"),
    *("--device", "cpu", "--precision", "32-true", "--quiet"),
]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """They take most of the time, and test_run_folder looks at them."""
    monkeypatch.setattr(segmentation_procedure, "pictures", lambda *_: {})


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return write_images(tmp_path_factory.mktemp("data") / "few")


@pytest.fixture
def unet(data, tmp_path):
    """Call `course train unet` with tiny settings; later arguments win."""

    def call(*arguments: object, out: Path = tmp_path / "out"):
        given = ["train", "unet", "--data", data, "--out", out, *TINY, *arguments]
        return CliRunner().invoke(app, [str(argument) for argument in given])

    return call


def rows(out: Path) -> list[dict]:
    return json.loads((out / "scores.json").read_text())


def names(out: Path) -> list[tuple[str, int]]:
    return [(row["loss"], row["seed"]) for row in rows(out)]


def no_training(monkeypatch) -> None:
    def fail(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(segmentation, "fit", fail)


def model_in(folder: Path) -> dict[str, torch.Tensor]:
    return Checkpoint.load(folder / "checkpoint.pt").model


def test_each_loss_and_seed_has_a_folder_a_row_and_the_medians_are_printed(
    unet, tmp_path, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "120")
    several = ["--loss", "focal", "--loss", "dice", "--seed", "1", "--seed", "0"]
    result = unet(*several)
    assert result.exit_code == 0, result.output
    assert "median of 2 seeds" in result.output
    assert "focal loss" in result.output
    assert "cross entropy + Dice" in result.output
    assert str(tmp_path / "out") in result.output
    assert names(tmp_path / "out") == [("dice", 0), ("dice", 1), ("focal", 0), ("focal", 1)]
    for row in rows(tmp_path / "out"):
        folder = tmp_path / "out" / row["loss"] / f"seed_{row['seed']}"
        report = json.loads((folder / "scores.json").read_text())
        assert {name: row[name] for name in ("iou", "dice", "ap")} == report["scores"]
        assert (row["size"], row["steps"]) == (32, 4)
    low, high = sorted(row["ap"] for row in rows(tmp_path / "out")[2:])
    assert f"{(low + high) / 2:.3f} ({low:.3f}-{high:.3f})" in result.output


def test_a_second_call_prints_the_same_and_trains_nothing(unet, monkeypatch):
    first = unet()
    no_training(monkeypatch)
    second = unet()
    assert second.exit_code == 0, second.output
    assert second.output == first.output


def test_a_later_loss_keeps_the_rows_of_earlier_ones(unet, tmp_path):
    unet("--loss", "focal")
    focal = rows(tmp_path / "out")
    result = unet("--loss", "dice", "--seed", "2")
    assert names(tmp_path / "out") == [("dice", 2), ("focal", 0)]
    assert rows(tmp_path / "out")[1:] == focal
    assert "focal loss" not in result.output, "only what was asked for is printed"


def test_what_is_named_twice_is_trained_once(unet, tmp_path):
    result = unet("--loss", "focal", "--loss", "focal", "--seed", "1", "--seed", "1")
    assert names(tmp_path / "out") == [("focal", 1)]
    assert result.output.count("focal loss") == 1
    assert "median" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--loss", "tversky"], "loss 'tversky' is unknown: choose one of cross_entropy"),
        (["--loss", "focal", "--loss", ""], "loss '' is unknown"),
        (["--classes", "some"], 'classes must be "one" or "all"'),
        (["--size", "100"], "size must be a multiple of 16"),
        (["--size", "big"], "--size"),
        (["--width", "0"], "width must be at least 1"),
        (["--steps", "0"], "steps must be at least 1"),
        (["--batch-size", "0"], "batch_size must be at least 1"),
        (["--batch-size", "13"], "has 12: choose a smaller batch_size"),
        (["--learning-rate", "nan"], "learning_rate must be above 0"),
        (["--learning-rate", "inf"], "both finite"),
        (["--weight-decay=-1"], "weight_decay at least 0"),
        (["--seed=-1"], "seed must lie in 0"),
        (["--seed", "0", "--seed", "4294967296"], "seed must lie in 0"),
        (["--split-by", "name"], 'split_by must be "group" or "image"'),
        (["--looks", "0"], "looks"),
        (["--device", "gpu"], "device 'gpu' cannot be used here"),
        (["--device", "cuda:99"], "device 'cuda:99' cannot be used here"),
        (["--devices", "0"], "devices must be at least 1"),
        (["--devices=-2"], "devices must be at least 1"),
        (["--devices", "two"], "devices must be at least 1"),
        (["--devices", "²"], "devices must be at least 1"),
        (["--precision", "fp8"], "Precision 'fp8' is invalid"),
        (["--data", "synthetics"], "data set 'synthetics' is unknown"),
        (["--data", "folder:none"], "does not exist: want a folder with images/"),
    ],
)
def test_wrong_arguments_give_2_and_train_nothing(unet, tmp_path, monkeypatch, arguments, message):
    no_training(monkeypatch)
    result = unet(*arguments)
    assert result.exit_code == 2, result.output
    # Typer draws a frame around its own messages, and breaks lines within.
    assert message in " ".join(result.output.replace("│", " ").split())
    assert "Traceback" not in result.output
    assert not list(tmp_path.rglob("checkpoint.pt"))
    assert not list(tmp_path.rglob("scores.json"))


def test_a_data_set_that_is_not_there_is_said_to_be_missing(unet, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_ROOT", str(tmp_path / "empty"))
    result = unet("--data", "magnetic_tile")
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert "magnetic_tile" in result.output
    assert not (tmp_path / "out").exists()


def test_another_recipe_in_the_same_folder_gives_2_before_anything_is_trained(
    unet, tmp_path, monkeypatch
):
    unet("--loss", "focal")
    no_training(monkeypatch)
    result = unet("--loss", "dice", "--loss", "focal", "--width", "3")
    assert result.exit_code == 2
    assert "holds a training with width 2, and this one has 3" in result.output
    assert not (tmp_path / "out" / "dice").exists()
    assert names(tmp_path / "out") == [("focal", 0)]


def test_foreign_files_give_2_and_stay(unet, tmp_path, monkeypatch):
    no_training(monkeypatch)
    folder = tmp_path / "out" / "cross_entropy" / "seed_0"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text('{"flour": "500 g"}')
    result = unet()
    assert result.exit_code == 2
    assert "is no recipe of this version" in result.output
    assert [path.name for path in folder.iterdir()] == ["recipe.json"]
    assert (folder / "recipe.json").read_text() == '{"flour": "500 g"}'


def test_a_file_as_the_folder_gives_2_and_stays(unet, tmp_path):
    (tmp_path / "out").write_text("mine")
    result = unet()
    assert result.exit_code == 2
    assert "out is a file: choose another folder" in result.output
    assert (tmp_path / "out").read_text() == "mine"


def test_brackets_in_names_are_printed_as_they_are(unet, tmp_path):
    data = write_images(tmp_path / "set [bold]")
    result = unet("--data", data, out=tmp_path / "out [/x]")
    assert result.exit_code == 0, result.output
    assert "[bold]" in result.output
    assert "out [/x]" in result.output


class Interrupting(nn.CrossEntropyLoss):
    """Presses Ctrl-C in its third step."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def forward(self, logits, target):
        self.steps += 1
        if self.steps == 3:
            signal.raise_signal(signal.SIGINT)
        return super().forward(logits, target)


@pytest.fixture
def interruptible():
    """SIGINT as in a terminal: in a job that a script put in the background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_gives_130_says_how_to_go_on_and_the_same_command_does(unet, tmp_path, monkeypatch):
    undisturbed = tmp_path / "undisturbed"
    unet(out=undisturbed)
    with monkeypatch.context() as patch:
        patch.setattr(segmentation, "segmentation_loss", lambda *_: Interrupting())
        stopped = unet()
    assert stopped.exit_code == 130
    assert "give the same command again" in stopped.output
    assert str(tmp_path / "out") in stopped.output
    assert "Traceback" not in stopped.output
    folder = Path("cross_entropy", "seed_0")
    assert Checkpoint.load(tmp_path / "out" / folder / "checkpoint.pt").step == 3
    assert unet().exit_code == 0
    ours, theirs = model_in(tmp_path / "out" / folder), model_in(undisturbed / folder)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert rows(tmp_path / "out") == rows(undisturbed)


def test_ctrl_c_keeps_the_rows_of_what_was_finished(unet, tmp_path, monkeypatch):
    launch = trainings.launch

    def interrupted(function, recipe, *rest, **settings):
        if recipe.loss == "dice":
            raise KeyboardInterrupt
        return launch(function, recipe, *rest, **settings)

    monkeypatch.setattr(trainings, "launch", interrupted)
    result = unet("--loss", "focal", "--loss", "dice")
    assert result.exit_code == 130
    assert names(tmp_path / "out") == [("focal", 0)]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FloatingPointError("the loss is not finite at step 3"), "error: the loss is not finite"),
        (torch.OutOfMemoryError("no room.\nmore"), "error: no room. Lower --batch-size, --size"),
    ],
)
def test_a_training_that_fails_gives_1(unet, monkeypatch, error, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(trainings, "launch", fail)
    result = unet()
    assert result.exit_code == 1
    assert message in result.output


def test_devices_reach_the_launch_with_what_another_process_can_read(unet, tmp_path, monkeypatch):
    """`test_fit_devices` trains by a recipe in two processes."""
    launch, asked = trainings.launch, []

    def on_one(*given, devices, **where):
        asked.append(devices)
        function, *rest = pickle.loads(pickle.dumps(given))
        return launch(function, *rest, **where)

    monkeypatch.setattr(trainings, "launch", on_one)
    result = unet("--devices", "2")
    assert result.exit_code == 0, result.output
    assert asked == [2]
    assert [row["steps"] for row in rows(tmp_path / "out")] == [4]
