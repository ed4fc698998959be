"""The images of a training, in memory: what a network learns from, and what it is judged by."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from course_utils.anomaly import (
    MVTEC_FOREGROUNDS,
    AnomalySynthesizer,
    TextureFolder,
    TextureSource,
    procedural_source,
    structure_source,
)
from course_utils.config import data_root
from course_utils.data import BinaryMasks, CachedDataset, DefectDataset, SampleSource, open_dataset
from course_utils.data.wrappers import memory_needed, require_memory
from course_utils.trainers.configs import TwoStageConfig, UNetConfig

SYNTHETIC_PRODUCT: dict[str, Any] = {
    "surfaces": ["painted_sheet"],
    "defect_size": 1.5,
    "contrast": 1.2,
}
"""What is taken of the synthetic surfaces: a line makes one product. Defects are larger and
plainer than by default, so that a short training can find them."""
NORMAL_LENGTHS = {"train": 200, "val": 50, "test": 100}
DETECTION_LENGTHS = {"train": 200, "val": 120, "test": 200}
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

    return hold(part, progress=progress)


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


def open_all_classes(config: UNetConfig, split: str) -> DefectDataset:
    """Open one split of the images of a config, with all classes of its data set."""
    return open_dataset(
        config.data, split, size=config.size, seed=config.split_seed, split_by=config.split_by
    )


def open_normal_splits(
    data: str, *, size: int, split_seed: int = 0, most: int | None = None, progress: bool = False
) -> Splits:
    """Read the good images for training and validation, and all for the test; masks 0 and 1.

    Args:
        data: a name that `open_dataset` takes; of `"synthetic"` one surface is taken.
        size: side of the images, in pixels.
        split_seed: deals the images out, and draws those that are kept.
        most: keep so many good images of each split, and so many with defects of the test, or as
            many as there are; None keeps all.
        progress: whether to show a progress bar.

    Raises:
        ValueError: if a split has no good images or the test no defect, and what `open_dataset`
            raises.

    Example:
        >>> splits = open_normal_splits("synthetic", size=32, most=4)
        >>> splits.train.labels, len(splits.test)
        ([0, 0, 0, 0], 8)
    """

    def part(split: str) -> SampleSource:
        good_only = split != "test"
        options: dict[str, Any] = {}
        if data == "synthetic":
            frequency = 0.0 if good_only else 0.5
            options = SYNTHETIC_PRODUCT | {"length": NORMAL_LENGTHS[split], "frequency": frequency}
        images = BinaryMasks(open_dataset(data, split, size=size, seed=split_seed, **options))
        if most is None:
            return images
        order = np.random.default_rng(split_seed).permutation(len(images)).tolist()
        chosen = _first_of_each(images, order, good=most, defective=0 if good_only else most)
        return Subset(images, chosen)

    held = hold(part, progress=progress)
    splits = Splits(_good_ones(held.train), _good_ones(held.val), held.test)
    for name, images in vars(splits).items():
        if all(images.labels):
            raise ValueError(
                f"the {name} part of {data} has no good image: normal images must be there to "
                "learn from, and to tell defects from"
            )
    if not with_defects(splits.test, 1):
        raise ValueError(
            f"the test part of {data} has no defect that is left at {size} pixels: nothing can "
            "be scored; with labelled defects, choose a larger size"
        )
    return splits


def open_detection_splits(
    config: TwoStageConfig, *, most: int | None = None, progress: bool = False
) -> Splits:
    """Read the images of a config; masks 0 and 1.

    `most` keeps so many good and so many defective images of each split, the first ones, or as
    many as there are; None keeps all.
    """

    def part(split: str) -> SampleSource:
        options: dict[str, Any] = {}
        if config.fold:
            options["fold"] = config.fold
        elif config.data == "synthetic":
            options = SYNTHETIC_PRODUCT | {
                "length": DETECTION_LENGTHS[split],
                "frequency": DETECTION_FREQUENCY,
            }
        size = (config.height, config.width)
        images = BinaryMasks(
            open_dataset(config.data, split, size=size, seed=config.split_seed, **options)
        )
        if most is None:
            return images
        chosen = _first_of_each(images, range(len(images)), good=most, defective=most)
        return Subset(images, sorted(chosen))

    return hold(part, progress=progress)


def labels_of(images: CachedDataset) -> Tensor:
    """Return 1 for each defective image and 0 for each good one, (N,).

    An image stays defective if its defect was lost when it was made smaller, or has no mask.
    """
    return torch.tensor([int(label > 0) for label in images.labels])


def masks_of(images: CachedDataset) -> Tensor:
    """Return the masks of all images, (N, H, W), as they are held: uint8."""
    return images.masks


def with_defects(images: CachedDataset, count: int) -> list[int]:
    """Return the indices of `count` images with defects, or fewer, evenly spaced."""
    defects = images.masks.flatten(1).any(dim=1).nonzero().flatten().tolist()
    shown = min(count, len(defects))
    return [defects[n * len(defects) // shown] for n in range(shown)]


def simulator(
    data: str, kinds: Literal["both", "texture", "structure"] = "both"
) -> AnomalySynthesizer:
    """Return what simulates anomalies on the images of `data`.

    Anomalies lie on the object where MemSeg's best known re-implementation has a foreground, else
    anywhere. Textures are those of DTD where its folder is in the data root, for real images;
    else they are made from noise.

    Example:
        >>> simulator("synthetic", "structure").foreground is None
        True
    """
    sources: dict[str, Callable[..., Any]] = {
        "texture": procedural_source,
        "structure": structure_source,
    }
    if textures_of(data) == "dtd":
        sources["texture"] = TextureSource(TextureFolder(data_root() / "dtd" / "images"))
    return AnomalySynthesizer(
        sources=tuple(sources.values()) if kinds == "both" else (sources[kinds],),
        foreground=MVTEC_FOREGROUNDS.get(data.removeprefix("mvtec_ad/")),
    )


def textures_of(data: str) -> Literal["dtd", "noise"]:
    """Return where `simulator` takes the textures for `data` from, on this machine.

    Example:
        >>> textures_of("synthetic")
        'noise'
    """
    there = data != "synthetic" and (data_root() / "dtd" / "images").is_dir()
    return "dtd" if there else "noise"


def _good_ones(images: CachedDataset) -> CachedDataset:
    return images.subset(i for i, label in enumerate(images.labels) if not label)


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
