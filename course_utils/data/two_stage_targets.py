"""What the two-stage network is taught: mask and weights at one eighth of the size, and a label.

Source: Božič, Tabernik, Skočaj, ICPR 2020 (arXiv 2007.07676; weighting of positive pixels by a
distance transform) and Computers in Industry 2021 (arXiv 2104.06064); how masks are made smaller,
and the label of the pitfall, from their public code.
"""

from collections.abc import Collection
from functools import partial
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from course_utils.data.samples import Sample, SampleSource, describe
from course_utils.data.wrappers import BINARY_CLASSES
from course_utils.losses import TwoStageTarget

Defect = npt.NDArray[np.bool_]
Largest = Literal["image", "component"]
"""Where the largest distance is looked for: in the whole image, or in each connected defect."""


class TwoStageSample(NamedTuple):
    """One image with its target; a batch made by torch's `DataLoader` is one again, stacked."""

    image: Tensor
    """float32, (C, H, W), in [0, 1]."""
    target: TwoStageTarget
    name: str


class TwoStageTargets(Dataset[TwoStageSample]):
    """The images of `dataset` with what the two-stage network is taught about them.

    Args:
        dataset: any defect data set; all classes of defects count as one. Height and width are
            divisible by 8.
        weights: as in `two_stage_target`, like the following.
        power: exponent of the distance.
        positive_weight: largest weight of a defect pixel.
        dilate: side of the square that each defect pixel grows to.
        pitfall_label: repeat a mistake of the public code.
        segmented: names of the defective images whose masks teach; None: all. The others teach
            only the decision, and nothing of their masks is in their targets: weak supervision.
            Good images always teach that they are empty.

    Labels are those of the data set. Where it knows a defect but shows no pixel of it, since it
    has no mask or the defect was lost when the image was made smaller, the image teaches only the
    decision; with `pitfall_label` it is taught as good.

    Everything is read once at the start, and the targets of defective images are kept; images are
    not. Where a mask has changed since, as with `TransformedDataset`, its target is made anew.

    `labels` lists 0 (good) and 1 (defective), as `FrequencyOfUseSampler` wants them.

    Raises:
        ValueError: for names in `segmented` that are not those of defective images with a mask, a
            mask that contradicts its label, and as `two_stage_target` does.

    Example:
        >>> from course_utils.data import open_dataset
        >>> data = TwoStageTargets(open_dataset("synthetic", size=64, length=8), segmented=[])
        >>> defective = data[data.labels.index(1)].target
        >>> defective.mask.shape, bool(defective.label), bool(defective.has_mask)
        (torch.Size([1, 8, 8]), True, False)
    """

    class_names = BINARY_CLASSES

    def __init__(
        self,
        dataset: SampleSource,
        *,
        weights: Largest | None = "image",
        power: float = 2.0,
        positive_weight: float = 1.0,
        dilate: int = 1,
        segmented: Collection[str] | None = None,
        pitfall_label: bool = False,
    ) -> None:
        if isinstance(segmented, str):
            raise ValueError(f"segmented must be a collection of names, got {segmented!r}")
        about = describe(dataset)
        self.dataset = dataset
        self.channels = about.channels
        self.split_note = about.split_note
        self.pitfall_label = pitfall_label
        self.segmented = None if segmented is None else frozenset(segmented)
        self.labels: list[int] = []
        self._target_of = partial(
            two_stage_target,
            weights=weights,
            power=power,
            positive_weight=positive_weight,
            dilate=dilate,
            pitfall_label=pitfall_label,
        )
        self._kept: dict[int, _Kept] = {}
        with_mask = set()
        for index in range(len(dataset)):
            sample = dataset[index]
            self.labels.append(int(sample.label > 0))
            defect = _defect_pixels(sample.mask)
            target = self._make(sample, bool(defect.any()))
            if defect.any():
                with_mask.add(sample.name)
                self._kept[index] = _Kept(_packed(defect), target)
        unknown = sorted((self.segmented or frozenset()) - with_mask)
        if unknown:
            raise ValueError(
                f"segmented names {unknown[:5]}, which are not defective images with a mask: "
                "leave them out"
            )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> TwoStageSample:
        sample = self.dataset[index]
        defect = _defect_pixels(sample.mask)
        kept = self._kept.get(index)
        if kept is not None and kept.defect == _packed(defect):
            target = kept.target
        else:
            target = self._make(sample, bool(defect.any()))
        return TwoStageSample(sample.image, target, sample.name)

    def _make(self, sample: Sample, has_mask: bool) -> TwoStageTarget:
        if has_mask and not sample.label:
            raise ValueError(
                f"{sample.name!r} is labeled good, but its mask is not empty: correct either"
            )
        target = self._target_of(sample.mask)
        if not sample.label or (self.pitfall_label and not has_mask):
            return target
        if not has_mask:
            target = target._replace(label=torch.tensor(1.0))
        if has_mask and (self.segmented is None or sample.name in self.segmented):
            return target
        return target._replace(
            mask=torch.zeros_like(target.mask),
            weight=torch.zeros_like(target.mask),
            has_mask=torch.tensor(False),
        )


