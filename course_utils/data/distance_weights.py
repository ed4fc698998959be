"""What a pixel of a defect counts: little at its uncertain edge, most in its middle.

Source: Božič, Tabernik, Skočaj, "End-to-end training of a two-stage neural network for defect
detection", ICPR 2020 (arXiv 2007.07676), weighting of positive pixels by a distance transform.
"""

from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Largest = Literal["image", "component"]
"""Where the largest distance is looked for: in the whole image, or in each connected defect."""


def distance_weights(
    mask: Tensor,
    *,
    power: float = 2.0,
    positive_weight: float = 1.0,
    per: Largest = "image",
) -> Tensor:
    """Return positive_weight * (D / D_max)**power on defects and 1 elsewhere, float32, (H, W).

    D is the Euclidean distance of a pixel's center to that of the nearest background pixel: 1 at
    the edge of a defect.

    Args:
        mask: (H, W), bool or integers; above 0 is defect.
        power: the paper's p, 2 for KolektorSDD; 0 weighs all pixels of a defect alike, and large
            values leave only the middle.
        positive_weight: the largest weight of a defect pixel. With the paper's 1, no defect pixel
            counts more than the background.
        per: `"image"`, as published, takes D_max of the whole image: beside a large defect, a
            small one weighs next to nothing. `"component"` takes that of each connected defect
            (pixels that touch at corners are connected).

    A mask without background has no edge: all its pixels weigh `positive_weight`.

    Raises:
        ValueError: for another shape, dtype, or an option out of range.

    Example:
        >>> strip = torch.zeros(5, 5, dtype=torch.bool)
        >>> strip[1:4] = True
        >>> distance_weights(strip)[:, 0].tolist()
        [1.0, 0.25, 1.0, 0.25, 1.0]
    """
    check_weighting(power, positive_weight, per)
    defect = defect_pixels(mask)
    weights = np.ones(defect.shape, np.float32)
    if defect.any():
        distance, largest = _distances(defect, per)
        weights[defect] = positive_weight * (distance / largest) ** power
    return torch.from_numpy(weights)


def check_weighting(power: float, positive_weight: float, per: Largest) -> None:
    """Raise `ValueError` for an option of `distance_weights` that is out of range."""
    if per not in get_args(Largest):
        raise ValueError(f"per must be one of {get_args(Largest)}, got {per!r}")
    for name, value in (("power", power), ("positive_weight", positive_weight)):
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be finite and >= 0, got {value!r}")


def defect_pixels(mask: Tensor) -> npt.NDArray[np.bool_]:
    """Return where `mask`, (H, W) of bool or integers >= 0, is above 0.

    Raises:
        ValueError: for another shape or dtype, no pixels, or negative values.
    """
    if mask.ndim != 2 or not mask.numel():
        raise ValueError(f"mask must be (H, W), got {tuple(mask.shape)}")
    if mask.is_floating_point() or mask.is_complex():
        raise ValueError(
            f"mask must be bool or integers, got {mask.dtype}: threshold a soft mask first"
        )
    values = mask.cpu().numpy()
    if values.dtype != np.bool_ and values.min() < 0:
        raise ValueError(f"mask must be >= 0, got {values.min()}: 0 is background")
    return values > 0


def _distances(
    defect: npt.NDArray[np.bool_], per: Largest
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Of each defect pixel, row by row: D, and the largest D that it is compared with."""
    pixels = defect.astype(np.uint8)
    distance = np.ones(np.count_nonzero(defect), np.float32)
    if not defect.all():
        distance = np.asarray(
            cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32
        )[defect]
    if per == "image":
        return distance, distance.max(keepdims=True)
    count, components = cv2.connectedComponents(pixels, connectivity=8)
    component = np.asarray(components, np.int64)[defect]
    largest = np.zeros(count, np.float32)
    np.maximum.at(largest, component, distance)
    return distance, largest[component]
