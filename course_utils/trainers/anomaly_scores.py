"""Score maps of anomaly: is the image found, and is the defect found in it?"""

from torch import Tensor

from course_utils.evaluation import (
    aupro,
    average_precision,
    image_auroc,
    image_score,
    pixel_auroc,
)


def score_anomalies(maps: Tensor, masks: Tensor, labels: Tensor | None = None) -> dict[str, float]:
    """Return image AUROC, pixel AUROC, AUPRO up to a false positive rate of .3, and pixel AP.

    Args:
        maps: how abnormal each pixel is, (N, H, W), any scale.
        masks: 0 and 1, (N, H, W); at least one image with a defect and one without.
        labels: 0 good, 1 with a defect, (N,): at a small size a defect may be too small to be in
            its mask. None looks at the masks.

    The score of an image is the mean of its 100 largest pixels.

    Raises:
        ValueError: as the four metrics do.

    Example:
        >>> import torch
        >>> masks = torch.zeros(2, 16, 16, dtype=torch.long)
        >>> masks[1, :8] = 1
        >>> score_anomalies(masks.float(), masks)
        {'image_auroc': 1.0, 'pixel_auroc': 1.0, 'aupro': 1.0, 'ap': 1.0}
    """
    truth = masks > 0
    defective = truth.flatten(1).any(1) if labels is None else labels > 0
    return {
        "image_auroc": image_auroc(image_score(maps), defective),
        "pixel_auroc": pixel_auroc(maps, truth),
        "aupro": aupro(maps, truth),
        "ap": average_precision(maps, truth),
    }
