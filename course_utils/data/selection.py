"""Some items of one or more data sets, seen as one data set."""

from collections.abc import Iterable, Sequence

from torch.utils.data import Dataset

from course_utils.data.samples import DefectDataset, Sample


class Subset(Dataset[Sample]):
    """The items `indices` of `parts` laid end to end; all of them by default.

    Raises:
        ValueError: if the parts differ in classes or channels, or an index is outside.

    Example:
        >>> from course_utils.data import open_dataset
        >>> few = Subset([open_dataset("synthetic", length=8, size=32)], [5, 2])
        >>> len(few), few[0].name == few.parts[0][5].name
        (2, True)
    """

    def __init__(
        self,
        parts: Sequence[DefectDataset],
        indices: Iterable[int] | None = None,
        *,
        split_note: str | None = None,
    ) -> None:
        first = parts[0]
        for part in parts[1:]:
            if (tuple(part.class_names), part.channels) != (
                tuple(first.class_names),
                first.channels,
            ):
                raise ValueError("data sets of other classes or channels cannot be joined")
        self.parts = list(parts)
        self.class_names = first.class_names
        self.channels = first.channels
        self.split_note = first.split_note if split_note is None else split_note
        places = [(part, index) for part in self.parts for index in range(len(part))]
        chosen = list(range(len(places)) if indices is None else map(int, indices))
        if chosen and not 0 <= min(chosen) <= max(chosen) < len(places):
            raise ValueError(
                f"indices must lie in 0..{len(places) - 1}, got {min(chosen)}..{max(chosen)}"
            )
        self._places = [places[index] for index in chosen]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:
        part, position = self._places[index]
        return part[position]
