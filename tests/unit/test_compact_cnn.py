import pytest
import torch
from network_facts import layers, parameters
from torch import nn
from torch.nn import functional as F

from course_utils.models.compact_cnn import CompactDefectCNN


def test_the_parameters_are_those_of_table_2():
    convolutions = ((11, 1, 96), (5, 96, 128), (3, 128, 256), (3, 256, 256), (3, 256, 128))
    full = ((5 * 5 * 128, 1000), (1000, 256), (256, 3))
    by_hand = sum(k * k * i * o + o for k, i, o in convolutions) + sum(i * o + o for i, o in full)
    by_hand += 2 * 96 + 2 * 128  # scale and shift of the two normalizations
    assert parameters(CompactDefectCNN()) == by_hand == 4_957_803


def test_every_layer_has_the_size_of_table_2():
    network, shapes = CompactDefectCNN().eval(), []
    for module in (*network.features, *network.classifier):
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.Linear):
            module.register_forward_hook(lambda *a: shapes.append(tuple(a[2].shape[1:])))
    network(torch.zeros(1, 1, 227, 227))
    maps = ((96, 55), (96, 27), (128, 23), (128, 11), (256, 11), (256, 11), (128, 11), (128, 5))
    assert shapes == [(c, s, s) for c, s in maps] + [(1000,), (256,), (3,)]


def test_forward_is_the_same_network_written_by_hand():
    torch.manual_seed(0)
    network = CompactDefectCNN(3, 5).eval()
    convolutions = layers(network.features)
    norms = layers(network.features, nn.BatchNorm2d)
    full = layers(network.classifier, nn.Linear)
    for norm in norms:
        norm.running_mean.uniform_()
        norm.running_var.uniform_(1, 2)
    crop = x = torch.rand(2, 3, 227, 227)
    for index, (stride, padding, pool) in enumerate(
        ((4, 0, True), (1, 0, True), (1, 1, False), (1, 1, False), (1, 1, True))
    ):
        layer = convolutions[index]
        x = F.conv2d(x, layer.weight, layer.bias, stride, padding)
        if index < 2:
            mean, std = norms[index].running_mean, (norms[index].running_var + 1e-5).sqrt()
            x = (x - mean[:, None, None]) / std[:, None, None]
        x = x.relu()
        x = F.max_pool2d(x, 3, 2) if pool else x
    x = x.flatten(1)
    for layer in full[:2]:
        x = (x @ layer.weight.T + layer.bias).relu()
    torch.testing.assert_close(network(crop), x @ full[2].weight.T + full[2].bias)


def test_nothing_is_dropped_out():
    assert not layers(CompactDefectCNN(), nn.Dropout)


def test_the_published_start_has_std_one_thousandth_in_every_layer():
    torch.manual_seed(0)
    for module in CompactDefectCNN(initialization="published").modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.001, rel=0.15)
            assert module.weight.mean().item() == pytest.approx(0, abs=2e-4)
            assert not module.bias.any()


def test_the_published_start_tells_no_image_from_another_and_he_does():
    def largest_std(initialization):
        torch.manual_seed(0)
        network = CompactDefectCNN(initialization=initialization)
        with torch.no_grad():
            return network(torch.rand(4, 1, 227, 227)).std(dim=0).max().item()

    assert largest_std("published") < 1e-8
    assert largest_std("he") > 1e-2


@pytest.mark.parametrize("shape", [(1, 1, 224, 224), (1, 3, 227, 227), (1, 227, 227)])
def test_other_shapes_are_refused_with_the_remedy(shape):
    with pytest.raises(ValueError, match=r"\(N, 1, 227, 227\), got .*crop_upright"):
        CompactDefectCNN()(torch.zeros(shape))


def test_unusable_settings_are_refused():
    with pytest.raises(ValueError, match="got 1, 1"):
        CompactDefectCNN(num_classes=1)
    with pytest.raises(ValueError, match=r"\('he', 'published'\), got 'xavier'"):
        CompactDefectCNN(initialization="xavier")
