"""Score the nearest patches of one product: the baseline without training."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import DataLoader

from course_utils.config import pick_device, seed_everything
from course_utils.data import CachedDataset
from course_utils.evaluation import image_score
from course_utils.inference import Detector
from course_utils.models import NearestPatches
from course_utils.plots import heat_maps
from course_utils.trainers.anomalies import simulated_validation
from course_utils.trainers.configs import NearestPatchesConfig, encoder_weights
from course_utils.trainers.scores import SCORE_PIXELS, anomaly_thresholds, score_anomalies
from course_utils.trainers.splits import (
    groups_of,
    labels_of,
    masks_of,
    open_normal_splits,
    to_show,
)
from course_utils.trainers.trainer import Trainer, TrainingResult, weights_used
from course_utils.training import predict_in_tiles

PICTURES = 6
SCORING_BATCH = 8


@dataclass(frozen=True)
class NearestPatchesResult(TrainingResult):
    """A detector with its patches, and what it is worth; `scores` are those of `score_anomalies`.

    There is no history.
    """

    maps: Tensor
    """How abnormal each pixel of the test images is, (N, H, W)."""


class NearestPatchesTrainer(Trainer[NearestPatchesConfig, NearestPatchesResult]):
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

    method = "nearest"
    open_splits = staticmethod(open_normal_splits)

    @property
    def arguments(self) -> dict[str, Any]:
        """The encoder."""
        return {"encoder": self.config.encoder}

    def train(
        self,
        *,
        folder: str | Path | None = None,
        evaluate_every: int | None = None,
        device: str | torch.device = "auto",
        fabric: Fabric | None = None,
    ) -> NearestPatchesResult:
        """Draw the patches, and score the test images; there is nothing to keep or evaluate.

        Raises:
            ValueError: as `NearestPatches` and `score_anomalies` do.
        """
        chosen = fabric.device if fabric else pick_device(str(device))
        seed_everything(self.config.seed)
        weights = encoder_weights(self.config.weights)
        model = NearestPatches(**self.arguments, weights=weights).to(chosen)
        generator = torch.Generator().manual_seed(self.config.seed)
        model.fill(_Images(self.splits.train), generator=generator)
        test = self.splits.test
        maps = _distances(model, test, self.config.tile)
        scores = score_anomalies(maps, masks_of(test), labels_of(test))
        return NearestPatchesResult(model, None, scores, maps)

    def report(self, result: NearestPatchesResult) -> dict[str, Any]:
        """Return split, numbers of images, and the encoder's weights."""
        return {
            "split": self.splits.test.split_note,
            "images": {name: len(images) for name, images in vars(self.splits).items()},
            "weights_used": weights_used(result.model),
        }

    def pictures(self, result: NearestPatchesResult) -> dict[str, Figure]:
        """Return the maps of some test images with defects."""
        chosen = to_show(self.splits.test, PICTURES)
        shown = [self.splits.test[i] for i in chosen]
        images, masks = [sample.image for sample in shown], [sample.mask for sample in shown]
        return {"predictions.png": heat_maps(images, masks, {"distance": result.maps[chosen]})}

    def image_scores(self, result: NearestPatchesResult) -> np.ndarray:
        """Return the score of each test image, (N,)."""
        return image_score(result.maps, top=SCORE_PIXELS)

    def detector(self, result: NearestPatchesResult) -> Detector:
        """Return the patches, with thresholds as those of MemSeg."""
        val = self.splits.val
        maps, simulated = (
            _distances(result.model, images, self.config.tile)
            for images in (val, self.val_with_anomalies)
        )
        decided = anomaly_thresholds(maps, groups_of(val), simulated, self.val_with_anomalies)
        return self.build_detector(result.model, **decided)

    @cached_property
    def val_with_anomalies(self) -> CachedDataset:
        """The validation images with simulated anomalies, some of them unchanged."""
        return simulated_validation(self.config, self.splits.val)


class _Images(Sequence[Tensor]):
    """The images of a data set alone, each made float32 when it is asked for."""

    def __init__(self, dataset: CachedDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[index].image


def _distances(model: NearestPatches, images: CachedDataset, tile: int) -> Tensor:
    """Return the maps of all images, (N, H, W), on the CPU."""
    device = model.patches.device
    loader = DataLoader(images, 1 if tile else SCORING_BATCH)
    parts = (predict_in_tiles(model, batch.image.to(device), tile).cpu() for batch in loader)
    return torch.cat(list(parts))
