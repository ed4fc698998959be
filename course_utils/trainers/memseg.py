"""Train MemSeg on good images alone: what lesson 06 does, without a notebook.

Source: MemSeg (arXiv 2205.00908): 2700 batches of 4 good and 4 simulated images at 256 pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from matplotlib.figure import Figure
from torch import Tensor, nn
from tqdm import tqdm

from course_utils.data import BalancedBatches, CachedDataset, SimulatedAnomalies
from course_utils.evaluation import image_score
from course_utils.inference import Detector
from course_utils.losses import MemSegLoss
from course_utils.models import MemSeg
from course_utils.plots import heat_maps
from course_utils.trainers.anomalies import (
    ChosenForeground,
    choose_foreground,
    simulated_validation,
    simulator,
    textures_of,
)
from course_utils.trainers.configs import VARIANTS, MemSegConfig, encoder_weights
from course_utils.trainers.scores import SCORE_PIXELS, anomaly_thresholds, score_anomalies
from course_utils.trainers.splits import (
    Splits,
    groups_of,
    labels_of,
    masks_of,
    open_normal_splits,
    to_show,
)
from course_utils.trainers.trainer import NetworkTrainer, TrainingResult, weights_used
from course_utils.training import EpochLoader, History, predict_probabilities

PICTURES = 6
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
SCORING_BATCH = 8


@dataclass(frozen=True)
class MemSegResult(TrainingResult):
    """A trained MemSeg, and what it is worth; `scores` are those of `score_anomalies`."""

    maps: Tensor
    """Probability of a defect of each pixel of the test images, (N, H, W)."""


class MemSegTrainer(NetworkTrainer[MemSegConfig, MemSegResult]):
    """Fills the memory, trains, and scores the test images once, after the last step.

    Validation images are evaluated with simulated anomalies, the same at each evaluation.

    Args:
        config: all that decides the training.
        splits: the images, to read them only once for many trainings.
        evaluate_test: evaluate the test images, too, as `test/image_auroc` and so on: to measure
            what it pretends to choose among checkpoints by them. Nothing is chosen.
        score_test: False leaves the test images alone, for trainings that choose settings:
            `scores` and `maps` are then empty.
        progress: whether to show progress bars.

    Example:
        >>> config = MemSegConfig(height=64, width=64, steps=1, batch_size=2, memory_size=2)
        >>> few = open_normal_splits(config, most=2)
        >>> sorted(MemSegTrainer(config, few).train().scores)
        ['ap', 'aupro', 'image_auroc', 'pixel_auroc']
    """

    method = "memseg"
    metrics = ("val/image_auroc", "val/aupro")
    open_splits = staticmethod(open_normal_splits)

    def __init__(
        self,
        config: MemSegConfig,
        splits: Splits | None = None,
        *,
        evaluate_test: bool = False,
        score_test: bool = True,
        progress: bool = False,
    ) -> None:
        super().__init__(config, splits, progress=progress)
        self.variant = VARIANTS[config.variant]
        self.evaluate_test, self.score_test = evaluate_test, score_test

    def check(self, fabric: Fabric) -> None:
        """Raise `ValueError` for a precision without float32 weights, and for a bad mask."""
        precision = fabric.strategy.precision.precision
        if precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, got {precision}: the memory is "
                "filled in float32 and must stay comparable"
            )
        product = self.variant.model.get("spatial_maps", "product") == "product"
        if precision == "16-mixed" and product and self.config.encoder != "resnet18":
            raise ValueError(
                f"the product of {self.config.encoder}'s differences leaves the range of float16: "
                "choose the precision bf16-mixed or 32-true, or the variant scaled_maps"
            )
        note = self.foreground.note
        if self.progress and fabric.is_global_zero:
            tqdm.write(f"foreground of the anomalies: {note}")

    def build_model(self) -> MemSeg:
        """Return MemSeg, its memory filled."""
        config, train = self.config, self.splits.train
        model = MemSeg(**self.arguments, weights=encoder_weights(config.weights))
        if self.variant.freeze:
            model.encoder.freeze()
        if model.uses_memory:
            if len(train) < config.memory_size:
                raise ValueError(
                    f"a memory of {config.memory_size} images needs as many good ones to train on, "
                    f"and {config.data} has {len(train)}: lower memory_size"
                )
            order = torch.randperm(len(train), generator=torch.Generator().manual_seed(config.seed))
            few = [train[int(i)].image for i in order[: config.memory_size]]
            model.fill_memory(torch.stack(few))
        return model

    @property
    def arguments(self) -> dict[str, Any]:
        """Encoder, size of the memory, and what the variant changes."""
        config = self.config
        return {
            "encoder": config.encoder,
            "memory_size": config.memory_size,
            **self.variant.model,
        }

    def build_batches(self) -> EpochLoader:
        """Return batches that are half good, half simulated."""
        config = self.config
        maker = simulator(config.data, self.variant.anomalies, self.foreground.foreground)
        data = SimulatedAnomalies(self.splits.train, maker, seed=config.seed)
        return EpochLoader(
            data,
            batch_sampler=BalancedBatches(data, config.batch_size),
            seed=config.seed,
            workers=config.workers,
        )

    def build_loss(self, device: torch.device) -> MemSegLoss:
        """Return the loss of the variant."""
        return MemSegLoss(
            l1_weight=1 - self.config.focal_weight,
            focal_weight=self.config.focal_weight,
            gamma=self.config.gamma,
            double_softmax=self.variant.double_softmax,
        )

    def agreed(self, model: MemSeg) -> Mapping[str, str | int]:
        """Return which weights were found, where textures come from, and where anomalies lie."""
        return {
            "weights_used": weights_used(model),
            "frozen_weights": int(model.memory_fingerprint),
            "textures": textures_of(self.config.data),
            "foreground": self.foreground.note,
        }

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the scores of anomalies simulated on validation images."""
        evaluated = {"val": self.val_with_anomalies}
        if self.evaluate_test:
            evaluated["test"] = self.splits.test
        return {
            f"{name}/{metric}": value
            for name, images in evaluated.items()
            for metric, value in self._score(model, images)[0].items()
        }

    def score(self, model: nn.Module, history: History) -> MemSegResult:
        """Score the test images, if they are to be."""
        if not self.score_test:
            return MemSegResult(model, history, {}, torch.empty(0))
        return MemSegResult(model, history, *self._score(model, self.splits.test))

    def report(self, result: MemSegResult) -> dict[str, Any]:
        """Return split, numbers of images, the encoder's weights, textures and foreground."""
        return {
            "split": self.splits.test.split_note,
            "images": {name: len(images) for name, images in vars(self.splits).items()},
            "weights_used": weights_used(result.model),
            "textures": textures_of(self.config.data),
            "foreground": self.foreground.note,
        }

    def pictures(self, result: MemSegResult) -> dict[str, Figure]:
        """Return the maps of some test images with defects."""
        chosen = to_show(self.splits.test, PICTURES)
        shown = [self.splits.test[i] for i in chosen]
        images, masks = [sample.image for sample in shown], [sample.mask for sample in shown]
        maps = {"MemSeg": result.maps[chosen]}
        figure = heat_maps(images, masks, maps, limit=1.0)
        return super().pictures(result) | {"predictions.png": figure}

    @cached_property
    def foreground(self) -> ChosenForeground:
        """Where the anomalies lie, and why."""
        return choose_foreground(self.config, self.splits.train)

    @cached_property
    def val_with_anomalies(self) -> CachedDataset:
        """The validation images with simulated anomalies, half of them unchanged."""
        return simulated_validation(
            self.config, self.splits.val, foreground=self.foreground.foreground
        )

    def image_scores(self, result: MemSegResult) -> np.ndarray:
        """Return the score of each test image, (N,)."""
        return image_score(result.maps, top=SCORE_PIXELS)

    def detector(self, result: MemSegResult) -> Detector:
        """Return MemSeg; good validation images choose for images, simulated ones for pixels."""
        val = self.splits.val
        maps = self._predict(result.model, val)
        anomalous = self._predict(result.model, self.val_with_anomalies)
        decided = anomaly_thresholds(maps, groups_of(val), anomalous, self.val_with_anomalies)
        return self.build_detector(result.model, **decided)

    def _predict(self, model: nn.Module, images: CachedDataset) -> Tensor:
        tile = self.config.tile
        return predict_probabilities(model, images, batch_size=SCORING_BATCH, tile=tile)[0][:, 1]

    def _score(self, model: nn.Module, images: CachedDataset) -> tuple[dict[str, float], Tensor]:
        maps = self._predict(model, images)
        return score_anomalies(maps, masks_of(images), labels_of(images)), maps
