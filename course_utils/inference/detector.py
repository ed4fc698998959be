"""From a run folder to answers: `load_detector(folder).predict(photograph)`."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_weights
from safetensors.torch import save as save_weights
from torch import Tensor, nn

from course_utils.config import pick_device
from course_utils.data.image_files import encode_image, resize_image, resize_mask
from course_utils.evaluation import image_score
from course_utils.inference.networks import build_network, read_output
from course_utils.inference.photographs import (
    Photograph,
    each_photograph,
    read_photograph,
    to_input,
)
from course_utils.inference.thresholds import Threshold
from course_utils.io import write_atomic
from course_utils.plots import overlay
from course_utils.training import evaluating, predict_in_tiles

SETTINGS, WEIGHTS = "detector.json", "weights.safetensors"


class DetectorSettings(BaseModel):
    """All of a detector but its weights: what it takes, and how it decides."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format: Literal["course_utils detector, version 1"] = "course_utils detector, version 1"
    method: str
    """For people: unet, memseg, two-stage or nearest."""
    network: str
    """A name of `inference.networks.NETWORKS`."""
    arguments: dict[str, Any]
    """What the network is made of, without weights."""
    class_names: tuple[str, ...]
    """Background first."""
    channels: Literal[1, 3]
    """Gray or RGB: photographs are converted."""
    height: int
    """Photographs are stretched to this height, as in training."""
    width: int
    """And to this width."""
    tile: int = 0
    """Then they are looked at in square tiles of this side; 0: whole."""
    score_pixels: int
    """The score of an image is the mean of so many of its largest pixels; 0: the network's own
    logit."""
    threshold: Threshold
    """Of the score of an image."""
    pixel_threshold: float | None
    """Of a pixel of the map; None: the most probable class."""
    pixel_source: str
    """How the threshold of a pixel was chosen, in a sentence."""
    data: str
    """What it was trained on."""
    split: str
    """How training, validation and test were kept apart."""


FORMAT = DetectorSettings.model_fields["format"].default


class Region(NamedTuple):
    """One connected defect, in pixels of the photograph."""

    class_name: str
    x: int
    y: int
    width: int
    height: int
    area: int


@dataclass(frozen=True)
class Prediction:
    """What a detector says of one photograph."""

    name: str
    """Path of the file, or "array"."""
    score: float
    """Higher for defects; `Detector.settings` says what it is."""
    threshold: float
    """At or above it the photograph counts as defective."""
    image: np.ndarray = field(repr=False)
    """The photograph, uint8, (H, W) or RGB (H, W, 3)."""
    small_map: np.ndarray = field(repr=False)
    """The map at the size that the network looks at, float32, (h, w)."""
    small_classes: np.ndarray | None = field(repr=False)
    """The most probable class of each of its pixels, uint8, (h, w), if there are several."""
    pixel_threshold: float | None
    class_names: tuple[str, ...]

    @property
    def is_defective(self) -> bool:
        """Whether the score reaches the threshold."""
        return self.score >= self.threshold

    @property
    def map(self) -> np.ndarray:
        """How abnormal each pixel of the photograph is, float32, (H, W)."""
        return resize_image(self.small_map, self.image.shape[:2])

    @property
    def mask(self) -> np.ndarray:
        """The class of each pixel of the photograph, uint8, (H, W), 0 for background.

        It does not ask whether the photograph is defective: single pixels of a good one may be
        marked, too.
        """
        if self.small_classes is not None:
            return resize_mask(self.small_classes, self.image.shape[:2])
        assert self.pixel_threshold is not None
        return (self.map >= self.pixel_threshold).astype(np.uint8)

    @property
    def regions(self) -> list[Region]:
        """The connected regions of the mask, the largest first."""
        return find_regions(self.mask, self.class_names)

    def save(self, path: str | Path) -> None:
        """Write the photograph with its mask laid over it, as PNG or JPEG by the name's ending."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, encode_image(mark(self.image, self.mask), path.suffix))


def mark(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a photograph with its mask laid over it, uint8 (H, W, 3).

    Example:
        >>> mark(np.zeros((1, 5, 3), np.uint8), np.zeros((1, 5), np.uint8)).shape
        (1, 5, 3)
    """
    # A picture of height 1 or 3 looks like one whose channels come first.
    return overlay(np.moveaxis(image, -1, 0) if image.ndim == 3 else image, mask)


def find_regions(mask: np.ndarray, class_names: Sequence[str]) -> list[Region]:
    """Return the connected regions of a mask of classes, uint8, (H, W), the largest first.

    Example:
        >>> find_regions(np.eye(2, 3, dtype=np.uint8), ("background", "line"))
        [Region(class_name='line', x=0, y=0, width=2, height=2, area=2)]
    """
    found = []
    for label in np.unique(mask[mask > 0]).tolist():
        _, _, stats, _ = cv2.connectedComponentsWithStats((mask == label).astype(np.uint8))
        found += [Region(class_names[label], *map(int, row)) for row in stats[1:]]
    return sorted(found, key=lambda region: -region.area)


