"""AUPRO: is every defect found, however small, before the alarms get too many?"""

from typing import NamedTuple

import cv2
import numpy as np

from course_utils.evaluation.inputs import Values, as_binary, as_scores, paired_images
from course_utils.evaluation.ranking import area_under, strictest_first


class ProCurve(NamedTuple):
    """From the strictest threshold to the most lenient one."""

    fpr: np.ndarray
    """False alarms as a share of all clean pixels of all images, 0 .. 1."""
    pro: np.ndarray
    """Covered share of a defect, averaged over the defects of all images, 0 .. 1."""


def aupro(
    maps: Values, masks: Values, *, fpr_limit: float = 0.3, ignore_index: int | None = None
) -> float:
    """Return the area under PRO(FPR) for FPR in 0 .. `fpr_limit`, divided by `fpr_limit`.

    `maps` and `masks` (0 clean, 1 defect): (N, H, W), (N, 1, H, W), (H, W), or lists of (H, W)
    of different sizes. Pixels whose mask is `ignore_index` are neither clean nor part of a defect.
    Result in 0 .. 1, 1 best; all scores equal: `fpr_limit` / 2. Without the division no result
    could exceed .3; without the limit (1.0) every method looks good.

    Raises:
        ValueError: when no mask holds a defect, when no pixel is clean, for a limit outside (0, 1],
            for NaN, for masks other than 0 and 1, for unequal shapes, and for an empty image.
            Source: Bergmann et al., MVTec AD, IJCV 2021, section 5.2.

    Example:
        >>> mask = np.array([[1, 0, 0, 1, 1]])
        >>> aupro(np.array([[.9, .2, .1, .8, .7]]), mask)
        1.0
        >>> round(aupro(np.array([[.9, .2, .1, .0, .0]]), mask), 6)  # the larger defect is missed
        0.5
    """
    if not 0 < fpr_limit <= 1:
        raise ValueError(f"fpr_limit must lie in (0, 1], got {fpr_limit}: the usual one is 0.3")
    curve = pro_curve(maps, masks, ignore_index=ignore_index)
    inside = int(np.searchsorted(curve.fpr, fpr_limit, side="right"))
    fpr, pro = curve.fpr[:inside], curve.pro[:inside]
    if fpr[-1] < fpr_limit:
        step = (fpr_limit - fpr[-1]) / (curve.fpr[inside] - fpr[-1])
        fpr = np.append(fpr, fpr_limit)
        pro = np.append(pro, pro[-1] + step * (curve.pro[inside] - pro[-1]))
    return min(1.0, area_under(fpr, pro) / fpr_limit)


def pro_curve(maps: Values, masks: Values, *, ignore_index: int | None = None) -> ProCurve:
    """Return the per-region overlap against the false-positive rate, beginning at (0, 0).

    A region is a connected component of the mask (8 neighbors). Each counts the same, small or
    large: that is the difference to pixel recall. Arguments and errors are those of `aupro`.

    Example:
        >>> curve = pro_curve(np.array([[.9, .2, .8, .7]]), np.array([[1, 0, 1, 1]]))
        >>> curve.pro.tolist()
        [0.0, 0.5, 0.75, 1.0, 1.0]
    """
    pairs = paired_images(maps, masks, "maps", "masks")
    scores, shares, clean, regions = [], [], [], 0
    for image, mask in pairs:
        void = np.zeros(mask.shape, bool) if ignore_index is None else mask == ignore_index
        defect = as_binary(np.where(void, 0, mask), "masks")
        share, count = _share_of_region(defect)
        regions += count
        scores.append(as_scores(image[~void], "maps"))
        shares.append(share[~void])
        clean.append(~defect[~void])
    is_clean = np.concatenate(clean)
    if not regions or not is_clean.any():
        missing = "clean pixel" if regions else "defect"
        raise ValueError(f"AUPRO is undefined without a {missing}: none in {len(pairs)} masks")

    order, last = strictest_first(np.concatenate(scores))
    pro = np.cumsum(np.concatenate(shares)[order])[last] / regions
    fpr = np.cumsum(is_clean[order])[last] / is_clean.sum()
    return ProCurve(np.append(0.0, fpr), np.append(0.0, np.minimum(pro, 1.0)))


def _share_of_region(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Return, for each pixel, the share of its region that it makes up, and the region count."""
    count, region = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    area = np.bincount(region.ravel(), minlength=count)
    share = 1.0 / np.maximum(area, 1)
    share[0] = 0.0  # region 0 is the clean rest
    return share[region], count - 1
