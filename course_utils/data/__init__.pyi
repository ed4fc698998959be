"""What `course_utils.data` offers, and where it is; `lazy_loader` reads this."""

from .augmentation import SimulatedAnomalies, TransformedDataset
from .counts import class_weights, count_pixels
from .defect_crops import Crop, DefectCrops, Region, crop_upright, find_regions
from .fingerprints import data_fingerprint
from .image_files import image_size
from .image_mask_dataset import ImageMaskDataset
from .image_set import Entry, ImageSet
from .near_duplicates import near_duplicate_groups
from .opening import (
    FoundDataset,
    find_datasets,
    list_entries,
    open_dataset,
    read_image_set,
)
from .registry import DATASETS, PRODUCT_NAMES, DatasetInfo, is_synthetic
from .samples import DefectDataset, Sample, SampleSource
from .sampling import BalancedBatches, FrequencyOfUseSampler
from .splits import SplitBy, group_split
from .tiles import TiledDataset, tile_starts
from .two_stage_targets import (
    TwoStageSample,
    TwoStageTargets,
    distance_weights,
    downsample_mask,
    two_stage_target,
    upsample_map,
)
from .wrappers import (
    BinaryMasks,
    CachedDataset,
    EllipseMasks,
    MappedDataset,
)

__all__ = [
    "DATASETS",
    "PRODUCT_NAMES",
    "BalancedBatches",
    "BinaryMasks",
    "CachedDataset",
    "Crop",
    "DatasetInfo",
    "DefectCrops",
    "DefectDataset",
    "EllipseMasks",
    "Entry",
    "FoundDataset",
    "FrequencyOfUseSampler",
    "ImageMaskDataset",
    "ImageSet",
    "MappedDataset",
    "Region",
    "Sample",
    "SampleSource",
    "SimulatedAnomalies",
    "SplitBy",
    "TiledDataset",
    "TransformedDataset",
    "TwoStageSample",
    "TwoStageTargets",
    "class_weights",
    "count_pixels",
    "crop_upright",
    "data_fingerprint",
    "distance_weights",
    "downsample_mask",
    "find_datasets",
    "find_regions",
    "group_split",
    "image_size",
    "is_synthetic",
    "list_entries",
    "near_duplicate_groups",
    "open_dataset",
    "read_image_set",
    "tile_starts",
    "two_stage_target",
    "upsample_map",
]
