"""The defects of a mask, and upright crops of them: what a classifier of defects looks at.

Source: Tao et al., Applied Sciences 2018, 8, 1575: threshold, contours, minimum-area rectangles,
each turned upright by an affine map, cut out, made gray and 227 x 227 pixels. There 0 is the defect
in labels and thresholded pictures; here, as everywhere in the course, 0 is the background.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from course_utils.data.image_files import to_gray
from course_utils.data.samples import SampleSource, describe
from course_utils.data.wrappers import check_indices

THRESHOLD = 100 / 255
"""The paper's: 100 on a scale of 0..255."""


def find_regions(
    mask: npt.ArrayLike | Tensor, *, min_area: int = 16, threshold: float = THRESHOLD
) -> list["Region"]:
    """Return the defects of a mask with their minimum-area rectangles, from top to bottom.

    Args:
        mask: (H, W). Whole numbers or booleans are classes, 0 is background: touching pixels of
            one class (also at corners) make a region. Floats are defect probabilities in [0, 1].
        min_area: regions of fewer pixels are left out, as specks.
        threshold: probability above which a pixel is a defect; not used for classes.

    Raises:
        ValueError: for other shapes and values.

    Example:
        >>> mask = np.zeros((8, 8), int)
        >>> mask[2:5, 1:7] = 3
        >>> find_regions(mask)
        [Region(center=(3.5, 3.0), size=(6.0, 3.0), angle=0.0, area=18, label=3)]
    """
    if min_area < 1:
        raise ValueError(f"min_area must be at least 1 pixel, got {min_area}")
    classes = _classes(mask, threshold)
    regions = []
    for label in np.unique(classes[classes > 0]).tolist():
        of_class = (classes == label).astype(np.uint8)
        count, numbers, boxes, _ = cv2.connectedComponentsWithStats(of_class, connectivity=8)
        for number in range(1, count):
            left, top, width, height, area = boxes[number].tolist()
            if area >= min_area:
                box = slice(top, top + height), slice(left, left + width)
                rectangle = _rectangle((numbers[box] == number).astype(np.uint8), (left, top))
                regions.append(Region(*rectangle, area, label))
    return sorted(regions, key=lambda region: (region.center[1], region.center[0], region.label))


