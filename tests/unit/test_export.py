"""Every network that takes images leaves Python: exported, traced, compiled, as an ONNX file.

The copy is made with two images and must answer one and three as the network does.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from every_network import NETWORKS
from onnxruntime import InferenceSession
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.utils._pytree import tree_leaves

NOT_EXPORTED = {  # parts of the others, and a form for comparison only
    "CoordinateAttention",
    "EfficientNetEncoder",
    "FeatureNorm",
    "FeatureNorm, published",
    "MemSeg, published",
    "MemoryBank",
    "MultiScaleFeatureFusion",
    "ResNetEncoder",
    "SegmentationAutoencoder",
}
LOOPING = ["NearestPatches, ResNet-18", "TwoStageNet"]  # over images, in eager mode
WHOLE = [name for name in NETWORKS if name not in NOT_EXPORTED]
TO_ONNX = (  # each takes seconds; TwoStageNet is in test_inference_export.py
    "CompactDefectCNN",
    "MemSeg",
    "NearestPatches",
    "SmallSegmenter",
)


def network_and_images(name: str) -> tuple[nn.Module, torch.Tensor, list[torch.Tensor]]:
    """Return the network, two images, and other batches with the network's answers."""
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    return make().eval(), torch.rand(shape), [torch.rand(count, *shape[1:]) for count in (1, 3)]


def assert_same_answers(copy, network, batches) -> None:
    for images in batches:
        found, wanted = tree_leaves(copy(images)), tree_leaves(network(images))
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def from_onnx(file: Path) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()

    def answer(images: torch.Tensor) -> list[torch.Tensor]:
        return [torch.from_numpy(out) for out in session.run(None, {given.name: images.numpy()})]

    return answer


@torch.no_grad()
@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.filterwarnings("ignore")  # of the ONNX exporter, about itself
def test_an_exported_copy_and_its_onnx_file_answer_any_batch(name, tmp_path):
    network, images, batches = network_and_images(name)
    sizes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(network, (images,), dynamic_shapes=sizes)
    assert_same_answers(program.module(), network, batches)
    if name in TO_ONNX:
        torch.onnx.export(program, dynamo=True, verbose=False).save(tmp_path / "network.onnx")
        assert_same_answers(from_onnx(tmp_path / "network.onnx"), network, batches)


@torch.no_grad()
@pytest.mark.parametrize("name", LOOPING)
@pytest.mark.filterwarnings("ignore")  # torch.jit: that it is old, that shapes are looked at
def test_a_traced_copy_answers_any_batch(name):
    network, images, batches = network_and_images(name)
    assert_same_answers(torch.jit.trace(network, images), network, batches)


@torch.no_grad()
@pytest.mark.parametrize("name", LOOPING)
def test_one_compiled_graph_answers_any_batch(name):
    network, images, batches = network_and_images(name)
    torch.compiler.reset()
    counter = CompileCounter()
    compiled = torch.compile(network, backend=counter, fullgraph=True, dynamic=True)
    assert_same_answers(compiled, network, [images, torch.cat([images, *batches]), batches[1]])
    assert counter.frame_count == 1
