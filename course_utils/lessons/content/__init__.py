"""The lessons of the course in their order, with the parameters that each takes.

What a lesson asks stands in `lesson_NN.md`, how answers are checked in `lesson_NN.py`: exercise
`blend` of the one is checked by `check_blend` of the other.
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from course_utils.data import PRODUCT_NAMES
from course_utils.lessons.parameters import LessonParameters
from course_utils.lessons.spec import LessonSpec
from course_utils.trainers.configs import (
    ENCODERS,
    LOSS_NAMES,
    TwoStageVariantName,
    VariantName,
)


class StartParameters(LessonParameters):
    """Lesson 00 learns from good images, so it takes only sets that have some."""

    datasets = (*PRODUCT_NAMES, "synthetic", "mvtec_ad/", "magnetic_tile", "folder")


class SurfaceParameters(LessonParameters):
    """Lesson 01 takes no parameters of its own."""

    datasets = ("synthetic", *PRODUCT_NAMES, "magnetic_tile", "sd_saliency_900", "folder")


class LossesParameters(SurfaceParameters):
    """Lesson 02 takes the gamma of the focal losses that it trains."""

    gamma: Annotated[float, Field(ge=0, le=10)] = 2.0


class UNetParameters(SurfaceParameters):
    """Lesson 03 takes the loss and the encoder of the detector that it makes in the end."""

    loss: Literal[tuple(LOSS_NAMES)] = "dice"  # type: ignore[valid-type]
    encoder: Literal[ENCODERS] = "efficientnet_lite0"  # type: ignore[valid-type]


class SynthesisParameters(LessonParameters):
    """Lesson 04 takes no parameters of its own."""

    datasets = (
        *PRODUCT_NAMES, "synthetic", "mvtec_ad/", "kolektor_sdd", "magnetic_tile", "folder",
    )  # fmt: skip


class BuildingBlocksParameters(LessonParameters):
    """Lesson 05 takes no parameters of its own."""

    datasets = (*PRODUCT_NAMES, "synthetic", "mvtec_ad/", "kolektor_sdd", "folder")


class MemSegParameters(LessonParameters):
    """Lesson 06 takes the variant of MemSeg that it trains and uses."""

    datasets = (*PRODUCT_NAMES, "synthetic", "mvtec_ad/", "kolektor_sdd", "magnetic_tile", "folder")

    variant: VariantName = "scaled_maps"


class TwoStageParameters(LessonParameters):
    """Lesson 07 takes one of KolektorSDD's three folds; 0 is the course's own split.

    `extension` is the variant of the main training, to be swept by a plan.
    """

    datasets = ("synthetic", "kolektor_sdd", "dagm/", "severstal", "magnetic_tile", "folder")

    fold: Annotated[int, Field(ge=0, le=3)] = 0
    extension: TwoStageVariantName = "two_stage"

    @field_validator("fold")
    @classmethod
    def _check_fold(cls, fold: int, info: ValidationInfo) -> int:
        dataset = info.data.get("dataset", "kolektor_sdd")  # a wrong data set is said elsewhere
        if fold and dataset != "kolektor_sdd":
            raise ValueError(f"0: only kolektor_sdd has folds, and the data set is {dataset}")
        return fold


LESSONS = (
    LessonSpec("00_start_here", "Start here", StartParameters),
    LessonSpec("01_class_imbalance", "Class imbalance", SurfaceParameters),
    LessonSpec("02_focal_and_reweighted_losses", "Focal and re-weighted losses", LossesParameters),
    LessonSpec("03_unet_training", "U-Net training", UNetParameters),
    LessonSpec("04_perlin_anomaly_synthesis", "Perlin anomaly synthesis", SynthesisParameters),
    LessonSpec("05_memseg_building_blocks", "MemSeg building blocks", BuildingBlocksParameters),
    LessonSpec("06_memseg_training", "MemSeg training", MemSegParameters),
    LessonSpec("07_two_stage_training", "Two-stage training", TwoStageParameters),
)


def find_lesson(lesson: str) -> LessonSpec:
    """Return the lesson with this number or name.

    Raises:
        ValueError: for an unknown one.

    Example:
        >>> find_lesson("00").name
        '00_start_here'
    """
    for spec in LESSONS:
        if lesson in (spec.number, spec.name):
            return spec
    known = ", ".join(spec.name for spec in LESSONS)
    raise ValueError(f"no lesson is called {lesson!r}: choose one of {known}")