@dataclass(frozen=True)
class Region:
    """One connected defect and the smallest rectangle around all of its pixels.

    Pixel (row, column) is the square around the point x = column, y = row, so the rectangle of a
    single pixel is 1 x 1.
    """

    center: tuple[float, float]
    """(x, y) of the rectangle's center, in pixels."""
    size: tuple[float, float]
    """Long and short side of the rectangle, in pixels."""
    angle: float
    """Degrees from the x axis to the long side, clockwise as seen (y points down), in (-90, 90].

    A square is taken to be turned as little as can be, in (-45, 45].
    """
    area: int
    """Pixels of the defect; holes do not count."""
    label: int
    """Class of the defect, from 1; always 1 from a probability map."""

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the unit vectors (x, y) along the long and the short side.

        Example:
            >>> Region((0.0, 0.0), (2.0, 1.0), 90.0, 2, 1).axes()[0].round(3).tolist()
            [0.0, 1.0]
        """
        turn = math.radians(self.angle)
        along = np.array([math.cos(turn), math.sin(turn)])
        return along, np.array([-along[1], along[0]])

    def corners(self, margin: float = 0.0) -> np.ndarray:
        """Return the corners (x, y) of the rectangle, float64, (4, 2), `margin` pixels wider.

        In the order in which the crop shows them: top left, top right, bottom right, bottom left.

        Example:
            >>> Region((2.0, 1.0), (4.0, 2.0), 0.0, 8, 1).corners().tolist()
            [[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0]]
        """
        along, across = self.axes()
        long, short = (side / 2 + margin for side in self.size)
        signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        return np.array(
            [np.add(self.center, i * long * along + j * short * across) for i, j in signs]
        )


def crop_upright(
    image: Tensor,
    region: Region,
    *,
    size: int = 227,
    margin: float = 4.0,
    keep_aspect: bool = False,
) -> Tensor:
    """Return the rectangle of `region` as a gray picture, long side level: (1, size, size).

    It is turned, never mirrored. What lies beyond the edge of the image is filled by reflection.

    Args:
        image: float32 (C, H, W) in [0, 1], C is 1 or 3; colors become gray.
        region: one of `find_regions`.
        size: side of the result in pixels.
        margin: pixels of the image added on each side of the rectangle.
        keep_aspect: False stretches the rectangle to a square, as the paper does: details are as
            large as can be, but a scratch no longer looks thin. True cuts a square with the
            rectangle's long side: the shape stays true, and a thin defect leaves most of it
            to its surroundings.

    Raises:
        ValueError: for other shapes, types and sizes.

    Example:
        >>> image = torch.arange(64.0).reshape(1, 8, 8) / 64
        >>> region = find_regions(image[0] > 0.5)[0]
        >>> crop_upright(image, region, size=4).shape
        torch.Size([1, 4, 4])
    """
    if size < 1 or not margin >= 0:
        raise ValueError(f"size must be at least 1 and margin at least 0, got {size}, {margin}")
    gray = _gray(image)
    extent = np.add(region.size, 2 * margin)
    if keep_aspect:
        extent = np.full(2, extent.max())
    # Where several pixels fall into one, more points than needed are taken, then averaged.
    finer = max(1, math.ceil(extent.max() / size))
    picture = cv2.warpAffine(
        gray,
        _map_to_image(region, extent, finer * size),
        (finer * size, finer * size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    if finer > 1:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(picture)[None]


class Crop(NamedTuple):
    """One defect, cut out and turned upright. A batch of a `DataLoader` is a `Crop` again."""

    image: Tensor
    """float32, (1, size, size), gray, in [0, 1]."""
    label: int
    """Kind of the defect, from **0**: a crop has no background class."""
    group: str
    """That of the image it was cut from."""
    name: str
    """The image's name and the number of the region in it."""

    @property
    def mask(self) -> Tensor:
        """The label as int64 tensor, (): what `course_utils.training.fit` takes as target."""
        return torch.as_tensor(self.label)


class DefectCrops(Dataset[Crop]):
    """The crop of each defect in `dataset`, cut with the true masks; read once, kept in memory.

    `indices` chooses images of `dataset`, all by default. `class_names` are those of the data set
    without the background. Lists, an item for each crop: `labels` (int64, (N,)), `groups`, `names`,
    `regions`, and `image_indices`, the image it is cut from. Crops are kept with 8 bits a pixel,
    50 KB each at 227 pixels. All crops of an image share its group: split the images first, or
    split the crops by `groups`. Other arguments are those of `find_regions` and `crop_upright`.

    Raises:
        ValueError: if there is no defect of at least `min_area` pixels.
        IndexError: for indices outside the data set.

    Example:
        >>> from course_utils.data import open_dataset
        >>> crops = DefectCrops(open_dataset("synthetic", size=64), indices=range(8), size=32)
        >>> crops[0].image.shape, crops.class_names[crops[0].label] in ("line", "spot", "area")
        (torch.Size([1, 32, 32]), True)
    """

    channels = 1

    def __init__(
        self,
        dataset: SampleSource,
        *,
        indices: Sequence[int] | None = None,
        size: int = 227,
        margin: float = 4.0,
        min_area: int = 16,
        keep_aspect: bool = False,
        progress: bool = False,
    ) -> None:
        wanted = check_indices(indices, dataset)
        about = describe(dataset)
        self.class_names = tuple(about.class_names[1:])
        self.split_note = about.split_note
        self.regions: list[Region] = []
        self.groups: list[str] = []
        self.names: list[str] = []
        self.image_indices: list[int] = []
        self._pictures: list[Tensor] = []
        for index in tqdm(wanted, "cutting crops", disable=not progress, leave=False):
            sample = dataset[index]
            for number, region in enumerate(find_regions(sample.mask, min_area=min_area)):
                crop = crop_upright(
                    sample.image, region, size=size, margin=margin, keep_aspect=keep_aspect
                )
                self._pictures.append((crop.clamp(0, 1) * 255).round().to(torch.uint8))
                self.regions.append(region)
                self.groups.append(sample.group)
                self.names.append(f"{sample.name}/{number}")
                self.image_indices.append(index)
        if not self.regions:
            raise ValueError(
                f"none of {len(wanted)} images has a defect of at least {min_area} pixels: "
                "choose other images, a larger size or a smaller min_area"
            )
        self.labels = torch.tensor([region.label - 1 for region in self.regions])

    def __len__(self) -> int:
        return len(self.regions)

    def __getitem__(self, index: int) -> Crop:
        return Crop(
            image=self._pictures[index].float() / 255,
            label=int(self.labels[index]),
            group=self.groups[index],
            name=self.names[index],
        )


