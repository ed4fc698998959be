"""Score the nearest patches of one product: the baseline without training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from course_utils.config import pick_device, seed_everything
from course_utils.data import CachedDataset
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
        >>> few = open_normal_splits("synthetic", size=64, most=4)
        >>> result = NearestPatchesTrainer(NearestPatchesConfig(size=64), few).train()
        >>> result.maps.shape
        torch.Size([8, 64, 64])
    """

    def __init__(
        self, config: NearestPatchesConfig, splits: Splits | None = None, *, progress: bool = False
    ) -> None:
        self.config = config
        self.splits = splits or open_normal_splits(
            config.data, size=config.size, split_seed=config.split_seed, progress=progress
        )

    def train(self, *, device: str | torch.device = "auto") -> NearestPatchesResult:
        """Draw the patches, and score the test images.

        Raises:
            ValueError: as `NearestPatches` and `score_anomalies` do.
        """
        chosen, test = pick_device(str(device)), self.splits.test
        seed_everything(self.config.seed)
        weights = encoder_weights(self.config.weights)
        model = NearestPatches(encoder=self.config.encoder, weights=weights).to(chosen)
        generator = torch.Generator().manual_seed(self.config.seed)
        model.fill(_Images(self.splits.train), generator=generator)
        loader = DataLoader(test, SCORING_BATCH)
        maps = torch.cat([model(batch.image.to(chosen)).cpu() for batch in loader])
        scores = score_anomalies(maps, masks_of(test), labels_of(test))
        return NearestPatchesResult(model, scores, maps)


class _Images(Sequence[Tensor]):
    """The images of a data set alone, each made float32 when it is asked for."""

    def __init__(self, dataset: CachedDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[index].image
