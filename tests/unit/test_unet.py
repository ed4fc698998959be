"""U-Net against its layer table, against plain functional code, and against its own promises."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from network_facts import layers, parameters, same, state, unsettle
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.models import UNet, feature_shapes
from course_utils.models.encoders import ENCODERS

# Facts 2.1: channels and side, for images of 512 x 512.
PUBLISHED_DOWN = [(64, 512), (128, 256), (256, 128), (512, 64), (1024, 32)]
PUBLISHED_UP = [(512, 64), (256, 128), (128, 256), (64, 512)]


def on_paper(make=UNet, *arguments, **settings) -> UNet:
    """The network without any numbers: shapes alone, at any size, at once."""
    with torch.device("meta"):
        return make(*arguments, **settings)


def blank(*shape: int) -> Tensor:
    return torch.zeros(shape, device="meta")


def watched(network: UNet, image: Tensor) -> dict[nn.Module, Tensor]:
    """What each module returned."""
    seen: dict[nn.Module, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda m, _, out: seen.__setitem__(m, out.clone()))
        for module in network.modules()
    ]
    network(image)
    for hook in hooks:
        hook.remove()
    return seen


def small(seed: int = 0, **settings) -> UNet:
    torch.manual_seed(seed)
    network = UNet(1, 2, **{"width": 4, "depth": 2, **settings})
    unsettle(network)
    return network.eval()


def written_out(net: UNet, x: Tensor) -> Tensor:
    """The forward pass in plain functions, from the description of the paper."""

    padding = 1 if net.padding == "same" else 0

    def convolve(x, block):
        norms = layers(block, nn.BatchNorm2d) or [None] * 99
        for convolution, norm in zip(layers(block), norms, strict=False):
            if convolution.kernel_size == (2, 2):
                x = F.conv2d(x, convolution.weight, convolution.bias, padding="same")
            else:
                x = F.conv2d(x, convolution.weight, convolution.bias, padding=padding)
            if norm is not None:
                x = F.batch_norm(
                    x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
                )
            x = F.relu(x)
        return x

    if net.standardize_input:
        pixels = x.flatten(1)
        x = (x - pixels.mean(1).view(-1, 1, 1, 1)) / (pixels.std(1).view(-1, 1, 1, 1) + 0.01)
    seen = [x[:, :0], *net.encoder(x)] if net.encoder else []  # at full size it sees nothing
    for number, block in enumerate(net.down):
        x = convolve(F.max_pool2d(x, 2) if number else x, block)
        seen.append(x)
    x = seen.pop()
    for upsample, block, skip in zip(net.upsample, net.up, seen[::-1], strict=True):
        x = convolve(x.repeat_interleave(2, 2).repeat_interleave(2, 3), upsample)
        top, left = (skip.shape[2] - x.shape[2]) // 2, (skip.shape[3] - x.shape[3]) // 2
        skip = skip[:, :, top:, left:][:, :, : x.shape[2], : x.shape[3]]
        x = convolve(torch.cat([skip, x], 1) if net.skips else x, block)
    return F.conv2d(x, net.head.weight, net.head.bias)


# The published network


def test_the_published_network_has_the_parameters_of_the_layer_table():
    assert parameters(on_paper(UNet.published, 3, 4)) == 31_031_685 + 2 * 64 * 9 + 3 * 3
    assert f"{parameters(on_paper()) / 1e6:.1f} million parameters" in UNet.__doc__


def test_the_published_network_has_each_size_of_the_layer_table():
    net = on_paper(UNet.published)
    seen = watched(net, blank(1, 1, 512, 512))
    assert [seen[block].shape for block in net.down] == [(1, c, s, s) for c, s in PUBLISHED_DOWN]
    assert [seen[layer].shape for layer in net.upsample] == [(1, c, s, s) for c, s in PUBLISHED_UP]
    joined = [layers(block)[0].in_channels for block in net.up]
    assert joined == [1024, 512, 256, 128]
    after_two = [seen[layers(block)[1]].shape[1:3] for block in net.up]
    assert after_two == PUBLISHED_UP
    assert seen[net.up[-1]].shape == (1, 2, 512, 512)
    assert seen[net.head].shape == (1, 1, 512, 512)


def test_the_published_network_has_the_layers_of_the_table_and_no_others():
    net = on_paper(UNet.published)
    kernels = [module.kernel_size[0] for module in layers(net)]
    assert kernels == [3] * 10 + [2] * 4 + [3] * 9 + [1]
    assert all(module.bias is not None for module in layers(net))
    assert not layers(net, nn.BatchNorm2d)
    assert len(layers(net, nn.ReLU)) == 23  # after each convolution but the head
    assert not net.standardize_input


def test_dropout_of_a_half_ends_the_two_deepest_stages_and_no_other():
    net = on_paper(UNet.published)
    assert [len(layers(block, nn.Dropout)) for block in net.down] == [0, 0, 0, 1, 1]
    assert [block[-1].p for block in net.down[3:]] == [0.5, 0.5]
    assert not layers(net.upsample, nn.Dropout)
    assert not layers(net.up, nn.Dropout)


def test_the_skip_is_taken_after_dropout():
    torch.manual_seed(0)
    net = UNet(1, 1, width=4, normalize=False, dropout=0.5).train()
    received = {}
    net.up[0].register_forward_pre_hook(lambda _, inputs: received.update(joined=inputs[0].clone()))
    seen = watched(net, torch.rand(1, 1, 32, 32))
    dropped, before = seen[net.down[3]], seen[net.down[3][-2]]
    assert torch.equal(received["joined"][:, :32], dropped)
    assert not torch.equal(dropped, before)


# Start values


@pytest.mark.parametrize("make", [UNet, UNet.published])
def test_every_convolution_starts_from_its_own_fan_in_and_biases_from_0(make, monkeypatch):
    drawn = []

    def note(weight, std, a, b):
        drawn.append((weight, std, a, b))

    monkeypatch.setattr(nn.init, "trunc_normal_", note)
    net = on_paper(make)
    monkeypatch.undo()
    by_weight = {id(weight): rest for weight, *rest in drawn}
    for convolution in layers(net)[:-1]:
        std, low, high = by_weight[id(convolution.weight)]
        fan_in = convolution.in_channels * convolution.kernel_size[0] ** 2
        assert std * 0.8796256610342398 == pytest.approx(math.sqrt(2 / fan_in))
        assert (low, high) == (-2 * std, 2 * std)
    assert not any(c.bias.any() for c in layers(UNet(width=2, normalize=False)))
    assert UNet(width=1, prior=0.01).head.bias.sigmoid().item() == pytest.approx(0.01)


def test_the_head_starts_as_keras_starts_a_layer_without_relu():
    heads = [UNet(width=8, depth=1, num_classes=4).head.weight.detach() for _ in range(50)]
    bound = math.sqrt(6 / (8 + 4))  # Glorot, uniform
    largest = torch.stack(heads).abs().max().item()
    assert 0.95 * bound < largest <= bound


# Convolutions


VALID = {"padding": "valid", "normalize": False, "bottleneck": 3}
PRETRAINED = {"encoder": "efficientnet_lite0", "weights": "offline", "depth": None}


@pytest.mark.parametrize(
    ("settings", "height"),
    [
        ({}, 24),
        ({"depth": 1}, 24),
        ({"depth": 3, "skips": False}, 24),
        ({"normalize": False, "standardize_input": False, "dropout": 0.5, "bottleneck": 2}, 24),
        ({"bottleneck": 3}, 24),
        (VALID, 60),
        (VALID, 62),
        (PRETRAINED, 64),
        (PRETRAINED | {"encoder": "resnet18", "skips": False}, 64),
    ],
)
def test_it_equals_plain_functional_code(settings, height):
    net = small(**settings)
    image = torch.rand(2, 1, height, height + 4 * 2**net.depth) * torch.tensor([0.1, 1]).view(
        2, 1, 1, 1
    )
    wanted = written_out(net, image)
    assert wanted.std() > 0
    torch.testing.assert_close(net(image), wanted, rtol=1e-4, atol=1e-5)


# The original network


@given(
    height=st.integers(1, 260),
    width=st.integers(1, 260),
    depth=st.integers(1, 5),
    padding=st.sampled_from(["same", "valid"]),
    bottleneck=st.sampled_from([None, 2]),
)
def test_output_size_and_forward_agree_or_both_refuse(height, width, depth, padding, bottleneck):
    net = on_paper(in_channels=1, width=1, depth=depth, padding=padding, bottleneck=bottleneck)
    try:
        wanted = net.output_size(height, width)
    except ValueError:
        with pytest.raises(ValueError, match="sides"):
            net(blank(1, 1, height, width))
    else:
        assert net(blank(1, 1, height, width)).shape[2:] == wanted


# Sizes, channels, settings


HALVED = r"multiples of 16 \(the image is halved 4 times\), got {}: pad or resize to {}"


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 24, 32), HALVED.format(24, 32)),
        ((1, 1, 32, 40), HALVED.format(40, 48)),
        ((1, 1, 31, 32), HALVED.format(31, 32)),
        ((1, 3, 32, 32), r"image must be \(N, 1, H, W\), got"),
        ((1, 32, 32), r"image must be \(N, 1, H, W\), got"),
    ],
)
def test_other_images_are_refused_with_the_remedy(shape, message):
    with pytest.raises(ValueError, match=message):
        on_paper(in_channels=1)(blank(*shape))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_channels": 0}, "at least 1, got 0"),
        ({"num_classes": 0}, "at least 1"),
        ({"width": 0}, "at least 1"),
        ({"depth": 0}, "at least 1"),
        ({"bottleneck": 0}, "bottleneck must be at least 1, or None, got 0"),
        ({"padding": "reflect"}, "padding must be"),
        ({"weights": "offline"}, "weights are of an encoder, got 'offline' and no encoder"),
        ({"prior": 1.0}, "prior must lie"),
        ({"dropout": 1.5}, "dropout"),
        (PRETRAINED | {"depth": 5}, "without an encoder, got depth=5, padding='same'"),
        (PRETRAINED | {"padding": "valid"}, "without an encoder, got .* padding='valid'"),
        (PRETRAINED | {"dropout": 0.5}, r"without an encoder, got .* dropout=0\.5"),
        (PRETRAINED | {"bottleneck": 2}, "without an encoder, got .* bottleneck=2"),
        (PRETRAINED | {"encoder": "vgg"}, "encoder must be one of"),
        (PRETRAINED | {"weights": "own"}, "weights must be one of"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        UNet(**{"width": 1, **settings})


# With an encoder


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_an_encoder_takes_any_channels_and_gives_logits_of_each_pixel(name, channels):
    net = on_paper(UNet, channels, 4, width=2, encoder=name, weights=None)
    assert net(blank(2, channels, 96, 64)).shape == (2, 4, 96, 64)
    with pytest.raises(ValueError, match=rf"\(N, {channels}, H, W\), got"):
        net(blank(2, channels + 1, 64, 64))
    sides = r"multiples of 32 \(the image is halved 5 times\), got 80: pad or resize to 96"
    with pytest.raises(ValueError, match=sides):
        net(blank(2, channels, 64, 80))


@torch.no_grad()
def test_other_channels_are_first_seen_as_their_mean():
    gray = small(**PRETRAINED).double()
    four = UNet(4, 2, width=4, encoder="efficientnet_lite0", weights=None).double().eval()
    assert four.load_state_dict(gray.state_dict(), strict=False).missing_keys == ["to_rgb.weight"]
    image = torch.rand(2, 4, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(four(image), gray(image.mean(1, keepdim=True)))


@pytest.mark.parametrize("name", ENCODERS)
def test_its_encoder_starts_from_the_weights_that_were_asked_for(name):
    net = UNet(width=2, encoder=name, weights="offline")
    assert same(state(net.encoder), state(ENCODERS[name]("offline")))
    with pytest.raises(ValueError, match="without an encoder"):
        feature_shapes(net, 64)


@torch.no_grad()
@pytest.mark.parametrize("name", ENCODERS)
def test_a_copy_from_a_file_answers_alike(name, tmp_path):
    net = UNet(5, 2, width=2, encoder=name, weights="offline").eval()
    other = UNet(5, 2, width=2, encoder=name, weights=None).eval()
    torch.save(net.state_dict(), tmp_path / "net.pt")
    other.load_state_dict(torch.load(tmp_path / "net.pt"))
    images = torch.rand(3, 5, 64, 64)
    assert torch.equal(other(images), net(images))


# Invariances


@pytest.mark.parametrize("settings", [{}, PRETRAINED, PRETRAINED | {"encoder": "resnet18"}])
@pytest.mark.parametrize("channels", [1, 5])
def test_every_weight_learns(settings, channels):
    torch.manual_seed(0)
    net = UNet(channels, 2, **{"width": 4, "depth": 2, **settings}).train()
    F.cross_entropy(net(torch.rand(2, channels, 64, 64)), torch.ones(2, 64, 64).long()).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_what_changes_the_output_changes_the_printed_network():
    changes = ({}, {"standardize_input": False}, {"skips": False})
    assert len({UNet(width=2, **change).extra_repr() for change in changes}) == 3
    assert repr(UNet(width=2)) == repr(UNet(width=2))


# The sizes of its maps


def test_the_sizes_of_the_paper_are_found():
    # Figure 1 of Ronneberger et al. 2015, with a tenth of its channels.
    stages = feature_shapes(UNet(1, 2, width=6, padding="valid"), 572)
    assert [stage.height for stage in stages.down] == [568, 280, 136, 64, 28]
    assert [stage.height for stage in stages.upsampled] == [56, 104, 200, 392]
    assert [stage.height for stage in stages.up] == [52, 100, 196, 388]
    assert (stages.output.channels, stages.output.height) == (2, 388)


def test_channels_double_on_the_way_down_and_halve_on_the_way_up():
    stages = feature_shapes(UNet(3, 4, width=8, depth=3), 64, 32)
    assert [stage.channels for stage in stages.down] == [8, 16, 32, 64]
    assert [stage.channels for stage in stages.upsampled] == [32, 16, 8]
    assert [stage.channels for stage in stages.up] == [32, 16, 8]
    assert (stages.image.channels, stages.output.channels) == (3, 4)
    assert [(stage.height, stage.width) for stage in stages.down[:2]] == [(64, 32), (32, 16)]


def test_the_network_is_left_as_it_was():
    model = UNet(width=2, depth=1)
    before = state(model)
    feature_shapes(model, 16)
    assert model.training
    assert same(before, state(model))
    assert not any(module._forward_hooks for module in model.modules())


def test_sizes_that_the_network_refuses_are_refused():
    with pytest.raises(ValueError, match="multiples of 16"):
        feature_shapes(UNet(width=2), 100)
    with pytest.raises(ValueError, match="got 0"):
        feature_shapes(UNet(width=2), 64, 0)
