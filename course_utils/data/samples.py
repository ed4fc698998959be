"""The one item type that every data set returns, and what every data set says of itself."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from torch import Tensor
from torch.utils.data import ConcatDataset, Subset


class Sample(NamedTuple):
    """One image with everything that is known of it.

    A batch made by torch's `DataLoader` is a `Sample` again, with stacked tensors and with
    sequences of strings.
    """

    image: Tensor
    """float32, (C, H, W), in [0, 1]."""
    mask: Tensor
    """int64, (H, W): 0 is background, 1..K is the class of the defect."""
    label: int
    """0: good. 1..K: the class of the defect (of the largest one, if there are several)."""
    group: str
    """Images of one group show the same thing: they must stay on one side of a split."""
    name: str
    """Unique within the data set."""


@runtime_checkable
class DefectDataset(Protocol):
    """What `open_dataset` returns: a map-style data set of `Sample`."""

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes of the mask, `"background"` first: `len` is their number."""
        ...

    @property
    def channels(self) -> int:
        """Channels of every image: 1 (gray) or 3 (RGB)."""
        ...

    @property
    def split_note(self) -> str:
        """Sentences for people: how train, val and test were kept apart, and what else was seen."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


SampleSource: TypeAlias = DefectDataset | Subset[Sample] | ConcatDataset[Sample]
"""A defect data set, a part of one, or several laid end to end: what wrappers take."""


def describe(dataset: SampleSource) -> DefectDataset:
    """Return the data set that says what `dataset` shows: itself, or what torch made it of.

    Raises:
        TypeError: if it is no defect data set, and not made of one.
        ValueError: if data sets of other classes or channels are laid end to end.

    Example:
        >>> from course_utils.data import open_dataset
        >>> surfaces = open_dataset("synthetic", size=32)
        >>> describe(Subset(surfaces, [5, 2])) is surfaces
        True
    """
    if isinstance(dataset, ConcatDataset):
        parts = [describe(part) for part in dataset.datasets]  # type: ignore[arg-type]
        if len({(tuple(part.class_names), part.channels) for part in parts}) > 1:
            raise ValueError("data sets of other classes or channels cannot be joined")
        return parts[0]
    if isinstance(dataset, Subset):
        return describe(dataset.dataset)  # type: ignore[arg-type]
    if not hasattr(dataset, "class_names"):
        raise TypeError(
            "a data set must have class_names, channels, split_note, a length and Samples as "
            f"items, as those of open_dataset have, got {type(dataset).__name__}"
        )
    return dataset
