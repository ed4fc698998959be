"""Masks as a hurried annotator draws them: an ellipse around each defect."""

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from course_utils.data.samples import DefectDataset, Sample
from course_utils.data.synthetic.labels import Footprint, ellipse_mask


class EllipseMasks(Dataset[Sample]):
    """The samples of `dataset`, each defect of a mask grown to an ellipse that holds it.

    The ellipse lies along the tightest rectangle around the touching pixels of one class, as small
    as holds them all. DAGM 2007 is labelled so. Where two meet, the smaller one lies on top.

    Example:
        >>> from course_utils.data import open_dataset
        >>> exact = open_dataset("synthetic", size=64, frequency=1.0, length=4)
        >>> coarse = EllipseMasks(exact)
        >>> bool((coarse[0].mask[exact[0].mask > 0] > 0).all())
        True
    """

    def __init__(self, dataset: DefectDataset) -> None:
        self.dataset = dataset
        self.class_names = dataset.class_names
        self.channels = dataset.channels
        self.split_note = dataset.split_note

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        classes = sample.mask.numpy()
        grown = ellipse_mask(classes.shape, _footprints(classes))
        return sample._replace(mask=torch.from_numpy(grown))


def _footprints(classes: np.ndarray) -> list[Footprint]:
    found = []
    for label in np.unique(classes[classes > 0]).tolist():
        count, numbers = cv2.connectedComponents((classes == label).astype(np.uint8))
        found += [Footprint(numbers == number, label) for number in range(1, count)]
    return found
