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

from course_utils import training
from course_utils.cli import app
from course_utils.models import ResNetEncoder
from course_utils.trainers import (
    TWO_STAGE_VARIANTS,
    MemSegConfig,
    NearestPatchesConfig,
    TrainingConfig,
    TwoStageConfig,
    UNetConfig,
    UNetTrainer,
    trainer,
    unet,
)
from course_utils.training import Checkpoint

TINY = [
    *("--height", "32", "--width", "32", "--channels", "2", "--steps", "4", "--batch-size", "4"),
    *("--eval-every", "2"),
    *("--device", "cpu", "--precision", "32-true", "--quiet"),
]

LITE0 = ("--encoder", "efficientnet_lite0")


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """They take most of the time, and test_run_folder looks at them."""
    monkeypatch.setattr(UNetTrainer, "pictures", lambda *_: {})
    monkeypatch.setattr(trainer, "as_png", lambda _: b"")
    monkeypatch.setattr(trainer, "training_curves", lambda *_, **__: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return write_images(tmp_path_factory.mktemp("data") / "few")


@pytest.fixture
def train_unet(data, tmp_path):
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

    monkeypatch.setattr(trainer, "fit", fail)


def model_in(folder: Path) -> dict[str, torch.Tensor]:
    return Checkpoint.load(folder / "checkpoint.pt").model


def test_each_loss_and_seed_has_a_folder_a_row_and_the_medians_are_printed(
    train_unet, tmp_path, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "120")
    several = ["--loss", "focal", "--loss", "dice", "--seed", "1", "--seed", "0"]
    result = train_unet(*several)
    assert result.exit_code == 0, result.output
    for said in ("median of 2 seeds", "focal loss", "cross entropy + Dice", str(tmp_path / "out")):
        assert said in result.output
    assert names(tmp_path / "out") == [("dice", 0), ("dice", 1), ("focal", 0), ("focal", 1)]
    for row in rows(tmp_path / "out"):
        folder = tmp_path / "out" / row["loss"] / f"seed_{row['seed']}"
        report = json.loads((folder / "scores.json").read_text())
        assert {name: row[name] for name in ("iou", "dice", "ap")} == report["scores"]
        assert (row["height"], row["steps"]) == (32, 4)
    low, high = sorted(row["ap"] for row in rows(tmp_path / "out")[2:])
    assert f"{(low + high) / 2:.3f} ({low:.3f}-{high:.3f})" in result.output


def test_a_second_call_prints_the_same_and_trains_nothing(train_unet, monkeypatch):
    first = train_unet()
    no_training(monkeypatch)
    second = train_unet()
    assert second.exit_code == 0, second.output
    assert second.output == first.output


def test_a_later_loss_keeps_the_rows_of_earlier_ones(train_unet, tmp_path):
    train_unet("--loss", "focal")
    focal = rows(tmp_path / "out")
    result = train_unet("--loss", "dice", "--seed", "2")
    assert names(tmp_path / "out") == [("dice", 2), ("focal", 0)]
    assert rows(tmp_path / "out")[1:] == focal
    assert "focal loss" not in result.output, "only what was asked for is printed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--loss", "tversky"], "loss must be 'cross_entropy', 'weighted', 'focal'"),
        (["--classes", "some"], "--classes"),
        (
            ["--height", "100"],
            "height must be a multiple of 16 and at least 16, got 100: choose 112",
        ),
        (["--batch-size", "13"], "has 12: choose a smaller batch_size"),
        (["--seed", "0", "--seed", "4294967296"], "seed must be less than or equal to"),
        (["--eval-every=-1"], "--eval-every"),
        (["--device", "gpu"], "device 'gpu' cannot be used here"),
        (["--device", "cuda:99"], "device 'cuda:99' cannot be used here"),
        (["--devices", "0"], "devices must be at least 1"),
        (["--devices", "²"], "devices must be at least 1"),
        (["--precision", "fp8"], "Precision 'fp8' is invalid"),
        (["--data", "synthetics"], "data set 'synthetics' is unknown"),
        (["--data", "folder:none"], "does not exist: want a folder with images/"),
    ],
)
def test_wrong_arguments_give_2_and_train_nothing(
    train_unet, tmp_path, monkeypatch, arguments, message
):
    no_training(monkeypatch)
    result = train_unet(*arguments)
    assert result.exit_code == 2, result.output
    # Typer draws a frame around its own messages, and breaks lines within.
    assert message in " ".join(result.output.replace("│", " ").split())
    assert "Traceback" not in result.output
    assert not list(tmp_path.rglob("checkpoint.pt"))
    assert not list(tmp_path.rglob("scores.json"))


def test_another_config_in_the_same_folder_gives_2_before_anything_is_trained(
    train_unet, tmp_path, monkeypatch
):
    train_unet("--loss", "focal")
    no_training(monkeypatch)
    result = train_unet("--loss", "dice", "--loss", "focal", "--channels", "3")
    assert result.exit_code == 2
    assert "holds a training with channels 2, and this one has 3" in result.output
    assert not (tmp_path / "out" / "dice").exists()
    assert names(tmp_path / "out") == [("focal", 0)]


