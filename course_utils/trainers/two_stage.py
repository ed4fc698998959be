"""Train the two-stage network end to end, and score it fairly: what lesson 07 does.

Sources: Bozic et al., ICPR 2020 (arXiv 2007.07676) and Computers in Industry 2021 (2104.06064).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from course_utils.config import seed_everything
from course_utils.data import (
    CachedDataset,
    EllipseMasks,
    FrequencyOfUseSampler,
    TwoStageSample,
    TwoStageTargets,
)
from course_utils.evaluation import best_threshold
from course_utils.losses import TwoStageLoss
from course_utils.models import TwoStageNet
from course_utils.trainers.detection_parts import labels_of, open_detection_parts
from course_utils.trainers.detection_scores import score_detection
from course_utils.trainers.segmentation import Parts
from course_utils.trainers.two_stage_settings import (
    CHANNELS,
    TWO_STAGE_VARIANTS,
    TwoStageRecipe,
)
from course_utils.training import History, fit

SCORING_BATCH = 8


@dataclass(frozen=True)
class TwoStageTraining:
    """A trained two-stage network, and what it is worth."""

    model: TwoStageNet
    history: History
    threshold: float
    """On the logit of an image, chosen on validation images."""
    scores: dict[str, float]
    """Of the test images and the last step; see `score_detection`."""
    decisions: Tensor
    """Logit of each test image, (N,)."""
    maps: Tensor
    """Logits of the segmentation of each test image, (N, H / 8, W / 8)."""


def two_stage_batches(recipe: TwoStageRecipe, train: CachedDataset) -> DataLoader[TwoStageSample]:
    """Return the batches of a training: images, targets, and the order in which they come."""
    variant = TWO_STAGE_VARIANTS[recipe.variant]
    targets = TwoStageTargets(
        EllipseMasks(train) if recipe.masks == "ellipse" else train,
        weights=variant.weights,
        power=recipe.power,
        positive_weight=recipe.positive_weight,
        dilate=recipe.dilate,
        segmented=_with_masks(recipe, train),
        pitfall_label=variant.pitfall_label,
    )
    sampler = FrequencyOfUseSampler(targets.labels, seed=recipe.seed, rule=variant.rule)
    return DataLoader(targets, batch_size=recipe.batch_size, sampler=sampler)


def train_two_stage(
    recipe: TwoStageRecipe,
    parts: Parts | None = None,
    *,
    device: str | torch.device = "auto",
    precision: str | None = None,
    fabric: Fabric | None = None,
    folder: str | Path | None = None,
    evaluate_every: int | None = None,
    watch: Callable[[History], None] | None = None,
    progress: bool = False,
    description: str = "training",
) -> TwoStageTraining:
    """Train both stages at once, choose the threshold on validation images, score the test once.

    Args:
        recipe: what to do.
        parts: the images, as `open_detection_parts` reads them, to read them only once.
        device, precision, fabric: where to train; see `fit`.
        folder: where the checkpoint and the TensorBoard curves go; a training goes on from there.
        evaluate_every: steps between two looks at the validation images, `val/ap`.
        watch: see `fit`.

    Raises what `open_dataset` and `fit` raise, and `ValueError` before any work for a part without
    defects or without good images.

    Example:
        >>> recipe = TwoStageRecipe(height=64, channels="slim", epochs=1, batch_size=8)
        >>> few = open_detection_parts(recipe, most=4)
        >>> sorted(train_two_stage(recipe, few).scores)
        ['ap', 'ap_trapezoid', 'fn', 'fn_oracle', 'fp', 'fp_oracle']
    """
    parts = parts or open_detection_parts(recipe, progress=progress)
    _require_both_kinds(parts, recipe)
    variant = TWO_STAGE_VARIANTS[recipe.variant]
    seed_everything(recipe.seed)
    model = TwoStageNet(parts.train.channels, channels=CHANNELS[recipe.channels], **variant.model)
    batches = two_stage_batches(recipe, parts.train)
    loss = TwoStageLoss(recipe.epochs, len(batches), delta=recipe.delta, dynamic=variant.dynamic)

    def look(network: nn.Module) -> dict[str, float]:
        decisions, _ = predict_two_stage(network, parts.val)
        scores = score_detection(decisions, labels_of(parts.val), threshold=0.0)
        return {"val/ap": scores["ap"]}

    history = fit(
        model,
        batches,
        loss,
        steps=recipe.epochs * len(batches),
        optimizer=recipe.optimizer,  # type: ignore[arg-type]  # checked by the recipe
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        evaluate=look if evaluate_every else None,
        evaluate_every=evaluate_every,
        watch=watch,
        checkpoint=Path(folder) / "checkpoint.pt" if folder else None,
        log_folder=Path(folder) / "tensorboard" if folder else None,
        settings={
            name: value for name, value in asdict(recipe).items() if name not in FIT_SETTINGS
        },
        device=device,
        precision=precision,
        fabric=fabric,
        progress=progress,
        description=description,
    )
    seen, _ = predict_two_stage(model, parts.val)
    threshold = best_threshold(seen, labels_of(parts.val))
    decisions, maps = predict_two_stage(model, parts.test)
    scores = score_detection(decisions, labels_of(parts.test), threshold)
    return TwoStageTraining(model, history, threshold, scores, decisions, maps)


FIT_SETTINGS = ("optimizer", "learning_rate", "weight_decay")
"""What `fit` compares by itself when a training goes on."""


@torch.no_grad()
def predict_two_stage(
    model: nn.Module, images: CachedDataset, *, batch_size: int = SCORING_BATCH
) -> tuple[Tensor, Tensor]:
    """Return the logit of each image, (N,), and of each cell of its map, (N, H / 8, W / 8).

    Both on the CPU, in float32, in the order of the data set. Logits, not probabilities: those of
    sure answers are 1 in float32, and equal scores cannot be ranked.

    Example:
        >>> from course_utils.data import open_dataset
        >>> few = CachedDataset(open_dataset("synthetic", size=128, length=2))
        >>> decisions, maps = predict_two_stage(TwoStageNet(3, channels=CHANNELS["slim"]), few)
        >>> decisions.shape, maps.shape
        (torch.Size([2]), torch.Size([2, 16, 16]))
    """
    weights = next(model.parameters())
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    decisions, maps = [], []
    for start in range(0, len(images), batch_size):
        stop = min(start + batch_size, len(images))
        batch = torch.stack([images[i].image for i in range(start, stop)]).to(weights)
        output = model(batch.contiguous(memory_format=torch.channels_last))
        decisions.append(output.decision.float().cpu())
        maps.append(output.segmentation[:, 0].float().cpu())
    for module, training in modes:
        module.training = training
    return torch.cat(decisions), torch.cat(maps)


def _with_masks(recipe: TwoStageRecipe, train: CachedDataset) -> list[str] | None:
    if recipe.segmented < 0:
        return None
    names = [sample.name for sample in train.samples if sample.mask.any()]
    if recipe.segmented > len(names):
        raise ValueError(
            f"segmented asks for the masks of {recipe.segmented} defective images, and "
            f"{recipe.data} has {len(names)} to train on: lower it, or -1 for all"
        )
    rng = np.random.default_rng([recipe.seed, 1])
    return [names[i] for i in rng.permutation(len(names))[: recipe.segmented]]


def _require_both_kinds(parts: Parts, recipe: TwoStageRecipe) -> None:
    for name, images in (
        ("training", parts.train),
        ("validation", parts.val),
        ("test", parts.test),
    ):
        defective = int(labels_of(images).sum())
        if not 0 < defective < len(images):
            raise ValueError(
                f"{defective} of the {len(images)} {name} images of {recipe.data} show a defect, "
                "and both kinds are needed: choose another split_seed or a larger data set"
            )
