"""MemSeg: find defects after having seen only normal images, by what a memory does not explain.

Source: Yang, Wu and Feng, "MemSeg: A semi-supervised method for image surface defect detection
using differences and commonalities", Engineering Applications of Artificial Intelligence 119,
2023, 105835 (arXiv 2205.00908).
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from course_utils.models.blocks import he_normal
from course_utils.models.encoders import EncoderName, Weights, build_encoder
from course_utils.models.encoders.base import check_range
from course_utils.models.memseg.layers import (
    MemSegDecoder,
    MultiScaleFeatureFusion,
    spatial_attention,
)
from course_utils.models.memseg.memory import (
    Difference,
    MemoryBank,
    Nearest,
    change_marks,
    fingerprint,
)
from course_utils.value_checks import values_can_be_read

SpatialMaps = Literal["product", "scaled"] | None
SPATIAL_MAPS: tuple[SpatialMaps, ...] = (None, "product", "scaled")
FILL_BATCH = 8  # images at a time when the memory is filled


class MemSeg(nn.Module):
    """Image in, logits of background and defect of every pixel out; needs a memory first.

    An encoder sees the image at five scales. At three of them its features are joined with how
    they differ from the nearest of 30 normal images, fused across scales, weighed by where the
    difference is large, and decoded. All of the encoder but its last scale is frozen, batch
    normalization included, since the memory is made of its features; the last scale and all that
    follows is trained.

    Args:
        encoder: `"resnet18"`, the paper's, or `"efficientnet_lite0"`; fusion and decoder have as
            many channels as it has.
        weights: of the encoder, see `ResNetEncoder` and `EfficientNetEncoder`.
        memory_size: normal images that `fill_memory` stores; 30 in the paper.
        nearest: how to look up the memory, see `MemoryBank`.
        difference: how to compare with what was found, see `MemoryBank`.
        memory: False is for comparison only: the differences are all 0 and the spatial maps all
            1, so that each layer stays, and nothing is known of normal images.
        attention: False is for comparison only: no coordinate attention.
        spatial_maps: by what the fused features are multiplied. `"product"` is the paper's product
            of differences, `"scaled"` divides each of these maps by its mean (see
            `spatial_attention`), None leaves them out.
        published_code: repeat the mistakes of the public re-implementation (`TooTouch/MemSeg` at
            commit 836bd46), for comparison: the stem is trained and batch
            normalization of the frozen layers drifts away from the memory; the fusion is linear
            and multiplies features by features; the decoder lacks its double convolutions. (The
            mistake in its loss is an option of `memseg_loss`.)

    `fill_memory` is the only way to fill the memory: features that are put or loaded into `memory`
    alone are taken for the encoder's own. `torch.compile`, `torch.export` and `torch.jit.trace`
    work on a filled model in eval mode, for any batch size with `dynamic_shapes`; whether image
    and memory fit is not checked there, so call the model once before.

    On several devices (`DistributedDataParallel`) each process keeps the memory that it filled, and
    the 55 MB are not sent around at each step: fill all of them with the same images. A process
    that started from other frozen weights is refused, as above.

    Example:
        >>> model = MemSeg(weights=None, memory_size=2)
        >>> model.fill_memory(torch.rand(2, 3, 64, 64))
        >>> model(torch.rand(4, 3, 64, 64)).shape
        torch.Size([4, 2, 64, 64])
    """

    memory_fingerprint: Tensor

    def __init__(
        self,
        *,
        encoder: EncoderName = "resnet18",
        weights: Weights | None = "imagenet",
        memory_size: int = 30,
        nearest: Nearest = "joint",
        difference: Difference = "squared",
        memory: bool = True,
        attention: bool = True,
        spatial_maps: SpatialMaps = "product",
        published_code: bool = False,
    ) -> None:
        super().__init__()
        if memory_size < 1:
            raise ValueError(f"memory_size must be at least 1, got {memory_size}")
        if spatial_maps not in SPATIAL_MAPS:
            raise ValueError(f"spatial_maps must be one of {SPATIAL_MAPS}, got {spatial_maps!r}")
        self.memory_size, self.uses_memory = memory_size, memory
        self.attention, self.published_code = attention, published_code
        self.spatial_maps = spatial_maps
        self.encoder = build_encoder(encoder, weights)
        if published_code:
            for name in self.encoder.FROZEN[len(self.encoder.STEM) :]:
                getattr(self.encoder, name).requires_grad_(False)
        else:
            self.encoder.freeze()
        self.memory = MemoryBank(3, nearest=nearest, difference=difference)
        self.register_buffer("memory_fingerprint", torch.tensor(0))
        # Read by DistributedDataParallel, which would broadcast every buffer before every step.
        # The fingerprint stays with the memory that it is of.
        self._ddp_params_and_buffers_to_ignore = [
            "memory_fingerprint",
            *(f"memory.{name}" for name, _ in self.memory.named_buffers()),
        ]
        _, c1, c2, c3, _ = self.encoder.channels
        self.fusion = MultiScaleFeatureFusion(
            (2 * c1, 2 * c2, 2 * c3), attention=attention, published_code=published_code
        )
        self.decoder = MemSegDecoder(channels=self.encoder.channels, published_code=published_code)
        if not published_code:
            self.fusion.apply(he_normal)
            self.decoder.apply(he_normal)
        self._verified: tuple[Any, ...] = ()

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, 2, H, W); channel 1 of their softmax is the probability of a defect.

        Args:
            image: floats (N, 1 or 3, H, W) in [0, 1]; sides are multiples of 32, and those of the
                memory's images.

        Raises:
            ValueError: for other images.
            RuntimeError: if the memory is empty, or the frozen weights are no longer those that it
                was filled with, as after loading other weights into the encoder or a change of
                precision: fill it again.
        """
        if self.uses_memory:
            self._require_memory()
        # The numbers of channels are those of ResNet-18.
        f0, f1, f2, f3, f4 = self.encoder(image)  # (N, 64, H/2, W/2), ..., (N, 512, H/32, W/32)
        d1, d2, d3 = self._differences([f1, f2, f3])  # shapes of f1, f2, f3
        c1 = torch.cat([f1, d1.to(f1.dtype)], dim=1)  # (N, 128, H/4, W/4)
        c2 = torch.cat([f2, d2.to(f2.dtype)], dim=1)  # (N, 256, H/8, W/8)
        c3 = torch.cat([f3, d3.to(f3.dtype)], dim=1)  # (N, 512, H/16, W/16)
        c1, c2, c3 = self.fusion([c1, c2, c3])  # 64, 128, 256 channels
        if self.spatial_maps and self.uses_memory:
            scaled = self.spatial_maps == "scaled"
            m1, m2, m3 = spatial_attention([d1, d2, d3], scaled=scaled)  # (N, 1, H/4, W/4), ...
            c1, c2, c3 = c1 * m1, c2 * m2, c3 * m3
        return self.decoder(f4, [c1, c2, c3], f0)  # (N, 2, H, W)

    @torch.no_grad()
    def fill_memory(self, images: Tensor, *, generator: torch.Generator | None = None) -> None:
        """Store the features of `memory_size` normal images in place of what was there.

        Args:
            images: (M, 1 or 3, H, W), floats in [0, 1], M >= `memory_size`, all without defects.
            generator: draws which ones when there are more; None takes the first.

        Raises:
            ValueError: for too few or other images.
        """
        if images.ndim != 4 or len(images) < self.memory_size:
            raise ValueError(
                f"fill_memory needs {self.memory_size} normal images (M, 1 or 3, H, W), got "
                f"{tuple(images.shape)}: give more or set memory_size"
            )
        chosen = torch.arange(self.memory_size)
        if generator is not None:
            drawn = torch.randperm(len(images), generator=generator, device=generator.device)
            chosen = drawn[: self.memory_size].cpu()
        images = images[chosen.to(images.device)]
        check_range(images)
        images = images.to(next(self.encoder.parameters()))
        was_training = self.encoder.training
        self.encoder.eval()
        try:
            with torch.autocast(images.device.type, enabled=False):
                parts = [self.encoder.first_four(part)[1:] for part in images.split(FILL_BATCH)]
        finally:
            self.encoder.train(was_training)
        self.memory.fill([torch.cat(level) for level in zip(*parts, strict=True)])
        self.memory_fingerprint.fill_(fingerprint(self._frozen()))

    def extra_repr(self) -> str:
        """Name what the layers do not show; a checkpoint of `fit` tells networks apart by it."""
        return (
            f"memory={self.uses_memory}, attention={self.attention}, "
            f"spatial_maps={self.spatial_maps!r}, published_code={self.published_code}"
        )

    def get_extra_state(self) -> Tensor:
        """Return what the weights alone do not tell, since they fit every variant."""
        return torch.tensor([names.index(own) for names, own in self._variant().values()])

    def set_extra_state(self, state: Tensor) -> None:
        """Raise `ValueError` if weights of another variant are being loaded."""
        for index, (option, (names, own)) in zip(
            state.tolist(), self._variant().items(), strict=True
        ):
            if names[index] != own:
                raise ValueError(
                    f"these weights are of a MemSeg with {option}={names[index]!r}, and this one "
                    f"has {option}={own!r}: build it with {option}={names[index]!r}"
                )

    def _variant(self) -> dict[str, tuple[tuple[Any, ...], Any]]:
        """Options that no weight shows: all their values, and ours."""
        return {
            "memory": ((False, True), self.uses_memory),
            "nearest": (get_args(Nearest), self.memory.nearest),
            "difference": (get_args(Difference), self.memory.difference),
            "spatial_maps": (SPATIAL_MAPS, self.spatial_maps),
        }

    def _differences(self, features: list[Tensor]) -> list[Tensor]:
        if not self.uses_memory:
            return [torch.zeros_like(f) for f in features]
        return self.memory.best_differences(features)

    def _frozen(self) -> list[Tensor]:
        parts = (getattr(self.encoder, name) for name in self.encoder.FROZEN)
        tensors = (tensor for part in parts for tensor in part.state_dict(keep_vars=True).values())
        return [tensor for tensor in tensors if tensor.is_floating_point()]

    def _require_memory(self) -> None:
        if not len(self.memory):
            raise RuntimeError(
                f"the memory is empty: call fill_memory(images) with {self.memory_size} or more "
                "normal images first"
            )
        if self.published_code or not values_can_be_read(self.memory_fingerprint):
            return
        frozen = self._frozen()
        # The checksum takes 10 ms, the marks a fraction of one: each change is checked once.
        marks = (*change_marks(frozen), *change_marks([self.memory_fingerprint]))
        if marks == self._verified:
            return
        if fingerprint(frozen) != int(self.memory_fingerprint):
            raise RuntimeError(
                "the memory was filled with other weights, or in another precision, than the "
                "encoder has now: call fill_memory(images) again"
            )
        self._verified = marks
