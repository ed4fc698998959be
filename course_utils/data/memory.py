"""A data set held in memory: for small images that are read again in every epoch."""

from collections.abc import Sequence

from torch.utils.data import Dataset
from tqdm import tqdm

from course_utils.data.samples import DefectDataset, Sample


class CachedDataset(Dataset[Sample]):
    """The samples of `dataset`, read once.

    Args:
        dataset: any defect data set.
        indices: which samples to keep, in this order; None keeps all.
        progress: whether to show a progress bar while reading.

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
        wanted = list(range(len(dataset)) if indices is None else indices)
        outside = [i for i in wanted if not 0 <= i < len(dataset)]
        if outside:
            raise IndexError(f"indices must lie in 0..{len(dataset) - 1}, got {outside[:5]}")
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
