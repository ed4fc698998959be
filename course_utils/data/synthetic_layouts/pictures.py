"""Which images of the synthetic set are written: so many of each kind, the first there are."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from course_utils.data.synthetic import SURFACES, Description, SyntheticSurfaces

_SCANNED_PER_IMAGE, _SCANNED_AT_LEAST = 20, 1000
"""The rarest kinds need 8 looks per image to write; a kind that there is not ends the search."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for. Raises `ValueError` for what there is not.

    Example:
        >>> Wanted(count=200, size=(64, 64)).parts(0.25)
        (150, 50)
    """

    count: int
    """Images in all."""
    size: tuple[int, int]
    """(height, width), 32..1024 pixels each."""
    seed: int = 0
    defect_share: float = 0.5
    """Share of images with a defect, 0..1, where the layout leaves a choice."""
    surfaces: tuple[str, ...] = SURFACES

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}")
        if not 0 <= self.defect_share <= 1:
            raise ValueError(f"defect_share must lie in 0..1, got {self.defect_share}")
        if len(set(self.surfaces)) < len(self.surfaces):
            raise ValueError(f"surfaces must differ, got {', '.join(self.surfaces)}")
        self.source("train")

    def source(
        self, split: str, labels: Literal["exact", "ellipse"] = "exact"
    ) -> SyntheticSurfaces:
        """Return the images to choose from: `open_dataset("synthetic", split)`, but longer."""
        return SyntheticSurfaces(
            split,
            size=self.size,
            seed=self.seed,
            surfaces=self.surfaces,
            length=max(_SCANNED_AT_LEAST, _SCANNED_PER_IMAGE * self.count),
            labels=labels,
        )

    def parts(self, test_share: float) -> tuple[int, int]:
        """Return how many images go to train and to test, `test_share` of them to test."""
        test = round(self.count * test_share)
        return self.count - test, test

    def of(self, count: int) -> "Wanted":
        """Return the same wish for `count` images."""
        return replace(self, count=count)

    def good_and_bad(self) -> dict[str, int]:
        """Return how many images are to be good and how many defective, by `good_or_bad`."""
        bad = round(self.count * self.defect_share)
        return {"good": self.count - bad, "bad": bad}


@dataclass(frozen=True)
class Chosen:
    """One image to write, and why it was taken."""

    source: SyntheticSurfaces
    index: int
    shown: Description
    quota: str


@dataclass(frozen=True)
class Picture:
    """One image of the synthetic set and the files that it becomes."""

    source: SyntheticSurfaces
    index: int
    image: str
    """Path of the image, seen from the folder of the set, with `/`."""
    mask: str | None
    """Path of the mask; None: the layout has none for this image."""
    defective: bool


def choose(
    source: SyntheticSurfaces,
    quotas: Mapping[str, int],
    quota_of: Callable[[Description], str | None],
    *,
    all_shots: bool = False,
) -> Iterator[Chosen]:
    """Yield the first images of `source` that fill each of `quotas`, in their order.

    `quota_of` says under which quota an image falls; None: under none. Unless `all_shots`, only the
    first shot of a surface is taken: where a layout cannot tell that two images show one surface,
    a split by its reader would put both sides of it on show.

    Raises:
        ValueError: if there are not enough of some kind.

    Example:
        >>> source = SyntheticSurfaces("train", size=32)
        >>> [chosen.quota for chosen in choose(source, {"good": 1, "bad": 2}, good_or_bad)]
        ['bad', 'bad', 'good']
    """
    left = {name: count for name, count in quotas.items() if count > 0}
    for index in range(len(source)):
        if not left:
            return
        shown = source.describe(index)
        name = quota_of(shown) if all_shots or shown.shot == 0 else None
        if name in left:
            left[name] -= 1
            if not left[name]:
                del left[name]
            yield Chosen(source, index, shown, name)
    if left:
        missing = ", ".join(f"{count} more {name}" for name, count in left.items())
        raise ValueError(
            f"{len(source)} images are not enough to find {missing} on "
            f"{', '.join(source.surfaces)}: ask for more kinds of surface (not every surface has "
            f"every defect)"
        )


def good_or_bad(shown: Description) -> str:
    """Return "bad" for an image with defects, else "good"."""
    return "bad" if shown.kinds else "good"
