"""Upright crops of defects: what a classifier of defects looks at.

Source: Tao et al., Applied Sciences 2018, 8, 1575: each minimum-area rectangle is turned upright
by an affine map, cut out, made gray and 227 x 227 pixels.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from course_utils.data.defect_regions import Region, find_regions
from course_utils.data.image_files import to_gray
from course_utils.data.samples import DefectDataset


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
    without the background, `labels` (int64, (N,)), `groups`, `names` and `regions` tell of each
    crop, and `image_indices` from which image it is. Crops are kept with 8 bits a pixel, 50 KB
    each at 227 pixels. All crops of an image share its group: split the images first, or split
    the crops by `groups`. Other arguments are those of `find_regions` and `crop_upright`.

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
        dataset: DefectDataset,
        *,
        indices: Sequence[int] | None = None,
        size: int = 227,
        margin: float = 4.0,
        min_area: int = 16,
        keep_aspect: bool = False,
        progress: bool = False,
    ) -> None:
        wanted = list(range(len(dataset)) if indices is None else indices)
        outside = [i for i in wanted if not 0 <= i < len(dataset)]
        if outside:
            raise IndexError(f"indices must lie in 0..{len(dataset) - 1}, got {outside[:5]}")
        self.class_names = tuple(dataset.class_names[1:])
        self.split_note = dataset.split_note
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
