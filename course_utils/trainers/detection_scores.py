"""Score decisions on whole images: average precision, and the errors at a threshold."""

from torch import Tensor

from course_utils.evaluation import (
    average_precision,
    best_threshold,
    trapezoid_average_precision,
)


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
        >>> import torch
        >>> scores = score_detection(torch.tensor([0.1, 0.4, 0.3]), torch.tensor([0, 0, 1]), 0.35)
        >>> scores["ap"], scores["fp"], scores["fn"], scores["fp_oracle"], scores["fn_oracle"]
        (0.5, 1.0, 1.0, 1.0, 0.0)
    """
    oracle = best_threshold(decisions, labels)
    scores = {
        "ap": average_precision(decisions, labels),
        "ap_trapezoid": trapezoid_average_precision(decisions, labels),
    }
    for ending, at in (("", threshold), ("_oracle", oracle)):
        alarm, defect = decisions >= at, labels.bool()
        scores[f"fp{ending}"] = float((alarm & ~defect).sum())
        scores[f"fn{ending}"] = float((~alarm & defect).sum())
    return scores
