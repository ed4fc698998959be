"""Training images that change: turned over, shifted, stretched, or with simulated anomalies."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from course_utils.anomaly import AnomalySynthesizer, SimulatedAnomaly
from course_utils.anomaly.inputs import Image
from course_utils.config import check_seed
from course_utils.data.samples import Sample, SampleSource
from course_utils.data.wrappers import BINARY_CLASSES, MappedDataset


class TransformedDataset(MappedDataset):
    """The samples of `dataset`, image and mask changed alike by a random transform.

    Args:
        dataset: any defect data set; for training only.
        transform: any transform of `torchvision.transforms.v2`; None turns images over, left to
            right and upside down, each with probability 1/2. Where it interpolates, the mask is
            resampled with nearest: classes stay whole. Borders that it fills must be background.

    Each access draws anew from torch's global random numbers, which an `EpochLoader` seeds.
    An image that loses all its defect pixels, as by a crop, gets the label 0. An access raises
    `ValueError` if the transform puts a class into the mask that was not there.

    Example:
        >>> from course_utils.data import open_dataset
        >>> plain = open_dataset("synthetic", size=32, length=4)
        >>> turned = TransformedDataset(plain, v2.RandomHorizontalFlip(p=1.0))
        >>> bool((turned[0].image == plain[0].image.flip(-1)).all())
        True
    """

    def __init__(self, dataset: SampleSource, transform: Callable[..., Any] | None = None) -> None:
        super().__init__(dataset)
        self.transform = transform or v2.Compose(
            [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
        )

    def map_sample(self, sample: Sample) -> Sample:
        """Return `sample` transformed anew."""
        image, mask = self.transform(tv_tensors.Image(sample.image), tv_tensors.Mask(sample.mask))
        changed = sample._replace(
            image=image.as_subclass(torch.Tensor), mask=mask.as_subclass(torch.Tensor)
        )
        before, after = _defect_classes(sample.mask), _defect_classes(changed.mask)
        if not after <= before:
            raise ValueError(
                f"the transform put class {min(after - before)} into the mask of {sample.name!r}: "
                "if it fills borders, fill image and mask each with its own, as in "
                "fill={tv_tensors.Image: 1.0, tv_tensors.Mask: 0}"
            )
        return changed._replace(label=0) if before and not after else changed


class SimulatedAnomalies(MappedDataset):
    """The `n` good images of `dataset`, then the same `n` images with a simulated anomaly each.

    Args:
        dataset: a defect data set whose images are all good.
        synthesizer: makes the anomalies; also any function of its kind.
        seed: of all random numbers.

    Item `i` is image `i` as it is for `i < n`, and image `i - n` with an anomaly for `i >= n`.
    Masks are 0 (background) and 1 (anomaly).

    Each anomaly depends on the seed, the epoch and the index, and on nothing else:
    not on the order of access, nor on how many workers load. There is no state. `data[i]` is item
    `i` of epoch 0 at every access, as it should be for validation; `data[2, i]` is the item of
    epoch 2. `BalancedBatches` asks for a new epoch each time it is started, and so do anomalies
    change from epoch to epoch.

    Raises:
        ValueError: when an image is not good or not in [0, 1], and as the synthesizer does.

    Example:
        >>> from course_utils.data import CachedDataset, open_dataset
        >>> surfaces = open_dataset("synthetic", size=64, length=40)
        >>> good = CachedDataset(surfaces, indices=[i for i in range(40) if surfaces[i].label == 0])
        >>> data = SimulatedAnomalies(good)
        >>> [data[i].label for i in (0, len(good))]
        [0, 1]
    """

    def __init__(
        self,
        dataset: SampleSource,
        synthesizer: Callable[[Image, np.random.Generator], SimulatedAnomaly] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__(dataset, BINARY_CLASSES)
        self.synthesizer = synthesizer or AnomalySynthesizer()
        self.seed = check_seed(seed)

    def __len__(self) -> int:
        return 2 * len(self.dataset)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        good = len(self.dataset)
        if not 0 <= index < 2 * good:
            raise IndexError(f"index must lie in 0..{2 * good - 1}, got {index}")
        sample = self.dataset[index % good]
        if sample.label != 0:
            raise ValueError(
                f"anomalies are simulated on good images, and {sample.name!r} is labeled "
                f"{sample.label}: select the good images first"
            )
        if index < good:
            return sample
        if not bool(((sample.image >= 0) & (sample.image <= 1)).all()):
            raise ValueError(
                f"images must lie in [0, 1], got {sample.image.min():g}..{sample.image.max():g} in "
                f"{sample.name!r}: simulate first, normalize afterwards"
            )
        rng = np.random.default_rng([self.seed, epoch, index % good])
        anomaly = self.synthesizer(as_picture(sample.image), rng)
        mask = torch.from_numpy(anomaly.mask).long()
        channels, height, width = sample.image.shape
        made = torch.from_numpy(anomaly.image).reshape(height, width, channels)
        made = made.permute(2, 0, 1) / 255
        # Away from the mask the very same pixels, also where they lie between the 256 levels.
        return sample._replace(
            image=torch.where(mask.bool(), made, sample.image),
            mask=mask,
            label=1,
            name=f"{sample.name}, simulated",
        )


def as_picture(image: torch.Tensor) -> Image:
    """Return an image (1 or 3, H, W) in [0, 1] as uint8, gray (H, W) or RGB (H, W, 3).

    Example:
        >>> as_picture(torch.ones(1, 2, 3)).shape, as_picture(torch.ones(3, 1, 1)).tolist()
        ((2, 3), [[[255, 255, 255]]])
    """
    pixels = (image * 255).round().to(torch.uint8)
    return np.ascontiguousarray(
        (pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)).numpy()
    )


def _defect_classes(mask: torch.Tensor) -> set[int]:
    pixels = mask.clamp(min=0).flatten().bincount()  # several times faster than unique()
    return set(pixels[1:].nonzero().flatten().add(1).tolist())
