"""Data sets made of other data sets: some of their samples, held in memory, with other masks."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy

import cv2
import numpy as np
import psutil
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from course_utils.data.samples import Sample, SampleSource, describe
from course_utils.data.synthetic.labels import Footprint, ellipse_mask

BINARY_CLASSES = ("background", "defect")


class MappedDataset(Dataset[Sample]):
    """The samples of `dataset`, each passed through `map_sample`, which subclasses define.

    `class_names` and `split_note` are those of `dataset` where none are given.
    """

    def __init__(
        self,
        dataset: SampleSource,
        class_names: Sequence[str] | None = None,
        split_note: str | None = None,
    ) -> None:
        about = describe(dataset)
        self.dataset = dataset
        self.class_names = about.class_names if class_names is None else class_names
        self.channels = about.channels
        self.split_note = about.split_note if split_note is None else split_note

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return self.map_sample(self.dataset[index])

    def map_sample(self, sample: Sample) -> Sample:
        """Return `sample` as this data set shows it: here, as it is."""
        return sample


class BinaryMasks(MappedDataset):
    """The samples of `dataset` with masks of 0 (background) and 1 (any defect); labels likewise.

    Example:
        >>> from course_utils.data import open_dataset
        >>> merged = BinaryMasks(open_dataset("synthetic", size=32, length=8))
        >>> merged.class_names, max(int(merged[i].mask.max()) for i in range(8))
        (('background', 'defect'), 1)
    """

    def __init__(self, dataset: SampleSource) -> None:
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

    An image on 256 levels, as every image on disk is, and a mask take a byte a value, so 2000 RGB
    images of 256 x 256 pixels and their masks take 0.5 GB; images between the levels, as synthetic
    ones are, take four. Samples are those of `dataset`, bit for bit.

    Args:
        dataset: any defect data set whose images are of one size.
        indices: which samples to keep, in this order; None keeps all.
        progress: whether to show a progress bar while reading, which says what they will take.

    Raises:
        MemoryError: before it reads more than one image, if they take more than is free.
        ValueError: for images of several sizes.
        IndexError: for indices outside the data set.

    Example:
        >>> from course_utils.data import open_dataset
        >>> held = CachedDataset(open_dataset("synthetic", size=32), indices=range(4))
        >>> len(held), held.class_names == open_dataset("synthetic").class_names
        (4, True)
    """

    def __init__(
        self,
        dataset: SampleSource,
        *,
        indices: Sequence[int] | None = None,
        progress: bool = False,
    ) -> None:
        about, wanted = describe(dataset), check_indices(indices, dataset)
        self.class_names = about.class_names
        self.channels = about.channels
        self.split_note = about.split_note
        needed = memory_needed(dataset, len(wanted))
        require_memory(len(wanted), needed)
        title = f"reading {len(wanted)} images into {tqdm.format_sizeof(needed, 'B')} of memory"
        self._images = torch.empty((0, 0, 0, 0), dtype=torch.uint8)
        self._masks = torch.empty((0, 0, 0), dtype=torch.uint8)
        self._facts: list[tuple[int, str, str]] = []
        for i in tqdm(wanted, title, disable=not progress, leave=False):
            sample = dataset[i]
            image, mask = _pack_image(sample.image), _pack_mask(sample.mask)
            if not self._facts:
                self._images = image.new_empty((len(wanted), *image.shape))
                self._masks = mask.new_empty((len(wanted), *mask.shape))
            row = len(self._facts)
            self._images = _put(self._images, row, image, _unpack_image)
            self._masks = _put(self._masks, row, mask, Tensor.long)
            self._facts.append((sample.label, sample.group, sample.name))
        self._rows = list(range(len(wanted)))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        row = self._rows[index]
        return Sample(_unpack_image(self._images[row]), self._masks[row].long(), *self._facts[row])

    def __iter__(self) -> Iterator[Sample]:
        return map(self.__getitem__, range(len(self)))

    @property
    def labels(self) -> list[int]:
        """The label of each image."""
        return [self._facts[row][0] for row in self._rows]

    @property
    def groups(self) -> list[str]:
        """The group of each image."""
        return [self._facts[row][1] for row in self._rows]

    @property
    def masks(self) -> Tensor:
        """All masks, (N, H, W): uint8, or int64 for classes above 255."""
        return self._masks[self._rows]

    def subset(self, indices: Iterable[int]) -> "CachedDataset":
        """Return these samples alone, in this order, which take no memory of their own.

        Raises:
            IndexError: for indices outside.

        Example:
            >>> from course_utils.data import open_dataset
            >>> held = CachedDataset(open_dataset("synthetic", size=32, length=8))
            >>> [sample.name for sample in held.subset([3, 1])] == [held[3].name, held[1].name]
            True
        """
        few = copy(self)
        few._rows = [self._rows[index] for index in check_indices(indices, self)]
        return few

    def fingerprint(self) -> str:
        """Return what names these samples: pixels, classes, labels, groups and names, all of them.

        Example:
            >>> from course_utils.data import open_dataset
            >>> first, second = (open_dataset("synthetic", size=32, seed=seed) for seed in (0, 1))
            >>> few = CachedDataset(first, indices=[2, 5])
            >>> few.fingerprint() == CachedDataset(first, indices=[2, 5]).fingerprint()
            True
            >>> few.fingerprint() == CachedDataset(second, indices=[2, 5]).fingerprint()
            False
        """
        digest = hashlib.blake2b(repr(tuple(self.class_names)).encode(), digest_size=16)
        for row in self._rows:
            image, mask = self._images[row], self._masks[row]
            about = image.shape, image.dtype, mask.dtype, self._facts[row]
            for part in (repr(about).encode(), image.numpy().data, mask.numpy().data):
                digest.update(part)
        return digest.hexdigest()


