"""What a reader finds in the folder of a data set, before any split."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Entry:
    """One image on disk, with what the layout of its data set says of it."""

    image: Path
    mask: Path | None
    """None: there is no mask file, since the image is free of defects."""
    label: int
    name: str


@dataclass(frozen=True)
class Folds:
    """A division of a set into parts, each of which is tested once."""

    test_fold: np.ndarray
    """(number of entries,): the fold, from 1, in which each entry is tested."""
    origin: str
    """Whose folds these are, for people: `"the authors'"`."""


AUTHORS = "the authors'"


@dataclass(frozen=True)
class Parts:
    """Who is in which part, as somebody stated it: at least the test part and what is not in it."""

    part_of: np.ndarray
    """(number of entries,): `"train"`, `"val"` or `"test"`; without any `"val"`, some of train
    become validation images."""
    origin: str = AUTHORS
    """Whose parts these are, for people."""

    @classmethod
    def with_test(cls, in_test: np.ndarray) -> "Parts":
        """Return the parts of authors who chose a test part: bool, (number of entries,)."""
        return cls(np.where(in_test, "test", "train"))


@dataclass(frozen=True)
class ImageSet:
    """All images of a data set."""

    entries: Sequence[Entry]
    groups: np.ndarray
    """(len(entries),): entries of one number show the same thing."""
    grouping: str
    """What makes a group, for people: `"shots of one tile"`."""
    class_names: tuple[str, ...]
    channels: int
    read_mask: Callable[[Entry], np.ndarray]
    """Entry to uint8 classes, (H, W), at the size of the file; importable, so that it pickles."""
    parts: Parts | None = None
    """Parts that were stated; None: the set is split here."""
    folds: Folds | None = None
    """Folds for cross-validation; None: the set has none."""
    remarks: tuple[str, ...] = ()
    """Sentences for people: what was seen of these images, and what was made of it."""

    def __post_init__(self) -> None:
        twice = [name for name, n in Counter(e.name for e in self.entries).items() if n > 1]
        if twice:
            raise ValueError(f"names must be unique, found more than one {twice[0]!r}")

    @property
    def labels(self) -> np.ndarray:
        """int64, (len(entries),)."""
        return np.array([entry.label for entry in self.entries], np.int64)


def require_same_size(entry: Entry, image: tuple[int, ...], mask: tuple[int, ...]) -> None:
    """Raise `ValueError` unless image and mask of `entry`, given (height, width), are one size."""
    if image != mask:
        raise ValueError(
            f"{entry.mask} is {mask[1]} x {mask[0]} pixels but its image {entry.image.name} is "
            f"{image[1]} x {image[0]}: make the mask anew from that image"
        )
