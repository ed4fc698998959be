"""The synthetic surfaces, and what all synthetic sets have in common."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from course_utils.config import check_seed
from course_utils.data.samples import Sample
from course_utils.data.synthetic.defects import CLASS_NAMES, DEFECTS, KINDS
from course_utils.data.synthetic.labels import Footprint, ellipse_mask, exact_mask
from course_utils.data.synthetic.scene import DEALING, Scene, photograph, plan_scene, unit_of
from course_utils.data.synthetic.surfaces import SURFACES

LENGTHS = {"train": 600, "val": 200, "test": 200}
_SPLITS = tuple(LENGTHS)


@dataclass(frozen=True)
class Description:
    """What is known of one image of a synthetic set."""

    family: str
    """Family of the surface, one of `SURFACES`, or the product, one of `PRODUCTS`."""
    kinds: tuple[str, ...]
    """Kinds of its defects; empty for a good one."""
    classes: tuple[str, ...]
    """The class of each defect, as `class_names` has it."""
    strengths: tuple[float, ...]
    """How plainly each defect shows: about .45 is hard to see, 1.4 is obvious."""
    group: str
    """The surface or part, shared by all its shots."""
    shot: int
    """Which shot of it this is, from 0."""
    shots: int
    """How many shots of it this split holds."""


class SyntheticPhotographs(Dataset[Sample]):
    """What the synthetic sets have in common: things, photographed one to three times in a row.

    A subclass says what a thing is: `_scene`, `_photograph`, `class_names`, `split_note`, `thing`,
    and, in `prefix`, how names begin.
    """

    class_names: tuple[str, ...]
    split_note: str
    channels = 3
    prefix: str
    thing: str

    def __init__(
        self,
        split: str,
        size: int | tuple[int, int],
        seed: int,
        length: int | None,
        *,
        frequency: float,
        contrast: float,
        defect_size: float,
        labels: str,
    ) -> None:
        if split not in _SPLITS:
            raise ValueError(f"split must be one of {', '.join(_SPLITS)}, got {split!r}")
        if labels not in ("exact", "ellipse"):
            raise ValueError(f"labels must be 'exact' or 'ellipse', got {labels!r}")
        self.split = split
        self.size = _checked_size(size)
        self.seed = check_seed(seed)
        self.frequency = _in_range("frequency", frequency, 0.0, 1.0)
        self.contrast = _in_range("contrast", contrast, 0.0, 2.0)
        self.defect_size = _in_range("defect_size", defect_size, 0.25, 4.0)
        self.labels = labels
        count = _whole("length", LENGTHS[split] if length is None else length, 1, 10_000_000)
        self._thing_of, self._shot_of = _deal_shots(self.seed, _SPLITS.index(split), count)

    def __len__(self) -> int:
        return len(self._thing_of)

    def __getitem__(self, index: int) -> Sample:
        index = self._checked(index)
        picture, footprints = self._photograph(self._scene(index), self._shot(index), self.contrast)
        draw = exact_mask if self.labels == "exact" else ellipse_mask
        return Sample(
            image=torch.from_numpy(picture),
            mask=torch.from_numpy(draw(self.size, footprints)),
            label=_largest(footprints),
            group=self._group(index),
            name=f"{self.prefix}/{self.split}/{index:05d}",
        )

    def clean(self, index: int) -> torch.Tensor:
        """Return image `index` as it would be without its defects: same light, same noise.

        Example:
            >>> surfaces = SyntheticSurfaces(size=64, frequency=1.0)
            >>> bool((surfaces.clean(0) == surfaces[0].image).all())
            False
        """
        index = self._checked(index)
        return torch.from_numpy(self._photograph(self._scene(index), self._shot(index), 0.0)[0])

    def describe(self, index: int) -> Description:
        """Return what image `index` shows, without making it.

        Example:
            >>> SyntheticSurfaces(surfaces=["wood"], frequency=0.0).describe(3).kinds
            ()
        """
        index = self._checked(index)
        scene = self._scene(index)
        return Description(
            family=scene.family,
            kinds=scene.kinds,
            classes=tuple(map(self._class_of, scene.kinds)),
            strengths=scene.strengths,
            group=self._group(index),
            shot=self._shot(index),
            shots=int((self._thing_of == self._thing_of[index]).sum()),
        )

    def _class_of(self, kind: str) -> str:
        return kind

    def _scene(self, index: int) -> Any:
        raise NotImplementedError

    def _photograph(
        self, scene: Any, shot: int, contrast: float
    ) -> tuple[np.ndarray, list[Footprint]]:
        raise NotImplementedError

    def _key(self, index: int) -> tuple[int, int, int]:
        """Return what makes the random streams of the thing that an image shows unique."""
        return self.seed, _SPLITS.index(self.split), int(self._thing_of[index])

    def _shot(self, index: int) -> int:
        return int(self._shot_of[index])

    def _group(self, index: int) -> str:
        return f"{self.prefix}/{self.split}/{self.thing}-{self._thing_of[index]:05d}"

    def _checked(self, index: int) -> int:
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"index must be in 0..{len(self) - 1}, got {number}")
        return number % len(self)


class SyntheticSurfaces(SyntheticPhotographs):
    """Photographs of eight families of surface with seven kinds of defect, made as they are read.

    Image: float32 (3, H, W) in [0, 1]. Mask: int64 (H, W), 0 background, 1 line (scratch,
    crack), 2 spot (pit, inclusion), 3 area (stain, dent, peeling): the pixels of which a defect
    covers more than half. A surface is photographed one to three times in a row, with another
    exposure, a small shift and new noise, as in real sets: its images share `group`.

    An image depends on the arguments and its index alone.

    Args:
        split: train, val or test; no surface is in two of them.
        size: a side or (height, width), 32..1024 pixels; the picture always shows the same piece
            of surface, so a smaller one is coarser.
        seed: the same one gives the same images.
        length: number of images; None: 600 in train, 200 in val and test.
        surfaces: some of `SURFACES`.
        defects: some of `DEFECTS`.
        frequency: share of defective surfaces, 0..1.
        contrast: factor on how plainly each defect shows, 0..2; at 0 the image is the clean one,
            and the mask says where the defect would be.
        defect_size: factor on the size that each defect draws for itself, .25..4.
        labels: "ellipse" gives one filled ellipse around each defect, as DAGM 2007 has.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> surfaces = SyntheticSurfaces("train", size=64, seed=1)
        >>> image, mask, label, group, name = surfaces[12]
        >>> image.shape, mask.shape, name
        (torch.Size([3, 64, 64]), torch.Size([64, 64]), 'synthetic/train/00012')
    """

    class_names = CLASS_NAMES
    split_note = (
        "Every surface belongs to one of train, val and test, with all of its shots: "
        "no surface is shared."
    )
    prefix = "synthetic"
    thing = "surface"

    def __init__(
        self,
        split: str = "train",
        *,
        size: int | tuple[int, int] = 256,
        seed: int = 0,
        length: int | None = None,
        surfaces: Sequence[str] = SURFACES,
        defects: Sequence[str] = DEFECTS,
        frequency: float = 0.5,
        contrast: float = 1.0,
        defect_size: float = 1.0,
        labels: Literal["exact", "ellipse"] = "exact",
    ) -> None:
        super().__init__(
            split,
            size,
            seed,
            length,
            frequency=frequency,
            contrast=contrast,
            defect_size=defect_size,
            labels=labels,
        )
        self.surfaces = chosen_of("surfaces", surfaces, SURFACES)
        self.defects = chosen_of("defects", defects, DEFECTS)

    def _class_of(self, kind: str) -> str:
        return CLASS_NAMES[KINDS[kind].label]

    def _scene(self, index: int) -> Scene:
        unit = unit_of(self.size)
        return plan_scene(self._key(index), self.surfaces, self.defects, self.frequency, unit)

    def _photograph(
        self, scene: Scene, shot: int, contrast: float
    ) -> tuple[np.ndarray, list[Footprint]]:
        return photograph(scene, shot, self.size, contrast, self.defect_size)


def _deal_shots(seed: int, split: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return surface and shot number of each image; the start does not depend on `count`."""
    draws = np.random.default_rng((seed, split, 0, DEALING)).random(count)
    shots = np.where(draws < 0.4, 1, np.where(draws < 0.75, 2, 3))
    surface = np.repeat(np.arange(count), shots)[:count]
    first = np.repeat(np.cumsum(shots) - shots, shots)[:count]
    return surface, np.arange(count) - first


