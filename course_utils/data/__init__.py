"""Images, masks and classes: the item, the data sets, how they are split and counted."""

from course_utils.data.augmentation import SimulatedAnomalies, TransformedDataset
from course_utils.data.catalog import open_dataset
from course_utils.data.counts import class_weights, count_pixels
from course_utils.data.dataset_info import DatasetInfo
from course_utils.data.defect_crops import Crop, DefectCrops, crop_upright
from course_utils.data.defect_regions import Region, find_regions
from course_utils.data.distance_weights import distance_weights
from course_utils.data.found_datasets import FoundDataset, find_datasets
from course_utils.data.image_mask_dataset import ImageMaskDataset
from course_utils.data.known_datasets import DATASETS
from course_utils.data.near_duplicates import near_duplicate_groups
from course_utils.data.samples import DefectDataset, Sample
from course_utils.data.sampling import BalancedBatches, FrequencyOfUseSampler
from course_utils.data.splits import group_split
from course_utils.data.two_stage_targets import (
    TwoStageSample,
    TwoStageTargets,
    downsample_mask,
    two_stage_target,
)
from course_utils.data.wrappers import (
    BinaryMasks,
    CachedDataset,
    EllipseMasks,
    MappedDataset,
    Subset,
)

__all__ = [
    "DATASETS",
    "BalancedBatches",
    "BinaryMasks",
    "CachedDataset",
    "Crop",
    "DatasetInfo",
    "DefectCrops",
    "DefectDataset",
    "EllipseMasks",
    "FoundDataset",
    "FrequencyOfUseSampler",
    "ImageMaskDataset",
    "MappedDataset",
    "Region",
    "Sample",
    "SimulatedAnomalies",
    "Subset",
    "TransformedDataset",
    "TwoStageSample",
    "TwoStageTargets",
    "class_weights",
    "count_pixels",
    "crop_upright",
    "distance_weights",
    "downsample_mask",
    "find_datasets",
    "find_regions",
    "group_split",
    "near_duplicate_groups",
    "open_dataset",
    "two_stage_target",
]
