"""EfficientNet (Tan and Le, ICML 2019, arXiv 1905.11946), in its form Lite0."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.models.blocks import he_normal
from course_utils.models.encoders.base import (
    SHIPPED,
    Encoder,
    Weights,
    check_image,
    check_weights,
)


class EfficientNetEncoder(Encoder):
    """EfficientNet-Lite0 without its classifier: 16, 24, 40, 112 and 320 channels.

    Inverted residual blocks with ReLU6 and without squeeze-and-excitation; a third of ResNet-18's
    parameters, and trained on the whole of ImageNet.

    Args:
        weights: `"imagenet"` and `"offline"` both take those that come with the package, trained
            on ImageNet: nothing is downloaded. A path loads a safetensors file; None starts at
            random.

    Example:
        >>> import torch
        >>> encoder = EfficientNetEncoder(weights=None)
        >>> [tuple(f.shape) for f in encoder(torch.rand(2, 1, 64, 32))]
        [(2, 16, 32, 16), (2, 24, 16, 8), (2, 40, 8, 4), (2, 112, 4, 2), (2, 320, 2, 1)]
    """

    channels = (16, 24, 40, 112, 320)
    STEM = ("stage0",)
    FROZEN = (*STEM, "stage1", "stage2", "stage3")
    shipped = ("imagenet", SHIPPED / "efficientnet_lite0_imagenet.safetensors")

    def __init__(self, weights: Weights | None = "imagenet") -> None:
        super().__init__()
        check_weights(weights)
        self.stage0 = nn.Sequential(
            *_convolution(3, 32, 3, stride=2), *_inverted_residuals(1, 32, 16, 3, expansion=1)
        )
        self.stage1 = nn.Sequential(*_inverted_residuals(2, 16, 24, 3, stride=2))
        self.stage2 = nn.Sequential(*_inverted_residuals(2, 24, 40, 5, stride=2))
        self.stage3 = nn.Sequential(
            *_inverted_residuals(3, 40, 80, 3, stride=2), *_inverted_residuals(3, 80, 112, 5)
        )
        self.stage4 = nn.Sequential(
            *_inverted_residuals(4, 112, 192, 5, stride=2), *_inverted_residuals(1, 192, 320, 3)
        )
        self.apply(he_normal)  # torch's own start fades through 16 blocks to features of 1e-7
        self.weights_used = self._load(weights)

    def first_four(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return f0 to f3 alone: what `freeze` freezes."""
        check_image(image)
        x = (255 * image - 127) / 128  # what the weights were trained with
        f0 = self.stage0(x.expand(-1, 3, -1, -1))  # (N, 16, H/2, W/2)
        f1 = self.stage1(f0)  # (N, 24, H/4, W/4)
        f2 = self.stage2(f1)  # (N, 40, H/8, W/8)
        f3 = self.stage3(f2)  # (N, 112, H/16, W/16)
        return f0, f1, f2, f3

    def last(self, f3: Tensor) -> Tensor:
        """Return f4 (N, 320, H/32, W/32) of f3 (N, 112, H/16, W/16)."""
        f4: Tensor = self.stage4(f3)
        return f4


class _SamePadding(nn.Conv2d):
    """Pads as TensorFlow's "same" does: where the border is odd, its larger part comes last."""

    def forward(self, x: Tensor) -> Tensor:
        if (self.kernel_size[0] - self.stride[0]) % 2:
            x = F.pad(x, (0, 1, 0, 1))
        if self.groups == 1 or x.device.type != "cpu":
            return super().forward(x)
        # On a CPU the gradient of a filter for each channel is up to ten times slower in bf16.
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.to(self.weight.dtype)).to(x.dtype)


class _InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel by itself, narrow by 1x1; add the input where it fits."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        self.layers = nn.Sequential(
            *(_convolution(inputs, wide, 1) if expansion > 1 else ()),
            *_convolution(wide, wide, kernel, stride=stride, groups=wide),
            *_convolution(wide, outputs, 1)[:-1],
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layers(x)
        return x + made if self.adds else made


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module, nn.Module]:
    return (
        _SamePadding(
            inputs, outputs, kernel, stride, (kernel - stride) // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
        nn.ReLU6(inplace=True),
    )


def _inverted_residuals(
    count: int, inputs: int, outputs: int, kernel: int, *, stride: int = 1, expansion: int = 6
) -> list[_InvertedResidual]:
    """Return several blocks; the first changes channels and size."""
    first = _InvertedResidual(inputs, outputs, kernel, stride=stride, expansion=expansion)
    return [first] + [
        _InvertedResidual(outputs, outputs, kernel, stride=1, expansion=expansion)
        for _ in range(count - 1)
    ]
