"""What the trainers of all methods share: from a config to a trained network and a run folder."""

import csv
import io
import json
import math
import sys
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from matplotlib.figure import Figure
from torch import Tensor, nn

from course_utils.config import seed_everything
from course_utils.data import data_fingerprint
from course_utils.inference import Detector, DetectorSettings
from course_utils.io import lock_folder, write_atomic
from course_utils.plots import as_png, training_curves
from course_utils.trainers.configs import TrainingConfig
from course_utils.trainers.run_folder import (
    CHANGES_NOTHING,
    CHECKPOINT,
    CONFIG,
    DATA,
    FILES,
    LOCK,
    PREDICTIONS,
    SCORES,
    check_data,
    check_folder,
    is_started,
    read_data,
    read_scores,
    without_nan,
)
from course_utils.trainers.splits import Splits
from course_utils.training import Checkpoint, EpochLoader, History, fit
from course_utils.training.devices import make_fabric

COMPARED_BY_FIT = {"steps", "optimizer", "learning_rate", "weight_decay"}


@dataclass(frozen=True)
class TrainingResult:
    """A trained network, and what it is worth."""

    model: Any
    history: History | None
    """What happened while it was trained; None where nothing is trained."""
    scores: dict[str, float]
    """Of the test images and the last step."""


Config = TypeVar("Config", bound=TrainingConfig)
Result = TypeVar("Result", bound=TrainingResult)


