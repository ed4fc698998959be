"""The baseline that every trained detector has to beat: how near is the nearest normal patch?"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from course_utils.models.encoders import EncoderName, Weights, build_encoder
from course_utils.models.encoders.base import check_range
from course_utils.value_checks import values_can_be_read

FILL_BATCH = 8  # images at a time when the patches are collected


class NearestPatches(nn.Module):
    """How far each pixel's patch is from the nearest patch of normal images. Nothing is trained.

    A patch is a cell of an encoder's map at stride 8 with the cell at stride 16 around it, each
    averaged with its 8 neighbors: 152 numbers for 8 x 8 pixels (384 with ResNet-18). Of the normal
    images' patches, those that are kept are drawn at random.

    Args:
        encoder: `"efficientnet_lite0"` or `"resnet18"`.
        weights: of the encoder, see `EfficientNetEncoder` and `ResNetEncoder`.
        patches: how many to keep at most.
        blur: standard deviation of the Gaussian that smooths the map, in pixels; 0 for none.

    `torch.compile`, `torch.export` (and ONNX by it) and `torch.jit.trace` work on a filled
    detector, for any batch size. The copy holds all distances of a batch at once, 4 bytes for each
    cell of each image and each patch that is kept; this module takes one image after the other.

    Patches are those of the encoder that `fill` found: after loading other weights into it, fill
    again.

    Source: Roth et al., "Towards total recall in industrial anomaly detection" (PatchCore), CVPR
    2022, with a smaller network, a random choice in place of the coreset, and no re-weighting.

    Example:
        >>> detector = NearestPatches(weights=None, patches=100)
        >>> detector.fill(torch.rand(4, 3, 64, 64))
        >>> detector(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 64, 64])
    """

    patches: Tensor

    def __init__(
        self,
        *,
        encoder: EncoderName = "efficientnet_lite0",
        weights: Weights | None = "imagenet",
        patches: int = 10_000,
        blur: float = 4.0,
    ) -> None:
        super().__init__()
        if patches < 1 or not 0 <= blur < math.inf:
            raise ValueError(
                f"patches must be at least 1 and blur at least 0, got {patches} and {blur}"
            )
        self.limit, self.blur = patches, blur
        self.encoder = build_encoder(encoder, weights).requires_grad_(False).eval()
        self.register_buffer("patches", torch.empty(0, sum(self.encoder.channels[2:4])))

    def train(self, mode: bool = True) -> "NearestPatches":
        """Stay as it is: there is nothing to train."""
        return super().train(False)

    @torch.no_grad()
    def fill(
        self, images: Tensor | Sequence[Tensor], *, generator: torch.Generator | None = None
    ) -> None:
        """Keep patches of normal images.

        Args:
            images: (M, 1 or 3, H, W), all without defects; or a sequence of M images, of which a
                few are taken at a time.
            generator: draws which ones when there are more than are kept; None draws others each
                time.

        Raises:
            ValueError: for no image, and for others than `forward` takes.
        """
        if len(images) == 0:
            raise ValueError("fill needs at least one normal image, got none")
        cells = images[0].shape[-2] // 8 * (images[0].shape[-1] // 8)
        drawn = torch.randperm(len(images) * cells, generator=generator)[: self.limit]
        kept, start = [], 0
        for first in range(0, len(images), FILL_BATCH):
            numbers = range(first, min(first + FILL_BATCH, len(images)))
            part = torch.stack([images[number] for number in numbers]).to(self.patches.device)
            features = self._features(part).flatten(2).transpose(1, 2).flatten(0, 1)
            inside = drawn[(drawn >= start) & (drawn < start + len(features))] - start
            kept.append(features[inside.to(features.device)])
            start += len(features)
        self.patches = torch.cat(kept)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return distances (N, H, W), from 0, without a unit.

        Args:
            images: floats (N, 1 or 3, H, W) in [0, 1], sides multiples of 32.

        Raises:
            RuntimeError: while there are no patches.
            ValueError: for other images.
        """
        if len(self.patches) == 0:
            raise RuntimeError("there are no patches: call fill(images) with normal images first")
        features = self._features(images)  # (N, C, H/8, W/8)
        cells = features.flatten(2).transpose(1, 2)  # (N, H/8 * W/8, C)
        if values_can_be_read(images):  # image by image: all distances at once may take gigabytes
            nearest = cells.new_empty(cells.shape[:2])
            for number, one in enumerate(cells):
                nearest[number] = torch.cdist(one, self.patches).amin(1)
        else:  # a loop would fix the batch size of an exported network
            nearest = torch.cdist(cells, self.patches).amin(2)
        maps = nearest.unflatten(1, features.shape[2:]).unsqueeze(1)  # (N, 1, H/8, W/8)
        maps = F.interpolate(maps, size=images.shape[-2:], mode="bilinear", align_corners=False)
        if self.blur:
            maps = gaussian_blur(maps, 2 * math.ceil(4 * self.blur) + 1, self.blur)
        return maps.squeeze(1)  # (N, H, W)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *arguments: Any
    ) -> None:
        given = state_dict.get(prefix + "patches")
        if isinstance(given, Tensor) and given.shape[1:] == self.patches.shape[1:]:
            self.patches = self.patches.new_empty(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def _features(self, images: Tensor) -> Tensor:
        check_range(images)
        _, _, f2, f3 = self.encoder.first_four(images)
        f2, f3 = (F.avg_pool2d(f, 3, stride=1, padding=1) for f in (f2, f3))
        f3 = F.interpolate(f3, size=f2.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([f2, f3], dim=1)