def two_stage_target(
    mask: Tensor,
    *,
    weights: Largest | None = "image",
    power: float = 2.0,
    positive_weight: float = 1.0,
    dilate: int = 1,
    pitfall_label: bool = False,
) -> TwoStageTarget:
    """Return what an image with this mask teaches; shapes (1, H/8, W/8).

    Args:
        mask: (H, W), bool or integers; above 0 is defect. H and W are divisible by 8.
        weights: where `distance_weights` looks for the largest distance; None: all cells weigh 1.
        power: as in `distance_weights`; without meaning where that is not used.
        positive_weight: likewise.
        dilate: odd side, in pixels, of the square that each defect pixel grows to first; 1 leaves
            defects as they are. The papers take 7 for KolektorSDD's coarse marks.
        pitfall_label: repeat the mistake of the public code, for comparison: the label is the
            maximum of the small mask, so that a defect of 5 x 5 pixels is taught as .087.

    Otherwise the label is 1 if any pixel of the mask is defect.

    Raises:
        ValueError: as `distance_weights` and `downsample_mask` do, and for an even `dilate`.

    Example:
        >>> mask = torch.zeros(64, 64, dtype=torch.long)
        >>> mask[24:29, 24:29] = 1
        >>> float(two_stage_target(mask).label)
        1.0
        >>> print(f"{two_stage_target(mask, pitfall_label=True).label:.3f}")
        0.087
    """
    if dilate < 1 or dilate % 2 == 0:
        raise ValueError(f"dilate must be odd and at least 1, got {dilate}")
    _check_weighting(power, positive_weight, weights or "image")
    hard = _defect_pixels(mask)
    _check_sides(mask)
    small = torch.zeros(1, mask.shape[0] // 8, mask.shape[1] // 8)
    weight = torch.ones_like(small)
    if not hard.any():  # most images: no need to look further
        return TwoStageTarget(small, weight, torch.tensor(0.0), torch.tensor(True))
    defect = torch.from_numpy(_dilated(hard, dilate))
    small = downsample_mask(defect)
    if weights is not None:
        full = distance_weights(defect, power=power, positive_weight=positive_weight, per=weights)
        weight = downsample_mask(full)
    label = small.max() if pitfall_label else torch.tensor(1.0)
    return TwoStageTarget(small, weight, label, torch.tensor(True))


def distance_weights(
    mask: Tensor,
    *,
    power: float = 2.0,
    positive_weight: float = 1.0,
    per: Largest = "image",
) -> Tensor:
    """Return positive_weight * (D / D_max)**power on defects and 1 elsewhere, float32, (H, W).

    D is the Euclidean distance of a pixel's center to that of the nearest background pixel: 1 at
    the edge of a defect.

    Args:
        mask: (H, W), bool or integers; above 0 is defect.
        power: the paper's p, 2 for KolektorSDD; 0 weighs all pixels of a defect alike, and large
            values leave only the middle.
        positive_weight: the largest weight of a defect pixel. With the paper's 1, no defect pixel
            counts more than the background.
        per: `"image"`, as published, takes D_max of the whole image: beside a large defect, a
            small one weighs next to nothing. `"component"` takes that of each connected defect
            (pixels that touch at corners are connected).

    A mask without background has no edge: all its pixels weigh `positive_weight`.

    Raises:
        ValueError: for another shape, dtype, or an option out of range.

    Example:
        >>> strip = torch.zeros(5, 5, dtype=torch.bool)
        >>> strip[1:4] = True
        >>> distance_weights(strip)[:, 0].tolist()
        [1.0, 0.25, 1.0, 0.25, 1.0]
    """
    _check_weighting(power, positive_weight, per)
    defect = _defect_pixels(mask)
    weights = np.ones(defect.shape, np.float32)
    if defect.any():
        distance, largest = _distances(defect, per)
        weights[defect] = positive_weight * (distance / largest) ** power
    return torch.from_numpy(weights)


def downsample_mask(image: Tensor) -> Tensor:
    """Return the mean of 17 x 17 pixels around every eighth pixel: (H, W) to float (1, H/8, W/8).

    Windows are centered on pixels 0, 8, 16 and so on; beyond the borders the image is reflected. A
    hard mask becomes a soft one, which is 1 only where a whole window is defect.

    Raises:
        ValueError: for sides that are not divisible by 8, or below 16.

    Example:
        >>> dot = torch.zeros(24, 24)
        >>> dot[20, 20] = 1  # in one window, that of pixel (16, 16): rows and columns 8 to 24
        >>> (289 * downsample_mask(dot)).round()
        tensor([[[0., 0., 0.],
                 [0., 0., 0.],
                 [0., 0., 1.]]])
    """
    _check_sides(image)
    reflected = F.pad(image.float()[None, None], (8, 8, 8, 8), mode="reflect")
    return F.avg_pool2d(reflected, kernel_size=17, stride=8).squeeze(0)


def upsample_map(cells: Tensor) -> Tensor:
    """Return maps of cells (N, h, w) as maps of pixels (N, 8 h, 8 w), linear in between.

    Each cell is put where `downsample_mask` took its target from: around pixel 0, 8, 16 and so on.
    The usual resizing would put it into the middle of pixels 0 to 7, 3.5 pixels further down and to
    the right.

    Example:
        >>> upsample_map(torch.tensor([[[0.0, 8.0]]]))[0, 0]
        tensor([0., 1., 2., 3., 4., 5., 6., 7., 8., 8., 8., 8., 8., 8., 8., 8.])
    """
    height, width = (8 * side for side in cells.shape[1:])
    padded = F.pad(cells[:, None], (0, 1, 0, 1), mode="replicate")
    size = height + 1, width + 1
    larger = F.interpolate(padded, size, mode="bilinear", align_corners=True)
    return larger[:, 0, :height, :width]


class _Kept(NamedTuple):
    defect: tuple[tuple[int, ...], bytes]
    """Where the mask had a defect when `target` was made."""
    target: TwoStageTarget


def _check_sides(image: Tensor) -> None:
    if image.ndim != 2 or min(image.shape) < 16 or any(side % 8 for side in image.shape):
        raise ValueError(
            "height and width must be divisible by 8 and at least 16, got "
            f"{tuple(image.shape)}: open the data set at another size"
        )


def _packed(defect: Defect) -> tuple[tuple[int, ...], bytes]:
    return defect.shape, np.packbits(defect).tobytes()


def _dilated(defect: Defect, side: int) -> Defect:
    if side == 1:
        return defect
    return cv2.dilate(defect.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def _check_weighting(power: float, positive_weight: float, per: Largest) -> None:
    if per not in get_args(Largest):
        raise ValueError(f"per must be one of {get_args(Largest)}, got {per!r}")
    for name, value in (("power", power), ("positive_weight", positive_weight)):
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be finite and >= 0, got {value!r}")


def _defect_pixels(mask: Tensor) -> Defect:
    """Return where `mask`, (H, W) of bool or integers >= 0, is above 0."""
    if mask.ndim != 2 or not mask.numel():
        raise ValueError(f"mask must be (H, W), got {tuple(mask.shape)}")
    if mask.is_floating_point() or mask.is_complex():
        raise ValueError(
            f"mask must be bool or integers, got {mask.dtype}: threshold a soft mask first"
        )
    values = mask.cpu().numpy()
    if values.dtype != np.bool_ and values.min() < 0:
        raise ValueError(f"mask must be >= 0, got {values.min()}: 0 is background")
    return values > 0


def _distances(
    defect: Defect, per: Largest
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Of each defect pixel, row by row: D, and the largest D that it is compared with."""
    pixels = defect.astype(np.uint8)
    distance = np.ones(np.count_nonzero(defect), np.float32)
    if not defect.all():
        rough = cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[defect]
        # Its last bits differ from call to call; squared distances of pixels are whole numbers.
        distance = np.sqrt(np.rint(np.square(rough.astype(np.float64)))).astype(np.float32)
    if per == "image":
        return distance, distance.max(keepdims=True)
    count, components = cv2.connectedComponents(pixels, connectivity=8)
    component = np.asarray(components, np.int64)[defect]
    largest = np.zeros(count, np.float32)
    np.maximum.at(largest, component, distance)
    return distance, largest[component]
