"""Train a U-Net to mark defects: what lesson 03 does, without a notebook."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.data import (
    CachedDataset,
    FrequencyOfUseSampler,
    TransformedDataset,
    class_weights,
    count_pixels,
)
from course_utils.evaluation import image_score
from course_utils.inference import Detector, choose_image_threshold
from course_utils.losses import SoftmaxFocalLoss, WeightedCrossEntropy, dice_loss
from course_utils.models import CascadedAutoencoder, UNet
from course_utils.plots import errors
from course_utils.trainers.configs import LOSS_NAMES, UNetConfig, encoder_weights
from course_utils.trainers.scores import (
    choose_threshold,
    decide,
    iou_by_kind,
    score_segmentation,
)
from course_utils.trainers.splits import (
    PART_NAMES,
    Splits,
    groups_of,
    labels_of,
    masks_of,
    open_all_classes,
    open_splits,
    with_defects,
)
from course_utils.trainers.trainer import NetworkTrainer, TrainingResult, weights_used
from course_utils.training import EpochLoader, History, predict_probabilities

FOCAL_GAMMA = 2.0
PICTURES = 8
SCORE_PIXELS = 10
"""The score of an image is the mean probability of so many of its likeliest pixels."""


@dataclass(frozen=True)
class UNetResult(TrainingResult):
    """A trained network, and what it is worth; `scores` are those of `score_segmentation`."""

    threshold: float | None
    """Chosen on validation images; None where the most probable class is taken."""
    probabilities: Tensor
    """Of the test images, (N, K, H, W)."""
    val_scores: np.ndarray
    """Of the validation images, (N,): see `segmentation_scores`."""


class UNetTrainer(NetworkTrainer[UNetConfig, UNetResult]):
    """Trains, chooses the threshold on validation images, and scores the test images once.

    Args:
        config: all that decides the training.
        splits: the images, to read them only once for many trainings.
        model: another network to train in the place of the U-Net; it must give logits of each
            class, of the size of the mask.
        progress: whether to show progress bars.

    Example:
        >>> from course_utils.data import BinaryMasks, CachedDataset, open_dataset
        >>> config = UNetConfig(height=32, width=32, channels=2, steps=2, batch_size=2)
        >>> few = CachedDataset(BinaryMasks(open_dataset("synthetic", size=32)), indices=range(6))
        >>> sorted(UNetTrainer(config, Splits(few, few, few)).train().scores)
        ['ap', 'dice', 'iou']
    """

    method = "unet"
    metrics = ("val/iou", "val/ap")
    open_splits = staticmethod(open_splits)

    def __init__(
        self,
        config: UNetConfig,
        splits: Splits | None = None,
        *,
        model: nn.Module | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(config, splits, progress=progress)
        self.class_names = self.splits.train.class_names
        self._model = model

    def check(self, fabric: Fabric) -> None:
        """Raise `ValueError` for fewer images than a batch takes, or none with a defect."""
        config, train = self.config, self.splits.train
        if len(train) < config.batch_size:
            raise ValueError(
                f"a batch of {config.batch_size} images needs at least as many to train on, and "
                f"{config.data} has {len(train)}: choose a smaller batch_size"
            )
        for name, images in vars(self.splits).items():
            if not with_defects(images, 1):
                raise ValueError(
                    f"none of the {len(images)} {PART_NAMES[name]} images of {config.data} shows a "
                    f"defect in its mask, and a U-Net learns from masks. {_way_out(self.splits)}"
                )

    def build_model(self) -> nn.Module:
        """Return a U-Net or a cascade of autoencoders, or the model that was given."""
        if self._model is not None:
            return self._model
        if self.config.network == "casae":
            return CascadedAutoencoder(**self.arguments)
        if not self.config.encoder:
            return UNet(**self.arguments)
        return UNet(**self.arguments, weights=encoder_weights(self.config.weights))

    @property
    def arguments(self) -> dict[str, Any]:
        """Channels, classes and width, and what else the network is made of."""
        shared = {
            "in_channels": self.splits.train.channels,
            "num_classes": len(self.class_names),
            "width": self.config.channels,
        }
        if self.config.network == "casae":
            return shared | {"normalize": True}
        return shared | {"encoder": self.config.encoder}

    def stages(self, model: Any) -> Iterator[tuple[nn.Module, int, str]]:
        """Yield the U-Net; of the cascade, the first autoencoder, and then the second.

        The paper trains them for 30 and 20 epochs.
        """
        if not isinstance(model, CascadedAutoencoder) or self._model is not None:
            yield from super().stages(model)
            return
        first = max(1, round(0.6 * self.steps))
        yield model.stage(1), first, "first_"
        yield model.stage(2), max(1, self.steps - first), ""

    def build_batches(self) -> EpochLoader:
        """Return the training images, shuffled, and turned over at random.

        Of tiles, defective ones and as many good ones come in turn.
        """
        config, train = self.config, self.splits.train
        labels = labels_of(train)
        sampler = None
        if config.tile and 0 < int((labels > 0).sum()) < len(train):
            # Of a large image with a small defect, hundreds of tiles show none.
            sampler = FrequencyOfUseSampler(labels, seed=config.seed)
        return EpochLoader(
            TransformedDataset(train) if config.flips else train,
            config.batch_size,
            shuffle=sampler is None,
            sampler=sampler,
            drop_last=sampler is None or len(sampler) >= config.batch_size,
            seed=config.seed,
        )

    def build_loss(self, device: torch.device) -> nn.Module:
        """Return the loss, with weights from the training images."""
        counts = count_pixels(self.splits.train, len(self.class_names))
        return segmentation_loss(self.config.loss, counts).to(device)

    def agreed(self, model: nn.Module) -> Mapping[str, str]:
        """Return which weights of the encoder were found."""
        return {"weights_used": weights_used(model)}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return IoU, Dice and AP at the best threshold of these images."""
        probabilities, masks = self._predict(model, self.splits.val)
        threshold = choose_threshold(probabilities, masks)
        scores = score_segmentation(probabilities, masks, threshold, self.class_names)
        return {f"val/{name}": scores[name] for name in ("iou", "dice", "ap")}

    def score(self, model: nn.Module, history: History) -> UNetResult:
        """Choose the threshold on validation images and score the test images."""
        probabilities, masks = self._predict(model, self.splits.val)
        threshold = choose_threshold(probabilities, masks)
        val_scores = segmentation_scores(probabilities)
        probabilities, masks = self._predict(model, self.splits.test)
        scores = score_segmentation(probabilities, masks, threshold, self.class_names)
        return UNetResult(model, history, scores, threshold, probabilities, val_scores)

    def image_scores(self, result: UNetResult) -> np.ndarray:
        """Return the score of each test image, (N,)."""
        return segmentation_scores(result.probabilities)

    def detector(self, result: UNetResult) -> Detector:
        """Return the U-Net, its image threshold chosen like that of its pixels."""
        if self._model is not None:
            raise ValueError("a detector is kept of the trainer's own U-Net, not of another model")
        val = self.splits.val
        source = "the best IoU of all pixels of the validation images"
        if result.threshold is None:
            source = "there are several classes of defects, and nothing to choose"
        return self.build_detector(
            result.model,
            score_pixels=SCORE_PIXELS,
            threshold=choose_image_threshold(
                result.val_scores, labels_of(val).numpy(), groups_of(val)
            ),
            pixel_threshold=result.threshold,
            pixel_source=source,
        )

    def report(self, result: UNetResult) -> dict[str, Any]:
        """Return weights, split, numbers of images, and the IoU of each kind of defect."""
        # Where all defects are one class, the pooled score hides which kinds were found.
        kinds = open_all_classes(self.config, "test")
        labels = [kinds[i].label for i in range(len(kinds))]
        found = decide(result.probabilities, result.threshold)
        splits = self.splits
        return {
            "weights_used": weights_used(result.model),
            "split": splits.test.split_note,
            "images": {name: len(images) for name, images in vars(splits).items()},
            "iou_by_kind": iou_by_kind(found, masks_of(splits.test), labels, kinds.class_names),
        }

    def pictures(self, result: UNetResult) -> dict[str, Figure]:
        """Return the errors on some test images with defects."""
        chosen = with_defects(self.splits.test, PICTURES)
        found = decide(result.probabilities[chosen], result.threshold)
        shown = [self.splits.test[i] for i in chosen]
        return super().pictures(result) | {
            "predictions.png": errors(
                [sample.image for sample in shown],
                [sample.mask > 0 for sample in shown],
                list(found > 0),
                [sample.name for sample in shown],
            )
        }

    def _predict(self, model: nn.Module, images: CachedDataset) -> tuple[Tensor, Tensor]:
        return predict_probabilities(model, images, tile=self.config.tile)


