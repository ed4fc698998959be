"""One row for each image: where a mean hides what happened, look here."""

from collections.abc import Sequence
from typing import NamedTuple

from course_utils.evaluation.inputs import Values, as_array, as_binary, as_scores, paired_images
from course_utils.evaluation.overlap import dice, iou


class ImageRow(NamedTuple):
    """What happened to one image; `row._asdict()` makes a dict of it."""

    name: str
    label: int
    """0: good. 1..K: the class of the defect."""
    score: float
    """The image's score: higher means more likely a defect."""
    iou: float
    dice: float
    missed: int
    """Defect pixels that were not found."""
    false_alarms: int
    """Clean pixels that were called a defect."""


def per_image_table(
    names: Sequence[str],
    labels: Values,
    scores: Values,
    pred: Values,
    target: Values,
    *,
    empty: float = 1.0,
) -> list[ImageRow]:
    """Return one `ImageRow` for each image, in the given order.

    `names`, `labels` (whole numbers, 0 = good) and `scores` (N,); `pred` and `target` binary
    masks (N, H, W), (N, 1, H, W), or lists of (H, W). `empty` is the IoU and Dice of an image
    where both are empty.

    Raises:
        ValueError: for unequal lengths or shapes, NaN, and masks other than 0 and 1.

    Example:
        >>> per_image_table(["a"], [1], [.9], [[[1, 1, 0]]], [[[0, 1, 1]]])[0].missed
        1
    """
    pairs = paired_images(pred, target, "pred", "target")
    kinds, values = as_array(labels, "labels"), as_scores(scores)
    lengths = {"names": len(names), "labels": kinds.size, "scores": values.size, "pred": len(pairs)}
    if len(set(lengths.values())) > 1:
        given = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"one entry for each image, please; got {given}")
    if not ((kinds >= 0) & (kinds % 1 == 0)).all():
        raise ValueError("labels must be whole numbers from 0 (good) on: pass Sample.label")
    rows = []
    for name, label, score, (one, other) in zip(
        names, kinds.ravel(), values.ravel(), pairs, strict=True
    ):
        found, real = as_binary(one, "pred"), as_binary(other, "target")
        rows.append(
            ImageRow(
                name=str(name),
                label=int(label),
                score=float(score),
                iou=iou(found, real, empty=empty),
                dice=dice(found, real, empty=empty),
                missed=int((real & ~found).sum()),
                false_alarms=int((found & ~real).sum()),
            )
        )
    return rows
