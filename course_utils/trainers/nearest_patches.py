"""Score the nearest patches of one product: the baseline without training."""

from dataclasses import dataclass

import torch
from torch import Tensor

from course_utils.config import pick_device, seed_everything
from course_utils.models import NearestPatches
from course_utils.trainers.configs import NearestPatchesConfig, encoder_weights
from course_utils.trainers.scores import score_anomalies
from course_utils.trainers.splits import Splits, labels_of, masks_of, open_normal_splits

SCORING_BATCH = 8


@dataclass(frozen=True)
class NearestPatchesResult:
    """A detector with its patches, and what it is worth."""

    model: NearestPatches
    scores: dict[str, float]
    """Of the test images; see `score_anomalies`."""
    maps: Tensor
    """How abnormal each pixel of the test images is, (N, H, W)."""


class NearestPatchesTrainer:
    """Keeps patches of all training images, and scores the test images; nothing is trained.

    Args:
        config: the images, the encoder's weights, and the seed that draws the patches.
        splits: the images, to read them only once for many detectors.
        progress: whether to show progress bars.

    Example:
        >>> config = NearestPatchesConfig(height=64, width=64)
        >>> few = open_normal_splits(config, most=4)
        >>> result = NearestPatchesTrainer(config, few).train()
        >>> result.maps.shape
        torch.Size([8, 64, 64])
    """

    def __init__(
        self, config: NearestPatchesConfig, splits: Splits | None = None, *, progress: bool = False
    ) -> None:
        self.config = config
        self.splits = splits or open_normal_splits(config, progress=progress)

    def train(self, *, device: str | torch.device = "auto") -> NearestPatchesResult:
        """Draw the patches, and score the test images.

        Raises:
            ValueError: as `NearestPatches` and `score_anomalies` do.
        """
        chosen, test = pick_device(str(device)), self.splits.test
        seed_everything(self.config.seed)
        weights = encoder_weights(self.config.weights)
        model = NearestPatches(encoder=self.config.encoder, weights=weights).to(chosen)
        normal = torch.stack([sample.image for sample in self.splits.train.samples])
        generator = torch.Generator().manual_seed(self.config.seed)
        model.fill(normal.to(chosen), generator=generator)
        images = torch.stack([sample.image for sample in test.samples])
        maps = torch.cat([model(few.to(chosen)).cpu() for few in images.split(SCORING_BATCH)])
        scores = score_anomalies(maps, masks_of(test), labels_of(test))
        return NearestPatchesResult(model, scores, maps)
