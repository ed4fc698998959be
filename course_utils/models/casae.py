"""The cascaded autoencoder (CASAE): two dilated U-Nets, the second corrects the first.

Source: Tao et al., "Automatic Metallic Surface Defect Detection and Recognition with
Convolutional Neural Networks", Applied Sciences 2018, 8, 1575; layers from its Figure 3.

Two statements of the paper cannot both be met, and one contradicts arithmetic:

- It asks for padding 1 everywhere. With dilation 2 that shrinks 64 pixels to 62, and the skip
  connections no longer fit. Here **padding = dilation**, which keeps the size.
- It lists the receptive fields of the atrous layers as 7, 7, 15, 15 pixels. One 3x3 convolution
  with dilation 2 or 4 spans 5 or 9; 7 and 15 belong to stacks of dilations 1, 2 and 1, 2, 4.
  Here the **factors 2, 2, 4, 4** are taken as they stand.

The paper names neither the start values nor the kind of up-sampling. Here weights start as He et
al. propose for ReLU, biases at 0, and up-sampling is U-Net's: repeat each pixel, then a 2x2
convolution that halves the channels.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from course_utils.models.blocks import check_image, convolution, he_normal, up_convolution


class CascadedAutoencoder(nn.Module):
    """Two autoencoders in a row: the second sees only the defect probabilities of the first.

    61,987,460 parameters with the default settings, which are the paper's.

    Args:
        in_channels: 1 (gray, as in the paper) or 3 (RGB).
        num_classes: 2 for background and defect. With K + 1 classes the second autoencoder gets K
            maps, one for each kind of defect.
        width: channels of the first layer; 64 in the paper, 8 to 16 on a laptop.
        atrous: whether the encoders' layers 3, 5, 7 and 9 are dilated.
        normalize: whether batch normalization follows each convolution but the last (not in the
            paper: it lets short trainings with larger learning rates succeed).

    The paper trains one after the other, 30 and 20 epochs, learning rate 1e-4, batches of 2, with
    cross entropy in which a defect weighs .8 and background .2 (equation 1, there a sum over
    pixels, here their mean). `stage(1)` and `stage(2)` return what is to be trained.

    Example:
        >>> from course_utils.losses import weighted_cross_entropy
        >>> casae = CascadedAutoencoder(width=2)
        >>> image, mask = torch.rand(2, 1, 32, 32), torch.zeros(2, 32, 32, dtype=torch.long)
        >>> for number in (1, 2):
        ...     logits = casae.stage(number)(image)
        ...     weighted_cross_entropy(logits, mask, torch.tensor([0.2, 0.8])).backward()
        >>> casae.first_map(image).shape, casae(image).shape
        (torch.Size([2, 1, 32, 32]), torch.Size([2, 2, 32, 32]))
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        *,
        width: int = 64,
        atrous: bool = True,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.first = SegmentationAutoencoder(
            in_channels, num_classes, width=width, atrous=atrous, normalize=normalize
        )
        self.second = SegmentationAutoencoder(
            num_classes - 1, num_classes, width=width, atrous=atrous, normalize=normalize
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return the second autoencoder's logits (N, num_classes, H, W), which want a softmax.

        Takes images (N, in_channels, H, W). Raises `ValueError` for other shapes and for sides that
        are no multiple of 16.
        """
        return self.second(self.first_map(image))  # (N, num_classes, H, W)

    def first_map(self, image: Tensor) -> Tensor:
        """Return what the second autoencoder sees: (N, num_classes - 1, H, W), in [0, 1].

        Example:
            >>> casae = CascadedAutoencoder(width=2, num_classes=4)
            >>> casae.first_map(torch.rand(1, 1, 16, 16)).shape
            torch.Size([1, 3, 16, 16])
        """
        return self.first(image).softmax(1)[:, 1:]

    def stage(self, number: Literal[1, 2]) -> nn.Module:
        """Return the module to train in stage 1 or 2: images in, logits out.

        Stage 1 is the first autoencoder alone. Stage 2 is the cascade with the first autoencoder
        frozen (see `SegmentationAutoencoder.freeze`), so that only the second learns. Both share
        their weights with this module. A cascade never asked for a stage trains as one.

        Raises:
            ValueError: for any other number.

        Example:
            >>> casae = CascadedAutoencoder(width=2)
            >>> casae.stage(1) is casae.first, casae.stage(2) is casae
            (True, True)
        """
        if number == 1:
            self.first.unfreeze()
            return self.first
        if number == 2:
            self.first.freeze()
            return self
        raise ValueError(f"stage must be 1 (first autoencoder) or 2 (second), got {number!r}")


class SegmentationAutoencoder(nn.Module):
    """One autoencoder of the cascade: a U-Net with dilated convolutions in its encoder.

    Its publication calls it an autoencoder, yet it has skip connections and reconstructs nothing.
    Ten 3x3 convolutions with ReLU in five pairs, a 2x2 max-pool after each of the first four;
    layers 3, 5, 7, 9 have dilation 2, 2, 4, 4. Four times up: 2x2 up-sampling, a convolution that
    halves the channels, the skip connection, two 3x3 convolutions (in the last stage one); then a
    1x1 convolution. 30,993,730 parameters with the default settings. One pixel of the deepest
    layer sees 296 x 296 pixels, without dilation 140 x 140.

    Arguments, shapes and errors are those of `CascadedAutoencoder`.

    Example:
        >>> SegmentationAutoencoder(width=4)(torch.zeros(1, 1, 48, 64)).shape
        torch.Size([1, 2, 48, 64])
    """

    DILATIONS = (1, 1, 2, 1, 2, 1, 4, 1, 4, 1)
    """Of the encoder's layers 1 to 10, with `atrous`."""

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        *,
        width: int = 64,
        atrous: bool = True,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(
                f"num_classes counts the background, so it must be at least 2, got {num_classes}"
            )
        if min(in_channels, width) < 1:
            raise ValueError(
                f"in_channels and width must be at least 1, got {in_channels}, {width}"
            )
        self.in_channels, self.frozen = in_channels, False
        widths = [width * 2**level for level in range(5)]
        dilations = self.DILATIONS if atrous else (1,) * 10
        self.encoder = nn.ModuleList(
            nn.Sequential(
                convolution(inputs, outputs, 3, dilation=first, normalize=normalize),
                convolution(outputs, outputs, 3, dilation=second, normalize=normalize),
            )
            for inputs, outputs, first, second in zip(
                [in_channels, *widths[:-1]], widths, dilations[::2], dilations[1::2], strict=True
            )
        )
        self.pool = nn.MaxPool2d(2)
        self.upsample = nn.ModuleList(
            up_convolution(2 * outputs, outputs, normalize=normalize) for outputs in widths[3::-1]
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(
                convolution(2 * outputs, outputs, 3, normalize=normalize),
                convolution(outputs, outputs, 3, normalize=normalize),
            )
            for outputs in widths[3:0:-1]
        )
        self.decoder.append(convolution(2 * width, width, 3, normalize=normalize))
        self.head = nn.Conv2d(width, num_classes, kernel_size=1)
        self.apply(he_normal)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, num_classes, H, W) of images (N, in_channels, H, W)."""
        check_image(image, self.in_channels)
        if image.shape[2] % 16 or image.shape[3] % 16:
            raise ValueError(
                "height and width must be multiples of 16 (four poolings by 2), got "
                f"{tuple(image.shape[2:])}: pad or resize first"
            )
        e, up, d = self.encoder, self.upsample, self.decoder
        one = e[0](image)  # (N, width, H, W)
        two = e[1](self.pool(one))  # (N, 2 width, H/2, W/2)
        three = e[2](self.pool(two))  # (N, 4 width, H/4, W/4)
        four = e[3](self.pool(three))  # (N, 8 width, H/8, W/8)
        x = e[4](self.pool(four))  # (N, 16 width, H/16, W/16)
        x = d[0](torch.cat([four, up[0](x)], dim=1))  # (N, 8 width, H/8, W/8)
        x = d[1](torch.cat([three, up[1](x)], dim=1))  # (N, 4 width, H/4, W/4)
        x = d[2](torch.cat([two, up[2](x)], dim=1))  # (N, 2 width, H/2, W/2)
        x = d[3](torch.cat([one, up[3](x)], dim=1))  # (N, width, H, W)
        return self.head(x)  # (N, num_classes, H, W)

    def freeze(self) -> None:
        """Stop learning: no gradients, and eval mode that `train()` does not end.

        Without the latter, batch normalization would go on collecting statistics.

        Example:
            >>> autoencoder = SegmentationAutoencoder(width=1)
            >>> autoencoder.freeze()
            >>> autoencoder.train().training
            False
        """
        self.frozen = True
        self.requires_grad_(False).zero_grad(set_to_none=True)
        self.eval()

    def unfreeze(self) -> None:
        """Learn again. The mode stays what it is until the next `train()`."""
        self.frozen = False
        self.requires_grad_(True)

    def train(self, mode: bool = True) -> "SegmentationAutoencoder":
        """Set the mode, as every module's `train`; a frozen autoencoder stays in eval mode."""
        return super().train(mode and not self.frozen)
