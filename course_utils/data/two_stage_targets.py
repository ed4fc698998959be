"""What the two-stage network is taught: mask and weights at one eighth of the size, and a label.

Source: Božič, Tabernik, Skočaj, ICPR 2020 (arXiv 2007.07676) and Computers in Industry 2021
(arXiv 2104.06064); how masks are made smaller, and the published label, from their public code.
"""

from collections.abc import Collection
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from course_utils.data.distance_weights import (
    Largest,
    check_weighting,
    defect_pixels,
    distance_weights,
)
from course_utils.data.samples import DefectDataset, Sample
from course_utils.data.wrappers import BINARY_CLASSES
from course_utils.losses import TwoStageTarget


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
        weights, power, positive_weight, dilate, pitfall_label: as in `two_stage_target`.
        segmented: names of the defective images whose masks teach; None: all. The others teach
            only the decision, and nothing of their masks is in their targets: weak supervision.
            Good images always teach that they are empty.

    Labels are those of the data set. Where it knows a defect but shows no pixel of it, since it
    has no mask or the defect was lost when the image was made smaller, the image teaches only the
    decision; with `pitfall_label` it is taught as good.

    Everything is read once at the start, and the targets of defective images are kept; images are
    not. Where a mask comes otherwise than it was then, as from `TransformedDataset`, its target is made
    anew.

    `labels` lists 0 (good) and 1 (defective), as `FrequencyOfUseSampler` wants them.

    Raises:
        ValueError: for names in `segmented` that are not those of defective images with a mask, a
            mask that contradicts its label, and as `two_stage_target` does.

    Example:
        >>> from course_utils.data import open_dataset
        >>> data = TwoStageTargets(open_dataset("synthetic", size=64, length=8), segmented=[])
        >>> defective = data[data.labels.index(1)].target
        >>> defective.mask.shape, bool(defective.label), bool(defective.segmented)
        (torch.Size([1, 8, 8]), True, False)
    """

    class_names = BINARY_CLASSES

    def __init__(
        self,
        dataset: DefectDataset,
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
        self.dataset = dataset
        self.channels = dataset.channels
        self.split_note = dataset.split_note
        self.weights, self.power, self.positive_weight = weights, power, positive_weight
        self.dilate, self.pitfall_label = dilate, pitfall_label
        self.segmented = None if segmented is None else frozenset(segmented)
        self.labels: list[int] = []
        self._kept: dict[int, _Kept] = {}
        with_mask = set()
        for index in range(len(dataset)):
            sample = dataset[index]
            self.labels.append(int(sample.label > 0))
            defect = defect_pixels(sample.mask)
            target = self._make(sample, has_mask=bool(defect.any()))
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
        defect = defect_pixels(sample.mask)
        kept = self._kept.get(index)
        if kept is not None and kept.defect == _packed(defect):
            return TwoStageSample(sample.image, kept.target, sample.name)
        target = self._make(sample, has_mask=bool(defect.any()))
        return TwoStageSample(sample.image, target, sample.name)

    def _make(self, sample: Sample, *, has_mask: bool) -> TwoStageTarget:
        if has_mask and not sample.label:
            raise ValueError(
                f"{sample.name!r} is labelled good, but its mask is not empty: correct either"
            )
        target = two_stage_target(
            sample.mask,
            weights=self.weights,
            power=self.power,
            positive_weight=self.positive_weight,
            dilate=self.dilate,
            pitfall_label=self.pitfall_label,
        )
        if not sample.label or (self.pitfall_label and not has_mask):
            return target
        if not has_mask:
            target = target._replace(label=torch.tensor(1.0))
        if has_mask and (self.segmented is None or sample.name in self.segmented):
            return target
        return target._replace(
            mask=torch.zeros_like(target.mask),
            weight=torch.zeros_like(target.mask),
            segmented=torch.tensor(False),
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
    """Return what a segmented image with this mask teaches; shapes (1, H/8, W/8).

    Args:
        mask: (H, W), bool or integers; above 0 is defect. H and W are divisible by 8.
        weights: where `distance_weights` looks for the largest distance; None: all cells weigh 1.
        power, positive_weight: as in `distance_weights`; without meaning where that is not used.
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
    check_weighting(power, positive_weight, weights or "image")
    hard = defect_pixels(mask)
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


def _packed(defect: npt.NDArray[np.bool_]) -> tuple[tuple[int, ...], bytes]:
    return defect.shape, np.packbits(defect).tobytes()


def _dilated(defect: npt.NDArray[np.bool_], side: int) -> npt.NDArray[np.bool_]:
    if side == 1:
        return defect
    return cv2.dilate(defect.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
