"""The one item type that every data set returns, and what every data set says of itself."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor


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
