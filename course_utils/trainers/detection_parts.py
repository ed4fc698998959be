"""The images that the two-stage network learns from, and those that it is judged by."""

from typing import Any

import torch
from torch import Tensor

from course_utils.data import BinaryMasks, CachedDataset, DefectDataset, open_dataset
from course_utils.trainers.normal_images import SYNTHETIC_PRODUCT
from course_utils.trainers.segmentation import Parts
from course_utils.trainers.two_stage_settings import TwoStageRecipe

SYNTHETIC_IMAGES: dict[str, Any] = SYNTHETIC_PRODUCT | {"frequency": 0.2}
"""One product, of which a fifth shows a defect: defects are rare, as on a line."""
SYNTHETIC_LENGTHS = {"train": 200, "val": 120, "test": 200}


def open_detection_parts(
    recipe: TwoStageRecipe, *, most: int | None = None, progress: bool = False
) -> Parts:
    """Read the images of a recipe.

    `most` keeps so many good and so many defective images of each part, the first ones, or as
    many as there are; None keeps all.
    """

    def part(name: str) -> CachedDataset:
        options: dict[str, Any] = {}
        if recipe.fold:
            options["fold"] = recipe.fold
        elif recipe.data == "synthetic":
            options = SYNTHETIC_IMAGES | {"length": SYNTHETIC_LENGTHS[name]}
        images = BinaryMasks(
            open_dataset(
                recipe.data,
                name,
                size=(recipe.height, recipe.width),
                seed=recipe.split_seed,
                **options,
            )
        )
        return CachedDataset(images, indices=_first_of_both(images, most), progress=progress)

    return Parts(part("train"), part("val"), part("test"))


def labels_of(images: CachedDataset) -> Tensor:
    """Return 1 for each defective image and 0 for each good one, (N,).

    An image stays defective if its defect was lost when it was made smaller, or has no mask.
    """
    return torch.tensor([int(sample.label > 0) for sample in images.samples])


def _first_of_both(images: DefectDataset, most: int | None) -> list[int] | None:
    if most is None:
        return None
    found: dict[bool, list[int]] = {True: [], False: []}
    for index in range(len(images)):
        of_kind = found[bool(images[index].label)]
        if len(of_kind) < most:
            of_kind.append(index)
        if all(len(some) == most for some in found.values()):
            break
    return sorted(found[True] + found[False])
