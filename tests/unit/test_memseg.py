"""MemSeg as a whole: its arrows, its memory, and what is frozen."""

import copy
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from network_facts import parameters, state
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.losses import memseg_loss
from course_utils.models import MemSeg, spatial_attention
from course_utils.models.encoders import ENCODERS
from course_utils.training import fit


def images(count: int, side: int = 32, channels: int = 3, seed: int = 0) -> Tensor:
    """Smooth pictures, each of another brightness."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 4, generator=random)
    base = torch.rand(count, 1, 1, 1, generator=random)
    return 0.5 * base + 0.5 * F.interpolate(coarse, size=(side, side), mode="bilinear")


@cache
def _built(**options) -> MemSeg:
    torch.manual_seed(0)
    return MemSeg(**{"weights": None, "memory_size": 3, **options})


def pristine(**options) -> MemSeg:
    return copy.deepcopy(_built(**options))


LITE = {"encoder": "efficientnet_lite0", "weights": "offline"}


def filled(**options) -> MemSeg:
    model = pristine(**options)
    if model.uses_memory:
        model.fill_memory(images(3))
    return model.eval()


@pytest.fixture(scope="module")
def filled_once() -> MemSeg:
    return filled()


@pytest.fixture
def model(filled_once) -> MemSeg:
    return copy.deepcopy(filled_once)


def batch(count: int = 2, side: int = 32, seed: int = 5) -> SimpleNamespace:
    random = torch.Generator().manual_seed(seed)
    mask = torch.randint(2, (count, side, side), generator=random)
    return SimpleNamespace(image=images(count, side, seed=seed), mask=mask)


# The figure


@torch.no_grad()
def test_each_arrow_has_the_shape_of_the_figure(model):
    seen: dict[str, object] = {}

    def keep(name):
        def hook(_, inputs, output):
            seen[name] = inputs, output

        return hook

    for name in ("encoder", "fusion", "decoder"):
        getattr(model, name).register_forward_hook(keep(name))
    model.memory.best_differences = lambda features: [2 * f for f in features]
    out = model(images(2, side=64))
    f0, f1, f2, f3, f4 = seen["encoder"][1]
    shapes = [tuple(f.shape[1:]) for f in (f0, f1, f2, f3, f4)]
    assert shapes == [(64, 32, 32), (64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    joined = seen["fusion"][0][0]
    assert [tuple(c.shape[1:]) for c in joined] == [(128, 16, 16), (256, 8, 8), (512, 4, 4)]
    for c, f in zip(joined, (f1, f2, f3), strict=True):  # features first, then differences
        assert torch.equal(c, torch.cat([f, 2 * f], 1))
    deep, weighed, stem = seen["decoder"][0]
    assert torch.equal(deep, f4)
    assert torch.equal(stem, f0)
    m3 = (2 * f3).mean(1, keepdim=True)
    grow = nn.UpsamplingBilinear2d(scale_factor=2)
    m2 = (2 * f2).mean(1, keepdim=True) * grow(m3)
    m1 = (2 * f1).mean(1, keepdim=True) * grow(m2)
    for c, m, w in zip(seen["fusion"][1], (m1, m2, m3), weighed, strict=True):
        torch.testing.assert_close(w, c * m)
    assert out.shape == (2, 2, 64, 64)


def test_the_published_network_has_19_05_million_parameters():
    with torch.device("meta"):
        published, ours = MemSeg(weights=None, published_code=True), MemSeg(weights=None)
    assert parameters(published.encoder) == 11_176_512
    assert parameters(published.fusion) == 5_825_312
    assert round(parameters(published.decoder) / 1e6, 2) == 2.04
    assert parameters(published) == 19_045_170
    assert parameters(ours.encoder) == 11_176_512


# The memory


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (images(2), "needs 3 normal images"),
        (images(3)[0], "needs 3 normal images"),
        (255 * images(3), "divide first"),
        (images(3, side=80), "multiples of 32"),
        ((255 * images(3)).to(torch.uint8), "floating point"),
    ],
)
def test_images_that_make_no_memory_are_refused_and_leave_the_mode(model, given, problem):
    model.train()
    with pytest.raises(ValueError, match=problem):
        model.fill_memory(given)
    assert model.encoder.layer4.training


def test_no_memory_and_one_of_another_size_are_refused(model):
    with pytest.raises(RuntimeError, match=r"fill_memory\(images\) with 3"):
        pristine()(images(1))
    with pytest.raises(ValueError, match="same size"):
        model(images(1, side=96))
    with pytest.raises(ValueError, match="at least 1"):
        MemSeg(weights=None, memory_size=0)


def test_the_memory_holds_the_features_of_the_first_images_or_of_drawn_ones(model):
    many = images(9, seed=3)
    with torch.no_grad():
        level3 = model.encoder.first_four(many)[3].permute(0, 2, 3, 1).flatten(2)
    model.fill_memory(many)
    torch.testing.assert_close(model.memory.level3, level3[:3])
    model.fill_memory(many, generator=torch.Generator().manual_seed(1))
    chosen = torch.randperm(9, generator=torch.Generator().manual_seed(1))[:3]
    torch.testing.assert_close(model.memory.level3, level3[chosen])
    assert chosen.tolist() != [0, 1, 2]


@pytest.mark.parametrize("published_code", [False, True])
def test_filling_leaves_the_mode_and_the_statistics(published_code):
    model = pristine(published_code=published_code)
    before = {name: b.clone() for name, b in model.encoder.named_buffers()}
    for mode in (True, False):
        model.train(mode).fill_memory(images(3))
        assert model.encoder.layer4.training is model.training is mode
    assert all(torch.equal(b, before[name]) for name, b in model.encoder.named_buffers())


@torch.no_grad()
def test_a_memory_of_other_weights_is_refused_until_it_is_filled_again(model):
    image = images(1)
    model(image)
    other = pristine()
    other.encoder.layer1[0].conv1.weight[0, 0, 0, 0] += 1e-3
    model.encoder.load_state_dict(other.encoder.state_dict())
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"other weights.*fill_memory\(images\) again"):
            model(image)
    model.fill_memory(images(3))
    assert model(image).shape == (1, 2, 32, 32)


@torch.no_grad()
def test_a_change_of_precision_asks_for_a_new_memory(model):
    model.to(torch.float64)
    with pytest.raises(RuntimeError, match="another precision"):
        model(images(1).double())
    model.fill_memory(images(3))
    assert model(images(1).double()).dtype == torch.float64


@torch.no_grad()
def test_what_changes_no_value_needs_no_new_memory(model):
    image = images(2)
    wanted = model(image)
    model.encoder.load_state_dict(copy.deepcopy(model.encoder.state_dict()))
    assert torch.equal(model(image), wanted)
    assert torch.equal(copy.deepcopy(model)(image), wanted)
    reordered = model.to(memory_format=torch.channels_last)
    image = image.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(reordered(image), wanted, rtol=1e-3, atol=1e-4)


def test_the_weights_are_read_once_and_not_at_each_step(model, monkeypatch):
    from course_utils.models.memseg import network

    counted = []
    real = network.fingerprint
    monkeypatch.setattr(network, "fingerprint", lambda t: counted.append(1) or real(t))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(3):
        memseg_loss(model.train()(batch().image), batch().mask).backward()
        optimizer.step()
    model.eval()(images(1))
    assert len(counted) == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("nearest", "per_level"),
        ("difference", "absolute"),
        ("memory", False),
        ("spatial_maps", "scaled"),
        ("spatial_maps", None),
    ],
)
def test_weights_of_another_variant_are_refused(option, value):
    other = pristine(**LITE, **{option: value})
    with pytest.raises(ValueError, match=f"this one has {option}={value!r}"):
        other.load_state_dict(pristine(**LITE).state_dict())


@pytest.mark.parametrize(
    ("option", "value"), [("memory", False), ("attention", False), ("spatial_maps", "scaled")]
)
def test_a_variant_tells_what_it_is(option, value):
    # `fit` compares this when a training goes on from a checkpoint.
    with torch.device("meta"):
        assert f"{option}={value!r}" in MemSeg(weights=None, **{option: value}).extra_repr()


def test_a_memory_filled_under_autocast_is_the_same(model):
    with torch.autocast("cpu", torch.bfloat16):
        other = pristine()
        other.fill_memory(images(3))
    assert other.memory.level1.dtype == torch.float32
    assert torch.equal(other.memory.level1, model.memory.level1)


def test_a_state_brings_its_memory_whatever_its_size(model):
    other = pristine()
    other.memory_size = 5
    other.fill_memory(images(5, seed=9))
    for target in (model, pristine()):
        target.load_state_dict(other.state_dict())
        assert len(target.memory) == 5
        image = images(2, seed=4)
        assert torch.equal(target.eval()(image), other.eval()(image))


# Carried elsewhere


@pytest.fixture
def one_process():
    """A group of one: what is sent can be counted without starting others."""
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_on_several_devices_the_memory_is_not_sent_at_each_step(model, one_process):
    wrapped = nn.parallel.DistributedDataParallel(model)
    sent = []
    wrapped._distributed_broadcast_coalesced = lambda buffers, *_: sent.extend(buffers)
    memseg_loss(wrapped.train()(batch().image), batch().mask).backward()
    kept = [model.memory_fingerprint, *model.memory.buffers()]
    assert len(kept) == 5
    assert any(buffer is model.encoder.bn1.running_mean for buffer in sent)
    assert not any(buffer is other for buffer in sent for other in kept)


@torch.no_grad()
def test_an_empty_batch_has_an_empty_answer(model):
    assert model(images(0)).shape == (0, 2, 32, 32)


# Frozen


@pytest.mark.parametrize("options", [{}, LITE])
def test_training_changes_the_last_scale_fusion_and_decoder_and_nothing_that_is_frozen(options):
    model = filled(**options)
    before = state(model)
    fit(model, [batch()], memseg_loss, steps=2, device="cpu", precision="32-true")
    now = model.state_dict()
    frozen = tuple(f"encoder.{name}." for name in model.encoder.FROZEN)
    for name in before:
        if name.startswith((*frozen, "memory")):
            assert torch.equal(now[name], before[name]), name
        elif before[name].is_floating_point() and float(before[name].abs().max()):
            assert not torch.equal(now[name], before[name]), name
    assert not any(p.requires_grad for n, p in model.named_parameters() if n.startswith(frozen))
    assert all(p.requires_grad for n, p in model.named_parameters() if not n.startswith(frozen))


# For comparison


@torch.no_grad()
def test_without_memory_the_differences_are_0_and_no_map_weighs():
    model = pristine(memory=False).eval()
    assert parameters(model) == parameters(pristine())
    image = images(2)
    f0, f1, f2, f3, f4 = model.encoder(image)
    joined = [torch.cat([f, torch.zeros_like(f)], 1) for f in (f1, f2, f3)]
    torch.testing.assert_close(model(image), model.decoder(f4, model.fusion(joined), f0))


def decoded(model: MemSeg, image: Tensor, *, maps: bool) -> Tensor:
    """Join, fuse and decode, step by step; with maps, each is divided by its mean."""
    f0, f1, f2, f3, f4 = model.encoder(image)
    differences = model.memory.best_differences([f1, f2, f3])
    joined = [torch.cat(pair, 1) for pair in zip([f1, f2, f3], differences, strict=True)]
    fused = model.fusion(joined)
    if maps:
        every = [one / one.mean((2, 3), keepdim=True) for one in spatial_attention(differences)]
        fused = [c * one for c, one in zip(fused, every, strict=True)]
    return model.decoder(f4, fused, f0)


@torch.no_grad()
@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("maps", ["scaled", None])
def test_attention_and_maps_are_left_out_one_by_one(attention, maps):
    model = filled(**LITE, attention=attention, spatial_maps=maps)
    assert any("attention" in name for name, _ in model.named_parameters()) is attention
    image = images(2, seed=4)
    wanted = decoded(model, image, maps=maps is not None)
    torch.testing.assert_close(model(image), wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"spatial_maps must be one of .*, got 'sum'"):
        MemSeg(spatial_maps="sum")


@torch.no_grad()
def test_of_an_image_of_the_memory_scaled_maps_leave_nothing():
    model = filled(**LITE, spatial_maps="scaled")
    model.memory.best_differences = lambda features: [torch.zeros_like(f) for f in features]
    f0, f1, f2, f3, f4 = model.encoder(images(3))
    nothing = [torch.zeros_like(f) for f in (f1, f2, f3)]
    assert torch.equal(model(images(3)), model.decoder(f4, nothing, f0))


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("maps", [None, "product", "scaled"])
def test_every_form_of_the_maps_trains_in_bfloat16(name, maps):
    model = filled(encoder=name, weights="offline")
    model.spatial_maps = maps
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.train()(batch().image)
    memseg_loss(logits, batch().mask).backward()
    assert logits.isfinite().all()
    for part, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.isfinite().all(), part
        else:
            assert parameter.grad is None, part
    assert model.fusion.up32[0].weight.grad.any()


def test_the_published_code_drifts_away_from_its_memory():
    model = pristine(published_code=True)
    model.fill_memory(images(3))
    image = images(2, seed=4)
    before = model.encoder.eval().first_four(image)[3].detach()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for seed in range(4):
        model.train()
        optimizer.zero_grad()
        memseg_loss(model(batch(seed=seed).image), batch().mask, double_softmax=True).backward()
        optimizer.step()
    assert model.encoder.conv1.weight.grad is not None
    assert model.encoder.layer1[0].conv1.weight.grad is None
    after = model.encoder.eval().first_four(image)[3].detach()
    assert float((after - before).norm() / before.norm()) > 0.1
