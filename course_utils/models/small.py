"""A small segmentation network that trains in seconds on a laptop."""

from torch import Tensor, nn

from course_utils.models.blocks import check_image, init_prior_bias, standardize


class SmallSegmenter(nn.Module):
    """A dilated convolutional network: image in, logits of every pixel out.

    One strided convolution halves the image; a chain of residual 3x3 convolutions with growing
    dilation lets each output see 69 x 69 pixels; a 1x1 convolution names the class; bilinear
    interpolation brings the size back. Made for lessons that train many networks in a minute or
    two: large enough to find a scratch, and no match for a U-Net.

    Args:
        in_channels: 1 (gray) or 3 (RGB).
        num_classes: 1 for one defect logit per pixel, K + 1 for background and K classes.
        width: channels of every layer.
        prior: share of defect pixels that the untrained network starts from (RetinaNet's trick,
            Lin et al. 2017, section 4.1); None starts undecided.

    Example:
        >>> import torch
        >>> SmallSegmenter(in_channels=3, num_classes=4)(torch.zeros(2, 3, 64, 48)).shape
        torch.Size([2, 4, 64, 48])
    """

    DILATIONS = (1, 2, 4, 8, 1)

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        *,
        width: int = 32,
        prior: float | None = None,
    ) -> None:
        super().__init__()
        if min(in_channels, num_classes, width) < 1:
            raise ValueError(
                "in_channels, num_classes and width must be at least 1, got "
                f"{in_channels}, {num_classes}, {width}"
            )
        self.in_channels = in_channels
        self.stem = _conv_block(in_channels, width, stride=2)
        self.body = nn.ModuleList(_conv_block(width, width, dilation=d) for d in self.DILATIONS)
        self.head = nn.Conv2d(width, num_classes, kernel_size=1)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        if prior is not None:
            init_prior_bias(self.head, prior)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, num_classes, H, W) of images (N, in_channels, H, W) with even sides.

        Raises `ValueError` for other shapes.
        """
        check_image(image, self.in_channels)
        if image.shape[2] % 2 or image.shape[3] % 2:
            raise ValueError(
                f"height and width must be even, got {tuple(image.shape[2:])}: pad or resize first"
            )
        x = standardize(image)  # (N, in_channels, H, W)
        x = self.stem(x)  # (N, width, H/2, W/2)
        for block in self.body:
            x = x + block(x)  # (N, width, H/2, W/2)
        x = self.head(x)  # (N, num_classes, H/2, W/2)
        return self.upsample(x)  # (N, num_classes, H, W)


def _conv_block(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
