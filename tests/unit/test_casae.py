import pytest
import torch
from network_facts import layers, parameters, same, state
from test_training import samples_of, squares
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from course_utils.losses import weighted_cross_entropy
from course_utils.models.casae import CascadedAutoencoder, SegmentationAutoencoder
from course_utils.training import fit


def conv(inputs: int, outputs: int, side: int) -> int:
    return side * side * inputs * outputs + outputs


def counted_from_the_layer_list(inputs: int, classes: int, width: int) -> int:
    w = [inputs] + [width * 2**k for k in range(5)]
    encoder = sum(conv(w[k], w[k + 1], 3) + conv(w[k + 1], w[k + 1], 3) for k in range(5))
    up = sum(conv(w[k + 1], w[k], 2) for k in (4, 3, 2, 1))
    decoder = sum(conv(2 * w[k], w[k], 3) for k in (4, 3, 2, 1))
    decoder += sum(conv(w[k], w[k], 3) for k in (4, 3, 2))
    return encoder + up + decoder + conv(width, classes, 1)


def loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return weighted_cross_entropy(logits, mask, torch.tensor([0.2, 0.8]))


@pytest.mark.parametrize(
    ("inputs", "classes", "width"), [(1, 2, 64), (3, 2, 16), (1, 4, 8), (3, 5, 1)]
)
def test_the_parameters_are_those_of_the_layer_list(inputs, classes, width):
    with torch.device("meta"):
        casae = CascadedAutoencoder(inputs, classes, width=width)
    first = counted_from_the_layer_list(inputs, classes, width)
    second = counted_from_the_layer_list(classes - 1, classes, width)
    assert (parameters(casae.first), parameters(casae.second)) == (first, second)
    if width == 64:  # the paper's networks, as the docstrings say
        assert (first, first + second) == (30_993_730, 61_987_460)


def test_every_stage_has_the_size_and_the_channels_of_figure_3():
    shapes = {}
    with torch.device("meta"):
        network = SegmentationAutoencoder().to("meta")
        for name, module in network.named_modules():
            module.register_forward_hook(
                lambda _, inputs, output, name=name: shapes.update(
                    {name: (tuple(inputs[0].shape[1:]), tuple(output.shape[1:]))}
                )
            )
        network(torch.zeros(1, 1, 512, 512))
    sides, widths = (512, 256, 128, 64, 32), (64, 128, 256, 512, 1024)
    for level, (side, width) in enumerate(zip(sides, widths, strict=True)):
        assert shapes[f"encoder.{level}"][1] == (width, side, side)
    for step, (side, width) in enumerate(zip(sides[3::-1], widths[3::-1], strict=True)):
        assert shapes[f"upsample.{step}"][1] == (width, side, side)
        assert shapes[f"decoder.{step}"] == ((2 * width, side, side), (width, side, side))
    assert [len(layers(stage)) for stage in network.decoder] == [2, 2, 2, 1]
    assert shapes["head"][1] == (2, 512, 512)


def test_forward_is_the_same_network_written_by_hand():
    torch.manual_seed(0)
    network = SegmentationAutoencoder(3, 2, width=2).eval()
    encoder = [(c.weight, c.bias) for c in layers(network.encoder)]
    up = [(c.weight, c.bias) for c in layers(network.upsample)]
    down = [(c.weight, c.bias) for c in layers(network.decoder)]
    image = torch.rand(2, 3, 32, 48)

    x, skips = image, []
    for level, (first, second) in enumerate(((1, 1), (2, 1), (2, 1), (4, 1), (4, 1))):
        if level:
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = F.relu(F.conv2d(x, *encoder[2 * level], padding=first, dilation=first))
        x = F.relu(F.conv2d(x, *encoder[2 * level + 1], padding=second))
    for step in range(4):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = F.relu(F.conv2d(F.pad(x, (0, 1, 0, 1)), *up[step]))
        x = torch.cat([skips.pop(), x], dim=1)
        for _ in range(1 if step == 3 else 2):
            x = F.relu(F.conv2d(x, *down.pop(0), padding=1))
    assert not down
    torch.testing.assert_close(network(image), network.head(x))


@pytest.mark.parametrize(("atrous", "seen"), [(True, 296), (False, 140)])
def test_the_deepest_layer_sees_as_much_as_the_docstring_says(atrous, seen):
    network = SegmentationAutoencoder(width=1, atrous=atrous).double()
    for layer in layers(network):
        nn.init.ones_(layer.weight)
    network.pool = nn.AvgPool2d(2)  # a max-pool has a slope at one of its four pixels only
    image = torch.full((1, 1, 480, 480), 1e-9, dtype=torch.double, requires_grad=True)
    x = network.encoder[0](image)
    for level in range(1, 5):
        x = network.encoder[level](network.pool(x))
    x[0, 0, 15, 15].backward()
    touched = image.grad[0, 0].abs() > 0
    assert int(touched.any(dim=0).sum()) == int(touched.any(dim=1).sum()) == seen


