"""Encoders against their published forms, and the weights that come with the package."""

import hashlib
import math
import pickle
import re
import socket
import urllib.error
import warnings
from http.client import HTTPException
from itertools import islice
from typing import get_args

import pytest
import torch
from network_facts import parameters, state, unsettle
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import _api, resnet18

from course_utils.models import EfficientNetEncoder, ResNetEncoder, build_encoder
from course_utils.models.encoders import ENCODERS, EncoderName
from course_utils.models.encoders.base import SHIPPED, half_precision, load_exactly
from course_utils.models.encoders.resnet import DOWNLOAD_PATIENCE
from course_utils.trainers import configs

FILES = {name: encoder.shipped[1] for name, encoder in ENCODERS.items()}
# Tan and Le 2019, table 1: repeats, kernel, stride, expansion, channels in and out.
BLOCKS = (
    "r1_k3_s1_e1_32_16 r2_k3_s2_e6_16_24 r2_k5_s2_e6_24_40 r3_k3_s2_e6_40_80 "
    "r3_k5_s1_e6_80_112 r4_k5_s2_e6_112_192 r1_k3_s1_e6_192_320"
)
each = pytest.mark.parametrize("name", ENCODERS)


def test_a_config_names_the_encoders_that_there_are():
    assert tuple(ENCODERS) == configs.ENCODERS == get_args(EncoderName)
    assert {type(build_encoder(name, None)) for name in ENCODERS} == set(ENCODERS.values())
    with pytest.raises(ValueError, match=r"must be one of resnet18, .*, got 'vgg'"):
        build_encoder("vgg")


# The published forms


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


