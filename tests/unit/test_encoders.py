"""The encoder against torchvision's ResNet-18, and the weights that come with the package."""

import hashlib
import urllib.error
import warnings

import pytest
import torch
from network_facts import state, unsettle
from safetensors.torch import load_file, save_file
from torch import Tensor
from torchvision.models import _api, resnet18

from course_utils.models import ResNetEncoder
from course_utils.models.encoders.base import load_exactly
from course_utils.models.encoders.resnet import OFFLINE_WEIGHTS

CHANNELS = (64, 64, 128, 256, 512)


@pytest.fixture(scope="module")
def torchvision_net():
    torch.manual_seed(0)
    net = resnet18(weights=None)
    unsettle(net)
    return net.eval()


def without_fc(net) -> dict[str, Tensor]:
    return {name: t for name, t in net.state_dict().items() if not name.startswith("fc.")}


def features_of_torchvision(net, image: Tensor) -> list[Tensor]:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = torch.stack([(image[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)
    seen = [net.relu(net.bn1(net.conv1(x)))]
    x = net.maxpool(seen[0])
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = layer(x)
        seen.append(x)
    return seen


def test_the_features_are_those_of_torchvision(torchvision_net):
    encoder = ResNetEncoder(weights=None).eval()
    encoder.load_state_dict(without_fc(torchvision_net))
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        for ours, theirs in zip(
            encoder(image), features_of_torchvision(torchvision_net, image), strict=True
        ):
            torch.testing.assert_close(ours, theirs)


def test_gray_is_a_picture_with_three_equal_channels():
    encoder = ResNetEncoder(weights=None).eval()
    gray = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        for one, three in zip(encoder(gray), encoder(gray.repeat(1, 3, 1, 1)), strict=True):
            torch.testing.assert_close(one, three)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_multiple_of_32_has_five_scales(channels):
    with torch.device("meta"):
        encoder = ResNetEncoder(weights=None)
        for height in (128, 160, 352, 512):
            width = 640 - height
            found = [tuple(f.shape) for f in encoder(torch.zeros(2, channels, height, width))]
            wanted = [(2, c, height >> k, width >> k) for k, c in enumerate(CHANNELS, start=1)]
            assert found == wanted


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (torch.zeros(1, 3, 64, 100), "multiples of 32"),
        (torch.zeros(1, 3, 0, 64), "multiples of 32"),
        (torch.zeros(1, 2, 64, 64), "1 or 3"),
        (torch.zeros(3, 64, 64), "1 or 3"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "floating point"),
    ],
)
def test_other_images_are_refused(image, problem):
    encoder = ResNetEncoder(weights=None)
    assert encoder.weights_used is None
    with pytest.raises(ValueError, match=problem):
        encoder(image)


# Frozen


def test_training_steps_change_nothing_that_is_frozen():
    torch.manual_seed(0)
    encoder = ResNetEncoder(weights=None)
    encoder.freeze()
    image = torch.rand(2, 3, 32, 32)
    before = state(encoder)
    with torch.no_grad():
        features = encoder.eval().first_four(image)
    for layer in encoder.layer4.modules():  # the smallest step: only its normalization learns
        if isinstance(layer, torch.nn.Conv2d):
            layer.requires_grad_(False)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(5):
        encoder.train()
        optimizer.zero_grad()
        encoder(torch.rand(2, 3, 32, 32))[4].square().mean().backward()
        optimizer.step()
    changed = {name for name, t in encoder.state_dict().items() if not torch.equal(t, before[name])}
    assert changed == {n for n in before if n.startswith("layer4.") and before[n].ndim < 4}
    frozen = [p for n, p in encoder.named_parameters() if not n.startswith("layer4.")]
    assert all(p.grad is None for p in frozen)
    with torch.no_grad():
        for now, then in zip(encoder.eval().first_four(image), features, strict=True):
            assert torch.equal(now, then)


def test_freezing_keeps_the_mode_of_what_is_not_frozen():
    encoder = ResNetEncoder(weights=None)
    encoder.freeze()
    assert encoder.training
    assert encoder.layer4.training
    assert not any(getattr(encoder, name).training for name in encoder.FROZEN)
    assert not encoder.eval().layer4.training


# Weights


def test_the_offline_weights_fit_in_name_and_shape_and_come_with_their_history():
    state = load_file(OFFLINE_WEIGHTS)
    assert OFFLINE_WEIGHTS.stat().st_size < 25e6
    wanted = without_fc(resnet18(weights=None))
    assert {n: t.shape for n, t in state.items()} == {n: t.shape for n, t in wanted.items()}
    assert all(bool(torch.isfinite(t).all()) for t in state.values())
    assert {t.dtype for t in state.values() if t.ndim == 4} == {torch.float16}
    text = (OFFLINE_WEIGHTS.parent / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(OFFLINE_WEIGHTS.read_bytes()).hexdigest() in text
    assert OFFLINE_WEIGHTS.name in text


def test_offline_weights_are_loaded_in_full_precision():
    encoder = ResNetEncoder(weights="offline")
    assert encoder.weights_used == "offline"
    for name, stored in load_file(OFFLINE_WEIGHTS).items():
        loaded = encoder.state_dict()[name]
        assert loaded.dtype in (torch.float32, torch.int64)
        assert torch.equal(loaded, stored.to(loaded.dtype))


@pytest.mark.parametrize(
    "failure", [urllib.error.URLError("no route to host"), RuntimeError("invalid hash value")]
)
def test_without_a_download_the_offline_weights_are_used_and_the_reason_is_said(
    monkeypatch, failure
):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(_api, "load_state_dict_from_url", fail)
    reason = failure.reason if isinstance(failure, urllib.error.URLError) else str(failure)
    with pytest.warns(UserWarning, match=reason) as seen:
        encoder = ResNetEncoder(weights="imagenet")
    assert len(seen) == 1
    assert encoder.weights_used == "offline"
    stored = load_file(OFFLINE_WEIGHTS)["layer4.1.conv2.weight"].float()
    assert torch.equal(encoder.layer4[1].conv2.weight, stored)


def test_imagenet_weights_are_torchvisions_without_its_last_layer(monkeypatch, torchvision_net):
    asked = []

    def download(url, **options):
        asked.append((url, options["check_hash"]))
        return torchvision_net.state_dict()

    monkeypatch.setattr(_api, "load_state_dict_from_url", download)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = ResNetEncoder()
    assert asked == [("https://download.pytorch.org/models/resnet18-f37072fd.pth", True)]
    assert encoder.weights_used == "imagenet"
    for name, values in without_fc(torchvision_net).items():
        assert torch.equal(encoder.state_dict()[name], values)


def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded():
    encoder = ResNetEncoder(weights=None)
    before = encoder.conv1.weight.clone()
    state = {name: torch.zeros_like(t) for name, t in encoder.state_dict().items()}
    state["fc.bias"] = torch.zeros(1000)
    del state["bn1.running_var"]
    state["layer1.0.conv1.weight"] = torch.zeros(64, 64, 1, 1)
    wanted = r"bn1.running_var is missing, fc.bias is not wanted, layer1.0.conv1.weight is \(64, 64"
    with pytest.raises(ValueError, match=wanted):
        load_exactly(encoder, state)
    assert torch.equal(encoder.conv1.weight, before)


def test_weights_of_ones_own_are_loaded_from_a_file(tmp_path):
    state = {
        name: torch.rand(t.shape) for name, t in ResNetEncoder(weights=None).state_dict().items()
    }
    file = tmp_path / "own.safetensors"
    save_file(state, file)
    encoder = ResNetEncoder(weights=file)
    assert encoder.weights_used == str(file)
    assert torch.equal(encoder.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])


def test_what_holds_no_weights_is_named(tmp_path):
    with pytest.raises(ValueError, match="offline"):
        ResNetEncoder(weights="imagenet21k")
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors is not there"):
        ResNetEncoder(weights=tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_text("weights")
    with pytest.raises(ValueError, match=r"bad\.safetensors is damaged or no safetensors file"):
        ResNetEncoder(weights=tmp_path / "bad.safetensors")
