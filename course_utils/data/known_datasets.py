"""What there is: each data set by its name, with what reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from course_utils.data.dataset_info import DatasetInfo
from course_utils.data.image_mask_dataset import Entry, ImageSet
from course_utils.data.readers.dagm import DAGM, dagm_classes, list_dagm, read_dagm
from course_utils.data.readers.kolektor_sdd import (
    KOLEKTOR_SDD,
    list_kolektor_sdd,
    read_kolektor_sdd,
)
from course_utils.data.readers.kolektor_sdd2 import (
    KOLEKTOR_SDD2,
    list_kolektor_sdd2,
    read_kolektor_sdd2,
)
from course_utils.data.readers.magnetic_tile import (
    MAGNETIC_TILE,
    list_magnetic_tile,
    read_magnetic_tile,
)
from course_utils.data.readers.mvtec_ad import (
    MVTEC_AD,
    list_mvtec_ad,
    mvtec_ad_categories,
    read_mvtec_ad,
)
from course_utils.data.readers.pictures import (
    DTD,
    TINY_IMAGENET,
    list_dtd,
    list_tiny_imagenet,
    read_dtd,
    read_tiny_imagenet,
)
from course_utils.data.readers.severstal import SEVERSTAL, list_severstal, read_severstal
from course_utils.data.readers.steel import (
    SD_SALIENCY_900,
    list_sd_saliency_900,
    read_sd_saliency_900,
)
from course_utils.data.synthetic import SyntheticSurfaces


@dataclass(frozen=True)
class SetOnDisk:
    """A data set and what reads it."""

    info: DatasetInfo
    read: Callable[..., ImageSet]
    """Takes the folder of the set, the name of the category if it has some, and options."""
    list_entries: Callable[..., list[Entry]]
    """Takes the same, and opens no image."""
    categories: Callable[[Path], list[str]] | None = None
    """Folder of the set to the categories in it; None: the set is opened as a whole."""
    options: tuple[str, ...] = ()


SYNTHETIC = DatasetInfo(
    name="synthetic",
    title="Synthetic surfaces",
    class_names=SyntheticSurfaces.class_names,
    licence="made by this course, Apache-2.0",
    page="",
    layout="",
)
ON_DISK: dict[str, SetOnDisk] = {
    known.info.name: known
    for known in (
        SetOnDisk(MAGNETIC_TILE, read_magnetic_tile, list_magnetic_tile),
        SetOnDisk(SD_SALIENCY_900, read_sd_saliency_900, list_sd_saliency_900),
        SetOnDisk(KOLEKTOR_SDD, read_kolektor_sdd, list_kolektor_sdd, options=("masks",)),
        SetOnDisk(MVTEC_AD, read_mvtec_ad, list_mvtec_ad, mvtec_ad_categories),
        SetOnDisk(KOLEKTOR_SDD2, read_kolektor_sdd2, list_kolektor_sdd2),
        SetOnDisk(DAGM, read_dagm, list_dagm, dagm_classes),
        SetOnDisk(SEVERSTAL, read_severstal, list_severstal),
        SetOnDisk(DTD, read_dtd, list_dtd),
        SetOnDisk(TINY_IMAGENET, read_tiny_imagenet, list_tiny_imagenet),
    )
}
DATASETS: dict[str, DatasetInfo] = {
    info.name: info for info in (SYNTHETIC, *(known.info for known in ON_DISK.values()))
}
"""The data sets by name. `mvtec_ad` and `dagm` are opened by category, as `mvtec_ad/bottle` and
`dagm/1`; `folder:<path>` opens a person's own images."""
