"""A detector as an ONNX file, with what it needs beside it."""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.inference.detector import Detector
from course_utils.inference.networks import read_output
from course_utils.io import write_atomic

TOLERANCE = 1e-3


class ExportedDetector(nn.Module):
    """Photographs of the right size in, answers out: what the ONNX file computes.

    Args:
        detector: what is exported.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.network, self.settings = deepcopy(detector.network), detector.settings

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores (N,), maps (N, h, w) and masks (N, h, w), of uint8 (N, H, W, C)."""
        settings = self.settings
        images = photographs.permute(0, 3, 1, 2).float() / 255
        answer = read_output(self.network(images))
        if answer.decisions is None:
            scores = answer.maps.flatten(1).topk(settings.score_pixels, dim=1).values.mean(1)
        else:
            scores = answer.decisions
        if settings.pixel_threshold is not None:
            masks = answer.maps >= settings.pixel_threshold
        else:
            assert answer.classes is not None
            masks = answer.classes
        return scores, answer.maps, masks.to(torch.uint8)


def facts_beside(path: Path) -> Path:
    """Return the path of the JSON that belongs to an ONNX file.

    Example:
        >>> facts_beside(Path("detector.onnx")).name
        'detector.onnx.json'
    """
    return path.with_name(f"{path.name}.json")


def export_onnx(detector: Detector, path: str | Path) -> float:
    """Write `path` (ONNX) and `path`.json beside it; return the largest difference from torch.

    The file takes `photographs`, uint8 (N, height, width, channels) in RGB, any N, and gives
    `scores` (N,), `maps` (N, h, w) and `masks` (N, h, w). Stretching a photograph to the size (area
    averages where it shrinks) is left to the caller; the JSON says the size, the threshold and the
    classes. Before it is in place, onnxruntime answers for one and for three random photographs,
    and must agree with torch.

    Raises:
        ImportError: without the packages of the extra `export`.
        ValueError: for another ending, and if onnxruntime does not agree.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"an ONNX file ends in .onnx, got {path}")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        raise ImportError(
            f"export needs onnx, onnxscript and onnxruntime ({error}): install them with "
            "pip install 'course-utils[export]'"
        ) from error

    settings = detector.settings
    if settings.tile:
        raise ValueError(
            "this detector looks at photographs in tiles, and an ONNX file takes whole ones: train "
            "one without --tile, or use `course predict`"
        )
    model = ExportedDetector(detector).eval().cpu()
    rng = np.random.default_rng(0)
    shape = settings.height, settings.width, settings.channels
    tried = [rng.integers(0, 256, (count, *shape), dtype=np.uint8) for count in (3, 1)]
    with torch.no_grad():
        wanted = [[one.numpy() for one in model(torch.from_numpy(images))] for images in tried]
        program = torch.onnx.export(
            model,
            (torch.from_numpy(tried[0]),),
            dynamo=True,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            input_names=["photographs"],
            output_names=["scores", "maps", "masks"],
        )
    assert program is not None
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    difference = 0.0
    for images, expected in zip(tried, wanted, strict=True):
        scores, maps, _ = session.run(None, {"photographs": images})
        for found, right in zip((scores, maps), expected, strict=False):
            gap = np.abs(found - right).max() / max(1.0, np.abs(right).max())
            difference = max(difference, float(gap))
    if not difference <= TOLERANCE:
        raise ValueError(
            f"onnxruntime and torch differ by {difference:.2g}, and at most {TOLERANCE} is wanted: "
            f"{path} was not written"
        )
    facts = settings.model_dump(mode="json") | {
        "input": "photographs: uint8 (N, height, width, channels), RGB, resized by area averages",
        "outputs": "scores (N,), maps (N, h, w), masks (N, h, w)",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    write_atomic(facts_beside(path), json.dumps(facts, indent=2) + "\n")
    return difference
