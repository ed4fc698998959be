"""The images of a training, in memory: what a network learns from, and what it is judged by."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from course_utils.data import (
    BinaryMasks,
    CachedDataset,
    DefectDataset,
    MappedDataset,
    SampleSource,
    TiledDataset,
    is_synthetic,
    list_entries,
    open_dataset,
)
from course_utils.data.wrappers import memory_needed, require_memory
from course_utils.trainers.configs import (
    MemSegConfig,
    NearestPatchesConfig,
    TrainingConfig,
    TwoStageConfig,
    UNetConfig,
)

ONE_SURFACE: dict[str, Any] = {
    "surfaces": ["painted_sheet"],
    "defect_size": 1.5,
    "contrast": 1.2,
}
"""What is taken of the synthetic surfaces: a line makes one kind. Defects are larger and
plainer than by default, so that a short training can find them."""
NORMAL_LENGTHS = {"train": 200, "val": 50, "test": 100}
DETECTION_LENGTHS = {"train": 200, "val": 120, "test": 200}
PART_NAMES = {"train": "training", "val": "validation", "test": "test"}
"""What people call the parts."""
DETECTION_FREQUENCY = 0.2
"""A fifth of the synthetic images for detection shows a defect: they are rare, as on a line."""


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set."""

    train: CachedDataset
    val: CachedDataset
    test: CachedDataset

    def fingerprints(self) -> dict[str, str]:
        """Return what names the images, masks, labels and groups of each part."""
        return {name: images.fingerprint() for name, images in vars(self).items()}


def open_splits(config: UNetConfig, *, progress: bool = False) -> Splits:
    """Read the images of a config, defect or not, or all classes of its data set."""

    def part(split: str) -> DefectDataset:
        images = open_all_classes(config, split)
        return BinaryMasks(images) if config.classes == "one" else images

    return in_tiles(config, hold(part, progress=progress))


def hold(part: Callable[[str], SampleSource], *, progress: bool = False) -> Splits:
    """Read `part("train")`, `part("val")` and `part("test")` into memory.

    Raises:
        MemoryError: before it reads more than an image of each, if all do not fit.
    """
    parts = {split: part(split) for split in ("train", "val", "test")}
    require_memory(
        sum(len(images) for images in parts.values()),
        sum(memory_needed(images, len(images)) for images in parts.values() if len(images)),
    )
    return Splits(**{name: CachedDataset(one, progress=progress) for name, one in parts.items()})


def in_tiles(config: TrainingConfig, splits: Splits) -> Splits:
    """Return `splits` with the training images in the tiles of `config`, if it has any.

    Validation and test images stay whole: `predict_in_tiles` looks at them.
    """
    if not config.tile:
        return splits
    return replace(splits, train=CachedDataset(TiledDataset(splits.train, config.tile)))


def open_all_classes(config: UNetConfig, split: str) -> DefectDataset:
    """Open one split of the images of a config, with all classes of its data set.

    Where some defective images have masks, those without are left out, and that is said.
    """
    size = (config.height, config.width)
    opened = open_dataset(
        config.data, split, size=size, seed=config.split_seed, split_by=config.split_by
    )
    entries = getattr(opened, "entries", [])
    unmasked = {i for i, entry in enumerate(entries) if entry.label and entry.mask is None}
    if not unmasked or len(unmasked) == sum(entry.label > 0 for entry in entries):
        return opened
    kept = [i for i in range(len(opened)) if i not in unmasked]
    note = (
        f"{opened.split_note} Left out of {split}: {len(unmasked)} defective images without a "
        "mask, which would teach that they are good."
    )
    return MappedDataset(Subset(MappedDataset(opened), kept), split_note=note)


