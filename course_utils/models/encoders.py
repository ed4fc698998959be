"""Encoders: an image in, feature maps out. ResNet-18, with weights that come with the package.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; layers and names are
torchvision's. The weights that come with the package are described in `weights/README.md`.
"""

import socket
import warnings
from http.client import HTTPException
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18

from course_utils.value_checks import check_unit_range

Named = Literal["imagenet", "offline"]
Weights = Named | Path
OFFLINE_WEIGHTS = Path(__file__).parent / "weights" / "resnet18_tiny_imagenet.safetensors"
DOWNLOAD_PATIENCE = 20.0  # seconds without an answer

_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB in 0..1; both sets of weights expect them
_STD = (0.229, 0.224, 0.225)


class ResNetEncoder(nn.Module):
    """The features of an image at five scales.

    Args:
        weights: `"imagenet"` takes torchvision's (`IMAGENET1K_V1`), downloaded once; where that
            fails, a warning says why and the offline weights are used instead. `"offline"` takes
            those that come with the package, trained on Tiny-ImageNet. A path loads a safetensors
            file, such as `data_scripts/pretrain_encoder.py` writes. None starts at random.

    `weights_used` says which it was in the end, by name or path. Parameters and buffers have
    torchvision's names, so a `state_dict` of its ResNet-18 fits once `fc.weight` and `fc.bias` are
    removed.

    Example:
        >>> encoder = ResNetEncoder(weights=None)
        >>> [tuple(f.shape) for f in encoder(torch.rand(2, 1, 64, 32))]
        [(2, 64, 32, 16), (2, 64, 16, 8), (2, 128, 8, 4), (2, 256, 4, 2), (2, 512, 2, 1)]
    """

    FROZEN = ("conv1", "bn1", "layer1", "layer2", "layer3")
    """What `freeze` freezes: all that f0 to f3 are made of."""

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Weights | None = "imagenet") -> None:
        super().__init__()
        if not (weights is None or isinstance(weights, Path) or weights in get_args(Named)):
            raise ValueError(
                f"weights must be one of {get_args(Named)}, a Path or None, got {weights!r}"
            )
        layers = resnet18(weights=None)
        self.conv1, self.bn1, self.maxpool = layers.conv1, layers.bn1, layers.maxpool
        self.layer1, self.layer2 = layers.layer1, layers.layer2
        self.layer3, self.layer4 = layers.layer3, layers.layer4
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)
        self.frozen = False
        self.weights_used = None if weights is None else str(weights)
        if weights == "imagenet":
            self.weights_used = self._load_imagenet()
        elif weights is not None:
            load_exactly(self, read_weights(OFFLINE_WEIGHTS if weights == "offline" else weights))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the five feature maps f0 .. f4 of images.

        Gray is repeated to three channels; ImageNet's mean and standard deviation are taken off.

        Args:
            image: floats (N, 1 or 3, H, W) in [0, 1]; sides are multiples of 32.

        Returns:
            f0 (N, 64, H/2, W/2), f1 (N, 64, H/4, W/4), f2 (N, 128, H/8, W/8),
            f3 (N, 256, H/16, W/16) and f4 (N, 512, H/32, W/32).

        Raises:
            ValueError: for other images.
        """
        f0, f1, f2, f3 = self.up_to_layer3(image)
        return f0, f1, f2, f3, self.layer4(f3)  # f4: (N, 512, H/32, W/32)

    def up_to_layer3(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return f0 to f3 alone: what `freeze` freezes."""
        _check(image)
        x = (image - self.mean) / self.std  # (N, 3, H, W)
        f0 = self.bn1(self.conv1(x)).relu()  # (N, 64, H/2, W/2)
        f1 = self.layer1(self.maxpool(f0))  # (N, 64, H/4, W/4)
        f2 = self.layer2(f1)  # (N, 128, H/8, W/8)
        f3 = self.layer3(f2)  # (N, 256, H/16, W/16)
        return f0, f1, f2, f3

    def freeze(self) -> None:
        """Stop the stem and layers 1 to 3 from changing; layer 4 goes on learning.

        They get no gradient, and stay in eval mode whatever `train()` asks for: in train mode,
        batch normalization would go on collecting statistics and the features would drift.

        Example:
            >>> encoder = ResNetEncoder(weights=None)
            >>> encoder.freeze()
            >>> encoder.train().layer3.training, encoder.layer4.training
            (False, True)
        """
        self.frozen = True
        for name in self.FROZEN:
            part = getattr(self, name)
            part.requires_grad_(False)
            part.zero_grad(set_to_none=True)
        self.train(self.training)

    def train(self, mode: bool = True) -> "ResNetEncoder":
        """Set the mode, as every module's `train`; what is frozen stays in eval mode."""
        super().train(mode)
        if self.frozen:
            for name in self.FROZEN:
                getattr(self, name).eval()
        return self

    def _load_imagenet(self) -> Named:
        patience = socket.getdefaulttimeout()
        socket.setdefaulttimeout(DOWNLOAD_PATIENCE)  # a firewall may drop what it does not allow
        try:
            state = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError, HTTPException) as error:
            warnings.warn(
                f"torchvision's ImageNet weights cannot be had ({error}): the offline weights "
                "that come with the package are used instead",
                stacklevel=3,
            )
            load_exactly(self, read_weights(OFFLINE_WEIGHTS))
            return "offline"
        finally:
            socket.setdefaulttimeout(patience)
        load_exactly(self, {name: t for name, t in state.items() if not name.startswith("fc.")})
        return "imagenet"


def read_weights(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no such file.

    Example:
        >>> len(read_weights(OFFLINE_WEIGHTS))
        120
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there: give a safetensors file of weights")
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged or no safetensors file ({error})") from error


def load_exactly(encoder: ResNetEncoder, state: dict[str, Tensor]) -> None:
    """Load weights whose names and shapes are those of `encoder`, all of them and no others.

    Raises:
        ValueError: that names the differences; nothing has changed then.

    Example:
        >>> load_exactly(ResNetEncoder(weights=None), {"conv1.weight": torch.zeros(64, 3, 7, 7)})
        Traceback (most recent call last):
            ...
        ValueError: weights do not fit this encoder: bn1.bias is missing, bn1.num_batches_...
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    differences = [f"{name} is missing" for name in sorted(wanted.keys() - given.keys())]
    differences += [f"{name} is not wanted" for name in sorted(given.keys() - wanted.keys())]
    differences += [
        f"{name} is {given[name]} in place of {wanted[name]}"
        for name in sorted(wanted.keys() & given.keys())
        if wanted[name] != given[name]
    ]
    if differences:
        more = f" and {len(differences) - 4} more" if len(differences) > 4 else ""
        raise ValueError(f"weights do not fit this encoder: {', '.join(differences[:4])}{more}")
    encoder.load_state_dict(state)


def check_range(images: Tensor) -> None:
    """Raise `ValueError`, in eager mode, unless `images` lie in [0, 1] (a resize may round up)."""
    if images.is_floating_point():
        check_unit_range("images", images, "divide first", rounding=1e-3)


def _check(image: Tensor) -> None:
    if image.ndim != 4 or image.shape[1] not in (1, 3):
        raise ValueError(f"image must be (N, 1 or 3, H, W), got {tuple(image.shape)}")
    if not image.is_floating_point():
        raise ValueError(f"image must be floating point in [0, 1], got {image.dtype}: divide first")
    if not all(side and side % 32 == 0 for side in image.shape[2:]):
        raise ValueError(
            "height and width must be multiples of 32 (they are halved five times), got "
            f"{tuple(image.shape[2:])}: pad or resize first"
        )