class Detector:
    """A trained network that takes photographs as they are and decides.

    Args:
        settings: all but the weights.
        network: the trained network.
        device: where to work; `"auto"` picks a GPU where there is one.
    """

    def __init__(
        self, settings: DetectorSettings, network: nn.Module, *, device: str = "auto"
    ) -> None:
        self.settings = settings
        self.device = torch.device(pick_device(device))
        self.network = network.to(self.device).to(memory_format=torch.channels_last)

    def predict(self, photographs: Photograph | Iterable[Photograph]) -> Any:
        """Return the prediction of one photograph, or an iterator over those of several.

        Args:
            photographs: a file, an array or a tensor (see `read_photograph`); or a folder, a batch
                (N, ...) of arrays or tensors, or any iterable of these. Several are read one after
                the other, so that as many as you like take no more memory than a few.

        Raises:
            FileNotFoundError: for a file or folder that is not there.
            ValueError: for a photograph that cannot be read. `predict_folder` goes on instead.
        """
        if isinstance(photographs, np.ndarray | Tensor):
            single = photographs.ndim < 4
        else:
            single = isinstance(photographs, str | Path) and not Path(photographs).is_dir()
        answers = self.predict_each(each_photograph(photographs))
        return next(answers) if single else answers

    def predict_each(
        self,
        photographs: Iterable[Photograph],
        *,
        batch_size: int = 8,
        on_error: Callable[[Photograph, Exception], None] | None = None,
    ) -> Iterator[Prediction]:
        """Yield the prediction of each photograph, in order, `batch_size` of them at a time.

        `on_error` is told of those that cannot be read, and the rest goes on; without it the first
        such error is raised.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if self.settings.tile:  # one large photograph is a batch of tiles by itself
            batch_size = 1
        names: list[str] = []
        pixels: list[np.ndarray] = []
        for photograph in photographs:
            try:
                pixels.append(read_photograph(photograph))
            except (ValueError, OSError) as error:
                if on_error is None:
                    raise
                on_error(photograph, error)
                continue
            names.append(str(photograph) if isinstance(photograph, str | Path) else "array")
            if len(pixels) == batch_size:
                yield from self._predict_batch(names, pixels)
                names, pixels = [], []
        yield from self._predict_batch(names, pixels)

    def save(self, folder: str | Path) -> None:
        """Write `detector.json` and `weights.safetensors` into a folder, each in one piece."""
        state = {name: one.contiguous().cpu() for name, one in self.network.state_dict().items()}
        write_atomic(Path(folder, WEIGHTS), save_weights(state))
        write_atomic(Path(folder, SETTINGS), self.settings.model_dump_json(indent=2) + "\n")

    def _predict_batch(self, names: list[str], pixels: list[np.ndarray]) -> Iterator[Prediction]:
        if not pixels:
            return
        settings = self.settings
        size = settings.height, settings.width
        images = torch.stack([to_input(one, settings.channels, size) for one in pixels])
        with evaluating(self.network):
            images = images.to(self.device, memory_format=torch.channels_last)
            answer = read_output(predict_in_tiles(self.network, images, settings.tile))
        maps = answer.maps.cpu().numpy()
        classes = None if answer.classes is None else answer.classes.byte().cpu().numpy()
        if answer.decisions is None:
            scores = image_score(maps, top=settings.score_pixels)
        else:
            scores = answer.decisions.cpu().numpy()
        for number, image in enumerate(pixels):
            yield Prediction(
                name=names[number],
                score=float(scores[number]),
                threshold=settings.threshold.value,
                image=image,
                small_map=maps[number],
                small_classes=None if classes is None else classes[number],
                pixel_threshold=settings.pixel_threshold,
                class_names=settings.class_names,
            )


def load_detector(run_folder: str | Path, *, device: str = "auto") -> Detector:
    """Open the folder of a finished training as a detector.

    Nothing is guessed from the weights, nothing is unpickled, and nothing is fetched.

    Args:
        run_folder: as `course train METHOD --out OUT` writes them: OUT/NAME/seed_N.
        device: where to work; `"auto"` picks a GPU where there is one.

    Raises:
        FileNotFoundError: if there is no detector, with the way to get one.
        ValueError: if its files are damaged or of another version.

    Example:
        >>> load_detector("nowhere")
        Traceback (most recent call last):
            ...
        FileNotFoundError: there is no folder nowhere
    """
    folder = Path(run_folder)
    if folder.name == SETTINGS:
        folder = folder.parent
    if not (folder / SETTINGS).is_file():
        raise FileNotFoundError(_what_is_missing(folder))
    try:
        found = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        if isinstance(found, dict) and found.get("format", FORMAT) != FORMAT:
            raise ValueError(f"it is a {found['format']!r}, and {FORMAT!r} is wanted")
        settings = DetectorSettings.model_validate(found)
        network = build_network(settings.network, settings.arguments)
        network.load_state_dict(load_weights((folder / WEIGHTS).read_bytes()))
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder} holds {SETTINGS} and no {WEIGHTS}: {_REDO}") from None
    except (ValidationError, ValueError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = f"{SETTINGS}, {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise ValueError(f"the detector in {folder} cannot be read ({reason}): {_REDO}") from error
    return Detector(settings, network, device=device)


_REDO = "give the command `course train` that made it again, with another --out"


def _what_is_missing(folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no folder {folder}"
    if (folder / "config.json").is_file():
        if (folder / "scores.json").is_file():
            return f"{folder} is of a training before detectors were kept: {_REDO}"
        return (
            f"{folder} holds a training that is not finished: give the command `course train` that "
            "began it again, and it goes on"
        )
    inside = sorted(str(path.parent) for path in folder.glob(f"**/{SETTINGS}"))
    if len(inside) == 1:
        return f"{folder} holds one training: give its own folder, {inside[0]}"
    if inside:
        more = f" and {len(inside) - 5} more" if len(inside) > 5 else ""
        return f"{folder} holds several trainings: choose one, {', '.join(inside[:5])}{more}"
    return (
        f"{folder} holds no {SETTINGS}: a detector is what `course train METHOD --out OUT` leaves "
        "in OUT/NAME/seed_N"
    )
