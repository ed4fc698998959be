"""The compact classifier of defect crops.

Source: Tao et al., "Automatic Metallic Surface Defect Detection and Recognition with
Convolutional Neural Networks", Applied Sciences 2018, 8, 1575, Table 2.
"""

from typing import Literal, get_args

from torch import Tensor, nn

Initialization = Literal["he", "published"]


class CompactDefectCNN(nn.Module):
    """Name the class of a defect from a gray, upright crop of 227 x 227 pixels.

    Five convolutions, three max-pools and three full layers, as AlexNet but narrower:
    4,957,803 parameters with the default settings, 3,201,000 of them in the first full layer.
    Batch normalization follows the first two convolutions, ReLU each layer but the last. There is
    no dropout: the paper names none.

    Args:
        in_channels: 1 (gray, as in the paper) or 3 (RGB).
        num_classes: kinds of defect, without background; 3 in the paper (damage spot, glue mark,
            dust or fiber).
        initialization: `"he"` draws weights of std sqrt(2 / fan-in). `"published"` draws all with
            std .001: the signal fades from layer to layer, all images look alike to the last
            one, and training starts slowly. Biases start at 0 in both.

    The paper trains it with batches of 8 for 30,000 iterations, SGD with learning rate .001,
    momentum .9, weight decay 5e-5.

    Example:
        >>> import torch
        >>> CompactDefectCNN()(torch.zeros(2, 1, 227, 227)).shape
        torch.Size([2, 3])
    """

    SIZE = 227
    """Height and width of every crop: the first full layer takes no other."""

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 3,
        *,
        initialization: Initialization = "he",
    ) -> None:
        super().__init__()
        if in_channels < 1 or num_classes < 2:
            raise ValueError(
                "in_channels must be at least 1 and num_classes at least 2, got "
                f"{in_channels}, {num_classes}"
            )
        if initialization not in get_args(Initialization):
            raise ValueError(
                f"initialization must be one of {get_args(Initialization)}, got {initialization!r}"
            )
        self.in_channels = in_channels
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 11, stride=4),  # (N, 96, 55, 55)
            nn.BatchNorm2d(96),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # (N, 96, 27, 27)
            nn.Conv2d(96, 128, 5),  # (N, 128, 23, 23)
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # (N, 128, 11, 11)
            nn.Conv2d(128, 256, 3, padding=1),  # (N, 256, 11, 11)
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),  # (N, 256, 11, 11)
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 128, 3, padding=1),  # (N, 128, 11, 11)
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # (N, 128, 5, 5)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 3200)
            nn.Linear(3200, 1000),
            nn.ReLU(inplace=True),
            nn.Linear(1000, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                if initialization == "he":
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                else:
                    nn.init.normal_(module.weight, std=0.001)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, crop: Tensor) -> Tensor:
        """Return logits (N, num_classes) of crops (N, in_channels, 227, 227).

        Raises `ValueError` for other shapes.
        """
        wanted = (self.in_channels, self.SIZE, self.SIZE)
        if crop.ndim != 4 or crop.shape[1:] != wanted:
            raise ValueError(
                f"crop must be (N, {', '.join(map(str, wanted))}), got {tuple(crop.shape)}: "
                f"cut crops of {self.SIZE} pixels, as course_utils.data.crop_upright does"
            )
        return self.classifier(self.features(crop))  # (N, num_classes)
