"""How each data set lies on disk: one file each, from a folder to an `ImageSet`."""

from course_utils.data.readers.folder import read_folder
from course_utils.data.readers.kolektor_sdd import KOLEKTOR_SDD, read_kolektor_sdd
from course_utils.data.readers.magnetic_tile import MAGNETIC_TILE, read_magnetic_tile
from course_utils.data.readers.steel import SD_SALIENCY_900, read_sd_saliency_900

__all__ = [
    "KOLEKTOR_SDD",
    "MAGNETIC_TILE",
    "SD_SALIENCY_900",
    "read_folder",
    "read_kolektor_sdd",
    "read_magnetic_tile",
    "read_sd_saliency_900",
]