class Trainer(ABC, Generic[Config, Result]):
    """Makes a detector by one method, and scores it.

    A method says how to open its images, how to train, how to score, and what it decides by.

    Args:
        config: all that decides the training.
        splits: the images, as `open_splits` reads them, to read them only once for many trainings.
        progress: whether to show progress bars.
    """

    method: ClassVar[str]
    """Its name on the command line."""

    def __init__(
        self, config: Config, splits: Splits | None = None, *, progress: bool = False
    ) -> None:
        self.config = config
        self.progress = progress
        self.splits = splits or self.open_splits(config, progress=progress)

    @staticmethod
    @abstractmethod
    def open_splits(config: Any, *, progress: bool = False) -> Splits:
        """Read the images of a config."""

    @abstractmethod
    def train(
        self,
        *,
        folder: str | Path | None = None,
        evaluate_every: int | None = None,
        device: str | torch.device = "auto",
        fabric: Fabric | None = None,
    ) -> Result:
        """Train, and score the test images once."""

    @abstractmethod
    def report(self, result: Result) -> dict[str, Any]:
        """Return what else to write down beside the scores."""

    @abstractmethod
    def pictures(self, result: Result) -> dict[str, Figure]:
        """Return figures of test images by the names of their files."""

    @abstractmethod
    def detector(self, result: Result) -> Detector:
        """Return what answers for photographs, its thresholds chosen on validation images."""

    @abstractmethod
    def image_scores(self, result: Result) -> np.ndarray:
        """Return the score of each test image, (N,), by which the detector decides."""

    @property
    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """What the network is made of, without weights."""

    @property
    def steps(self) -> int:
        """Batches to train on."""
        steps: int = getattr(self.config, "steps", 1)
        return steps

    def build_detector(self, model: nn.Module, **decided: Any) -> Detector:
        """Return a detector of `model` with the settings `decided`, and those of the config."""
        train = self.splits.train
        settings = DetectorSettings(
            method=self.method,
            network=type(model).__name__,
            arguments=self.arguments,
            class_names=tuple(train.class_names),
            channels=train.channels,  # type: ignore[arg-type]
            height=self.config.height,
            width=self.config.width,
            tile=self.config.tile,
            data=self.config.data,
            split=self.splits.test.split_note,
            **decided,
        )
        return Detector(settings, model, device=str(next(model.parameters()).device))

    @classmethod
    def run_in_folder(
        cls,
        fabric: Fabric,
        config: Config,
        folder: Path,
        evaluate_every: int = 0,
        progress: bool = True,
    ) -> dict[str, float]:
        """Train by `config`, keep everything in `folder`, and return the test images' scores.

        A training that was stopped goes on; a finished one returns its scores, at once if no file
        of its data set was touched since. The folder gets `config.json` and `data.json`;
        `checkpoint.pt` and `tensorboard/` where something is trained; the detector, `detector.json`
        and `weights.safetensors`, which `load_detector` opens; `predictions.csv` with the score of
        each test image, `scores.json`, and pictures of the learning curves and of test images.
        Nothing is written before the images were read.

        Args:
            fabric: what `launch` hands over.
            config: all that decides the training.
            folder: its own; new, empty, or of this very training.
            evaluate_every: steps between two evaluations of the validation images; 0: a tenth of
                all.
            progress: whether to show progress bars.

        Raises:
            ValueError: if the folder holds a training by another config, of images or masks that
                have changed, or with other evaluations, and as `train` does.
            FileExistsError: if it holds anything else or another process trains in it.
        """
        if evaluate_every < 0:
            raise ValueError(f"evaluate_every must be at least 0, got {evaluate_every}")
        if fabric.is_global_zero:
            check_folder(folder, config)
        fabric.barrier()
        done = read_scores(folder) if (folder / SCORES).exists() else None
        others = _files_of(config)
        files = f"{data_fingerprint(config.data)} {others}"
        if done is not None and read_data(folder).get("files") == files:
            return done
        images = config.images_only()
        splits = _open_once(cls, images, files, progress and fabric.is_global_zero)
        parts = splits.fingerprints() | others
        if done is not None:
            check_data(folder, config.data, parts)
            return done
        trainer = cls(config, splits, progress=progress)
        every = evaluate_every or math.ceil(trainer.steps / 10)
        advice = "wait for its end, or choose another folder (--out)"
        with lock_folder(folder, LOCK, advice) if fabric.is_global_zero else nullcontext():
            if fabric.is_global_zero:
                check_folder(folder, config)  # who held it until now may have used it
                if is_started(folder):
                    check_data(folder, config.data, parts)
                _check_evaluations(folder, every)
                _write_json(folder / CONFIG, config.model_dump())
                _write_json(folder / DATA, {"files": files, **parts})
            fabric.barrier()
            started = perf_counter()
            result = trainer.train(fabric=fabric, folder=folder, evaluate_every=every)
            if fabric.is_global_zero:
                seconds = perf_counter() - started
                for name, figure in trainer.pictures(result).items():
                    write_atomic(folder / name, as_png(figure))
                detector = trainer.detector(result)
                detector.save(folder)
                write_atomic(folder / PREDICTIONS, trainer.predictions(result, detector))
                report = {
                    "scores": without_nan(result.scores),
                    "threshold": detector.settings.threshold.model_dump(),
                    "test_errors": trainer.errors(result, detector),
                    "pixel_threshold": detector.settings.pixel_threshold,
                    **trainer.report(result),
                    **_circumstances(fabric, seconds),
                }
                _write_json(folder / SCORES, report)
        return result.scores

    def errors(self, result: Result, detector: Detector) -> dict[str, int]:
        """Return how many test images the detector decides wrongly, of how many of each kind."""
        alarm = self.image_scores(result) >= detector.settings.threshold.value
        defective = np.array(self.splits.test.labels) > 0
        return {
            "false_alarms": int((alarm & ~defective).sum()),
            "good": int((~defective).sum()),
            "misses": int((~alarm & defective).sum()),
            "defective": int(defective.sum()),
        }

    def predictions(self, result: Result, detector: Detector) -> str:
        """Return a CSV with the score and the decision of each test image."""
        text, limit = io.StringIO(), detector.settings.threshold.value
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", "group", "label", "score", "threshold", "decision"])
        scores = self.image_scores(result).tolist()
        for sample, score in zip(self.splits.test, scores, strict=True):
            decision = "defective" if score >= limit else "good"
            writer.writerow([sample.name, sample.group, sample.label, score, limit, decision])
        return text.getvalue()


