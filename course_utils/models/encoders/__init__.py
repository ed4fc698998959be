"""Encoders: an image in, feature maps at five scales out, with weights learnt on other pictures."""

from typing import Literal

from course_utils.models.encoders.base import Encoder, Weights
from course_utils.models.encoders.efficientnet import EfficientNetEncoder
from course_utils.models.encoders.resnet import ResNetEncoder

__all__ = [
    "ENCODERS",
    "EfficientNetEncoder",
    "Encoder",
    "EncoderName",
    "ResNetEncoder",
    "Weights",
    "build_encoder",
]

EncoderName = Literal["resnet18", "efficientnet_lite0"]
ENCODERS: dict[str, type[ResNetEncoder] | type[EfficientNetEncoder]] = {
    "resnet18": ResNetEncoder,
    "efficientnet_lite0": EfficientNetEncoder,
}


def build_encoder(name: EncoderName, weights: Weights | None = "imagenet") -> Encoder:
    """Return the encoder called `name`, one of `ENCODERS`.

    Raises:
        ValueError: for another name, and for weights that do not fit.
        FileNotFoundError: for a file of weights that is not there.

    Example:
        >>> build_encoder("efficientnet_lite0").weights_used
        'imagenet'
    """
    if name not in ENCODERS:
        raise ValueError(f"encoder must be one of {', '.join(ENCODERS)}, got {name!r}")
    return ENCODERS[name](weights)
