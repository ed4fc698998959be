"""Data sets made of other data sets: some of their samples, held in memory, with other masks."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from course_utils.data.samples import DefectDataset, Sample
from course_utils.data.synthetic.labels import Footprint, ellipse_mask

BINARY_CLASSES = ("background", "defect")


class MappedDataset(Dataset[Sample]):
    """The samples of `dataset`, each passed through `map_sample`, which subclasses define."""

    def __init__(self, dataset: DefectDataset, class_names: Sequence[str] | None = None) -> None:
        self.dataset = dataset
        self.class_names = dataset.class_names if class_names is None else class_names
        self.channels = dataset.channels
        self.split_note = dataset.split_note

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return self.map_sample(self.dataset[index])

    def map_sample(self, sample: Sample) -> Sample:
        """Return `sample` as this data set shows it."""
        raise NotImplementedError


class BinaryMasks(MappedDataset):
    """The samples of `dataset` with masks of 0 (background) and 1 (any defect); labels likewise.

    Example:
        >>> from course_utils.data import open_dataset
        >>> merged = BinaryMasks(open_dataset("synthetic", size=32, length=8))
        >>> merged.class_names, max(int(merged[i].mask.max()) for i in range(8))
        (('background', 'defect'), 1)
    """

    def __init__(self, dataset: DefectDataset) -> None:
        super().__init__(dataset, BINARY_CLASSES)

    def map_sample(self, sample: Sample) -> Sample:
        """Return `sample` with all its classes of defects merged into one."""
        return sample._replace(mask=(sample.mask > 0).long(), label=int(sample.label > 0))


class EllipseMasks(MappedDataset):
    """The samples of `dataset`, each defect of a mask grown to an ellipse that holds it.

    So a hurried annotator draws, and so DAGM 2007 is labeled. The ellipse lies along the tightest
    rectangle around the touching pixels of one class, as small as holds them all. Where two meet,
    the smaller one lies on top.

    Example:
        >>> from course_utils.data import open_dataset
        >>> exact = open_dataset("synthetic", size=64, frequency=1.0, length=4)
        >>> coarse = EllipseMasks(exact)
        >>> bool((coarse[0].mask[exact[0].mask > 0] > 0).all())
        True
    """

    def map_sample(self, sample: Sample) -> Sample:
        """Return `sample` with ellipses for defects."""
        classes = sample.mask.numpy()
        defects = []
        for label in np.unique(classes[classes > 0]).tolist():
            count, numbers = cv2.connectedComponents((classes == label).astype(np.uint8))
            defects += [Footprint(numbers == number, label) for number in range(1, count)]
        return sample._replace(mask=torch.from_numpy(ellipse_mask(classes.shape, defects)))


class CachedDataset(Dataset[Sample]):
    """The samples of `dataset`, read once and held: for small images that many epochs read.

    Args:
        dataset: any defect data set.
        indices: which samples to keep, in this order; None keeps all.
        progress: whether to show a progress bar while reading.
        limit: bytes that the images may take.

    Raises:
        MemoryError: before it starts if the images would take more than `limit` bytes.
        IndexError: for indices outside the data set.

    Example:
        >>> from course_utils.data import open_dataset
        >>> held = CachedDataset(open_dataset("synthetic", size=32), indices=range(4))
        >>> len(held), held.class_names == open_dataset("synthetic").class_names
        (4, True)
    """

    def __init__(
        self,
        dataset: DefectDataset,
        *,
        indices: Sequence[int] | None = None,
        progress: bool = False,
        limit: float = 8e9,
    ) -> None:
        wanted = check_indices(indices, dataset)
        if wanted:
            first = dataset[wanted[0]]
            size = len(wanted) * (first.image.nbytes + first.mask.nbytes)
            if size > limit:
                raise MemoryError(
                    f"{len(wanted)} samples take {size / 1e9:.1f} GB, more than the limit of "
                    f"{limit / 1e9:.1f} GB: use fewer indices or a smaller size"
                )
        self.class_names = dataset.class_names
        self.channels = dataset.channels
        self.split_note = dataset.split_note
        self.samples = [
            dataset[i] for i in tqdm(wanted, "reading images", disable=not progress, leave=False)
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


class Subset(Dataset[Sample]):
    """The samples `indices` of `datasets` laid end to end; all of them by default.

    Raises:
        ValueError: if the data sets differ in classes or channels.
        IndexError: for indices outside.

    Example:
        >>> from course_utils.data import open_dataset
        >>> whole = open_dataset("synthetic", length=8, size=32)
        >>> few = Subset([whole], [5, 2])
        >>> len(few), few[0].name == whole[5].name
        (2, True)
    """

    def __init__(
        self,
        datasets: Sequence[DefectDataset],
        indices: Iterable[int] | None = None,
        *,
        split_note: str | None = None,
    ) -> None:
        first = datasets[0]
        if len({(tuple(data.class_names), data.channels) for data in datasets}) > 1:
            raise ValueError("data sets of other classes or channels cannot be joined")
        self.class_names = first.class_names
        self.channels = first.channels
        self.split_note = first.split_note if split_note is None else split_note
        items = [(data, index) for data in datasets for index in range(len(data))]
        self._items = [items[index] for index in check_indices(indices, items)]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Sample:
        dataset, position = self._items[index]
        return dataset[position]


def check_indices(
    indices: Iterable[int] | None, items: Sequence[object] | DefectDataset
) -> list[int]:
    """Return `indices`, all of `items` if None. Raises `IndexError` for one that is outside."""
    if indices is None:
        return list(range(len(items)))
    wanted = [int(index) for index in indices]
    outside = [index for index in wanted if not 0 <= index < len(items)]
    if outside:
        raise IndexError(f"indices must lie in 0..{len(items) - 1}, got {outside[:5]}")
    return wanted