def test_the_second_autoencoder_sees_the_defect_probability_of_the_first_alone():
    torch.manual_seed(0)
    casae = CascadedAutoencoder(3, width=2).eval()
    image = torch.rand(2, 3, 32, 32)
    logits = casae.first(image)
    probability = (logits[:, 1] - logits[:, 0]).sigmoid().unsqueeze(1)
    torch.testing.assert_close(casae.first_map(image), probability)
    torch.testing.assert_close(casae(image), casae.second(probability))
    assert layers(casae.second)[0].in_channels == 1


def test_several_kinds_of_defect_give_the_second_autoencoder_a_map_each():
    casae = CascadedAutoencoder(1, 4, width=2)
    maps = casae.first_map(torch.rand(1, 1, 16, 16))
    assert maps.shape == (1, 3, 16, 16)
    assert bool((maps.sum(dim=1) < 1).all())
    assert casae(torch.rand(1, 1, 16, 16)).shape == (1, 4, 16, 16)


@pytest.mark.parametrize("normalize", [False, True])
def test_each_stage_leaves_the_other_autoencoder_bit_for_bit_as_it_was(normalize):
    torch.manual_seed(0)
    casae = CascadedAutoencoder(width=2, normalize=normalize)
    batches = DataLoader(samples_of(squares()), batch_size=2)
    begun, second = state(casae.first), state(casae.second)
    fit(casae.stage(1), batches, loss, steps=3, device="cpu")
    first = state(casae.first)
    assert not same(begun, first)
    assert same(second, state(casae.second))
    fit(casae.stage(2), batches, loss, steps=3, weight_decay=0.1, device="cpu")
    assert same(first, state(casae.first))
    assert not same(second, state(casae.second))
    assert all(p.grad is None for p in casae.first.parameters())


def test_an_optimizer_that_keeps_old_gradients_cannot_move_the_frozen_autoencoder():
    torch.manual_seed(0)
    casae = CascadedAutoencoder(width=2)
    image, mask = torch.rand(1, 1, 16, 16), torch.zeros(1, 16, 16, dtype=torch.long)
    optimizer = torch.optim.AdamW(casae.parameters(), lr=0.1, weight_decay=0.1)
    loss(casae.stage(1)(image), mask).backward()
    casae.stage(2)
    frozen = state(casae.first)
    loss(casae(image), mask).backward()
    optimizer.step()
    assert same(frozen, state(casae.first))


def test_the_frozen_autoencoder_stays_in_eval_mode_until_stage_1_thaws_it():
    casae = CascadedAutoencoder(width=1, normalize=True)
    casae.stage(2).train()
    assert not any(module.training for module in casae.first.modules())
    assert all(module.training for module in casae.second.modules())
    casae.first.train()
    assert not any(module.training for module in casae.first.modules())
    assert casae.stage(1).train().training
    assert all(p.requires_grad for p in casae.parameters())


def test_the_start_values_keep_the_size_of_the_signal():
    torch.manual_seed(0)
    network = SegmentationAutoencoder(width=16)
    with torch.no_grad():
        x = network.encoder[0](torch.rand(1, 1, 64, 64))
        for level in range(1, 5):
            x = network.encoder[level](network.pool(x))
    assert 0.1 < x.square().mean().sqrt() < 10


def test_normalize_puts_one_batch_normalization_after_each_convolution_but_the_last():
    with_it, without = (SegmentationAutoencoder(width=2, normalize=n) for n in (True, False))
    norms = [m for m in with_it.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == len(layers(with_it)) - 1
    assert not any(isinstance(m, nn.BatchNorm2d) for m in without.modules())


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 16, 24), r"multiples of 16 .* pad or resize"),
        ((1, 1, 8, 8), r"multiples of 16 .* pad or resize"),
        ((1, 3, 16, 16), r"image must be \(N, 1, H, W\), got"),
        ((1, 16, 16), r"image must be \(N, 1, H, W\), got"),
    ],
)
def test_other_images_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        CascadedAutoencoder(width=1)(torch.zeros(shape))


def test_unusable_settings_are_refused():
    with pytest.raises(ValueError, match="at least 2, got 1"):
        CascadedAutoencoder(num_classes=1)
    with pytest.raises(ValueError, match="at least 1, got 1, 0"):
        CascadedAutoencoder(width=0)
    with pytest.raises(ValueError, match=r"stage must be 1 .* got 3"):
        CascadedAutoencoder(width=1).stage(3)