def _largest(footprints: list[Footprint]) -> int:
    if not footprints:
        return 0
    return max(footprints, key=lambda item: int(item.covered.sum())).label


def _checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"size must be one side or (height, width), got {size!r}")
    height, width = (_whole("size", side, 32, 1024) for side in sides)
    return height, width


def _whole(name: str, value: int, low: int, high: int) -> int:
    wrong = isinstance(value, bool) or not isinstance(value, int | np.integer)
    if wrong or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number in {low}..{high}, got {value!r}")
    return int(value)


def _in_range(name: str, value: float, low: float, high: float) -> float:
    wrong = isinstance(value, bool) or not isinstance(value, int | float | np.number)
    if wrong or not low <= value <= high:
        raise ValueError(f"{name} must be a number in {low:g}..{high:g}, got {value!r}")
    return float(value)


def chosen_of(name: str, chosen: Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the chosen ones of the known names.

    Raises:
        ValueError: if one is unknown, or none were given.

    Example:
        >>> chosen_of("surfaces", "wood", ("wood", "leather"))
        ('wood',)
    """
    given = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    unknown = [item for item in given if item not in known]
    if unknown or not given:
        problem = f"unknown: {', '.join(map(repr, unknown))}" if unknown else "none were given"
        raise ValueError(f"{name} must be some of {', '.join(known)}; {problem}")
    return given
