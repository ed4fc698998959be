"""Show a network each image in many ways: turned over, shifted, stretched."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from course_utils.data.samples import DefectDataset, Sample


class TransformedDataset(Dataset[Sample]):
    """The samples of `dataset`, image and mask changed alike by a random transform.

    Args:
        dataset: any defect data set; for training only.
        transform: any transform of `torchvision.transforms.v2`; None turns images over, left to
            right and upside down, each with probability 1/2. Where it interpolates, the mask is
            resampled with nearest: classes stay whole. Borders that it fills must be background.

    Each access draws anew from torch's global random numbers, which a checkpoint of `fit` keeps.
    An image that loses all its defect pixels, as by a crop, gets the label 0. An access raises
    `ValueError` if the transform puts a class into the mask that was not there.

    Example:
        >>> from course_utils.data import open_dataset
        >>> plain = open_dataset("synthetic", size=32, length=4)
        >>> turned = TransformedDataset(plain, v2.RandomHorizontalFlip(p=1.0))
        >>> bool((turned[0].image == plain[0].image.flip(-1)).all())
        True
    """

    def __init__(self, dataset: DefectDataset, transform: Callable[..., Any] | None = None) -> None:
        self.dataset = dataset
        self.transform = transform or v2.Compose(
            [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
        )
        self.class_names = dataset.class_names
        self.channels = dataset.channels
        self.split_note = dataset.split_note

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
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


def _defect_classes(mask: torch.Tensor) -> set[int]:
    pixels = mask.clamp(min=0).flatten().bincount()  # several times faster than unique()
    return set(pixels[1:].nonzero().flatten().add(1).tolist())