def _map_to_image(region: Region, extent: np.ndarray, side: int) -> np.ndarray:
    """Return the 2x3 matrix that takes a pixel (column, row, 1) of the crop to (x, y)."""
    along, across = region.axes()
    turn = np.stack([along, across], axis=1) * (extent / side)
    return np.column_stack([turn, region.center + turn @ np.full(2, (1 - side) / 2)])


def _gray(image: Tensor) -> np.ndarray:
    if image.ndim != 3 or image.shape[0] not in (1, 3) or image.dtype != torch.float32:
        raise ValueError(
            f"image must be float32 (1 or 3, H, W), got {image.dtype} {tuple(image.shape)}"
        )
    return to_gray(np.ascontiguousarray(image.detach().cpu().permute(1, 2, 0).numpy()))


def _classes(mask: npt.ArrayLike | Tensor, threshold: float) -> np.ndarray:
    if isinstance(mask, Tensor):
        mask = mask.detach().cpu()
        mask = mask.float() if mask.is_floating_point() else mask  # NumPy has no bfloat16
    values = np.asarray(mask)
    if values.ndim != 2:
        raise ValueError(f"mask must be (H, W), got {values.shape}: pass one image at a time")
    if values.dtype.kind == "f":
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold must lie in [0, 1), got {threshold}: divide by 255")
        # NaN fails this comparison as well.
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(
                f"probabilities must lie in [0, 1], got {values.min():g}..{values.max():g}: "
                "apply the softmax, or pass classes as whole numbers"
            )
        return (values > threshold).astype(np.int64)
    if values.dtype.kind not in "iub":
        raise ValueError(f"mask must hold classes or probabilities, got {values.dtype}")
    if values.size and (values.min() < 0 or values.max() >= 255):
        raise ValueError(
            f"classes must lie in 0..254, got {values.min()}..{values.max()}: threshold an 8-bit "
            "picture first, as mask > 127"
        )
    return values.astype(np.int64)


def _rectangle(
    region: np.ndarray, offset: tuple[int, int]
) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return center, size and angle of the smallest rectangle, as `Region` states them."""
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = np.concatenate(contours).reshape(-1, 2)
    # Contours join the centers of pixels; the rectangle shall hold whole pixels.
    half = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    corners = (points[:, None] + half).reshape(-1, 2).astype(np.float32)
    (x, y), (width, height), angle = cv2.minAreaRect(corners)
    if height > width:
        width, height, angle = height, width, angle + 90
    # Rounded, so that a level rectangle is 0 degrees and not 1e-6 short of 180. A square has no
    # long side: it is turned as little as can be.
    square = width - height < 1e-3
    angle = 45 - (45 - round(angle, 4)) % 90 if square else 90 - (90 - round(angle, 4)) % 180
    return (x + offset[0], y + offset[1]), (width, height), angle
