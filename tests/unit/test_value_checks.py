"""Every network and loss: in half precision, compiled, exported, and on a GPU without one."""

import inspect

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils._pytree import tree_leaves, tree_map_only

from course_utils import losses, models
from course_utils.value_checks import values_can_be_read

MASK = torch.tensor([[[0, 1], [1, 0]], [[0, 0], [0, 0]]])  # (N, H, W)
BINARY = torch.linspace(-2, 2, 8).view(2, 1, 2, 2), MASK[:, None].float()
CLASSES = torch.linspace(-2, 2, 16).view(2, 2, 2, 2), MASK
VOID = torch.tensor([[[0, 1], [255, 0]], [[255, 255], [255, 255]]])
VOID_BINARY, VOID_CLASSES = (BINARY[0], VOID[:, None]), (CLASSES[0], VOID)
WEIGHTS = torch.tensor([0.2, 0.8])
STAGES = (
    (BINARY[0], BINARY[0].amax((1, 2, 3))),
    losses.TwoStageTarget(
        BINARY[1], 1 + BINARY[1], torch.tensor([1.0, 0.0]), torch.tensor([True, True])
    ),
)
LOSSES = {
    "BinaryFocalLoss": (losses.BinaryFocalLoss, BINARY),
    "DiceLoss": (losses.DiceLoss, CLASSES),
    "DiceLoss of one class": (losses.DiceLoss, BINARY),
    "void, BinaryFocalLoss": (lambda: losses.BinaryFocalLoss(ignore_index=255), VOID_BINARY),
    "void, DiceLoss": (lambda: losses.DiceLoss(ignore_index=255), VOID_CLASSES),
    "void, SoftmaxFocalLoss": (lambda: losses.SoftmaxFocalLoss(ignore_index=255), VOID_CLASSES),
    "void, WeightedCrossEntropy": (
        lambda: losses.WeightedCrossEntropy(WEIGHTS, normalise="weights", ignore_index=255),
        VOID_CLASSES,
    ),
    "MemSegLoss": (losses.MemSegLoss, CLASSES),
    "MemSegLoss, softmax twice": (lambda: losses.MemSegLoss(double_softmax=True), CLASSES),
    "SoftmaxFocalLoss": (lambda: losses.SoftmaxFocalLoss(class_weights=WEIGHTS), CLASSES),
    "TwoStageLoss": (lambda: losses.TwoStageLoss(epochs=2, steps_per_epoch=2), STAGES),
    "WeightedCrossEntropy": (
        lambda: losses.WeightedCrossEntropy(WEIGHTS, normalise="weights"),
        CLASSES,
    ),
    "tversky_loss": (lambda: losses.tversky_loss, CLASSES),
}


def test_no_loss_is_forgotten():
    modules = {n for n in losses.__all__ if isinstance(getattr(losses, n), type)}
    assert modules - {"TwoStageTarget"} <= set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_logits_are_computed_in_float32_and_pull_back_as_they_came(name):
    make, (logits, target) = LOSSES[name]
    half = tree_map_only(Tensor, lambda each: each.bfloat16().requires_grad_(), logits)
    loss = make()(half, target)
    assert loss.dtype == torch.float32
    wide = tree_map_only(Tensor, lambda each: each.detach().float(), half)
    torch.testing.assert_close(loss, make()(wide, target))
    loss.backward()
    assert {each.grad.dtype for each in tree_leaves(half)} == {torch.bfloat16}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_loss_is_one_graph_and_gives_the_same(name):
    torch.compiler.reset()
    make, (logits, target) = LOSSES[name]
    ours, compiled = make(), torch.compile(make(), backend="eager", fullgraph=True)
    for _ in range(3):  # the third is in the second epoch of the schedule
        torch.testing.assert_close(compiled(logits, target), ours(logits, target))


def call_on_gpu(function, *arguments):
    """Call with all arguments, weights and buffers as fake tensors on a GPU that need not exist.

    A tensor of the CPU that slips in is an error at the operation that meets it.
    """
    with FakeTensorMode():
        arguments = tree_map_only(Tensor, on_gpu, arguments)
        if not isinstance(function, nn.Module):
            return function(*arguments)
        held = {**dict(function.named_parameters()), **dict(function.named_buffers())}
        return functional_call(function, tree_map_only(Tensor, on_gpu, held), arguments)


