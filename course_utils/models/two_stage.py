"""The two-stage network: a segmentation network and a decision network, trained end to end.

Sources: Tabernik et al., "Segmentation-based deep-learning approach for surface-defect detection",
J. Intelligent Manufacturing 2019 (the layers); Božič, Tabernik and Skočaj, "End-to-end training of
a two-stage neural network for defect detection", ICPR 2020, arXiv 2007.07676 (joint training,
gradient stops, feature normalization: it trains on one image at a time); its code of 2021.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.models.blocks import check_image
from course_utils.value_checks import values_can_be_read

Normalization = Literal["std", "published"]

EPSILON = {"std": 1e-5, "published": 1e-3}
"""What is added below the root: to the variance, and to the standard deviation."""


class TwoStageOutput(NamedTuple):
    """What `TwoStageNet` returns: a map that says where, and a number that says whether."""

    segmentation: Tensor
    """Logits (N, 1, H/8, W/8) of a defect in each cell of 8 x 8 pixels."""

    decision: Tensor
    """Logits (N,) of a defect anywhere in the image."""


class TwoStageNet(nn.Module):
    """Image in, a coarse map of defect logits and one defect logit of the whole image out.

    The segmentation network brings the image down to 1/8 and looks around with one 15x15
    convolution; a cell of its map sees 216 x 216 pixels. The decision network reads that volume
    and the map, brings both down to 1/64, and decides from the maximum and the mean of its 32
    features and of the map. Feature normalization and ReLU follow every convolution; the map has
    no ReLU (the predecessor of 2019 rectified it for the decision).

    15,662,877 parameters for gray images, 14,745,600 of them in the 15x15 convolution, which also
    takes most of the time. The public code of 2021 left out the second convolution of the first
    block: 15,637,213 parameters, 212 pixels.

    Args:
        in_channels: 1 (gray), 3 (RGB) or any other number.
        channels: of the convolutions at 1/1, 1/2 and 1/4 of the size, and of the 15x15 one.
            The default is published; (8, 16, 16, 64) is a slim one for a laptop.
        normalization: `"std"` or `"published"`, see `FeatureNorm`.
        segmentation_bias: whether the map's normalization has a shift. False is for comparison
            only: the map then has mean 0 in every image, and by Jensen's inequality the cross
            entropy of an image without defects can never fall below ln 2.
        stop_shortcut: no gradient from the decision to the map through the map's maximum and
            mean.
        stop_extractor: no gradient from the decision's convolutions to the volume and the map.
            With both stops, which are published, the decision network learns from what the
            segmentation network finds and cannot disturb it.

    `stop_shortcut` and `stop_extractor` are plain attributes: set them whenever wanted. They
    change gradients, never outputs. Weights start as Glorot and Bengio propose (normal), shifts
    at 0. `torch.compile`, `torch.export` (and ONNX by it) and `torch.jit.trace` work for any batch
    size.

    Example:
        >>> net = TwoStageNet(channels=(8, 16, 16, 64))
        >>> output = net(torch.rand(2, 1, 128, 96))
        >>> output.segmentation.shape, output.decision.shape
        (torch.Size([2, 1, 16, 12]), torch.Size([2]))
    """

    def __init__(
        self,
        in_channels: int = 1,
        *,
        channels: Sequence[int] = (32, 64, 64, 1024),
        normalization: Normalization = "std",
        segmentation_bias: bool = True,
        stop_shortcut: bool = True,
        stop_extractor: bool = True,
    ) -> None:
        super().__init__()
        if len(channels) != 4 or min(in_channels, *channels) < 1:
            raise ValueError(
                "in_channels and the four entries of channels must be at least 1, got "
                f"{in_channels} and {tuple(channels)}"
            )
        self.in_channels = in_channels
        self.stop_shortcut, self.stop_extractor = stop_shortcut, stop_extractor
        full, half, quarter, deep = channels

        def block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
            kind = WideConvolution if kernel > 5 else nn.Conv2d
            return nn.Sequential(
                kind(inputs, outputs, kernel, padding=kernel // 2, bias=False),
                FeatureNorm(outputs, kind=normalization),
                nn.ReLU(inplace=True),
            )

        self.volume = nn.Sequential(
            block(in_channels, full, 5),
            block(full, full, 5),  # (N, 32, H, W)
            nn.MaxPool2d(2),
            block(full, half, 5),
            block(half, half, 5),
            block(half, half, 5),  # (N, 64, H/2, W/2)
            nn.MaxPool2d(2),
            block(half, quarter, 5),
            block(quarter, quarter, 5),
            block(quarter, quarter, 5),
            block(quarter, quarter, 5),  # (N, 64, H/4, W/4)
            nn.MaxPool2d(2),
            block(quarter, deep, 15),  # (N, 1024, H/8, W/8)
        )
        self.segmentation_head = nn.Sequential(
            nn.Conv2d(deep, 1, 1, bias=False),
            FeatureNorm(1, kind=normalization, bias=segmentation_bias),
        )
        self.extractor = nn.Sequential(
            nn.MaxPool2d(2),
            block(deep + 1, 8, 5),  # (N, 8, H/16, W/16)
            nn.MaxPool2d(2),
            block(8, 16, 5),  # (N, 16, H/32, W/32)
            nn.MaxPool2d(2),
            block(16, 32, 5),  # (N, 32, H/64, W/64)
        )
        self.classifier = nn.Linear(32 + 32 + 1 + 1, 1)
        self.apply(_xavier_normal)

    def forward(self, image: Tensor) -> TwoStageOutput:
        """Return both answers for floats (N, in_channels, H, W), usually in [0, 1].

        Raises `ValueError` for other shapes, for sides that are no multiple of 8, and for images of
        less than 2 cells of 64 x 64 pixels, since the deepest map would have no std.
        """
        check_image(image, self.in_channels)
        self.output_size(*image.shape[2:])
        volume = self.volume(image)  # (N, 1024, H/8, W/8)
        segmentation = self.segmentation_head(volume)  # (N, 1, H/8, W/8)
        both = torch.cat([volume, segmentation], dim=1)  # (N, 1025, H/8, W/8)
        features = self.extractor(both.detach() if self.stop_extractor else both)
        shortcut = segmentation.detach() if self.stop_shortcut else segmentation
        pooled = [
            value
            for map_ in (features, shortcut)
            for value in (map_.amax(dim=(2, 3)), map_.mean(dim=(2, 3)))
        ]
        decision = self.classifier(torch.cat(pooled, dim=1))  # (N, 66) -> (N, 1)
        return TwoStageOutput(segmentation, decision.squeeze(1))

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the map for an image of this size.

        Raises:
            ValueError: for sizes that `forward` refuses.

        Example:
            >>> TwoStageNet(channels=(1, 1, 1, 1)).output_size(512, 1408)
            (64, 176)
        """
        if height % 8 or width % 8:
            raise ValueError(
                f"sides must be multiples of 8, got {height} x {width}: pad or resize first"
            )
        if (height // 64) * (width // 64) < 2:
            raise ValueError(
                "images must hold at least 2 cells of 64 x 64 pixels, since the deepest map is at "
                f"1/64 of the size, got {height} x {width}: use larger images"
            )
        return height // 8, width // 8

    def extra_repr(self) -> str:
        """Name what the layers do not show; a checkpoint of `fit` tells networks apart by it."""
        return f"stop_shortcut={self.stop_shortcut}, stop_extractor={self.stop_extractor}"


class FeatureNorm(nn.Module):
    """Give every channel of every image mean 0 and std 1 by itself, then scale and shift.

    The statistics are those of the image at hand, in training and in use alike, so an image's
    output does not depend on its batch (also known as instance normalization).

    Args:
        channels: of input and output; scale and shift are learned for each.
        kind: `"std"` divides by the standard deviation, sqrt(variance + 1e-5). `"published"`
            repeats the public code, which divides by sqrt(standard deviation + .001): a channel
            of std 100 leaves with std 10, one of std .01 with .095.
        bias: whether there is a shift. Without one, every output map has mean 0.

    Example:
        >>> x = 100 * torch.randn(2, 3, 40, 40) + 7
        >>> [FeatureNorm(3, kind=kind)(x).std().round().item() for kind in ("std", "published")]
        [1.0, 10.0]
    """

    bias: nn.Parameter | None

    def __init__(self, channels: int, *, kind: Normalization = "std", bias: bool = True) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be at least 1, got {channels}")
        if kind not in get_args(Normalization):
            raise ValueError(f"kind must be one of {get_args(Normalization)}, got {kind!r}")
        self.channels, self.kind, self.epsilon = channels, kind, EPSILON[kind]
        self.weight = nn.Parameter(torch.ones(channels))
        self.register_parameter("bias", nn.Parameter(torch.zeros(channels)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized maps (N, channels, H, W).

        Raises `ValueError` for other shapes and for maps of a single cell, which have no std.
        """
        if x.ndim != 4 or x.shape[1] != self.channels or x.shape[2] * x.shape[3] < 2:
            raise ValueError(
                f"x must be (N, {self.channels}, H, W) with at least 2 cells per map, "
                f"got {tuple(x.shape)}"
            )
        # A loop would fix the batch size of an exported network.
        if self.kind == "published" or not values_can_be_read(x):
            return self._from_statistics(x)
        # An image on its own is a batch: four to twenty times as fast on a CPU as what is written
        # out below. `F.instance_norm` would rearrange channels-last maps, and `F.group_norm` loses
        # digits there where the mean is far larger than the std.
        each = [
            F.batch_norm(image, None, None, self.weight, self.bias, training=True, eps=self.epsilon)
            for image in x.split(1)
        ]
        return torch.cat(each) if len(each) > 1 else each[0]

    def extra_repr(self) -> str:
        """Return the options, for `print`."""
        return f"{self.channels}, kind={self.kind!r}, bias={self.bias is not None}"

    def _from_statistics(self, x: Tensor) -> Tensor:
        # Statistics in float32 at least: bf16 rounds a mean to three digits.
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        if self.kind == "published":
            spread, mean = torch.std_mean(exact, dim=(2, 3), keepdim=True)
        else:
            spread, mean = torch.var_mean(exact, dim=(2, 3), correction=0, keepdim=True)
        scale = self.weight[:, None, None] * (spread + self.epsilon).rsqrt()  # (N, C, 1, 1)
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias[:, None, None]
        return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))


class WideConvolution(nn.Conv2d):
    """`nn.Conv2d` for 15x15 kernels: channels-first on a CPU, even where the rest is channels-last.

    The training loop keeps images and weights channels-last, which is faster for small kernels.
    Large ones take up to 1.8 times as long that way on a CPU in float32; a copy of their weights
    takes next to nothing. Values, arguments and names are those of `nn.Conv2d`.

    Example:
        >>> layer = WideConvolution(2, 3, 15, padding=7).to(memory_format=torch.channels_last)
        >>> layer(torch.rand(1, 2, 20, 30)).shape
        torch.Size([1, 3, 20, 30])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x`, as `nn.Conv2d` does."""
        if x.device.type != "cpu":
            return super().forward(x)
        return self._conv_forward(x.contiguous(), self.weight.contiguous(), self.bias)


def _xavier_normal(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
