"""Every network and loss: in half precision, compiled, and on a GPU without one."""

import inspect

import pytest
import torch
from every_network import NETWORKS, filled_memseg, filled_patches
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


def pretrained_unet(channels: int) -> nn.Module:
    return models.UNet(channels, width=2, encoder="resnet18", weights=None)


ENTRIES = {  # where images go in front of pretrained weights
    "MemSeg.fill_memory": lambda: filled_memseg().fill_memory,
    "MemSeg.forward": filled_memseg,
    "NearestPatches.fill": lambda: filled_patches().fill,
    "NearestPatches.forward": filled_patches,
    "ResNetEncoder.forward": lambda: models.ResNetEncoder(weights=None),
    "UNet.forward": lambda: pretrained_unet(3),
    "UNet.forward, five channels": lambda: pretrained_unet(5),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_images_outside_0_to_1_are_refused(entry):
    torch.manual_seed(0)
    take = ENTRIES[entry]()
    images = torch.rand(2, 5 if "five" in entry else 3, 64, 64)
    take(images * 1.0005)  # what resizing may add
    holes = images.where(images > 0.01, torch.nan)
    for wrong in (255 * images, (images - 0.45) / 0.23, 2 * images - 1, images - 0.1, holes):
        with pytest.raises(ValueError, match=r"images must lie in \[0, 1\], got .*: divide first"):
            take(wrong)
    for whole in ((255 * images).byte(), images.long()):
        with pytest.raises(ValueError, match=r"floating point in \[0, 1\], got .*: divide first"):
            take(whole)