def on_gpu(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_on_a_gpu_stays_there(name):
    make, pair = LOSSES[name]
    assert call_on_gpu(make(), *pair).device.type == "cuda"


def filled_memseg(**options) -> nn.Module:
    model = models.MemSeg(weights=None, memory_size=2, **options)
    channels = model.encoder.channels[1:4]
    model.memory.fill([torch.empty(2, c, 16 >> i, 16 >> i) for i, c in enumerate(channels)])
    return model


def filled_patches(**options) -> nn.Module:
    model = models.NearestPatches(weights=None, **options)
    model.patches = torch.empty(50, model.patches.shape[1])
    return model


def filled_bank() -> nn.Module:
    bank = models.MemoryBank(1)
    bank.fill([torch.empty(3, 2, 4, 4)])
    bank.forward = lambda x: bank.best_differences([x])[0]  # it has none of its own
    return bank


NETWORKS = {
    "CascadedAutoencoder": (lambda: models.CascadedAutoencoder(width=2), (2, 1, 32, 32)),
    "CompactDefectCNN": (models.CompactDefectCNN, (2, 1, 227, 227)),
    "CoordinateAttention": (lambda: models.CoordinateAttention(8), (2, 8, 4, 6)),
    "EfficientNetEncoder": (lambda: models.EfficientNetEncoder(weights=None), (2, 1, 64, 64)),
    "FeatureNorm": (lambda: models.FeatureNorm(3), (2, 3, 4, 4)),
    "FeatureNorm, published": (lambda: models.FeatureNorm(3, kind="published"), (2, 3, 4, 4)),
    "MemSeg": (filled_memseg, (2, 3, 64, 64)),
    "MemSeg, EfficientNet-Lite0, scaled maps": (
        lambda: filled_memseg(encoder="efficientnet_lite0", spatial_maps="scaled"),
        (2, 1, 64, 64),
    ),
    "MemSeg, per level": (
        lambda: filled_memseg(nearest="per_level", difference="absolute"),
        (2, 1, 64, 64),
    ),
    "MemSeg, published": (lambda: filled_memseg(published_code=True), (2, 3, 64, 64)),
    "MemoryBank": (filled_bank, (2, 2, 4, 4)),
    "MultiScaleFeatureFusion": (
        lambda: models.MultiScaleFeatureFusion((4, 8, 16)),
        ((2, 4, 8, 8), (2, 8, 4, 4), (2, 16, 2, 2)),
    ),
    "NearestPatches": (filled_patches, (2, 3, 64, 64)),
    "NearestPatches, ResNet-18": (lambda: filled_patches(encoder="resnet18"), (2, 3, 64, 64)),
    "ResNetEncoder": (lambda: models.ResNetEncoder(weights=None), (2, 1, 64, 64)),
    "SegmentationAutoencoder": (lambda: models.SegmentationAutoencoder(width=2), (2, 1, 32, 32)),
    "SmallSegmenter": (lambda: models.SmallSegmenter(prior=0.01), (2, 3, 32, 32)),
    "TwoStageNet": (lambda: models.TwoStageNet(channels=(2, 2, 2, 4)), (2, 1, 128, 64)),
    "UNet": (lambda: models.UNet(width=2, dropout=0.5, prior=0.01), (2, 3, 32, 32)),
    "UNet, EfficientNet-Lite0": (
        lambda: models.UNet(5, width=2, encoder="efficientnet_lite0", weights=None),
        (2, 5, 64, 64),
    ),
    "UNet, ResNet-18": (
        lambda: models.UNet(1, width=2, encoder="resnet18", weights=None),
        (2, 1, 64, 64),
    ),
    "UNet, valid": (lambda: models.UNet(1, width=2, depth=1, padding="valid"), (2, 1, 64, 64)),
}


def test_no_network_is_forgotten():
    every = [getattr(models, name) for name in models.__all__]
    networks = {n.__name__ for n in every if isinstance(n, type) and issubclass(n, nn.Module)}
    networks -= {n.__name__ for n in every if inspect.isabstract(n)}
    assert networks <= set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_on_a_gpu_stays_there(name):
    make, shape = NETWORKS[name]
    several = isinstance(shape[0], tuple)
    given = [torch.zeros(each) for each in shape] if several else torch.zeros(shape)
    outputs = call_on_gpu(make(), given)
    assert {each.device.type for each in tree_leaves(outputs)} == {"cuda"}


def test_a_tensor_that_stays_on_the_cpu_is_found():
    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.ones(3)

        def forward(self, x):
            return x * self.scale

    with pytest.raises(Exception, match="convert all Tensors to FakeTensors"):
        call_on_gpu(Forgetful(), torch.zeros(3))
    with pytest.raises(RuntimeError, match="same device"):
        call_on_gpu(lambda x: x * torch.ones(3), torch.zeros(3))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # tracing is deprecated, and still used
def test_values_are_read_in_eager_mode_alone():
    seen = []

    def look(x):
        seen.append(values_can_be_read(x))
        return x + 1

    x = torch.zeros(2)
    look(x)
    torch.jit.trace(look, x, check_trace=False)
    torch.compile(look, backend="eager", fullgraph=True)(x)
    torch.export.export(nn.ReLU(), (x,))
    look(x.to("meta"))
    with FakeTensorMode() as mode:
        look(mode.from_tensor(x))
    look(nn.Parameter(x))
    assert seen == [True, False, False, False, False, True]


def pretrained_unet() -> nn.Module:
    return models.UNet(width=2, encoder="efficientnet_lite0", weights=None)


@pytest.mark.parametrize("make", [filled_memseg, filled_patches, pretrained_unet])
def test_images_outside_0_to_1_are_refused(make):
    torch.manual_seed(0)
    model = make()
    if isinstance(model, models.MemSeg):
        model.fill_memory(torch.rand(2, 3, 64, 64))
    images = torch.rand(2, 3, 64, 64)
    model(images * 1.0005)  # what resizing may add
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\], got .*: divide first"):
        model(255 * images)
