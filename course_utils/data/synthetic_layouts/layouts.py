"""Where the images and masks of the synthetic set lie in the layout of each published set."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from course_utils.data.run_lengths import encode_runs
from course_utils.data.synthetic import SURFACES, SyntheticSurfaces
from course_utils.data.synthetic_layouts.pictures import Picture, Wanted
from course_utils.data.synthetic_layouts.places import (
    CATEGORY,
    place_dagm,
    place_folder,
    place_kolektor_sdd,
    place_kolektor_sdd2,
    place_magnetic_tile,
    place_mvtec_ad,
    place_sd_saliency_900,
    place_severstal,
)


@dataclass(frozen=True)
class Table:
    """A file with rows for each image, where a set keeps its masks in one."""

    file: str
    header: str
    rows: Callable[[str, np.ndarray], list[str]]
    """The rows of one image, from its path and its classes, uint8 (H, W)."""


@dataclass(frozen=True)
class Layout:
    """How one published set lies on disk."""

    title: str
    folder: str
    """Folder of the set in the data root."""
    opens: str
    """Its name for `open_dataset`, with `{root}` where the data root belongs."""
    size: tuple[int, int]
    """(height, width) if none is asked for: that of the published set, or near it."""
    place: Callable[[Wanted], Iterator[Picture]]
    gray: bool
    """Whether images are written with one channel."""
    least: int = 8
    """Images without which the set would miss a part or a class."""
    mask_value: int | None = 255
    """What defect pixels hold, whatever their class; None: the number of their class."""
    defect_share: float | None = None
    """The share that is its only one; None: the choice is free."""
    made_at: tuple[int, int] | None = None
    """(height, width) at which images are made, if they are enlarged to `size`, the only one."""
    folders: tuple[str, ...] = ()
    """Folders that are there even if they are empty."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Small files that are always the same, by path."""
    table: Table | None = None


def wanted_for(
    layout: Layout,
    *,
    count: int,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    defect_share: float | None = None,
    surfaces: Sequence[str] = SURFACES,
) -> Wanted:
    """Return the wish in full: what is None is that of the layout.

    Raises:
        ValueError: for what the layout cannot have, and for what there is not (see `Wanted`).

    Example:
        >>> wanted_for(LAYOUTS["kolektor_sdd"], count=20).size
        (640, 256)
    """
    if layout.made_at is not None and size not in (None, layout.size):
        raise ValueError(
            f"images of {layout.title} are all {_by(layout.size)}, got size {_by(size)}: leave "
            f"the size out"
        )
    only = layout.defect_share
    if only is not None and defect_share not in (None, only):
        raise ValueError(
            f"of {layout.title} a share of {only:g} has a defect, got defect_share "
            f"{defect_share:g}: leave the share out"
        )
    share = defect_share if only is None else only
    return Wanted(
        count=count,
        size=layout.made_at or size or layout.size,
        seed=seed,
        defect_share=0.5 if share is None else share,
        surfaces=tuple(surfaces),
    )


def lay_out(layout: Layout, wanted: Wanted) -> list[Picture]:
    """Return each image with the files that it becomes, without making any image.

    Raises:
        ValueError: for fewer images than the layout needs, and for kinds that are too rare.

    Example:
        >>> layout = LAYOUTS["mvtec_ad"]
        >>> pictures = lay_out(layout, wanted_for(layout, count=9, size=(64, 64)))
        >>> pictures[0].image, pictures[-1].mask
        ('synthetic/train/good/000.png', 'synthetic/ground_truth/spot/000_mask.png')
    """
    if wanted.count < layout.least:
        raise ValueError(
            f"{wanted.count} images cannot fill every part of {layout.title}: ask for "
            f"{layout.least} or more"
        )
    return list(layout.place(wanted))


def _rows_of_runs(image: str, classes: np.ndarray) -> list[str]:
    name = PurePosixPath(image).name
    return [
        f"{name},{label},{encode_runs(classes == label)}" for label in np.unique(classes) if label
    ]


def _by(size: tuple[int, int] | None) -> str:
    return "x".join(map(str, size or ()))


LAYOUTS: dict[str, Layout] = {
    "folder": Layout(
        title="a person's own images",
        folder="synthetic_folder",
        opens="folder:{root}/synthetic_folder",
        size=(256, 256),
        place=place_folder,
        gray=False,
        mask_value=None,
        folders=("images", "masks"),
        texts={"classes.txt": "".join(f"{n}\n" for n in SyntheticSurfaces.class_names[1:])},
    ),
    "mvtec_ad": Layout(
        title="MVTec AD",
        folder="mvtec_ad",
        opens=f"mvtec_ad/{CATEGORY}",
        size=(256, 256),
        place=place_mvtec_ad,
        gray=False,
    ),
    "kolektor_sdd": Layout(
        title="KolektorSDD",
        folder="kolektor_sdd",
        opens="kolektor_sdd",
        size=(640, 256),
        place=place_kolektor_sdd,
        gray=True,
        least=12,
    ),
    "kolektor_sdd2": Layout(
        title="KolektorSDD2",
        folder="kolektor_sdd2",
        opens="kolektor_sdd2",
        size=(640, 232),
        place=place_kolektor_sdd2,
        gray=False,
    ),
    "dagm": Layout(
        title="DAGM 2007",
        folder="dagm",
        opens="dagm/1",
        size=(512, 512),
        place=place_dagm,
        gray=True,
    ),
    "magnetic_tile": Layout(
        title="the magnetic-tile set",
        folder="magnetic_tile",
        opens="magnetic_tile",
        size=(256, 256),
        place=place_magnetic_tile,
        gray=True,
        least=12,
    ),
    "sd_saliency_900": Layout(
        title="SD-saliency-900",
        folder="sd_saliency_900",
        opens="sd_saliency_900",
        size=(200, 200),
        place=place_sd_saliency_900,
        gray=True,
        least=9,
        defect_share=1.0,
    ),
    "severstal": Layout(
        title="the Severstal competition",
        folder="severstal",
        opens="severstal",
        size=(256, 1600),
        made_at=(160, 1000),
        place=place_severstal,
        gray=True,
        table=Table("train.csv", "ImageId,ClassId,EncodedPixels", _rows_of_runs),
    ),
}
"""The layouts that can be written, by the name of their set."""
