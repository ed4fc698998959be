"""What a trained network is worth: as a segmentation, as a map of anomaly, as a detector."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.data import CachedDataset
from course_utils.evaluation import (
    aupro,
    average_precision,
    best_threshold,
    confusion_matrix,
    dice,
    image_auroc,
    image_score,
    iou,
    per_class_dice,
    per_class_iou,
    pixel_auroc,
    trapezoid_average_precision,
)
from course_utils.inference import choose_image_threshold

SCORE_PIXELS = 100
"""Of a map of anomaly: the score of an image is the mean of so many of its largest pixels."""


def choose_threshold(probabilities: Tensor, masks: Tensor) -> float | None:
    """Return the threshold with the best IoU on these (validation) images; None for many classes.

    With several classes the most probable one is taken, and there is nothing to choose.

    Example:
        >>> defect = torch.tensor([[[0.1, 0.8]]])
        >>> choose_threshold(torch.stack([1 - defect, defect], dim=1), torch.tensor([[[0, 1]]]))
        0.8...
    """
    if probabilities.shape[1] > 2:
        return None
    return best_threshold(probabilities[:, 1], masks > 0, criterion="iou")


def decide(probabilities: Tensor, threshold: float | None) -> Tensor:
    """Return the class of each pixel, (N, H, W), from probabilities (N, K, H, W).

    With a threshold, class 1 where its probability reaches it, else 0; without, the most probable
    class.

    Raises:
        ValueError: for a threshold and more than two classes.

    Example:
        >>> probabilities = torch.tensor([0.6, 0.4]).reshape(1, 2, 1, 1)
        >>> decide(probabilities, 0.3).item(), decide(probabilities, None).item()
        (1, 0)
    """
    if threshold is None:
        return probabilities.argmax(dim=1)
    if probabilities.shape[1] != 2:
        raise ValueError(
            f"a threshold decides between 2 classes, got {probabilities.shape[1]}: pass None"
        )
    return (probabilities[:, 1] >= threshold).long()


def score_segmentation(
    probabilities: Tensor, masks: Tensor, threshold: float | None, class_names: Sequence[str]
) -> dict[str, float]:
    """Return IoU, Dice and AP over all pixels, by name; several classes add a row for each.

    Args:
        probabilities: of each class, (N, K, H, W).
        masks: the true classes, (N, H, W).
        threshold: as `choose_threshold` returned it **on other images**.
        class_names: K names, `"background"` first.

    With several classes `iou`, `dice` and `ap` are means over the defect classes; what is not
    defined is NaN and left out of them: all three of a class that is neither there nor predicted,
    AP of every class that is not there.

    Raises:
        ValueError: if the masks hold no defect, or if the numbers of classes differ.

    Example:
        >>> probabilities = torch.eye(2)[torch.tensor([[[0, 1, 1, 0]]])].movedim(-1, 1)
        >>> scores = score_segmentation(
        ...     probabilities, torch.tensor([[[0, 1, 0, 0]]]), 0.5, ("background", "defect")
        ... )
        >>> scores["iou"], round(scores["dice"], 3), scores["ap"]
        (0.5, 0.667, 0.5)
    """
    if probabilities.shape[1] != len(class_names):
        raise ValueError(
            f"probabilities are of {probabilities.shape[1]} classes, and {len(class_names)} have "
            "names: give one name for each, background first"
        )
    if not bool((masks > 0).any()):
        raise ValueError("there is nothing to score: the masks hold no defect")
    found = decide(probabilities, threshold)
    if len(class_names) == 2:
        truth = masks > 0
        return {
            "iou": iou(found, truth),
            "dice": dice(found, truth),
            "ap": average_precision(probabilities[:, 1], truth),
        }
    confusion = confusion_matrix(found, masks, len(class_names))
    by_class = {
        "iou": per_class_iou(confusion)[1:],
        "dice": per_class_dice(confusion)[1:],
        "ap": np.array([_ap(probabilities, masks, c) for c in range(1, len(class_names))]),
    }
    scores = {name: float(np.nanmean(values)) for name, values in by_class.items()}
    for name, values in by_class.items():
        for class_name, value in zip(class_names[1:], values, strict=True):
            scores[f"{name}/{class_name}"] = float(value)
    return scores


def iou_by_kind(
    found: Tensor, masks: Tensor, labels: Sequence[int], class_names: Sequence[str]
) -> dict[str, float]:
    """Return the IoU of defect or not within the images of each kind of defect, by its name.

    Args:
        found: what was found, defect where above 0, (N, H, W).
        masks: the truth, defect where above 0, (N, H, W).
        labels: the kind of each image, 0 for good ones, which are left out.
        class_names: background first.

    All pixels of the images of a kind are pooled. Kinds without an image are left out.

    Example:
        >>> found, masks = torch.tensor([[[0, 1]], [[1, 1]]]), torch.tensor([[[0, 1]], [[0, 1]]])
        >>> iou_by_kind(found, masks, [1, 2], ("background", "crack", "fray"))
        {'crack': 1.0, 'fray': 0.5}
    """
    kinds = torch.tensor(labels)
    return {
        name: iou(found[kinds == kind] > 0, masks[kinds == kind] > 0)
        for kind, name in enumerate(class_names)
        if kind and bool((kinds == kind).any())
    }


def score_anomalies(maps: Tensor, masks: Tensor, labels: Tensor | None = None) -> dict[str, float]:
    """Return image AUROC, pixel AUROC, AUPRO up to a false positive rate of .3, and pixel AP.

    Args:
        maps: how abnormal each pixel is, (N, H, W), any scale.
        masks: 0 and 1, (N, H, W).
        labels: 0 good, 1 with a defect, (N,): at a small size a defect may be too small to be in
            its mask. None looks at the masks.

    The score of an image is the mean of its 100 largest pixels. What cannot be known is NaN: image
    AUROC without images of both kinds, the others without a mask. A defective image whose mask is
    empty says nothing of its pixels, and counts as an image only.

    Raises:
        ValueError: as the four metrics do.

    Example:
        >>> masks = torch.zeros(2, 16, 16, dtype=torch.long)
        >>> masks[1, :8] = 1
        >>> score_anomalies(masks.float(), masks)
        {'image_auroc': 1.0, 'pixel_auroc': 1.0, 'aupro': 1.0, 'ap': 1.0}
    """
    truth = masks > 0
    has_mask = truth.flatten(1).any(1)
    defective = has_mask if labels is None else labels > 0
    scores = dict.fromkeys(("image_auroc", "pixel_auroc", "aupro", "ap"), np.nan)
    if bool(defective.any()) and not bool(defective.all()):
        scores["image_auroc"] = image_auroc(image_score(maps, top=SCORE_PIXELS), defective)
    if bool(has_mask.any()):
        known = has_mask | ~defective
        maps, truth = maps[known], truth[known]
        scores["pixel_auroc"] = pixel_auroc(maps, truth)
        scores["aupro"] = aupro(maps, truth)
        scores["ap"] = average_precision(maps, truth)
    return scores


def anomaly_thresholds(
    maps: Tensor, groups: Sequence[str], simulated: Tensor, anomalous: CachedDataset
) -> dict[str, Any]:
    """Return what a detector decides by that has seen good images alone.

    Args:
        maps: of good validation images, (N, H, W); these choose the threshold of an image.
        groups: of these images.
        simulated: maps of `anomalous`, (N, H, W); these choose the threshold of a pixel.
        anomalous: validation images with simulated anomalies, some left as they are.
    """
    masks = anomalous.masks > 0
    changed = masks.flatten(1).any(1).numpy()
    scores = image_score(simulated, top=SCORE_PIXELS)
    threshold = choose_image_threshold(
        image_score(maps, top=SCORE_PIXELS),
        np.zeros(len(maps)),
        groups,
        simulated=scores[changed],
    )
    return {
        "score_pixels": SCORE_PIXELS,
        "threshold": threshold,
        "pixel_threshold": best_threshold(simulated, masks, criterion="iou"),
        "pixel_source": "the best IoU of all pixels of validation images with simulated anomalies",
    }


def score_detection(decisions: Tensor, labels: Tensor, threshold: float) -> dict[str, float]:
    """Return AP and the errors of decisions on images.

    Args:
        decisions: a score of each image, (N,), higher for defects; any finite numbers.
        labels: 1 for a defect and 0 for a good image, (N,).
        threshold: a decision at or above it is "defect"; chosen **on other images**.

    `ap` goes by the step rule; `ap_trapezoid`, the area under straight lines, is what the public
    code of the two-stage network reports: optimistic where scores tie. `fp` and `fn` count false
    alarms and misses at `threshold`; `fp_oracle` and `fn_oracle` at the threshold with the best F1
    on these very images, which is how papers count, and which nobody has at work.

    Raises:
        ValueError: as `average_precision` does.

    Example:
        >>> scores = score_detection(torch.tensor([0.1, 0.4, 0.3]), torch.tensor([0, 0, 1]), 0.35)
        >>> scores["ap"], scores["fp"], scores["fn"], scores["fp_oracle"], scores["fn_oracle"]
        (0.5, 1.0, 1.0, 1.0, 0.0)
    """
    scores = {
        "ap": average_precision(decisions, labels),
        "ap_trapezoid": trapezoid_average_precision(decisions, labels),
    }
    for ending, at in (("", threshold), ("_oracle", best_threshold(decisions, labels))):
        alarm, defect = decisions >= at, labels.bool()
        scores[f"fp{ending}"] = float((alarm & ~defect).sum())
        scores[f"fn{ending}"] = float((~alarm & defect).sum())
    return scores


def _ap(probabilities: Tensor, masks: Tensor, c: int) -> float:
    truth = masks == c
    return average_precision(probabilities[:, c], truth) if bool(truth.any()) else np.nan
