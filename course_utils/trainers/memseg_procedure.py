"""What MemSeg's training in a folder does: see `run_in_folder`."""

from typing import Any

from matplotlib.figure import Figure

from course_utils.plots import heat_maps, training_curves
from course_utils.trainers.memseg import MemSegRecipe, MemSegTraining
from course_utils.trainers.memseg import open_images as open_parts
from course_utils.trainers.memseg import train_memseg as train
from course_utils.trainers.normal_images import NormalParts, textures_of
from course_utils.trainers.segmentation_procedure import with_defects

__all__ = ["name", "only_images", "open_parts", "pictures", "report", "steps", "train"]

IMAGE_SETTINGS = ("data", "size", "split_seed")


def only_images(recipe: MemSegRecipe) -> MemSegRecipe:
    """Return a recipe that differs from the default in what decides the images alone."""
    return MemSegRecipe(**{name: getattr(recipe, name) for name in IMAGE_SETTINGS})


def steps(recipe: MemSegRecipe, parts: NormalParts) -> int:
    """Return how many batches the training takes."""
    return recipe.steps


def name(recipe: MemSegRecipe) -> str:
    """Return what tells trainings of one data set apart."""
    return f"{recipe.variant}, seed {recipe.seed}"


def report(recipe: MemSegRecipe, parts: NormalParts, result: MemSegTraining) -> dict[str, Any]:
    """Return the split, how many images there are, the encoder's weights and the textures."""
    return {
        "split": parts.test.split_note,
        "images": {name: len(getattr(parts, name)) for name in ("train", "val", "test")},
        "weights_used": result.model.encoder.weights_used or "none",
        "textures": textures_of(recipe.data),
    }


def pictures(parts: NormalParts, result: MemSegTraining) -> dict[str, Figure]:
    """Return the learning curves, and the maps of some test images with defects."""
    chosen = with_defects(parts.test, 6)
    shown = [parts.test[i] for i in chosen]
    return {
        "learning.png": training_curves(
            {"training": result.history}, metrics=("val/image_auroc", "val/aupro")
        ),
        "predictions.png": heat_maps(
            [sample.image for sample in shown],
            [sample.mask for sample in shown],
            {"MemSeg": result.maps[chosen]},
            limit=1.0,
        ),
    }
