"""ResNet-18 (He et al., CVPR 2016), with torchvision's layers and names."""

import pickle
import socket
import warnings
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import ResNet18_Weights, resnet18

from course_utils.models.encoders.base import (
    SHIPPED,
    Encoder,
    Weights,
    check_image,
    check_weights,
    load_exactly,
)

DOWNLOAD_PATIENCE = 20.0  # seconds without an answer


class ResNetEncoder(Encoder):
    """ResNet-18 without its classifier: 64, 64, 128, 256 and 512 channels.

    Args:
        weights: `"imagenet"` takes torchvision's (`IMAGENET1K_V1`), downloaded once; where that
            fails, a warning says why and the offline weights are used instead. `"offline"` takes
            those that come with the package, trained on Tiny-ImageNet. A path loads a safetensors
            file, such as `data_scripts/pretrain_encoder.py` writes. None starts at random.

    Parameters and buffers have torchvision's names, so a `state_dict` of its ResNet-18 fits once
    `fc.weight` and `fc.bias` are removed.

    Example:
        >>> encoder = ResNetEncoder(weights=None)
        >>> [tuple(f.shape) for f in encoder(torch.rand(2, 1, 64, 32))]
        [(2, 64, 32, 16), (2, 64, 16, 8), (2, 128, 8, 4), (2, 256, 4, 2), (2, 512, 2, 1)]
    """

    channels = (64, 64, 128, 256, 512)
    STEM = ("conv1", "bn1")
    FROZEN = (*STEM, "layer1", "layer2", "layer3")
    shipped = ("offline", SHIPPED / "resnet18_tiny_imagenet.safetensors")

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Weights | None = "imagenet") -> None:
        super().__init__()
        check_weights(weights)
        layers = resnet18(weights=None)
        self.conv1, self.bn1, self.maxpool = layers.conv1, layers.bn1, layers.maxpool
        self.layer1, self.layer2 = layers.layer1, layers.layer2
        self.layer3, self.layer4 = layers.layer3, layers.layer4
        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])  # of ImageNet
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1), persistent=False)
        self.weights_used = self._load(weights)

    def first_four(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return f0 to f3 alone: what `freeze` freezes."""
        check_image(image)
        x = (image - self.mean) / self.std  # (N, 3, H, W)
        f0 = self.bn1(self.conv1(x)).relu()  # (N, 64, H/2, W/2)
        f1 = self.layer1(self.maxpool(f0))  # (N, 64, H/4, W/4)
        f2 = self.layer2(f1)  # (N, 128, H/8, W/8)
        f3 = self.layer3(f2)  # (N, 256, H/16, W/16)
        return f0, f1, f2, f3

    def last(self, f3: Tensor) -> Tensor:
        """Return f4 (N, 512, H/32, W/32) of f3 (N, 256, H/16, W/16)."""
        f4: Tensor = self.layer4(f3)
        return f4

    def _load(self, weights: Weights | None) -> str | None:
        if weights != "imagenet":
            return super()._load(weights)
        patience = socket.getdefaulttimeout()
        socket.setdefaulttimeout(DOWNLOAD_PATIENCE)  # a firewall may drop what it does not allow
        published = ResNet18_Weights.IMAGENET1K_V1
        try:
            state = published.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError, HTTPException, EOFError, pickle.UnpicklingError) as error:
            kept = Path(torch.hub.get_dir(), "checkpoints", Path(published.url).name)
            damaged = f"{kept} is damaged, delete it; " if kept.exists() else ""
            warnings.warn(
                f"torchvision's ImageNet weights cannot be had ({damaged}{error}): the offline "
                "weights that come with the package are used instead",
                stacklevel=3,
            )
            return super()._load("offline")
        finally:
            socket.setdefaulttimeout(patience)
        state = {name: t for name, t in state.items() if not name.startswith("fc.")}
        load_exactly(self, state, published.url)
        return "imagenet"
