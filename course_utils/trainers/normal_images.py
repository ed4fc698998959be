"""One product, good images to learn from, and the anomalies that are simulated on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from course_utils.anomaly import (
    MVTEC_FOREGROUNDS,
    AnomalySynthesizer,
    TextureFolder,
    TextureSource,
    procedural_source,
    structure_source,
)
from course_utils.anomaly.synthesis import Source
from course_utils.config import data_root
from course_utils.data import BinaryMasks, CachedDataset, DefectDataset, open_dataset

SYNTHETIC_PRODUCT: dict[str, Any] = {
    "surfaces": ["painted_sheet"],
    "defect_size": 1.5,
    "contrast": 1.2,
}
"""What is taken of the synthetic surfaces: a line makes one product. Defects are larger and
plainer than by default, so that a short training can find them."""
SYNTHETIC_LENGTHS = {"train": 200, "val": 50, "test": 100}

AnomalyKinds = Literal["both", "texture", "structure"]


@dataclass(frozen=True)
class NormalParts:
    """The images of one product, in memory."""

    train: CachedDataset
    """Good images only."""
    val: CachedDataset
    """Good images only."""
    test: CachedDataset
    """Good images and images with defects, masks 0 and 1."""


def open_normal_parts(
    data: str,
    *,
    size: int,
    split_seed: int = 0,
    most: int | None = None,
    progress: bool = False,
) -> NormalParts:
    """Read the good images of the training and validation parts, and all of the test part.

    Args:
        data: a name that `open_dataset` takes; of `"synthetic"` one surface is taken.
        size: side of the images, in pixels.
        split_seed: deals the images out, and draws those that are kept.
        most: keep so many good images of each part, and so many with defects of the test part, or
            as many as there are; None keeps all.

    Raises what `open_dataset` raises, and `ValueError` if a part has no good images or the test
    part no defect.

    Example:
        >>> parts = open_normal_parts("synthetic", size=32, most=4)
        >>> [sample.label for sample in parts.train.samples], len(parts.test)
        ([0, 0, 0, 0], 8)
    """

    def part(name: str, good_only: bool) -> CachedDataset:
        images = BinaryMasks(_open_part(data, name, size, split_seed, good_only))
        if most is None:
            held = CachedDataset(images, progress=progress)
            held.samples = [one for one in held.samples if not (good_only and one.label)]
        else:
            order = np.random.default_rng(split_seed).permutation(len(images)).tolist()
            held = CachedDataset(images, indices=_first_of_each(images, order, most, good_only))
        labels = {sample.label for sample in held.samples}
        if 0 not in labels:
            raise ValueError(
                f"the {name} part of {data} has no good image: normal images must be there to "
                "learn from, and to tell defects from"
            )
        if not good_only and not any(bool(sample.mask.any()) for sample in held.samples):
            raise ValueError(
                f"the test part of {data} has no defect that is left at {size} pixels: nothing can "
                "be scored; with labelled defects, choose a larger size"
            )
        return held

    return NormalParts(part("train", True), part("val", True), part("test", False))


def simulator(data: str, kinds: AnomalyKinds = "both") -> AnomalySynthesizer:
    """Return what simulates anomalies on the images of `data`.

    Anomalies lie on the object where MemSeg's best known re-implementation has a foreground, else
    anywhere. Textures are those of DTD where its folder is in the data root, for real images;
    else they are made from noise.

    Example:
        >>> simulator("synthetic", "structure").foreground is None
        True
    """
    sources: dict[str, Source] = {"texture": procedural_source, "structure": structure_source}
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


def _first_of_each(
    images: DefectDataset, order: Sequence[int], most: int, good_only: bool
) -> list[int]:
    """Return the first `most` good images in this order, and the first `most` others."""
    left = {0: most, 1: 0 if good_only else most}
    chosen = []
    for index in order:
        label = images[index].label
        if left[label]:
            left[label] -= 1
            chosen.append(index)
        if not any(left.values()):
            break
    return chosen


def _open_part(data: str, name: str, size: int, seed: int, good_only: bool) -> DefectDataset:
    if data != "synthetic":
        return open_dataset(data, name, size=size, seed=seed)
    return open_dataset(
        data,
        name,
        size=size,
        seed=seed,
        length=SYNTHETIC_LENGTHS[name],
        frequency=0.0 if good_only else 0.5,
        **SYNTHETIC_PRODUCT,
    )