def _way_out(splits: Splits) -> str:
    """Say what can be done with images that a U-Net cannot be trained on."""
    labels = [label for images in vars(splits).values() for label in images.labels]
    if not any(labels):
        return "All images are good: train memseg or nearest, which learn from these."
    if not any(with_defects(images, 1) for images in vars(splits).values()):
        return "Only labels are known: draw masks, or train two-stage, which learns from labels."
    return f"Choose another split_seed, or state the parts. {splits.test.split_note}"


def segmentation_scores(probabilities: Tensor) -> np.ndarray:
    """Return the score of each image, (N,), from probabilities (N, K, H, W), background first.

    Example:
        >>> defect = torch.full((1, 4, 4), 0.25)
        >>> segmentation_scores(torch.stack([1 - defect, defect], dim=1))
        array([0.25])
    """
    several = probabilities.shape[1] > 2
    maps = 1 - probabilities[:, 0] if several else probabilities[:, 1]
    return image_score(maps, top=SCORE_PIXELS)


def segmentation_loss(name: str, counts: np.ndarray | Tensor) -> nn.Module:
    """Return the loss called `name`, of logits (N, K, H, W) and classes (N, H, W).

    - `"cross_entropy"`: each pixel counts the same.
    - `"weighted"`: each pixel counts with 1 / sqrt(pixels of its true class).
    - `"focal"`: gamma = 2, without weights (Lin et al. 2017).
    - `"dice"`: cross entropy plus the Dice loss of the defect classes (Isensee et al. 2021).

    Args:
        name: one of `LOSS_NAMES`.
        counts: pixels of each class in the training set, (K,), as `count_pixels` returns them.

    Raises:
        ValueError: for another name or counts that are no counts.

    Example:
        >>> loss = segmentation_loss("dice", np.array([90, 10]))
        >>> loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)).shape
        torch.Size([])
    """
    if name not in LOSS_NAMES:
        raise ValueError(f"loss {name!r} is unknown: choose one of {', '.join(LOSS_NAMES)}")
    match name:
        case "cross_entropy":
            return nn.CrossEntropyLoss()
        case "weighted":
            # A class that training never shows cannot be weighed, and needs no weight.
            return WeightedCrossEntropy(class_weights(counts, "sqrt", absent="zero"))
        case "focal":
            return SoftmaxFocalLoss(gamma=FOCAL_GAMMA)
        case "dice":
            return CrossEntropyAndDice()
    raise NotImplementedError(f"loss {name!r} of LOSS_NAMES has no case in segmentation_loss")


class CrossEntropyAndDice(nn.Module):
    """Cross entropy plus Dice loss: one is steady, the other does not care how rare defects are."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the sum of both, of logits (N, K, H, W) and classes (N, H, W)."""
        return F.cross_entropy(logits, target) + dice_loss(logits, target)
