"""Score the nearest patches of one product: the baseline without training."""

import torch
from torch import Tensor

from course_utils.config import pick_device, seed_everything
from course_utils.models import NearestPatches
from course_utils.models.encoders import Weights
from course_utils.trainers.anomaly_scores import score_anomalies
from course_utils.trainers.normal_images import NormalParts

SCORING_BATCH = 8


def score_nearest_patches(
    parts: NormalParts,
    *,
    weights: Weights | None = "offline",
    seed: int = 0,
    device: str | torch.device = "auto",
) -> tuple[dict[str, float], Tensor]:
    """Return the scores of the test images and their maps (N, H, W), without any training.

    Args:
        parts: the images; patches of all training images are drawn from.
        weights: of the encoder, see `ResNetEncoder`.
        seed: draws the patches (and the encoder's weights, for None).

    Raises what `NearestPatches` and `score_anomalies` raise.

    Example:
        >>> from course_utils.trainers import open_normal_parts
        >>> few = open_normal_parts("synthetic", size=64, most=4)
        >>> scores, maps = score_nearest_patches(few)
        >>> maps.shape
        torch.Size([8, 64, 64])
    """
    place = pick_device(str(device))
    seed_everything(seed)
    detector = NearestPatches(weights=weights).to(place)
    normal = torch.stack([sample.image for sample in parts.train.samples])
    detector.fill(normal.to(place), generator=torch.Generator().manual_seed(seed))
    test = torch.stack([sample.image for sample in parts.test.samples])
    maps = torch.cat([detector(few.to(place)).cpu() for few in test.split(SCORING_BATCH)])
    masks = torch.stack([sample.mask for sample in parts.test.samples])
    labels = torch.tensor([sample.label for sample in parts.test.samples])
    return score_anomalies(maps, masks, labels), maps
