"""U-Net against its layer table, against plain functional code, and against its own promises."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.models import UNet, double_convolution, up_convolution
from course_utils.models.blocks import he_normal

# Facts 2.1: channels and side, for images of 512 x 512.
PUBLISHED_DOWN = [(64, 512), (128, 256), (256, 128), (512, 64), (1024, 32)]
PUBLISHED_UP = [(512, 64), (256, 128), (128, 256), (64, 512)]


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


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
    with torch.no_grad():  # biases and statistics that are not 0 and 1, so that each one counts
        for name, values in [*network.named_parameters(), *network.named_buffers()]:
            if name.endswith("bias") or "running_mean" in name:
                values.normal_(std=0.3)
            elif "running_var" in name:
                values.uniform_(0.5, 2)
    return network.eval()


def layers(block: nn.Module, kind: type = nn.Conv2d) -> list:
    return [module for module in block.modules() if isinstance(module, kind)]


def written_out(net: UNet, x: Tensor, *, same: bool = True, standardized: bool) -> Tensor:
    """The forward pass in plain functions, from the description of the paper."""

    def convolve(x, block):
        norms = layers(block, nn.BatchNorm2d) or [None] * 99
        for convolution, norm in zip(layers(block), norms, strict=False):
            if convolution.kernel_size == (2, 2):
                x = F.conv2d(x, convolution.weight, convolution.bias, padding="same")
            else:
                x = F.conv2d(x, convolution.weight, convolution.bias, padding=1 if same else 0)
            if norm is not None:
                x = F.batch_norm(
                    x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
                )
            x = F.relu(x)
        return x

    if standardized:
        pixels = x.flatten(1)
        x = (x - pixels.mean(1).view(-1, 1, 1, 1)) / (pixels.std(1).view(-1, 1, 1, 1) + 0.01)
    seen = []
    for number, block in enumerate(net.down):
        x = convolve(F.max_pool2d(x, 2) if number else x, block)
        seen.append(x)
    for grow, block, skip in zip(net.upsample, net.up, seen[-2::-1], strict=True):
        x = convolve(x.repeat_interleave(2, 2).repeat_interleave(2, 3), grow)
        top, left = (skip.shape[2] - x.shape[2]) // 2, (skip.shape[3] - x.shape[3]) // 2
        skip = skip[:, :, top:, left:][:, :, : x.shape[2], : x.shape[3]]
        x = convolve(torch.cat([skip, x], 1) if net.skips else x, block)
    return F.conv2d(x, net.head.weight, net.head.bias)


# The published network


def test_the_published_network_has_the_parameters_of_the_layer_table():
    net = on_paper(UNet.published)
    assert parameters(net) == 31_031_685
    assert parameters(on_paper(UNet.published, 3, 4)) == 31_031_685 + 2 * 64 * 9 + 3 * 3


def test_the_published_network_has_each_size_of_the_layer_table():
    net = on_paper(UNet.published)
    seen = watched(net, blank(1, 1, 512, 512))
    assert [seen[block].shape for block in net.down] == [(1, c, s, s) for c, s in PUBLISHED_DOWN]
    assert [seen[grow].shape for grow in net.upsample] == [(1, c, s, s) for c, s in PUBLISHED_UP]
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


def test_the_published_network_ends_in_two_channels_with_relu_and_a_bare_logit():
    net = on_paper(UNet.published)
    *_, before, relu = net.up[-1]
    assert (before.in_channels, before.out_channels, before.kernel_size) == (64, 2, (3, 3))
    assert isinstance(relu, nn.ReLU)
    assert isinstance(net.head, nn.Conv2d)
    assert (net.head.in_channels, net.head.out_channels) == (2, 1)


def test_logits_come_out_and_no_probabilities():
    net = small(dropout=0.5, bottleneck=2, normalize=False)
    with torch.no_grad():
        net.head.bias.fill_(-7.0)
    assert bool((net(torch.rand(1, 1, 8, 8)) < 0).any())


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


def test_dropout_ends_with_training():
    net = small(dropout=0.5)
    image = torch.rand(1, 1, 16, 16)
    assert torch.equal(net(image), net(image))
    net.train()
    assert not torch.equal(net(image), net(image))


# Start values


def test_weights_init_prior_bias_a_normal_cut_at_two_spreads():
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 200, 3)
    he_normal(layer)
    wanted = math.sqrt(2 / (64 * 9))
    weights = layer.weight.detach().flatten()
    assert weights.std().item() == pytest.approx(wanted, rel=0.01)
    assert weights.mean().item() == pytest.approx(0, abs=0.01 * wanted)
    # A normal with spread s before the cut has spread .8796 s after it, and ends at 2 s.
    cut = 2 * wanted / 0.8796256610342398
    assert 0.98 * cut < weights.abs().max().item() <= cut * (1 + 1e-6)
    # Of an uncut normal, 68.3 % lie within one spread; cut at two, 71.5 % within half the end.
    assert (weights.abs() < cut / 2).float().mean().item() == pytest.approx(0.7152, abs=0.005)
    assert not layer.bias.any()


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
        spread, low, high = by_weight[id(convolution.weight)]
        fan_in = convolution.in_channels * convolution.kernel_size[0] ** 2
        assert spread * 0.8796256610342398 == pytest.approx(math.sqrt(2 / fan_in))
        assert (low, high) == (-2 * spread, 2 * spread)
    assert not any(c.bias.any() for c in layers(UNet(width=2, normalize=False)))


def test_the_head_starts_as_keras_starts_a_layer_without_relu():
    heads = [UNet(width=8, depth=1, num_classes=4).head.weight.detach() for _ in range(50)]
    bound = math.sqrt(6 / (8 + 4))  # Glorot, uniform
    largest = torch.stack(heads).abs().max().item()
    assert 0.95 * bound < largest <= bound


# Convolutions


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_a_two_by_two_convolution_pads_right_and_bottom_only():
    torch.manual_seed(0)
    grow = up_convolution(3, 2, normalize=False)
    convolution = layers(grow)[0]
    x = torch.randn(2, 3, 5, 6)
    large = F.interpolate(x, scale_factor=2)
    wanted = F.relu(F.conv2d(large, convolution.weight, convolution.bias, padding="same"))
    assert grow(x).shape == (2, 2, 10, 12)
    torch.testing.assert_close(grow(x), wanted)
    with torch.no_grad():
        convolution.weight.fill_(1.0)
        convolution.bias.zero_()
    assert grow(torch.ones(1, 3, 1, 1))[0, 0].tolist() == [[12, 6], [6, 3]]


@pytest.mark.parametrize(("padding", "side"), [("same", 9), ("valid", 5)])
def test_a_double_convolution_keeps_the_size_or_takes_four(padding, side):
    found = double_convolution(2, 3, padding=padding)(torch.rand(1, 2, 9, 9))
    assert found.shape == (1, 3, side, side)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"depth": 1},
        {"depth": 3, "skips": False},
        {"normalize": False, "standardize_input": False, "dropout": 0.5, "bottleneck": 2},
        {"bottleneck": 3},
    ],
)
def test_it_equals_plain_functional_code(settings):
    net = small(**settings)
    image = torch.rand(2, 1, 24, 40) * torch.tensor([0.1, 1]).view(2, 1, 1, 1)
    wanted = written_out(net, image, standardized=net.standardize_input)
    assert wanted.std() > 0
    torch.testing.assert_close(net(image), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [60, 62])
def test_without_padding_it_equals_plain_functional_code(side):
    net = small(padding="valid", normalize=False, bottleneck=3)
    image = torch.rand(1, 1, side, side + 6)
    wanted = written_out(net, image, same=False, standardized=True)
    torch.testing.assert_close(net(image), wanted, rtol=1e-4, atol=1e-5)


def test_the_published_network_equals_plain_functional_code():
    torch.manual_seed(0)
    net = on_paper(UNet.published).to_empty(device="cpu").eval()
    with torch.no_grad():
        for values in net.parameters():  # drawing 31 million cut normals takes seconds
            bound = math.sqrt(6 / values[0].numel())
            values.uniform_(-bound, bound) if values.ndim > 1 else values.uniform_(-0.3, 0.3)
    image = torch.rand(1, 1, 32, 32)
    wanted = written_out(net, image, standardized=False)
    assert wanted.std() > 0
    torch.testing.assert_close(net(image), wanted, rtol=1e-4, atol=1e-5)


# The original network


@pytest.mark.parametrize(("given", "left"), [(572, 388), (512, 324)])
def test_the_original_network_leaves_what_its_paper_says(given, left):
    net = on_paper(UNet.original)
    assert net(blank(1, 1, given, given)).shape == (1, 2, left, left)
    assert net.output_size(given, given) == (left, left)


def test_crops_are_centered():
    # One channel whose convolutions pass the middle pixel on: the output is the image's middle.
    net = UNet(
        1, 1, width=1, depth=1, padding="valid", normalize=False, standardize_input=False
    ).eval()
    with torch.no_grad():
        for convolution in layers(net):
            convolution.weight.zero_()
        for block in (*net.down[:1], *net.up):
            for convolution in layers(block):
                convolution.weight[0, 0, 1, 1] = 1  # of the skip, which is the first channel
        net.head.weight.fill_(1)
    image = torch.rand(1, 1, 20, 22)
    found = net(image)
    border = (20 - found.shape[2]) // 2
    assert found.shape[2:] == net.output_size(20, 22)
    assert torch.equal(found, image[:, :, border:-border, border:-border])


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


def test_the_smallest_image_without_padding_leaves_pixels_and_a_smaller_one_raises():
    net = on_paper(UNet.original)
    sides = []
    for side in range(1, 200):
        try:
            sides.append(net.output_size(side, side)[0])
        except ValueError:
            assert not sides, "a larger image is refused"
    assert min(sides) == sides[0] == 4
    with pytest.raises(ValueError, match="sides of 100 pixels are too few"):
        net(blank(1, 1, 100, 572))


# Sizes, channels, settings


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("skips", [True, False])
def test_every_depth_works_on_its_smallest_image(depth, skips):
    net = UNet(2, 3, width=2, depth=depth, skips=skips).eval()
    assert net(torch.rand(1, 2, 2**depth, 3 * 2**depth)).shape == (1, 3, 2**depth, 3 * 2**depth)


@pytest.mark.parametrize(("height", "width", "wrong"), [(24, 32, 24), (32, 40, 40), (31, 32, 31)])
def test_sides_that_cannot_be_halved_are_refused_with_the_remedy(height, width, wrong):
    message = rf"multiples of 16 \(the image is halved 4 times\), got {wrong}: pad or resize first"
    with pytest.raises(ValueError, match=message):
        on_paper(in_channels=1)(blank(1, 1, height, width))


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 32, 32), (32, 32)])
def test_other_channels_and_axes_are_refused(shape):
    with pytest.raises(ValueError, match=r"image must be \(N, 1, H, W\), got"):
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
        ({"prior": 1.0}, "prior must lie"),
        ({"dropout": 1.5}, "dropout"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        UNet(**{"width": 1, **settings})


def test_without_skips_the_way_up_sees_only_the_deepest_stage():
    net = small(skips=False)
    with torch.no_grad():
        for values in net.down[-1].parameters():
            values.zero_()
    first, second = net(torch.rand(1, 1, 16, 16)), net(torch.rand(1, 1, 16, 16))
    assert torch.equal(first, second)
    joined = small(skips=True)
    with torch.no_grad():
        for values in joined.down[-1].parameters():
            values.zero_()
    assert not torch.equal(joined(torch.rand(1, 1, 16, 16)), joined(torch.rand(1, 1, 16, 16)))


def test_the_default_is_as_slim_as_its_docstring_says():
    assert f"{parameters(on_paper()) / 1e6:.1f} million parameters" in UNet.__doc__


def test_a_prior_sets_the_bias_of_the_head():
    assert UNet(width=1, prior=0.01).head.bias.sigmoid().item() == pytest.approx(0.01)


# Invariances


def test_the_batch_that_an_image_is_in_does_not_matter_once_trained():
    net = small()
    images = torch.rand(5, 1, 16, 24)
    apart = torch.cat([net(images[:1]), net(images[1:3]), net(images[3:])])
    torch.testing.assert_close(net(images), apart, rtol=1e-4, atol=1e-6)


def test_memory_layout_makes_no_difference():
    net, images = small(), torch.rand(2, 1, 16, 24)
    wanted = net(images)
    net.to(memory_format=torch.channels_last)
    found = net(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_brightness_and_contrast_hardly_matter_unless_told():
    image = torch.rand(1, 1, 16, 16)
    plain, blind = small(standardize_input=False), small()
    assert (blind(image) - blind(2 * image + 0.3)).abs().max() < 0.3
    assert (plain(image) - plain(2 * image + 0.3)).abs().max() > 0.3


def test_every_weight_learns():
    net = small().train()
    F.cross_entropy(net(torch.rand(2, 1, 16, 16)), torch.ones(2, 16, 16).long()).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("change", [{"standardize_input": False}, {"skips": False}])
def test_what_changes_the_output_changes_the_printed_network(change):
    assert repr(UNet(width=2)) == repr(UNet(width=2))
    assert UNet(width=2).extra_repr() != UNet(width=2, **change).extra_repr()
