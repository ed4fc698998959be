"""Pretraining an encoder: what it writes, that it goes on where it was stopped, what it refuses."""

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from typer.testing import CliRunner

from course_utils.data import labeled_images
from course_utils.data.labeled_images import LabeledImages, find_labeled_images
from course_utils.models import ResNetEncoder
from course_utils.models.encoders.base import load_exactly
from course_utils.training import Checkpoint

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "pretrain_encoder.py"
CLASSES = ("dots", "lines", "rows")
TINY = ["--epochs", "2", "--batch-size", "16", "--size", "32", "--workers", "0", "--quiet"]
TINY += ["--device", "cpu", "--precision", "32-true"]


class Stopped(Exception):
    """The training was stopped from outside."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pretrain_encoder", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def draw(kind: str, rng: np.random.Generator) -> Image.Image:
    """32 px of dots, of upright lines or of rows, each at another place."""
    y, x = np.mgrid[:32, :32] + rng.integers(8, size=2)[:, None, None]
    on = {"dots": (x // 4 + y // 4) % 2, "lines": x // 4 % 2, "rows": y // 4 % 2}[kind]
    noise = rng.integers(60, size=(32, 32, 3))
    return Image.fromarray((60 + 120 * on[..., None] + noise).astype(np.uint8))


def write(folder: Path, kind: str, count: int, ending: str = ".png", first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([CLASSES.index(kind), first])
    for number in range(first, first + count):
        draw(kind, rng).save(folder / f"{kind}_{number}{ending}")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for kind in CLASSES:
        write(root / kind, kind, 12)
    return root


@pytest.fixture
def tiny_imagenet(tmp_path) -> Path:
    """The layout of the archive, with two images of each class for validation."""
    root = tmp_path / "tiny"
    lines = []
    for kind in CLASSES:
        write(root / "train" / kind / "images", kind, 4, ".JPEG")
        (root / "train" / kind / f"{kind}_boxes.txt").write_text("0 0 31 31\n")
        write(root / "val" / "images", kind, 2, ".JPEG", first=50)
        lines += [f"{kind}_{number}.JPEG\t{kind}\t0\t0\t31\t31\n" for number in (50, 51)]
    (root / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    (root / "test" / "images").mkdir(parents=True)
    return root


def names_of(files: labeled_images.Files) -> set[str]:
    return {Path(path).name for path, _ in files}


# What is read.


def test_tiny_imagenets_layout_brings_its_own_validation_part(tiny_imagenet):
    files = find_labeled_images(tiny_imagenet)
    assert files.class_names == list(CLASSES)
    assert (len(files.train), len(files.val)) == (12, 6)
    for path, label in files.train + files.val:
        assert Path(path).name.startswith(CLASSES[label])
    assert files.val_source == "val_annotations.txt"


def test_a_val_folder_with_the_same_classes_is_the_validation_part(tmp_path):
    for kind in CLASSES:
        write(tmp_path / "train" / kind, kind, 3)
        write(tmp_path / "val" / kind, kind, 1, first=7)
    files = find_labeled_images(tmp_path)
    assert (len(files.train), names_of(files.val)) == (9, {f"{kind}_7.png" for kind in CLASSES})


def test_a_tenth_of_each_class_is_held_out_by_seed(tmp_path):
    write(tmp_path / "dots", "dots", 30)
    write(tmp_path / "rows", "rows", 4)
    parts = [find_labeled_images(tmp_path, seed=seed) for seed in (0, 0, 1)]
    for files in parts:
        assert [label for _, label in files.val] == [0, 0, 0, 1]
        assert not names_of(files.train) & names_of(files.val)
        assert len(files.train) + len(files.val) == 34
    assert parts[0] == parts[1]
    assert names_of(parts[0].val) != names_of(parts[2].val)


def _remove(path: Path) -> None:
    for file in path.rglob("*"):
        if file.is_file():
            file.unlink()


def _annotate(root: Path, text: str) -> None:
    (root / "val" / "val_annotations.txt").write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: _remove(root / "train"), "no images in the folders"),
        (lambda root: _remove(root / "train" / "rows"), "no images in rows, of 3 folders"),
        (lambda root: (root / "train").rename(root / "else"), "val and no folder train"),
        (lambda root: (root / "val" / "val_annotations.txt").unlink(), "folder images, which is"),
        (lambda root: _annotate(root, "dots_50.JPEG\tcats\t0\t0\t1\t1\n"), "1: 'cats' is none of"),
        (lambda root: _annotate(root, "no.JPEG\tdots\t0\t0\t1\t1\n"), r"1: .* no image .*no\.JPEG"),
        (lambda root: _annotate(root, ""), "is empty"),
    ],
)
def test_a_damaged_layout_is_refused(tiny_imagenet, damage, message):
    damage(tiny_imagenet)
    with pytest.raises(ValueError, match=message):
        find_labeled_images(tiny_imagenet)


def test_folders_that_hold_no_classes_are_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="no folders in it"):
        find_labeled_images(folders / "dots")
    write(tmp_path / "data" / "dots", "dots", 2)
    with pytest.raises(ValueError, match=r"only one class, dots.*give .*dots"):
        find_labeled_images(tmp_path / "data")
    write(tmp_path / "data" / "rows", "rows", 1)
    with pytest.raises(ValueError, match="class rows has 1 image"):
        find_labeled_images(tmp_path / "data")
    with pytest.raises(NotADirectoryError, match="nowhere"):
        find_labeled_images(tmp_path / "nowhere")
    for part in ("Training", "Validation"):
        write(tmp_path / "parts" / part / "dots", "dots", 1)
    with pytest.raises(ValueError, match="folder Training, which is the name of a part"):
        find_labeled_images(tmp_path / "parts")


@pytest.mark.parametrize("keep", [0, 20, 600])
def test_an_unreadable_image_is_named(tmp_path, keep):
    path = tmp_path / "cut.png"
    draw("dots", np.random.default_rng(0)).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"the image .*cut\.png cannot be read"):
        LabeledImages([(str(path), 0)], lambda image: image)[0]


# What is computed.


def test_images_become_three_channels_of_the_size_asked_for_in_0_to_1(script):
    wide = Image.fromarray(np.tile(np.arange(90, dtype=np.uint8), (50, 1))).convert("RGB")
    for transform in (script.augmentation(32), script.plain_view(32)):
        image = transform(wide)
        assert (image.shape, image.dtype) == ((3, 32, 32), torch.float32)
        assert 0 <= image.min() < image.max() <= 0.6
    middle = script.plain_view(32)(wide).mean()
    torch.testing.assert_close(middle, torch.tensor(44.5 / 255), atol=0.01, rtol=0)


def test_accuracy_counts_the_first_and_the_first_five(script):
    class Given(nn.Linear):
        def forward(self, image: Tensor) -> Tensor:
            return image[:, 0, 0]

    logits = torch.arange(8.0).flip(0).repeat(4, 1)  # 0 is the most probable class, then 1, ...
    batches = DataLoader(
        [(row.view(1, 1, 8), label) for row, label in zip(logits, (0, 4, 5, 0), strict=True)],
        batch_size=3,
    )
    assert script.accuracy(Given(1, 1), batches) == {"top1": 0.5, "top5": 0.75}
    few = DataLoader([(torch.tensor([[[0.0, 1, 0]]]), 1)])
    assert script.accuracy(Given(1, 1), few) == {"top1": 1.0}


# What is written.


@pytest.fixture(scope="module")
def call(script, folders):
    """Call the command with tiny settings; later arguments win."""

    def run(out: Path, *arguments: object, data: Path = folders):
        given = [data, "--out", out, *TINY, *arguments]
        return CliRunner().invoke(script.app, [str(argument) for argument in given])

    return run


@pytest.fixture(scope="module")
def finished(call, tmp_path_factory) -> Path:
    """The weights of a training that nobody stopped."""
    out = tmp_path_factory.mktemp("finished") / "deeper" / "own.safetensors"
    result = call(out)
    assert result.exit_code == 0, result.output
    assert "3 validation images: top1" in result.output
    return out


def test_the_file_holds_what_the_file_of_the_package_holds(finished):
    own, shipped = load_file(finished), load_file(ResNetEncoder.shipped[1])
    assert {n: (t.shape, t.dtype) for n, t in own.items()} == {
        n: (t.shape, t.dtype) for n, t in shipped.items()
    }
    assert all(t.dtype == torch.float16 for t in own.values() if t.ndim == 4)
    encoder = ResNetEncoder(weights=None).eval()
    load_exactly(encoder, own)
    assert all(bool(f.isfinite().all()) for f in encoder(torch.rand(1, 3, 32, 32)))


def test_the_report_tells_recipe_accuracy_and_circumstances(finished):
    report = json.loads(finished.with_suffix(".json").read_text())
    counts = {name: report["images"][name] for name in ("classes", "train", "val")}
    assert counts == {"classes": 3, "train": 33, "val": 3}
    assert "held out by seed" in report["images"]["val_source"]
    assert report["config"]["epochs"] == len(report["epochs"]) == 2
    assert 0 <= report["accuracy"]["top1"] <= 1
    assert "top5" not in report["accuracy"]  # there are three classes
    assert (report["device"], report["torch"]) == ("cpu", torch.__version__)
    assert {path.name for path in finished.parent.iterdir()} == {"own.json", "own.safetensors"}


def test_a_stopped_training_goes_on_to_the_same_weights(
    call, finished, tmp_path, monkeypatch, folders
):
    out = tmp_path / "own.safetensors"
    read, count = labeled_images._read, 0

    def stop(path: str) -> Image.Image:
        nonlocal count
        count += 1
        if count > 32 + 3 + 16 + 16 + 4:  # one batch is read anew for the checkpoint
            raise Stopped
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(labeled_images, "_read", stop)
        assert isinstance(call(out, "--save-every", 3).exception, Stopped)
    assert [path.name for path in tmp_path.iterdir()] == ["own.checkpoint.pt"]
    assert Checkpoint.load(tmp_path / "own.checkpoint.pt").step == 3
    other = call(out, "--seed", 1)
    assert (other.exit_code, "seed is 0 in the file and 1" in other.output) == (2, True)
    monkeypatch.chdir(folders.parent)
    assert call(out, data=Path(folders.name)).exit_code == 0
    assert out.read_bytes() == finished.read_bytes()


def test_nothing_is_overwritten(call, finished, tmp_path):
    before = finished.read_bytes()
    result = call(finished)
    assert (result.exit_code, "own.safetensors exists already" in result.output) == (2, True)
    assert finished.read_bytes() == before
    (tmp_path / "new.json").write_text("mine")
    result = call(tmp_path / "new.safetensors")
    assert (result.exit_code, "new.json exists already" in result.output) == (2, True)


def test_an_unreadable_image_is_told_in_one_line_also_from_a_worker(
    call, folders, tmp_path, monkeypatch
):
    data = tmp_path / "data"
    for kind in CLASSES:
        write(data / kind, kind, 4)
        for path in (data / kind).iterdir():
            path.write_bytes(path.read_bytes()[:90])
    result = call(tmp_path / "own.safetensors", "--workers", 1, "--batch-size", 8, data=data)
    assert result.exit_code == 2
    assert result.output.startswith("error: the image ")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", 48], "multiple of 32"),
        (["--epochs", 0], "epochs must be at least 1"),
        (["--batch-size", 34], "33 images to train on, fewer than a batch of 34"),
        (["--learning-rate", 0], "learning_rate must be above 0"),
        (["--label-smoothing", 1], "below 1"),
        (["--seed", -1], "seed must be a whole number in"),
        (["--out", "weights.pt"], "must end in .safetensors"),
    ],
)
def test_settings_that_cannot_work_are_refused(call, tmp_path, arguments, message):
    result = call(tmp_path / "own.safetensors", *arguments)
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert not any(tmp_path.iterdir())


def test_the_defaults_of_the_command_are_those_of_the_recipe(script):
    options = script.app.registered_commands[0].callback.__defaults__
    assert set(dataclasses.astuple(script.Config())) <= set(options)
