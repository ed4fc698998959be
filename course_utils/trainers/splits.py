"""The images of a training, in memory: what a network learns from, and what it is judged by."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from course_utils.anomaly import (
    MVTEC_FOREGROUNDS,
    AnomalySynthesizer,
    TextureFolder,
    TextureSource,
    procedural_source,
    structure_source,
)
from course_utils.config import data_root
from course_utils.data import (
    BinaryMasks,
    CachedDataset,
    DefectDataset,
    SimulatedAnomalies,
    open_dataset,
)
from course_utils.trainers.configs import (
    MemSegConfig,
    NearestPatchesConfig,
    TwoStageConfig,
    UNetConfig,
)

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


def open_splits(config: UNetConfig, *, progress: bool = False) -> Splits:
    """Read the images of a config, defect or not, or all classes of its data set."""

    def read(split: str) -> CachedDataset:
        images = open_all_classes(config, split)
        if config.classes == "one":
            images = BinaryMasks(images)
        return CachedDataset(images, progress=progress)

    return Splits(read("train"), read("val"), read("test"))


def open_all_classes(config: UNetConfig, split: str) -> DefectDataset:
    """Open one split of the images of a config, with all classes of its data set."""
    size = (config.height, config.width)
    return open_dataset(
        config.data, split, size=size, seed=config.split_seed, split_by=config.split_by
    )


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
        ValueError: if a split has no good images or the test no defect, and what `open_dataset`
            raises.

    Example:
        >>> splits = open_normal_splits(NearestPatchesConfig(height=64, width=64), most=4)
        >>> [sample.label for sample in splits.train.samples], len(splits.test)
        ([0, 0, 0, 0], 8)
    """
    data, seed, size = config.data, config.split_seed, (config.height, config.width)

    def read(split: str) -> CachedDataset:
        good_only = split != "test"
        options: dict[str, Any] = {}
        if data == "synthetic":
            frequency = 0.0 if good_only else 0.5
            options = SYNTHETIC_PRODUCT | {"length": NORMAL_LENGTHS[split], "frequency": frequency}
        images = BinaryMasks(open_dataset(data, split, size=size, seed=seed, **options))
        if most is None:
            held = CachedDataset(images, progress=progress)
            held.samples = [one for one in held.samples if not (good_only and one.label)]
        else:
            order = np.random.default_rng(seed).permutation(len(images)).tolist()
            chosen = _first_of_each(images, order, good=most, defective=0 if good_only else most)
            held = CachedDataset(images, indices=chosen)
        if all(sample.label for sample in held.samples):
            raise ValueError(
                f"the {split} part of {data} has no good image: normal images must be there to "
                "learn from, and to tell defects from"
            )
        if not good_only and not any(bool(sample.mask.any()) for sample in held.samples):
            raise ValueError(
                f"the test part of {data} has no defect that is left at {size[0]} x {size[1]} "
                "pixels: nothing can be scored; with labelled defects, choose a larger size"
            )
        return held

    return Splits(read("train"), read("val"), read("test"))


def open_detection_splits(
    config: TwoStageConfig, *, most: int | None = None, progress: bool = False
) -> Splits:
    """Read the images of a config; masks 0 and 1.

    `most` keeps so many good and so many defective images of each split, the first ones, or as
    many as there are; None keeps all.
    """

    def read(split: str) -> CachedDataset:
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
        chosen = None
        if most is not None:
            chosen = sorted(_first_of_each(images, range(len(images)), good=most, defective=most))
        return CachedDataset(images, indices=chosen, progress=progress)

    return Splits(read("train"), read("val"), read("test"))


def labels_of(images: CachedDataset) -> Tensor:
    """Return 1 for each defective image and 0 for each good one, (N,).

    An image stays defective if its defect was lost when it was made smaller, or has no mask.
    """
    return torch.tensor([int(sample.label > 0) for sample in images.samples])


def groups_of(images: CachedDataset) -> list[str]:
    """Return the group of each image."""
    return [sample.group for sample in images.samples]


def masks_of(images: CachedDataset) -> Tensor:
    """Return the masks of all images, (N, H, W)."""
    return torch.stack([sample.mask for sample in images.samples])


def with_defects(images: CachedDataset, count: int) -> list[int]:
    """Return the indices of `count` images with defects, or fewer, evenly spaced."""
    defects = [i for i, sample in enumerate(images.samples) if bool(sample.mask.any())]
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


def simulated_validation(
    config: MemSegConfig | NearestPatchesConfig, val: CachedDataset
) -> CachedDataset:
    """Return good validation images with simulated anomalies, the same at each call.

    Anomalies are of both kinds, whatever a training sees: variants are to be compared.
    """
    # A seed of its own: the training's would draw the masks of its first epoch once more.
    seed = int(np.random.SeedSequence([config.split_seed, 1]).generate_state(1)[0])
    return CachedDataset(SimulatedAnomalies(val, simulator(config.data), seed=seed))


def textures_of(data: str) -> Literal["dtd", "noise"]:
    """Return where `simulator` takes the textures for `data` from, on this machine.

    Example:
        >>> textures_of("synthetic")
        'noise'
    """
    there = data != "synthetic" and (data_root() / "dtd" / "images").is_dir()
    return "dtd" if there else "noise"


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