def features_of_the_table(weights: dict[str, Tensor], image: Tensor) -> list[Tensor]:
    """EfficientNet-Lite0 in plain functions; takes the weights in the order of the layers."""
    tensors = (t.to(image) for name, t in weights.items() if not name.endswith("tracked"))

    def convolve(x, outputs, kernel, *, stride=1, groups=1, linear=False):
        weight, gamma, beta, mean, var = islice(tensors, 5)
        assert weight.shape == (outputs, x.shape[1] // groups, kernel, kernel)
        border = []  # TensorFlow's "same"
        for side in (x.shape[3], x.shape[2]):
            missing = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            border += [missing // 2, missing - missing // 2]
        x = F.conv2d(F.pad(x, border), weight, stride=stride, groups=groups)
        x = F.batch_norm(x, mean, var, gamma, beta, eps=1e-3)
        return x if linear else x.clamp(0, 6)

    x, seen = convolve((255 * image - 127) / 128, 32, 3, stride=2), []
    for block in BLOCKS.split():
        repeats, kernel, stride, expansion, inputs, outputs = map(int, re.findall(r"\d+", block))
        for number in range(repeats):
            if number == 0 and stride == 2:
                seen.append(x)
            before, width = x, expansion * x.shape[1]
            assert x.shape[1] == (outputs if number else inputs)
            if expansion > 1:
                x = convolve(x, width, 1)
            x = convolve(x, width, kernel, stride=1 if number else stride, groups=width)
            x = convolve(x, outputs, 1, linear=True)
            x = before + x if number else x
    assert next(tensors, None) is None
    return [*seen, x]


@pytest.mark.parametrize("weights", [None, "imagenet"])
def test_the_features_are_those_of_the_published_table(weights):
    torch.manual_seed(0)
    encoder = EfficientNetEncoder(weights)
    if weights is None:
        unsettle(encoder)
    encoder.double().eval()
    image = torch.rand(2, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        wanted = features_of_the_table(encoder.state_dict(), image)
        for ours, theirs in zip(encoder(image), wanted, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_the_published_network_has_4_65_million_parameters():
    with torch.device("meta"):
        encoder = EfficientNetEncoder(weights=None)
    classifier = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert round((parameters(encoder) + classifier) / 1e6, 2) == 4.65


@each
def test_gray_is_a_picture_with_three_equal_channels(name):
    encoder = build_encoder(name, "offline").eval()
    gray = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        for one, three in zip(encoder(gray), encoder(gray.repeat(1, 3, 1, 1)), strict=True):
            torch.testing.assert_close(one, three)


# What all have in common


@each
def test_a_random_start_does_not_fade_on_the_way_down(name):
    torch.manual_seed(0)
    features = build_encoder(name, None).eval()(torch.rand(2, 3, 64, 64))
    assert all(0.1 < f.std() < 10 for f in features)


@each
@pytest.mark.parametrize("channels", [1, 3])
def test_every_multiple_of_32_has_five_scales(name, channels):
    with torch.device("meta"):
        encoder = build_encoder(name, None)
        for height in (128, 160, 352, 512):
            width = 640 - height
            found = [tuple(f.shape) for f in encoder(torch.zeros(2, channels, height, width))]
            scales = zip(encoder.channels, encoder.strides, strict=True)
            assert found == [(2, c, height // s, width // s) for c, s in scales]
    assert encoder.strides == (2, 4, 8, 16, 32)


@each
@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (torch.zeros(1, 3, 64, 100), r"multiples of 32 .* resize to \(64, 128\)"),
        (torch.zeros(1, 3, 0, 64), r"multiples of 32 .* resize to \(32, 64\)"),
        (torch.zeros(1, 2, 64, 64), "1 or 3"),
        (torch.zeros(3, 64, 64), "1 or 3"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "floating point"),
    ],
)
def test_other_images_are_refused(name, image, problem):
    encoder = build_encoder(name, None)
    assert encoder.weights_used is None
    with pytest.raises(ValueError, match=problem):
        encoder(image)


# Frozen


@each
def test_training_steps_change_what_makes_the_last_scale_and_nothing_else(name):
    torch.manual_seed(0)
    encoder = build_encoder(name, "offline")
    encoder(torch.rand(2, 3, 64, 64))[4].mean().backward()  # gradients that freezing must drop
    encoder.freeze()
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = encoder.eval().first_four(image)
    before = state(encoder)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=1e-3, weight_decay=0.1)
    for _ in range(2):
        encoder.train()
        encoder(torch.rand(2, 3, 64, 64))[4].square().mean().backward()
        optimizer.step()
    frozen = tuple(f"{part}." for part in encoder.FROZEN)
    changed = {
        n for n, values in encoder.state_dict().items() if not torch.equal(values, before[n])
    }
    assert changed == {n for n in before if not n.startswith(frozen)}
    assert all((p.grad is None) is n.startswith(frozen) for n, p in encoder.named_parameters())
    with torch.no_grad():
        for now, then in zip(encoder.eval().first_four(image), features, strict=True):
            assert torch.equal(now, then)


@each
def test_freezing_keeps_the_mode_of_what_is_not_frozen(name):
    encoder = build_encoder(name, None)
    encoder.freeze()
    frozen = {m for part in encoder.FROZEN for m in getattr(encoder, part).modules()}
    others = set(encoder.modules()) - frozen
    assert any(isinstance(module, nn.BatchNorm2d) for module in others)
    assert {module.training for module in others} == {True}
    assert {module.training for module in frozen} == {False}
    assert not any(module.training for module in encoder.eval().modules())


# Weights


@each
def test_the_weights_of_the_package_fit_and_come_with_their_history(name):
    file, encoder = FILES[name], build_encoder(name, None)
    stored = load_file(file)
    assert file.stat().st_size < 25e6
    assert {n: (t.shape, t.dtype) for n, t in stored.items()} == {
        n: (t.shape, t.dtype) for n, t in half_precision(encoder).items()
    }
    assert all(bool(torch.isfinite(t).all()) for t in stored.values())
    assert {t.dtype for t in stored.values() if t.ndim == 4} == {torch.float16}
    text = (SHIPPED / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(file.read_bytes()).hexdigest() in text
    assert file.name in text


def test_no_file_of_weights_is_forgotten():
    assert set(SHIPPED.glob("*.safetensors")) == set(FILES.values())


@each
def test_offline_weights_are_loaded_in_full_precision(name):
    encoder = build_encoder(name, "offline")
    assert encoder.weights_used == {"resnet18": "offline"}.get(name, "imagenet")
    for part, stored in load_file(FILES[name]).items():
        loaded = encoder.state_dict()[part]
        assert loaded.dtype in (torch.float32, torch.int64)
        assert torch.equal(loaded, stored.to(loaded.dtype))


@pytest.mark.parametrize(
    ("name", "deviations"),
    [
        ("resnet18", [1.55840, 2.87546, 1.86760, 2.00774, 0.72171]),
        # Of the published float32 weights in efficientnet-lite-pytorch 0.1.0.
        ("efficientnet_lite0", [9.06229, 12.21839, 10.48730, 5.75899, 3.47822]),
    ],
)
def test_no_two_tensors_of_the_package_have_changed_places(name, deviations):
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    waves = [((a * x + b * y) / 9).sin() / 2 + 0.5 for a, b in ((1, 2), (3, 0), (0, 1))]
    with torch.no_grad():
        features = build_encoder(name, "offline").double().eval()(torch.stack(waves)[None].double())
    assert [f.std().item() for f in features] == pytest.approx(deviations, rel=1e-3)


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError("no route to host"),
        RuntimeError("invalid hash value"),
        HTTPException("incomplete read"),
        pickle.UnpicklingError("invalid load key"),
    ],
)
def test_without_a_download_the_offline_weights_are_used_and_the_reason_is_said(
    monkeypatch, failure
):
    def fail(*_, **__):
        assert socket.getdefaulttimeout() == DOWNLOAD_PATIENCE
        raise failure

    monkeypatch.setattr(_api, "load_state_dict_from_url", fail)
    reason = failure.reason if isinstance(failure, urllib.error.URLError) else str(failure)
    with pytest.warns(UserWarning, match=reason) as seen:
        encoder = ResNetEncoder(weights="imagenet")
    assert len(seen) == 1
    assert seen[0].filename == __file__
    assert socket.getdefaulttimeout() is None
    assert encoder.weights_used == "offline"
    stored = load_file(FILES["resnet18"])["layer4.1.conv2.weight"].float()
    assert torch.equal(encoder.layer4[1].conv2.weight, stored)


def test_a_damaged_download_is_named_and_the_offline_weights_are_used(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.warns(UserWarning, match=rf"{re.escape(str(file))} is damaged, delete it"):
        assert ResNetEncoder("imagenet").weights_used == "offline"


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
    state["layer1.0.bn1.bias"][3] = math.inf
    state["layer1.0.bn1.weight"] = state["layer1.0.bn1.weight"].int()
    wanted = (
        "my file does not fit ResNetEncoder: bn1.running_var is missing, fc.bias is not wanted, "
        "layer1.0.bn1.bias is not finite, layer1.0.bn1.weight is of torch.int32 in place of "
        "torch.float32 and 1 more"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(wanted)}$"):
        load_exactly(encoder, state, "my file")
    del state["layer1.0.bn1.bias"], state["fc.bias"]
    with pytest.raises(ValueError, match=r"layer1.0.conv1.weight is \(64, 64, 1, 1\) in place of"):
        load_exactly(encoder, state)
    assert torch.equal(encoder.conv1.weight, before)


@each
def test_weights_of_ones_own_are_loaded_from_a_file(name, tmp_path):
    wanted = {
        part: torch.rand(t.shape).to(t)
        for part, t in build_encoder(name, None).state_dict().items()
    }
    file = tmp_path / "own.safetensors"
    save_file(wanted, file)
    encoder = build_encoder(name, file)
    assert encoder.weights_used == str(file)
    last = list(wanted)[-6]  # a convolution, or what follows it
    assert torch.equal(encoder.state_dict()[last], wanted[last])


@each
def test_what_holds_no_weights_is_named(name, tmp_path):
    with pytest.raises(ValueError, match="offline"):
        build_encoder(name, "imagenet21k")
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors is not there"):
        build_encoder(name, tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="is a folder: give a safetensors file"):
        build_encoder(name, tmp_path)
    (tmp_path / "bad.safetensors").write_text("weights")
    with pytest.raises(ValueError, match=r"bad\.safetensors is damaged or no safetensors file"):
        build_encoder(name, tmp_path / "bad.safetensors")
    (other,) = set(FILES) - {name}
    wanted = f"{FILES[other].name} does not fit {ENCODERS[name].__name__}: it has none of its names"
    with pytest.raises(ValueError, match=wanted):
        build_encoder(name, FILES[other])
