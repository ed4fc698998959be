"""Which images are called defective, and what that costs: false alarms and misses."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from course_utils.evaluation import best_threshold

CONFIDENCE = 0.95
RESAMPLES = 2000
MARGIN = 1e-4


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ErrorRate(_Record):
    """How often a decision was wrong, and between which rates it may well be.

    Example:
        >>> str(ErrorRate(count=1, total=50, low=0.0, high=0.06))
        '1 of 50 (2 %, 95 % interval 0 to 6 %)'
    """

    count: int
    """Images that were decided wrongly."""
    total: int
    """Images that were decided."""
    low: float
    """Lower end of the interval of 95 %."""
    high: float
    """Upper end."""

    def __str__(self) -> str:
        rate, low, high = (
            f"{100 * share:.2g}" if share < 0.995 else "100"
            for share in (self.count / self.total, self.low, self.high)
        )
        return f"{self.count} of {self.total} ({rate} %, 95 % interval {low} to {high} %)"


class Threshold(_Record):
    """A score from which on an image is called defective."""

    value: float
    """At or above it an image is defective."""
    source: str
    """How it was chosen, in a sentence."""
    false_alarms: ErrorRate | None
    """Of the good images that it was chosen on; None: there was none."""
    misses: ErrorRate | None
    """Of the defective images that it was chosen on, or of simulated anomalies; None: none."""

    def __str__(self) -> str:
        rates = {"false alarms": self.false_alarms, "misses": self.misses}
        told = [f"{name} {rate}" for name, rate in rates.items() if rate]
        price = f". On these images: {'; '.join(told)}" if told else ""
        return f"{self.value:.6g}, {self.source}{price}"


def choose_image_threshold(
    scores: Sequence[float] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    groups: Sequence[str],
    *,
    simulated: Sequence[float] | np.ndarray = (),
) -> Threshold:
    """Return the threshold of images by their scores on **validation** images, and its price.

    - With good and defective images: the best F1, in the middle of the gap.
    - With good ones alone: just above the highest score. Of as many new groups, and one more, about
      one will lie above it.
    - With defective ones alone: the lowest score. False alarms are then unknown.

    The numbers of errors are those of the images that the threshold was chosen on: new ones will
    have some more.

    Args:
        scores: of each image, (N,), higher for defects.
        labels: 0 good, else defective, (N,).
        groups: of each image; those of one group count as one in the interval.
        simulated: scores of images with simulated anomalies, to count misses by where no image has
            a defect.

    Raises:
        ValueError: for no image.

    Example:
        >>> chosen = choose_image_threshold([0.1, 0.2, 0.8], [0, 0, 1], ["a", "b", "c"])
        >>> chosen.value, chosen.misses.count
        (0.5, 0)
    """
    values, defective = np.asarray(scores, np.float64), np.asarray(labels) > 0
    names = np.asarray(groups)
    if not len(values):
        raise ValueError("a threshold needs the scores of at least one image")
    good = int((~defective).sum())
    if good and defective.any():
        value = best_threshold(values, defective, middle=True)
        source = (
            f"the best F1 on {good} good and {defective.sum()} defective validation images, in the "
            "middle of the gap between them"
        )
    elif good:
        # A margin: batches of another size round otherwise.
        value = float(values.max() + MARGIN * max(abs(values.max()), np.finfo(np.float32).tiny))
        shown, things = len(np.unique(names[~defective])), "photographs"
        source = f"just above the highest score of {good} good validation images"
        if shown < good:
            source, things = f"{source} of {shown} groups", "groups"
        source += f": of good {things} like these, about one in {shown + 1} will lie above it"
    else:
        value = float(values.min())
        source = (
            f"the lowest score of {len(values)} defective validation images: there is no good one, "
            "so how often it is wrong on good photographs is not known"
        )
    wrong = (values >= value) != defective
    misses = error_rate(wrong[defective], names[defective])
    if misses is None and len(simulated):
        missed = np.asarray(simulated) < value
        misses = error_rate(missed, np.arange(len(missed)))
        source += "; misses are of simulated anomalies"
    return Threshold(
        value=value,
        source=source,
        false_alarms=error_rate(wrong[~defective], names[~defective]),
        misses=misses,
    )


def error_rate(
    wrong: np.ndarray, groups: np.ndarray | Sequence[str], *, seed: int = 0
) -> ErrorRate | None:
    """Return how often `wrong`, (N,), is true, with an interval of 95 %; None for no image.

    The interval comes from 2000 draws of as many groups with replacement (bootstrap), since images
    of one group are not independent. Where all images agree, every draw is the same: the interval
    is then Clopper and Pearson's one-sided bound for as many trials as there are groups.

    Example:
        >>> error_rate(np.zeros(59, bool), np.arange(59))
        ErrorRate(count=0, total=59, low=0.0, high=0.049...)
    """
    if not len(wrong):
        return None
    names = np.unique(np.asarray(groups), return_inverse=True)[1]
    errors, images = np.bincount(names, weights=wrong), np.bincount(names)
    bound = (1 - CONFIDENCE) ** (1 / len(images))
    if not wrong.any():
        low, high = 0.0, 1 - bound
    elif wrong.all():
        low, high = bound, 1.0
    else:
        drawn = np.random.default_rng(seed).integers(len(images), size=(RESAMPLES, len(images)))
        rates = errors[drawn].sum(axis=1) / images[drawn].sum(axis=1)
        tail = (1 - CONFIDENCE) / 2
        low, high = (float(q) for q in np.quantile(rates, [tail, 1 - tail]))
    return ErrorRate(count=int(wrong.sum()), total=len(wrong), low=low, high=high)