class NetworkTrainer(Trainer[Config, Result]):
    """Trains a network with `fit`.

    A method says what its network, its batches and its loss are, and how to score.
    """

    metrics: ClassVar[tuple[str, ...]]
    """Of the validation images, drawn as learning curves."""

    @abstractmethod
    def check(self, fabric: Fabric) -> None:
        """Raise `ValueError` before any work for images or a precision that cannot do."""

    @abstractmethod
    def build_model(self) -> nn.Module:
        """Return the network at its start."""

    @abstractmethod
    def build_batches(self) -> EpochLoader:
        """Return the batches: images, targets, and the order in which they come."""

    @abstractmethod
    def build_loss(self, device: torch.device) -> Callable[[Any, Any], Tensor]:
        """Return what is minimized."""

    @abstractmethod
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return scores of the validation images."""

    @abstractmethod
    def score(self, model: Any, history: History) -> Result:
        """Score the test images, once."""

    def stages(self, model: Any) -> Iterator[tuple[nn.Module, int, str]]:
        """Yield what is trained in turn, its steps, and what its checkpoint's name begins with.

        Here it is the whole network.
        """
        yield model, self.steps, ""

    def agreed(self, model: Any) -> Mapping[str, str | int | float | bool | None]:
        """Return what else a training agrees in with one that it goes on from."""
        return {}

    def pictures(self, result: Result) -> dict[str, Figure]:
        """Return the learning curves; methods add their test images."""
        assert result.history is not None
        shown = self.metrics if result.history.evaluations else None
        curves = training_curves({"training": result.history}, metrics=shown)
        return {"learning.png": curves}

    def train(
        self,
        *,
        folder: str | Path | None = None,
        evaluate_every: int | None = None,
        on_evaluation: Callable[[History], None] | None = None,
        device: str | torch.device = "auto",
        precision: str | None = None,
        fabric: Fabric | None = None,
        description: str | None = None,
    ) -> Result:
        """Train, and score the test images once, after the last step.

        Args:
            folder: where the checkpoint and the TensorBoard curves go; a training goes on from
                there.
            evaluate_every: steps between two evaluations of the validation images; None: none.
            on_evaluation: see `fit`.
            device: where to train; see `fit`.
            precision: a Fabric precision; see `fit`.
            fabric: what `launch` hands over, instead of `device` and `precision`.
            description: what the progress bar says.

        Raises:
            ValueError: before any work, for images that are too few or show too little, and as
                `fit` does.
            FloatingPointError: as `fit` does.
        """
        if on_evaluation and not evaluate_every:
            raise ValueError("on_evaluation needs evaluations: give evaluate_every")
        if fabric is None:
            fabric, device, precision = make_fabric(device, precision), "auto", None
        self.check(fabric)
        config = self.config
        seed_everything(config.seed)
        model = self.build_model()
        images = {f"{name}_images": digest for name, digest in self.splits.fingerprints().items()}
        for stage, steps, name in self.stages(model):
            history = fit(
                stage,
                self.build_batches(),
                self.build_loss(fabric.device),
                steps=steps,
                optimizer=getattr(config, "optimizer", "adamw"),
                learning_rate=config.learning_rate,  # type: ignore[attr-defined]
                weight_decay=config.weight_decay,  # type: ignore[attr-defined]
                evaluate=self.evaluate if evaluate_every else None,
                evaluate_every=evaluate_every,
                on_evaluation=on_evaluation,
                checkpoint=Path(folder) / f"{name}{CHECKPOINT}" if folder else None,
                log_folder=Path(folder) / "tensorboard" / name if folder else None,
                settings={
                    **config.model_dump(exclude=COMPARED_BY_FIT | CHANGES_NOTHING),
                    **self.agreed(model),
                    **images,
                },
                device=device,
                precision=precision,
                fabric=fabric,
                progress=self.progress,
                description=description or f"{config.name}, seed {config.seed}",
            )
        return self.score(model, history)


def weights_used(model: nn.Module) -> str:
    """Return which weights the encoder of a network started from, "none" without an encoder.

    Example:
        >>> from course_utils.models import UNet
        >>> weights_used(UNet(encoder="efficientnet_lite0"))
        'imagenet'
    """
    return getattr(getattr(model, "encoder", None), "weights_used", None) or "none"


@lru_cache(maxsize=1)  # losses, variants and seeds of one command share their images
def _open_once(
    trainer: type[Trainer[Any, Any]], config: TrainingConfig, files: str, progress: bool
) -> Splits:
    splits = trainer.open_splits(config, progress=progress)
    if progress:
        print(splits.test.split_note, file=sys.stderr)
    return splits


def _check_evaluations(folder: Path, every: int) -> None:
    # `fit` refuses this, too, but knows nothing of folders and options.
    for file in folder.glob(f"*{CHECKPOINT}"):
        there = Checkpoint.load(file).settings.get("evaluate_every")
        if there and there != every:
            raise ValueError(
                f"{folder} holds a training that is evaluated every {there} steps, and this one "
                f"asks for every {every}: go on with --eval-every {there}, or choose another "
                "folder (--out)"
            )


def _files_of(config: TrainingConfig) -> dict[str, str]:
    """Return what names the content of each file that a config refers to."""
    values = {name: Path(str(value)) for name, value in config if name in FILES}
    return {
        name: f"{zlib.crc32(path.read_bytes()):08x}"
        for name, path in values.items()
        if path.is_file()
    }


def _circumstances(fabric: Fabric, seconds: float) -> dict[str, Any]:
    return {
        "seconds_since_last_start": round(seconds, 1),
        "device": str(fabric.device),
        "precision": fabric.strategy.precision.precision,
        "processes": fabric.world_size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    write_atomic(file, json.dumps(content, indent=2) + "\n")
