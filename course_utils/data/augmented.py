"""Show a network each image in many ways: turned over, shifted, stretched."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from course_utils.data.samples import DefectDataset, Sample


class Augmented(Dataset[Sample]):
    """The samples of `dataset`, image and mask changed alike by a random transform.

    Args:
        dataset: any defect data set; for training only.
        transform: any transform of `torchvision.transforms.v2`; None turns images over, left to
            right and upside down, each with probability 1/2. Where it interpolates, the mask is
            resampled with nearest: classes stay whole.

    Each access draws anew from torch's global random numbers, which a checkpoint of `fit` keeps.

    >>> from course_utils.data import open_dataset
    >>> plain = open_dataset("synthetic", size=32, length=4)
    >>> turned = Augmented(plain, v2.RandomHorizontalFlip(p=1.0))
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
        return sample._replace(
            image=image.as_subclass(torch.Tensor), mask=mask.as_subclass(torch.Tensor)
        )
