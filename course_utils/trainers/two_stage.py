"""Train the two-stage network end to end: what lesson 07 does, without a notebook.

Sources: Bozic et al., ICPR 2020 (arXiv 2007.07676) and Computers in Industry 2021 (2104.06064).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from matplotlib.figure import Figure
from torch import Tensor, nn

from course_utils.data import (
    CachedDataset,
    EllipseMasks,
    FrequencyOfUseSampler,
    TwoStageTargets,
    upsample_map,
)
from course_utils.evaluation import best_threshold
from course_utils.inference import Detector, choose_image_threshold
from course_utils.losses import TwoStageLoss
from course_utils.models import TwoStageNet
from course_utils.plots import heat_maps
from course_utils.trainers.configs import CHANNELS, TWO_STAGE_VARIANTS, TwoStageConfig
from course_utils.trainers.scores import score_detection
from course_utils.trainers.splits import (
    PART_NAMES,
    Splits,
    groups_of,
    labels_of,
    masks_of,
    open_detection_splits,
)
from course_utils.trainers.trainer import NetworkTrainer, TrainingResult
from course_utils.training import EpochLoader, History, evaluating, predict_in_tiles

PICTURES = 6
SCORING_BATCH = 8


@dataclass(frozen=True)
class TwoStageResult(TrainingResult):
    """A trained two-stage network, and what it is worth; `scores` are of `score_detection`."""

    threshold: float
    """On the logit of an image, chosen on validation images."""
    decisions: Tensor
    """Logit of each test image, (N,)."""
    maps: Tensor
    """Logits of the segmentation of each test image, (N, H / 8, W / 8)."""
    val_decisions: Tensor
    """Logit of each validation image, (N,)."""
    val_maps: Tensor
    """Logits of the segmentation of each validation image."""


class TwoStageTrainer(NetworkTrainer[TwoStageConfig, TwoStageResult]):
    """Trains both stages at once, chooses the threshold on validation images, scores the test once.

    Example:
        >>> config = TwoStageConfig(height=64, channels="slim", epochs=1, batch_size=8)
        >>> few = open_detection_splits(config, most=4)
        >>> sorted(TwoStageTrainer(config, few).train().scores)
        ['ap', 'ap_trapezoid', 'fn', 'fn_oracle', 'fp', 'fp_oracle']
    """

    method = "two-stage"
    metrics = ("val/ap",)
    open_splits = staticmethod(open_detection_splits)

    def __init__(
        self, config: TwoStageConfig, splits: Splits | None = None, *, progress: bool = False
    ) -> None:
        super().__init__(config, splits, progress=progress)
        self.variant = TWO_STAGE_VARIANTS[config.variant]

    @property
    def steps(self) -> int:
        """Passes times batches in a pass."""
        return self.config.epochs * self._steps_in_epoch

    @property
    def _steps_in_epoch(self) -> int:
        images = 2 * int(labels_of(self.splits.train).sum())
        return -(-images // self.config.batch_size)

    def check(self, fabric: Fabric) -> None:
        """Raise `ValueError` for a split without good or without defective images."""
        for name, images in vars(self.splits).items():
            defective = int(labels_of(images).sum())
            if not 0 < defective < len(images):
                raise ValueError(
                    f"{defective} of the {len(images)} {PART_NAMES[name]} images of "
                    f"{self.config.data} show a defect, and both kinds are needed: choose another "
                    "split_seed, or state the parts; of good images alone, memseg and nearest "
                    f"learn. {images.split_note}"
                )

    def build_model(self) -> TwoStageNet:
        """Return both stages."""
        return TwoStageNet(**self.arguments)

    @property
    def arguments(self) -> dict[str, Any]:
        """Channels of images and layers, and what the variant changes."""
        return {
            "in_channels": self.splits.train.channels,
            "channels": CHANNELS[self.config.channels],
            **self.variant.model,
        }

    def build_batches(self) -> EpochLoader:
        """Return images with their targets, good and defective ones by turns."""
        config, train = self.config, self.splits.train
        targets = TwoStageTargets(
            EllipseMasks(train) if config.masks == "ellipse" else train,
            weights=self.variant.weights,
            power=config.power,
            positive_weight=config.positive_weight,
            dilate=config.dilate,
            segmented=self._segmented(),
            pitfall_label=self.variant.pitfall_label,
        )
        sampler = FrequencyOfUseSampler(targets.labels, seed=config.seed, rule=self.variant.rule)
        return EpochLoader(targets, config.batch_size, sampler=sampler, seed=config.seed)

    def build_loss(self, device: torch.device) -> TwoStageLoss:
        """Return the loss, with its schedule over all steps."""
        config = self.config
        return TwoStageLoss(
            config.epochs, self._steps_in_epoch, delta=config.delta, dynamic=self.variant.dynamic
        )

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the AP of the decisions on validation images."""
        decisions, _ = predict_two_stage(model, self.splits.val, tile=self.config.tile)
        scores = score_detection(decisions, labels_of(self.splits.val), threshold=0.0)
        return {"val/ap": scores["ap"]}

    def score(self, model: nn.Module, history: History) -> TwoStageResult:
        """Choose the threshold on validation images and score the test images."""
        val, test = self.splits.val, self.splits.test
        found = predict_two_stage(model, val, tile=self.config.tile)
        threshold = best_threshold(found[0], labels_of(val), middle=True)
        decisions, maps = predict_two_stage(model, test, tile=self.config.tile)
        scores = score_detection(decisions, labels_of(test), threshold)
        return TwoStageResult(model, history, scores, threshold, decisions, maps, *found)

    def image_scores(self, result: TwoStageResult) -> np.ndarray:
        """Return the logit of each test image, (N,)."""
        return result.decisions.double().numpy()

    def detector(self, result: TwoStageResult) -> Detector:
        """Return the network; where validation images have masks, these choose for pixels."""
        val = self.splits.val
        masks, pixel_threshold = masks_of(val) > 0, 0.5
        has_mask = masks.flatten(1).any(1)
        source = "a half: no validation image has a mask to choose it by"
        if has_mask.any():
            known = has_mask | (labels_of(val) == 0)
            maps = upsample_map(result.val_maps[known].sigmoid())
            pixel_threshold = best_threshold(maps, masks[known], criterion="iou")
            source = "the best IoU of all pixels of the validation images"
        return self.build_detector(
            result.model,
            score_pixels=0,
            threshold=choose_image_threshold(
                result.val_decisions.numpy(), labels_of(val).numpy(), groups_of(val)
            ),
            pixel_threshold=pixel_threshold,
            pixel_source=source,
        )

    def report(self, result: TwoStageResult) -> dict[str, Any]:
        """Return the split, and how many images there are of each kind."""
        labels = {name: labels_of(images) for name, images in vars(self.splits).items()}
        return {
            "split": self.splits.test.split_note,
            "images": {name: len(one) for name, one in labels.items()},
            "defective": {name: int(one.sum()) for name, one in labels.items()},
        }

    def pictures(self, result: TwoStageResult) -> dict[str, Figure]:
        """Return the test images whose decisions were hardest."""
        test, labels = self.splits.test, labels_of(self.splits.test).bool()
        # Defects with the lowest scores and good images with the highest: what goes wrong first.
        order = torch.argsort(torch.where(labels, result.decisions, -result.decisions)).tolist()
        defects = [i for i in order if labels[i]][: PICTURES // 2]
        chosen = defects + [i for i in order if not labels[i]][: PICTURES // 2]
        images, masks = [test[i].image for i in chosen], [test[i].mask for i in chosen]
        maps = upsample_map(result.maps[chosen].sigmoid())
        figure = heat_maps(images, masks, {"two stages": maps}, limit=1.0)
        return super().pictures(result) | {"hardest.png": figure}

    def _segmented(self) -> list[str] | None:
        config = self.config
        if config.segmented < 0:
            return None
        names = [sample.name for sample in self.splits.train if sample.mask.any()]
        if config.segmented > len(names):
            raise ValueError(
                f"segmented asks for the masks of {config.segmented} defective images, and "
                f"{config.data} has {len(names)} to train on: lower it, or -1 for all"
            )
        rng = np.random.default_rng([config.seed, 1])
        return [names[i] for i in rng.permutation(len(names))[: config.segmented]]


def predict_two_stage(
    model: nn.Module, images: CachedDataset, *, batch_size: int = SCORING_BATCH, tile: int = 0
) -> tuple[Tensor, Tensor]:
    """Return the logit of each image, (N,), and of each cell of its map, (N, H / 8, W / 8).

    Both on the CPU, in float32, in the order of the data set. Logits, not probabilities: those of
    sure answers are 1 in float32, and equal scores cannot be ranked. With `tile`, an image is as
    suspicious as the most suspicious of its tiles, see `predict_in_tiles`.

    Example:
        >>> from course_utils.data import open_dataset
        >>> few = CachedDataset(open_dataset("synthetic", size=128, length=2))
        >>> decisions, maps = predict_two_stage(TwoStageNet(3, channels=CHANNELS["slim"]), few)
        >>> decisions.shape, maps.shape
        (torch.Size([2]), torch.Size([2, 16, 16]))
    """
    weights = next(model.parameters())
    decisions, maps = [], []
    with evaluating(model):
        at_once = 1 if tile else batch_size
        for start in range(0, len(images), at_once):
            stop = min(start + at_once, len(images))
            batch = torch.stack([images[i].image for i in range(start, stop)]).to(weights)
            batch = batch.contiguous(memory_format=torch.channels_last)
            output = predict_in_tiles(model, batch, tile, batch_size=batch_size)
            decisions.append(output.decision.float().cpu())
            maps.append(output.segmentation[:, 0].float().cpu())
    return torch.cat(decisions), torch.cat(maps)
