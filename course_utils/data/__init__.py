"""Images, masks and classes: the item, the data sets, how they are split and counted."""

from course_utils.data.any_defect import AnyDefect
from course_utils.data.augmented import Augmented
from course_utils.data.catalog import DATASETS, FoundDataset, find_datasets, open_dataset
from course_utils.data.counts import class_weights, count_pixels
from course_utils.data.dataset_info import DatasetInfo
from course_utils.data.defect_crops import Crop, DefectCrops, crop_upright
from course_utils.data.defect_regions import Region, find_regions
from course_utils.data.image_mask_dataset import ImageMaskDataset
from course_utils.data.memory import InMemory
from course_utils.data.near_duplicates import near_duplicate_groups
from course_utils.data.samples import DefectDataset, Sample
from course_utils.data.selection import Selection
from course_utils.data.simulated import BalancedBatches, SimulatedAnomalies
from course_utils.data.splits import group_split

__all__ = [
    "DATASETS",
    "AnyDefect",
    "Augmented",
    "BalancedBatches",
    "Crop",
    "DatasetInfo",
    "DefectCrops",
    "DefectDataset",
    "FoundDataset",
    "ImageMaskDataset",
    "InMemory",
    "Region",
    "Sample",
    "Selection",
    "SimulatedAnomalies",
    "class_weights",
    "count_pixels",
    "crop_upright",
    "find_datasets",
    "find_regions",
    "group_split",
    "near_duplicate_groups",
    "open_dataset",
]