def test_foreign_files_give_2_and_stay(train_unet, tmp_path, monkeypatch):
    no_training(monkeypatch)
    folder, text = tmp_path / "out" / "cross_entropy" / "seed_0", '{"flour": "500 g"}'
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(text)
    result = train_unet()
    assert (result.exit_code, "is no config of this version" in result.output) == (2, True)
    assert [path.read_text() for path in folder.iterdir()] == [text]
    result = train_unet(out=folder / "config.json")
    assert (result.exit_code, "is a file: choose another folder" in result.output) == (2, True)
    assert (folder / "config.json").read_text() == text


def test_brackets_in_names_are_printed_as_they_are(train_unet, tmp_path):
    data = write_images(tmp_path / "set [bold]")
    result = train_unet("--data", data, out=tmp_path / "out [/x]")
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
def test_ctrl_c_gives_130_says_how_to_go_on_and_the_same_command_does(
    train_unet, tmp_path, monkeypatch
):
    undisturbed = tmp_path / "undisturbed"
    train_unet(out=undisturbed)
    with monkeypatch.context() as patch:
        patch.setattr(unet, "segmentation_loss", lambda *_: Interrupting())
        stopped = train_unet()
    assert stopped.exit_code == 130
    assert "give the same command again" in stopped.output
    assert str(tmp_path / "out") in stopped.output
    assert "Traceback" not in stopped.output
    folder = Path("cross_entropy", "seed_0")
    assert Checkpoint.load(tmp_path / "out" / folder / "checkpoint.pt").step == 3
    assert train_unet().exit_code == 0
    ours, theirs = model_in(tmp_path / "out" / folder), model_in(undisturbed / folder)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert rows(tmp_path / "out") == rows(undisturbed)