def open_normal_splits(
    config: MemSegConfig | NearestPatchesConfig, *, most: int | None = None, progress: bool = False
) -> Splits:
    """Read the good images for training and validation, and all for the test; masks 0 and 1.

    Args:
        config: says which images; of `"synthetic"` one surface is taken. Its `split_seed` deals
            them out, and draws those that are kept.
        most: keep so many good images of each split, and so many with defects of the test, or as
            many as there are; None keeps all.
        progress: whether to show a progress bar.

    Raises:
        ValueError: if a split has no good images, if no defect of the test is left at this size,
            and what `open_dataset` raises.

    Example:
        >>> splits = open_normal_splits(NearestPatchesConfig(height=64, width=64), most=4)
        >>> splits.train.labels, len(splits.test)
        ([0, 0, 0, 0], 8)
    """
    data, seed, size = config.data, config.split_seed, (config.height, config.width)

    def part(split: str) -> SampleSource:
        options: dict[str, Any] = {"split_by": config.split_by, "normal_only": True}
        if is_synthetic(data):
            options |= {"length": NORMAL_LENGTHS[split], "frequency": 0.5}
        if data == "synthetic":
            options |= ONE_SURFACE
        images = BinaryMasks(open_dataset(data, split, size=size, seed=seed, **options))
        if most is None:
            return images
        order = np.random.default_rng(seed).permutation(len(images)).tolist()
        defective = most if split == "test" else 0
        return Subset(images, _first_of_each(images, order, good=most, defective=defective))

    splits = hold(part, progress=progress)
    for name, images in vars(splits).items():
        if all(images.labels):
            raise ValueError(
                f"the {name} part of {data} has no good image: normal images must be there to "
                "learn from, and to tell defects from"
            )
    lost = any(splits.test.labels) and not with_defects(splits.test, 1) and not is_synthetic(data)
    if lost and any(entry.mask for entry in list_entries(data)[1]):
        raise ValueError(
            f"the test part of {data} has no defect that is left at {size[0]} x {size[1]} pixels "
            "(height x width): choose larger ones, or tiles"
        )
    return in_tiles(config, splits)


def open_detection_splits(
    config: TwoStageConfig, *, most: int | None = None, progress: bool = False
) -> Splits:
    """Read the images of a config; masks 0 and 1.

    `most` keeps so many good and so many defective images of each split, the first ones, or as
    many as there are; None keeps all.
    """

    def part(split: str) -> SampleSource:
        options: dict[str, Any] = {"split_by": config.split_by}
        if config.fold:
            options["fold"] = config.fold
        elif is_synthetic(config.data):
            options |= {"length": DETECTION_LENGTHS[split], "frequency": DETECTION_FREQUENCY}
        if config.data == "synthetic":
            options |= ONE_SURFACE
        size = (config.height, config.width)
        images = BinaryMasks(
            open_dataset(config.data, split, size=size, seed=config.split_seed, **options)
        )
        if most is None:
            return images
        chosen = _first_of_each(images, range(len(images)), good=most, defective=most)
        return Subset(images, sorted(chosen))

    return in_tiles(config, hold(part, progress=progress))


def labels_of(images: CachedDataset) -> Tensor:
    """Return 1 for each defective image and 0 for each good one, (N,).

    An image stays defective if its defect was lost when it was made smaller, or has no mask.
    """
    return torch.tensor([int(label > 0) for label in images.labels])


def groups_of(images: CachedDataset) -> list[str]:
    """Return the group of each image."""
    return images.groups


def masks_of(images: CachedDataset) -> Tensor:
    """Return the masks of all images, (N, H, W), as they are held: uint8."""
    return images.masks


def with_defects(images: CachedDataset, count: int) -> list[int]:
    """Return the indices of `count` images with defects, or fewer, evenly spaced."""
    defects = images.masks.flatten(1).any(dim=1).nonzero().flatten().tolist()
    shown = min(count, len(defects))
    return [defects[n * len(defects) // shown] for n in range(shown)]


def to_show(images: CachedDataset, count: int) -> list[int]:
    """Return the indices of `count` images for a picture: those with defects where there are any.

    Without masks it is defective ones, without these good ones.
    """
    labels = np.array(images.labels)
    of_a_kind = np.flatnonzero(labels > 0 if labels.any() else labels == 0)
    even = np.linspace(0, len(of_a_kind) - 1, min(count, len(of_a_kind)), dtype=int)
    return with_defects(images, count) or of_a_kind[even].tolist()


def _first_of_each(
    images: DefectDataset, order: Iterable[int], *, good: int, defective: int
) -> list[int]:
    """Return so many good images and so many others, the first in this order."""
    left = {False: good, True: defective}
    chosen = []
    for index in order:
        kind = bool(images[index].label)
        if left[kind]:
            left[kind] -= 1
            chosen.append(index)
        if not any(left.values()):
            break
    return chosen
