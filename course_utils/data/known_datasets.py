"""What there is: each data set by its name, with what reads it."""

from collections.abc import Callable
from pathlib import Path

from course_utils.data.dataset_info import DatasetInfo
from course_utils.data.image_mask_dataset import Entry, ImageSet
from course_utils.data.readers.kolektor_sdd import (
    KOLEKTOR_SDD,
    list_kolektor_sdd,
    read_kolektor_sdd,
)
from course_utils.data.readers.magnetic_tile import (
    MAGNETIC_TILE,
    list_magnetic_tile,
    read_magnetic_tile,
)
from course_utils.data.readers.mvtec_ad import (
    MVTEC_AD,
)
from course_utils.data.readers.steel import (
    SD_SALIENCY_900,
    list_sd_saliency_900,
    read_sd_saliency_900,
)
from course_utils.data.synthetic import SyntheticSurfaces

SYNTHETIC = DatasetInfo(
    name="synthetic",
    title="Synthetic surfaces",
    class_names=SyntheticSurfaces.class_names,
    licence="made by this course, Apache-2.0",
    page="",
    layout="",
)
DATASETS: dict[str, DatasetInfo] = {
    info.name: info for info in (SYNTHETIC, MAGNETIC_TILE, SD_SALIENCY_900, KOLEKTOR_SDD, MVTEC_AD)
}
"""The data sets by name. `mvtec_ad` is opened by category, as `mvtec_ad/bottle`; `folder:<path>`
opens a person's own images."""

READERS: dict[str, Callable[[Path], ImageSet]] = {
    MAGNETIC_TILE.name: read_magnetic_tile,
    SD_SALIENCY_900.name: read_sd_saliency_900,
    KOLEKTOR_SDD.name: read_kolektor_sdd,
}
LISTS: dict[str, Callable[[Path], list[Entry]]] = {
    MAGNETIC_TILE.name: list_magnetic_tile,
    SD_SALIENCY_900.name: list_sd_saliency_900,
    KOLEKTOR_SDD.name: list_kolektor_sdd,
}
