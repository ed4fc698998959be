"""One image at a time: its score, and what was found and missed in it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from course_utils.evaluation.inputs import (
    Values,
    as_array,
    as_binary,
    as_images,
    as_scores,
    counted,
    paired_images,
)
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
    fn: int
    """Defect pixels that were not found."""
    fp: int
    """Clean pixels that were called a defect."""


def image_score(probabilities: Values, *, top: int = 100) -> np.ndarray:
    """Return the mean of the `top` largest pixel scores of each image, (N,), float64.

    One pixel can be noise, and a mean over all pixels drowns a small defect (MemSeg, arXiv
    2205.00908, as its public re-implementations read it: the 100 largest).

    Args:
        probabilities: (N, H, W), (N, 1, H, W), (H, W) or a list of (H, W); finite, higher means
            more likely a defect.
        top: pixels to average, from 1 to H * W; 1 is the maximum.

    Raises:
        ValueError: for other shapes, NaN, and images with fewer than `top` pixels.

    Example:
        >>> image_score([[[0.1, 0.9], [0.5, 0.2]], [[0, 0], [0, 1]]], top=2)
        array([0.7, 0.5])
    """
    images = as_images(probabilities, "probabilities")
    pixels = min(image.size for image in images)
    whole = isinstance(top, int | np.integer) and not isinstance(top, bool)
    if not whole or not 1 <= top <= pixels:
        raise ValueError(
            f"top must be a whole number in 1..{pixels}, the pixels of an image, got {top!r}"
        )
    flat = [as_scores(image, "probabilities").ravel() for image in images]
    return np.array([np.partition(each, -top)[-top:].mean(dtype=np.float64) for each in flat])


def per_image_table(
    names: Sequence[str],
    labels: Values,
    scores: Values,
    pred: Values,
    target: Values,
    *,
    empty: float = 1.0,
    ignore_index: int | None = None,
) -> list[ImageRow]:
    """Return one `ImageRow` for each image, in the given order.

    `names`, `labels` (whole numbers, 0 = good) and `scores` (N,); `pred` and `target` binary
    masks (N, H, W), (N, 1, H, W), or lists of (H, W). `empty` is the IoU and Dice of an image
    where both are empty. Pixels whose target is `ignore_index` do not count.

    Raises:
        ValueError: for unequal lengths or shapes, NaN, and masks other than 0 and 1.

    Example:
        >>> per_image_table(["a"], [1], [.9], [[[1, 1, 0]]], [[[0, 1, 1]]])[0].fn
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
        found, real = counted(one, other, ignore_index)
        found, real = as_binary(found, "pred"), as_binary(real, "target")
        rows.append(
            ImageRow(
                name=str(name),
                label=int(label),
                score=float(score),
                iou=iou(one, other, empty=empty, ignore_index=ignore_index),
                dice=dice(one, other, empty=empty, ignore_index=ignore_index),
                fn=int((real & ~found).sum()),
                fp=int((found & ~real).sum()),
            )
        )
    return rows
