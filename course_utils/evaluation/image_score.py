"""One score for an image from the scores of its pixels."""

import numpy as np

from course_utils.evaluation.inputs import Values, as_images, as_scores


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
    return np.array([_mean_of_largest(as_scores(image, "probabilities"), top) for image in images])


def _mean_of_largest(image: np.ndarray, top: int) -> float:
    return float(np.partition(image.ravel(), -top)[-top:].mean(dtype=np.float64))