def test_ctrl_c_keeps_the_rows_of_what_was_finished(train_unet, tmp_path, monkeypatch):
    launch = training.launch

    def interrupted(function, config, *rest, **settings):
        if config.loss == "dice":
            raise KeyboardInterrupt
        return launch(function, config, *rest, **settings)

    monkeypatch.setattr(training, "launch", interrupted)
    result = train_unet("--loss", "focal", "--loss", "dice")
    assert (result.exit_code, names(tmp_path / "out")) == (130, [("focal", 0)])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FloatingPointError("the loss is not finite at step 3"), "error: the loss is not finite"),
        (torch.OutOfMemoryError("no room.\nmore"), "error: no room. Lower --batch-size, --height"),
    ],
)
def test_a_training_that_fails_gives_1(train_unet, monkeypatch, error, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(training, "launch", fail)
    result = train_unet()
    assert (result.exit_code, message in result.output) == (1, True)


# All methods


def call(*arguments: object):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


@pytest.fixture
def trained(monkeypatch):
    """Put scores in the place of trainings, and note what would have been trained."""
    monkeypatch.setenv("COLUMNS", "120")
    noted = []

    def launch(function, config, folder, eval_every, progress, **where):
        assert pickle.loads(pickle.dumps((function, config))) == (function, config), "to a process"
        noted.append((config, folder, eval_every, progress, where))
        folder.mkdir(parents=True)
        scores = dict.fromkeys(("iou", "dice", "image_auroc", "pixel_auroc", "aupro"), 0.5)
        scores |= {"ap": 0.25, "fp": 3.0, "fn": 1.0}
        scores = {name: value * (1 + config.seed) for name, value in scores.items()}
        threshold = {"value": 0.5, "source": "the best F1", "false_alarms": None, "misses": None}
        errors = {"false_alarms": 2, "good": 20, "misses": 3, "defective": 30}
        report = {"scores": scores, "split": "split by hand", "threshold": threshold}
        report["test_errors"] = errors
        report["weights_used"] = "imagenet" if config.seed == 7 else "offline"
        (folder / "config.json").write_text(config.model_dump_json())
        (folder / "scores.json").write_text(json.dumps(report))
        return scores

    monkeypatch.setattr(training, "launch", launch)
    return noted


GIVEN = [
    ("unet", UNetConfig(
        data="magnetic_tile", loss="dice", classes="all", encoder="resnet18", weights="none",
        height=64, width=96, tile=32, channels=3, steps=7, batch_size=4, learning_rate=0.002,
        weight_decay=0.25, flips=False, split_by="image", seed=5, split_seed=6,
    )),
    ("unet", UNetConfig(network="casae")),
    ("memseg", MemSegConfig(
        data="mvtec_ad/bottle", variant="no_memory", encoder="resnet18", weights="none",
        height=128, width=192, tile=96, foreground="none", steps=7, batch_size=4,
        learning_rate=0.001, weight_decay=0.25, gamma=2.0, focal_weight=0.5, memory_size=9,
        workers=3, split_by="image", seed=5, split_seed=6,
    )),
    ("nearest", NearestPatchesConfig(
        data="mvtec_ad/bottle", encoder="resnet18", weights="none", height=128, width=192, tile=64,
        split_by="image", seed=5, split_seed=6,
    )),
    ("two-stage", TwoStageConfig(
        data="kolektor_sdd", variant="no_stops", fold=2, height=704, width=256, channels="slim",
        epochs=7, batch_size=4, optimizer="adamw", learning_rate=0.001, weight_decay=0.25,
        delta=0.5, power=1.5, positive_weight=3.0, dilate=7, masks="ellipse", segmented=5, seed=5,
        split_seed=6,
    )),
    ("two-stage", TwoStageConfig(tile=128, split_by="image")),
]  # fmt: skip


def options(config: TrainingConfig) -> list[object]:
    """What a person would type for it."""
    found: list[object] = []
    for name, value in config:
        option = name.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            found.append(f"--{option}" if value else f"--no-{option}")
        else:
            found += [f"--{option}", value]
    return found


@pytest.mark.parametrize("command", ["unet", "memseg", "nearest", "two-stage"])
def test_no_option_is_forgotten_here(command):
    given = [config for name, config in GIVEN if name == command]
    for name, default in type(given[0])():
        assert any(getattr(config, name) != default for config in given), name


@pytest.mark.parametrize(("command", "given"), GIVEN)
def test_every_option_reaches_the_config(command, given, trained, tmp_path):
    steps = ["--eval-every", 3, "--devices", "2", "--precision", "32-true"]
    result = call(
        command, *options(given), *(steps if command != "nearest" else []), "--quiet",
        "--device", "cpu", "--out", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    ((config, folder, eval_every, progress, where),) = trained
    assert config == given
    assert folder == tmp_path / given.name / f"seed_{given.seed}"
    assert (progress, where["device"].type) == (False, "cpu")
    if command == "nearest":  # which has no steps
        assert call(command, "--eval-every", 3, "--out", tmp_path / "other").exit_code == 2
    else:
        assert (eval_every, where["devices"], where["precision"]) == (3, 2, "32-true")
    for said in (
        "split by hand",
        "threshold 0.5, the best F1",
        "2 false alarms of 20",
        f"course predict {folder}",
    ):
        assert said in result.output


def test_without_options_the_default_is_trained(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call("two-stage", "--device", "cpu")
    assert result.exit_code == 0, result.output
    ((config, folder, eval_every, progress, _),) = trained
    assert config == TwoStageConfig()
    assert folder == Path("runs/two_stage/two_stage/seed_0")
    assert (eval_every, progress) == (0, True)


def test_variants_and_seeds_are_all_trained_and_their_medians_printed(trained, tmp_path):
    result = call(
        "two-stage", "--variant", "two_stage", "--variant", "plain", "--variant", "plain",
        "--seed", 0, "--seed", 1, "--seed", 0, "--out", tmp_path,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert [(one[0].variant, one[0].seed) for one in trained] == [
        ("two_stage", 0), ("two_stage", 1), ("plain", 0), ("plain", 1),
    ]  # fmt: skip
    for said in ("median of 2 seeds", "all four extensions", "none of the four", "AP", "misses"):
        assert said in result.output
    assert "0.375 (0.250-0.500)" in result.output
    assert "4.5 (3-6)" in result.output, "half an image is not rounded away"
    assert [row["fp"] for row in rows(tmp_path)] == [3, 6, 3, 6]
    one = call("two-stage", "--out", tmp_path / "one").output
    assert " 3 " in one, "images are whole"
    assert "median" not in one


def test_every_variant_is_named_in_the_help():
    output = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["train", "two-stage", "--help"]).output
    assert all(name in output for name in TWO_STAGE_VARIANTS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memseg", "--variant", "memsec"], "variant must be 'memseg', 'per_level'"),
        (["nearest", "--weights", "vgg"], "weights must be offline, imagenet, none or PATH"),
        (["memseg", "--weights", "none.safetensors"], "none.safetensors is not there"),
        (
            ["nearest", "--encoder", "resnet18", *LITE0, "--weights", ResNetEncoder.shipped[1]],
            "does not fit EfficientNetEncoder: it has none of its names",
        ),
        (["two-stage", "--height", "64", "--width", "64"], "height and width must hold two cells"),
    ],
)
def test_a_mistake_is_reported_in_one_line(arguments, message, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert (result.exit_code, message in result.output) == (2, True)
    assert not trained
    assert not list(tmp_path.iterdir())


def test_seeds_with_different_weights_are_told(trained, tmp_path):
    result = call("nearest", "--encoder", "resnet18", "--seed", 7, "--seed", 8, "--out", tmp_path)
    said = "resnet18 has different weights, so do not compare these trainings: imagenet in "
    assert said in result.output
    assert [row["weights_used"] for row in rows(tmp_path)] == ["imagenet", "offline"]
    several = call("nearest", "--encoder", "resnet18", *LITE0, "--out", tmp_path / "several")
    assert "different weights" not in several.output


@pytest.mark.parametrize("content", ["{}", "mine", '[{"name": "me"}]'])
def test_a_file_of_the_users_is_not_overwritten_by_the_scores(content, trained, tmp_path):
    (tmp_path / "scores.json").write_text(content)
    result = call("memseg", "--out", tmp_path)
    assert result.exit_code == 2
    assert "is no list of scores of trainings: choose another --out" in result.output
    assert (tmp_path / "scores.json").read_text() == content
    assert not trained
