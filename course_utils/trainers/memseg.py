"""Train MemSeg on good images alone, and score it fairly: what lesson 06 does, without a notebook.

Source: MemSeg (arXiv 2205.00908): 2700 batches of 4 good and 4 simulated images at 256 pixels.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from course_utils.config import seed_everything
from course_utils.data import BalancedBatches, CachedDataset, Sample, SimulatedAnomalies
from course_utils.losses import MemSegLoss
from course_utils.models import MemSeg
from course_utils.models.encoders import Weights
from course_utils.trainers.anomaly_scores import score_anomalies
from course_utils.trainers.normal_images import (
    AnomalyKinds,
    NormalParts,
    open_normal_parts,
    simulator,
    textures_of,
)
from course_utils.trainers.segmentation import FIT_SETTINGS
from course_utils.trainers.settings import (
    require_one_of,
    require_positive,
    require_rates_and_seeds,
    require_types,
)
from course_utils.training import History, fit, predict_probabilities

SCORING_BATCH = 8
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
WEIGHTS: dict[str, Weights | None] = {"offline": "offline", "imagenet": "imagenet", "none": None}
"""Of the encoder, by the name that stands in a recipe; a path of a file may stand there, too."""


class Variant(NamedTuple):
    """MemSeg with one thing changed."""

    title: str
    model: Mapping[str, Any] = MappingProxyType({})
    """Arguments of `MemSeg`."""
    anomalies: AnomalyKinds = "both"
    double_softmax: bool = False
    freeze: bool = False
    """Freeze what `MemSeg` itself would leave to drift."""


VARIANTS = {
    "memseg": Variant("MemSeg"),
    "per_level": Variant("a nearest image for each level", {"nearest": "per_level"}),
    "absolute": Variant("absolute differences", {"difference": "absolute"}),
    "no_memory": Variant("no memory", {"memory": False}),
    "no_attention": Variant("no attention", {"attention": False}),
    "texture_only": Variant("textures only", anomalies="texture"),
    "structure_only": Variant("structure only", anomalies="structure"),
    "double_softmax": Variant("softmax taken twice", double_softmax=True),
    "published_code": Variant("network of the public code", {"published_code": True}),
    "published_frozen": Variant(
        "the same, its frozen part still", {"published_code": True}, freeze=True
    ),
}
"""MemSeg, its ablations, and the mistakes of the public code, by name."""


@dataclass(frozen=True)
class MemSegRecipe:
    """All that decides a training, down to the last bit on one CPU with one number of threads.

    One thing is not in it: whether DTD is there to take textures from, see `simulator`. A training
    does not go on where that has changed.

    The paper found its learning rate of .04 by grid search and does not name the optimizer. Ours
    is AdamW with one rise and fall of the rate (see `fit`), and the rate and the weight decay of
    the best known re-implementation, which uses AdamW, too.

    Raises:
        ValueError: for settings that cannot work.

    Example:
        >>> MemSegRecipe(data="mvtec_ad/bottle").steps
        2700
    """

    data: str = "synthetic"
    variant: str = "memseg"
    """One of `VARIANTS`."""
    weights: str = "offline"
    """One of `WEIGHTS`, or the path of a safetensors file; `"none"` draws them at random."""
    size: int = 256
    """Side of the images, in pixels; a multiple of 32."""
    steps: int = 2700
    batch_size: int = 8
    """Half of it good, half simulated."""
    learning_rate: float = 3e-3
    weight_decay: float = 5e-4
    gamma: float = 4.0
    focal_weight: float = 0.4
    """Of the focal loss; L1 has the rest."""
    memory_size: int = 30
    seed: int = 0
    """Of the weights, the memory, the order of the images and their anomalies."""
    split_seed: int = 0
    """Of the parts, and of the anomalies on validation images."""
    workers: int = 0
    """Processes that simulate anomalies; they change no bit of the result."""

    def __post_init__(self) -> None:
        require_types(self)
        require_one_of("variant", self.variant, tuple(VARIANTS))
        encoder_weights(self.weights)
        if self.size < 64 or self.size % 32:
            raise ValueError(
                f"size must be a multiple of 32 (ResNet halves it 5 times) and at least 64, got "
                f"{self.size}"
            )
        require_positive(self, "steps", "memory_size")
        if self.batch_size < 2 or self.batch_size % 2:
            raise ValueError(f"batch_size must be even and at least 2, got {self.batch_size}")
        if not 0 <= self.focal_weight <= 1 or not 0 <= self.gamma < float("inf"):
            raise ValueError(
                "focal_weight must lie in 0..1 and gamma be at least 0, got "
                f"{self.focal_weight} and {self.gamma}"
            )
        if self.workers < 0:
            raise ValueError(f"workers must be at least 0, got {self.workers}")
        require_rates_and_seeds(self)


@dataclass(frozen=True)
class MemSegTraining:
    """A trained MemSeg, and what it is worth."""

    model: MemSeg
    history: History
    scores: dict[str, float]
    """Of the test images and the last step; see `score_anomalies`."""
    maps: Tensor
    """Probability of a defect of each pixel of the test images, (N, H, W)."""


def encoder_weights(name: str) -> Weights | None:
    """Return what `ResNetEncoder` takes for the name that stands in a recipe.

    Raises:
        ValueError: for a name that is unknown and does not end in `.safetensors`.

    Example:
        >>> encoder_weights("none") is None, encoder_weights("runs/encoder.safetensors").name
        (True, 'encoder.safetensors')
    """
    if name.endswith(".safetensors"):
        return Path(name)
    require_one_of("weights", name, (*WEIGHTS, "PATH.safetensors"))
    return WEIGHTS[name]


def open_images(recipe: MemSegRecipe, *, progress: bool = False) -> NormalParts:
    """Read the images of a recipe."""
    return open_normal_parts(
        recipe.data, size=recipe.size, split_seed=recipe.split_seed, progress=progress
    )


def train_memseg(
    recipe: MemSegRecipe,
    parts: NormalParts | None = None,
    *,
    device: str | torch.device = "auto",
    precision: str | None = None,
    fabric: Fabric | None = None,
    folder: str | Path | None = None,
    evaluate_every: int | None = None,
    look_at_test: bool = False,
    score_test: bool = True,
    watch: Callable[[History], None] | None = None,
    progress: bool = False,
    description: str = "training",
) -> MemSegTraining:
    """Fill the memory, train, and score the test images once, after the last step.

    Args:
        recipe: what to do.
        parts: the images, as `open_images` reads them, to read them only once.
        device, precision, fabric: where to train; see `fit`.
        folder: where the checkpoint and the TensorBoard curves go; a training goes on from there.
        evaluate_every: steps between two looks at the validation images, where anomalies are
            simulated, the same at each look. They score as `val/image_auroc` and so on.
        look_at_test: score the test images at each look, too, as `test/image_auroc` and so on:
            to measure what it pretends to choose among checkpoints by them. Nothing is chosen.
        score_test: False leaves the test images alone, for trainings that choose settings:
            `scores` and `maps` are then empty.
        watch: see `fit`.

    Raises what `open_normal_parts` and `fit` raise, and `ValueError` for fewer training images
    than the memory or half a batch takes, for `watch` or `look_at_test` without `evaluate_every`,
    and for a precision in which the network's weights are not float32.

    Example:
        >>> recipe = MemSegRecipe(size=64, steps=1, batch_size=2, memory_size=2)
        >>> few = open_normal_parts("synthetic", size=64, most=2)
        >>> sorted(train_memseg(recipe, few).scores)
        ['ap', 'aupro', 'image_auroc', 'pixel_auroc']
    """
    if (look_at_test or watch) and not evaluate_every:
        raise ValueError("look_at_test and watch need looks: give evaluate_every")
    chosen = fabric.strategy.precision.precision if fabric else precision
    if chosen is not None and chosen not in PRECISIONS:
        raise ValueError(
            f"precision must be one of {', '.join(PRECISIONS)}, got {chosen}: the memory is filled "
            "in float32 and must stay comparable"
        )
    parts = parts or open_images(recipe, progress=progress)
    variant = VARIANTS[recipe.variant]
    seed_everything(recipe.seed)
    model = MemSeg(
        weights=encoder_weights(recipe.weights), memory_size=recipe.memory_size, **variant.model
    )
    if variant.freeze:
        model.encoder.freeze()
    _fill(model, parts.train, recipe)
    data = SimulatedAnomalies(
        parts.train, simulator(recipe.data, variant.anomalies), seed=recipe.seed
    )
    batches: DataLoader[Sample] = DataLoader(
        data,
        batch_sampler=BalancedBatches(data, recipe.batch_size),
        num_workers=recipe.workers,
        # A checkpoint replays a pass, which workers that outlive it would not allow.
        persistent_workers=recipe.workers > 0 and folder is None,
    )
    looks = {}
    if evaluate_every:
        # Anomalies of both kinds, whatever the training sees: variants are to be compared.
        looks["val"] = CachedDataset(
            SimulatedAnomalies(
                parts.val, simulator(recipe.data), seed=_validation_seed(recipe.split_seed)
            )
        )
    if look_at_test:
        looks["test"] = parts.test

    def look(network: nn.Module) -> dict[str, float]:
        return {
            f"{name}/{metric}": value
            for name, images in looks.items()
            for metric, value in score_anomalies(
                *_maps_and_masks(network, images), _labels(images)
            ).items()
        }

    history = fit(
        model,
        batches,
        MemSegLoss(
            l1_weight=1 - recipe.focal_weight,
            focal_weight=recipe.focal_weight,
            gamma=recipe.gamma,
            double_softmax=variant.double_softmax,
        ),
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        evaluate=look if evaluate_every else None,
        evaluate_every=evaluate_every,
        watch=watch,
        checkpoint=Path(folder) / "checkpoint.pt" if folder else None,
        log_folder=Path(folder) / "tensorboard" if folder else None,
        settings={
            name: value
            for name, value in asdict(recipe).items()
            if name not in (*FIT_SETTINGS, "workers")
        }
        | {
            "weights_used": model.encoder.weights_used or "none",
            "frozen_weights": int(model.memory_fingerprint),
            "textures": textures_of(recipe.data),
        },
        device=device,
        precision=precision,
        fabric=fabric,
        progress=progress,
        description=description,
    )
    if not score_test:
        return MemSegTraining(model, history, {}, torch.empty(0))
    maps, masks = _maps_and_masks(model, parts.test)
    scores = score_anomalies(maps, masks, _labels(parts.test))
    return MemSegTraining(model, history, scores, maps)


def _validation_seed(split_seed: int) -> int:
    """A seed of its own: the training's would draw the masks of its first pass once more."""
    return int(np.random.SeedSequence([split_seed, 1]).generate_state(1)[0])


def _labels(images: CachedDataset) -> Tensor:
    return torch.tensor([sample.label for sample in images.samples])


def _fill(model: MemSeg, train: CachedDataset, recipe: MemSegRecipe) -> None:
    if not model.uses_memory:
        return
    if len(train) < recipe.memory_size:
        raise ValueError(
            f"a memory of {recipe.memory_size} images needs as many good ones to train on, and "
            f"{recipe.data} has {len(train)}: lower memory_size"
        )
    chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(recipe.seed))
    few = [train[int(i)].image for i in chosen[: recipe.memory_size]]
    model.fill_memory(torch.stack(few))


def _maps_and_masks(model: nn.Module, images: CachedDataset) -> tuple[Tensor, Tensor]:
    probabilities, masks = predict_probabilities(model, images, batch_size=SCORING_BATCH)
    return probabilities[:, 1], masks