def memory_needed(dataset: SampleSource, count: int) -> int:
    """Return how many bytes a `CachedDataset` of `count` images takes that are like the first.

    Example:
        >>> from course_utils.data import open_dataset
        >>> memory_needed(open_dataset("synthetic", size=32), 10)  # 4 bytes a value, 1 in the mask
        133120
    """
    if not count:
        return 0
    first = dataset[0]
    return count * (_pack_image(first.image).nbytes + _pack_mask(first.mask).nbytes)


def require_memory(count: int, needed: int) -> None:
    """Raise `MemoryError` if `count` images take `needed` bytes, and fewer are free."""
    free = psutil.virtual_memory().available
    if needed > free:
        raise MemoryError(
            f"{count} images take {tqdm.format_sizeof(needed, 'B')} of memory, and "
            f"{tqdm.format_sizeof(free, 'B')} are free: choose a smaller height and width or fewer "
            "images, or close other programs"
        )


def _pack_image(image: Tensor) -> Tensor:
    """Return `image` in 256 levels, uint8, if it has no others."""
    levels = (image * 255).round().to(torch.uint8)
    return levels if torch.equal(_unpack_image(levels), image) else image


def _unpack_image(values: Tensor) -> Tensor:
    return values.float().div_(255) if values.dtype == torch.uint8 else values


def _pack_mask(mask: Tensor) -> Tensor:
    classes = mask.to(torch.uint8)
    return classes if torch.equal(classes.long(), mask) else mask


def _put(block: Tensor, row: int, values: Tensor, unpack: Callable[[Tensor], Tensor]) -> Tensor:
    """Return `block` with `values` in that row; unpacked as soon as one of both is."""
    if values.shape != block.shape[1:]:
        raise ValueError(
            f"images that are held must be of one size, got {tuple(values.shape)} after "
            f"{tuple(block.shape[1:])}: open them at one size"
        )
    if values.dtype != block.dtype:
        block, values = unpack(block), unpack(values)
    block[row] = values
    return block


def check_indices(indices: Iterable[int] | None, items: SampleSource) -> list[int]:
    """Return `indices`, all of `items` if None. Raises `IndexError` for one that is outside."""
    if indices is None:
        return list(range(len(items)))
    wanted = [int(index) for index in indices]
    outside = [index for index in wanted if not 0 <= index < len(items)]
    if outside:
        raise IndexError(f"indices must lie in 0..{len(items) - 1}, got {outside[:5]}")
    return wanted
