"""Defect or not: all classes of defects seen as one."""

from torch.utils.data import Dataset

from course_utils.data.samples import DefectDataset, Sample


class BinaryMasks(Dataset[Sample]):
    """The samples of `dataset` with masks of 0 (background) and 1 (any defect); labels likewise.

    Example:
        >>> from course_utils.data import open_dataset
        >>> merged = BinaryMasks(open_dataset("synthetic", size=32, length=8))
        >>> merged.class_names, max(int(merged[i].mask.max()) for i in range(8))
        (('background', 'defect'), 1)
    """

    class_names = ("background", "defect")

    def __init__(self, dataset: DefectDataset) -> None:
        self.dataset = dataset
        self.channels = dataset.channels
        self.split_note = dataset.split_note

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        return sample._replace(mask=(sample.mask > 0).long(), label=int(sample.label > 0))
