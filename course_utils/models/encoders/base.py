"""What all encoders share: the interface, freezing, and weights from a file."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Literal, Self, get_args

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from course_utils.value_checks import check_unit_range

Named = Literal["imagenet", "offline"]
Weights = Named | Path
SHIPPED = Path(__file__).parents[1] / "weights"
"""Files that come with the package; `README.md` there says where they are from."""


class Encoder(nn.Module, ABC):
    """The features of an image at five scales; the base of all encoders.

    `weights_used` says which weights it was in the end, by name or path.

    Args:
        weights: a name, a safetensors file with the encoder's own names and shapes, or None for a
            random start.
    """

    channels: ClassVar[tuple[int, int, int, int, int]]
    """Of f0 to f4."""
    strides: ClassVar[tuple[int, int, int, int, int]] = (2, 4, 8, 16, 32)
    """Pixels of the image for one cell of f0 to f4."""
    STEM: ClassVar[tuple[str, ...]]
    """What f0 is made of."""
    FROZEN: ClassVar[tuple[str, ...]]
    """What `freeze` freezes: all that f0 to f3 are made of."""
    shipped: ClassVar[tuple[Named, Path]]
    """The weights that come with the package: their name, and their file."""
    frozen = False
    weights_used: str | None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the five feature maps f0 .. f4 of images.

        Gray is repeated to three channels; the mean and deviation that the weights were trained
        with are taken off.

        Args:
            image: floats (N, 1 or 3, H, W) in [0, 1]; sides are multiples of 32.

        Returns:
            f0 (N, channels[0], H/2, W/2), f1 (N, channels[1], H/4, W/4), and so on to
            f4 (N, channels[4], H/32, W/32).

        Raises:
            ValueError: for other images.
        """
        check_range(image)
        f0, f1, f2, f3 = self.first_four(image)
        return f0, f1, f2, f3, self.last(f3)

    @abstractmethod
    def first_four(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return f0 to f3 alone: what `freeze` freezes.

        Whether values are in [0, 1] is not checked.
        """

    @abstractmethod
    def last(self, f3: Tensor) -> Tensor:
        """Return f4 (N, channels[4], H/32, W/32) of f3 (N, channels[3], H/16, W/16)."""

    def freeze(self) -> None:
        """Stop all that makes f0 to f3 from changing; what makes f4 goes on learning.

        It gets no gradient, and stays in eval mode whatever `train()` asks for: in train mode,
        batch normalization would go on collecting statistics and the features would drift.

        Example:
            >>> from course_utils.models import ResNetEncoder
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

    def train(self, mode: bool = True) -> Self:
        """Set the mode, as every module's `train`; what is frozen stays in eval mode."""
        super().train(mode)
        if self.frozen:
            for name in self.FROZEN:
                getattr(self, name).eval()
        return self

    def _load(self, weights: Weights | None) -> str | None:
        """Load weights, and return which it was in the end."""
        if weights is None:
            return None
        used, file = (str(weights), weights) if isinstance(weights, Path) else self.shipped
        load_exactly(self, read_weights(file), str(file))
        return used


def read_weights(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no such file.

    Example:
        >>> len(read_weights(SHIPPED / "resnet18_tiny_imagenet.safetensors"))
        120
    """
    if not file.is_file():
        there = "is a folder" if file.is_dir() else "is not there"
        raise FileNotFoundError(f"{file} {there}: give a safetensors file of weights")
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged or no safetensors file ({error})") from error


def load_exactly(encoder: Encoder, state: dict[str, Tensor], source: str = "the state") -> None:
    """Load weights whose names and shapes are those of `encoder`, all of them and no others.

    Args:
        encoder: what is loaded into.
        state: tensors by name; all numbers are finite.
        source: what the weights are called in an error.

    Raises:
        ValueError: that names the differences; nothing has changed then.

    Example:
        >>> from course_utils.models import ResNetEncoder
        >>> load_exactly(ResNetEncoder(weights=None), {})
        Traceback (most recent call last):
            ...
        ValueError: the state does not fit ResNetEncoder: it has none of its names, so choose ...
    """
    wanted = encoder.state_dict()
    wrong = f"{source} does not fit {type(encoder).__name__}"
    common = sorted(wanted.keys() & state.keys())
    if not common:
        raise ValueError(f"{wrong}: it has none of its names, so choose the encoder that it is of")
    differences = [f"{name} is missing" for name in sorted(wanted.keys() - state.keys())]
    differences += [f"{name} is not wanted" for name in sorted(state.keys() - wanted.keys())]
    for name in common:
        given, own = state[name], wanted[name]
        if given.shape != own.shape:
            differences.append(f"{name} is {tuple(given.shape)} in place of {tuple(own.shape)}")
        elif given.is_floating_point() != own.is_floating_point():
            differences.append(f"{name} is of {given.dtype} in place of {own.dtype}")
        elif not given.isfinite().all():
            differences.append(f"{name} is not finite")
    if differences:
        more = f" and {len(differences) - 4} more" if len(differences) > 4 else ""
        raise ValueError(f"{wrong}: {', '.join(differences[:4])}{more}")
    encoder.load_state_dict(state)


def half_precision(encoder: Encoder) -> dict[str, Tensor]:
    """Return the encoder's weights as they are shipped: convolutions in float16.

    Batch normalization stays as it is: its running variances may leave float16's range.

    Example:
        >>> from course_utils.models import ResNetEncoder
        >>> weights = half_precision(ResNetEncoder(weights=None))
        >>> weights["conv1.weight"].dtype, weights["bn1.running_var"].dtype
        (torch.float16, torch.float32)
    """
    state = {name: t.detach().cpu().contiguous() for name, t in encoder.state_dict().items()}
    return {name: t.half() if t.ndim == 4 else t for name, t in state.items()}


def check_range(images: Tensor) -> None:
    """Raise `ValueError` unless `images` are floats and, in eager mode, in [0, 1].

    A resize may round up. Images that are 0..255 or already normalized give features that mean
    nothing, and no error later on.
    """
    if not images.is_floating_point():
        raise ValueError(
            f"images must be floating point in [0, 1], got {images.dtype}: divide first"
        )
    check_unit_range("images", images, "divide first", rounding=1e-3)


def check_weights(weights: Weights | None) -> None:
    """Raise `ValueError` for what is no name of weights, no path and not None."""
    if not (weights is None or isinstance(weights, Path) or weights in get_args(Named)):
        raise ValueError(
            f"weights must be one of {get_args(Named)}, a Path or None, got {weights!r}"
        )


def check_image(image: Tensor) -> None:
    """Raise `ValueError` for images that no encoder takes, and say which size works."""
    if image.ndim != 4 or image.shape[1] not in (1, 3):
        raise ValueError(f"image must be (N, 1 or 3, H, W), got {tuple(image.shape)}")
    if not image.is_floating_point():
        raise ValueError(f"image must be floating point in [0, 1], got {image.dtype}: divide first")
    sides = tuple(image.shape[2:])
    if not all(side and side % 32 == 0 for side in sides):
        raise ValueError(
            "height and width must be multiples of 32 (they are halved five times), got "
            f"{sides}: pad or resize to {tuple(max(32, -side // 32 * -32) for side in sides)}"
        )
