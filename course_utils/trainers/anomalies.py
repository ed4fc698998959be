"""The anomalies of MemSeg's training: what is made, and where on the image it may lie."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from course_utils.anomaly import (
    MVTEC_FOREGROUNDS,
    AnomalySynthesizer,
    FixedForeground,
    Foreground,
    ForegroundRule,
    TextureFolder,
    TextureSource,
    find_foreground,
    procedural_source,
    structure_source,
)
from course_utils.config import data_root
from course_utils.data import CachedDataset, SimulatedAnomalies, is_synthetic
from course_utils.data.augmentation import as_picture
from course_utils.data.image_files import read_mask
from course_utils.trainers.configs import MemSegConfig, NearestPatchesConfig


class ChosenForeground(NamedTuple):
    """Where simulated anomalies may lie, and why."""

    foreground: Foreground | None
    note: str
    """One sentence for people."""


def choose_foreground(config: MemSegConfig, images: CachedDataset) -> ChosenForeground:
    """Return where the anomalies of a config may lie.

    `auto` takes the rules of MemSeg's best known re-implementation for MVTec AD, and decides by
    `find_foreground` for other data sets. On tiles anomalies may lie anywhere.

    Args:
        config: its `foreground` says how.
        images: good ones, those for training.

    Raises:
        FileNotFoundError: if there is no such mask.
        ValueError: for a mask that marks nothing, or has more than two values.

    Example:
        >>> config = MemSegConfig(data="mvtec_ad/bottle")
        >>> choose_foreground(config, ...).note
        'a dark object, as in the best known re-implementation'
    """
    name, category = config.foreground, config.data.removeprefix("mvtec_ad/")
    if name == "none":
        return ChosenForeground(None, "none: anomalies lie anywhere")
    if name in ("dark", "bright"):
        rule = ForegroundRule(None, bright=name == "bright")
        return ChosenForeground(rule, f"the {name} part of each image, as it was asked for")
    if name != "auto":
        mask = _read_region(Path(name))
        note = f"{name}, {mask.mean():.1%} of an image, CRC-32 {zlib.crc32(mask.tobytes()):08x}"
        return ChosenForeground(FixedForeground(mask), note)
    if config.tile:
        return ChosenForeground(None, "none: many tiles show no object; anomalies lie anywhere")
    if category == config.data:
        pictures = [as_picture(images[index].image) for index in range(len(images))]
        return ChosenForeground(*find_foreground(pictures))
    known = MVTEC_FOREGROUNDS.get(category)
    if known is None:
        return ChosenForeground(
            None, f"none, as for {category} in the best known re-implementation"
        )
    kind = "bright" if known.bright else "dark"
    return ChosenForeground(known, f"a {kind} object, as in the best known re-implementation")


def _read_region(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"there is no mask {path}: give foreground another path, or auto")
    mask = read_mask(path)
    values = np.unique(mask).tolist()
    if len(values) > 2 or not any(values):
        raise ValueError(
            f"{path} must be 0 beside the product and one other value on it, got "
            f"{len(values)} values in {values[0]}..{values[-1]}: draw it in black and white"
        )
    return (mask > 0).astype(np.uint8)


def simulator(
    data: str,
    kinds: Literal["both", "texture", "structure"] = "both",
    foreground: Foreground | None = None,
) -> AnomalySynthesizer:
    """Return what simulates anomalies on the images of `data`.

    Textures are those of DTD where its folder is in the data root, for real images; else they are
    made from noise.

    Args:
        data: name of the data set.
        kinds: of anomalies.
        foreground: where they may lie, see `choose_foreground`; None: anywhere.

    Example:
        >>> len(simulator("synthetic", "structure").sources)
        1
    """
    sources: dict[str, Callable[..., Any]] = {
        "texture": procedural_source,
        "structure": structure_source,
    }
    if textures_of(data) == "dtd":
        sources["texture"] = TextureSource(TextureFolder(data_root() / "dtd" / "images"))
    return AnomalySynthesizer(
        sources=tuple(sources.values()) if kinds == "both" else (sources[kinds],),
        foreground=foreground,
    )


def simulated_validation(
    config: MemSegConfig | NearestPatchesConfig,
    val: CachedDataset,
    *,
    foreground: Foreground | None = None,
) -> CachedDataset:
    """Return good validation images with simulated anomalies, the same at each call.

    Anomalies are of both kinds, whatever a training sees: variants are to be compared.
    """
    # A seed of its own: the training's would draw the masks of its first epoch once more.
    seed = int(np.random.SeedSequence([config.split_seed, 1]).generate_state(1)[0])
    maker = simulator(config.data, foreground=foreground)
    return CachedDataset(SimulatedAnomalies(val, maker, seed=seed))


def textures_of(data: str) -> Literal["dtd", "noise"]:
    """Return where `simulator` takes the textures for `data` from, on this machine.

    Example:
        >>> textures_of("synthetic")
        'noise'
    """
    there = not is_synthetic(data) and (data_root() / "dtd" / "images").is_dir()
    return "dtd" if there else "noise"
