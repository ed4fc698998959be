"""One training in a folder of its own: it can be stopped, started again, and looked at."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from matplotlib.figure import Figure

from course_utils.plots import as_png
from course_utils.trainers import (
    memseg_procedure,
    segmentation_procedure,
    two_stage_procedure,
)
from course_utils.trainers.memseg import MemSegRecipe
from course_utils.trainers.segmentation import SegmentationRecipe
from course_utils.trainers.two_stage_settings import TwoStageRecipe
from course_utils.training import Checkpoint

Recipe: TypeAlias = SegmentationRecipe | MemSegRecipe | TwoStageRecipe
RECIPE, SCORES, CHECKPOINT, LOCK = "recipe.json", "scores.json", "checkpoint.pt", ".training.lock"


class Procedure(Protocol):
    """What one kind of training does, each kind in a module of its own."""

    def only_images(self, recipe: Any) -> Any:
        """Return a recipe that is equal for all recipes that read the same images."""

    def open_parts(self, recipe: Any, *, progress: bool) -> Any:
        """Read the images."""

    def steps(self, recipe: Any, parts: Any) -> int:
        """Return how many batches the training takes."""

    def train(
        self,
        recipe: Any,
        parts: Any,
        *,
        fabric: Fabric,
        folder: Path,
        evaluate_every: int,
        progress: bool,
        description: str,
    ) -> Any:
        """Train and return a result that has `scores`."""

    def name(self, recipe: Any) -> str:
        """Return what tells trainings of one data set apart, for the progress bar."""

    def report(self, recipe: Any, parts: Any, result: Any) -> dict[str, Any]:
        """Return what else to write down beside the scores."""

    def pictures(self, parts: Any, result: Any) -> dict[str, Figure]:
        """Return figures by the names of their files."""


def run_in_folder(
    fabric: Fabric,
    recipe: Recipe,
    folder: Path,
    looks: int = 10,
    progress: bool = True,
) -> dict[str, float]:
    """Train as `recipe` says, keep everything in `folder`, and return the test images' scores.

    A training that was stopped goes on; a finished one returns its scores at once. The folder gets
    `recipe.json`, `checkpoint.pt`, `tensorboard/`, `scores.json`, and pictures of the learning
    curves and of test images. Nothing is written before the images were read.

    Args:
        fabric: what `launch` hands over.
        looks: how often to look at the validation images at most, the end included.

    Raises:
        ValueError: if the folder holds a training by another recipe or with another number of
            looks.
        FileExistsError: if it holds anything else or another process trains in it, and what
            `train_segmentation` raises.
    """
    if looks < 1:
        raise ValueError(f"looks must be at least 1, got {looks}")
    if fabric.is_global_zero:
        require_place(folder, recipe)
    fabric.barrier()
    if (folder / SCORES).exists():
        return read_scores(folder)
    procedure = _PROCEDURES[type(recipe)]
    parts = _read_once(procedure.only_images(recipe), progress and fabric.is_global_zero)
    steps = procedure.steps(recipe, parts)
    with _held(folder) if fabric.is_global_zero else nullcontext():
        if fabric.is_global_zero:
            require_place(folder, recipe)  # whoever held it until now may have used it
            _require_looks(folder, steps, looks)
            _write(folder / RECIPE, json.dumps(asdict(recipe), indent=2) + "\n")
        fabric.barrier()
        started = perf_counter()
        result = procedure.train(
            recipe,
            parts,
            fabric=fabric,
            folder=folder,
            evaluate_every=math.ceil(steps / looks),
            progress=progress,
            description=procedure.name(recipe),
        )
        if fabric.is_global_zero:
            seconds = perf_counter() - started
            for name, figure in procedure.pictures(parts, result).items():
                _write(folder / name, as_png(figure))
            report = {"scores": _plain(result.scores)}
            report |= procedure.report(recipe, parts, result)
            report |= _circumstances(fabric, seconds)
            _write(folder / SCORES, json.dumps(report, indent=2) + "\n")
    scores: dict[str, float] = result.scores
    return scores


def require_place(folder: Path, recipe: Recipe) -> None:
    """Raise unless `folder` is free for `recipe` or holds its training; write nothing.

    Raises:
        ValueError: if it holds a training by another recipe.
        FileExistsError: if it holds anything else or is a file.

    Example:
        >>> require_place(Path("nowhere"), SegmentationRecipe())
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise FileExistsError(f"{nearest} is a file: choose another folder")
    if not folder.exists():
        return
    file, wanted = folder / RECIPE, asdict(recipe)
    if not file.exists():
        ours = {LOCK, _draft(file).name}
        others = sorted(path.name for path in folder.iterdir() if path.name not in ours)
        if others:
            raise FileExistsError(
                f"{folder} holds {others[0]} and no {RECIPE}: choose an empty or new folder"
            )
        return
    found = _read(file)
    if found.keys() != wanted.keys():
        raise FileExistsError(
            f"{file} is no recipe of this version of course_utils: choose another folder"
        )
    started = (folder / CHECKPOINT).exists() or (folder / SCORES).exists()
    different = [name for name in wanted if found[name] != wanted[name]]
    if started and different:
        name = different[0]
        raise ValueError(
            f"{folder} holds a training with {name} {found[name]!r}, and this one has "
            f"{wanted[name]!r}: choose another folder, or delete that one"
        )


def read_scores(folder: Path) -> dict[str, float]:
    """Return the scores of the finished training in `folder`, as `run_in_folder` returned them.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: if the file is damaged.

    Example:
        >>> read_scores(Path("nowhere"))
        Traceback (most recent call last):
            ...
        FileNotFoundError: ...
    """
    scores = _read(folder / SCORES).get("scores")
    if not isinstance(scores, dict):
        raise ValueError(f"{folder / SCORES} holds no scores: delete it to score the test again")
    return {name: math.nan if value is None else value for name, value in scores.items()}


def collect_scores(out: Path) -> list[dict[str, Any]]:
    """Return a row for each finished training in `out`/NAME/seed_N: its recipe and its scores.

    A score that is not defined, of a class that the test images do not show, is None.

    Example:
        >>> collect_scores(Path("nowhere"))
        []
    """
    found = sorted(
        (file.parent for file in out.glob(f"*/seed_*/{SCORES}")),
        key=lambda folder: (folder.parent.name, len(folder.name), folder.name),
    )
    return [_read(folder / RECIPE) | _plain(read_scores(folder)) for folder in found]


@lru_cache(maxsize=1)  # losses, variants and seeds of one command share their images
def _read_once(recipe: Recipe, progress: bool) -> Any:
    return _PROCEDURES[type(recipe)].open_parts(recipe, progress=progress)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Make `folder` if need be, and keep every other process from training in it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):  # dropped by the system if its process dies
            yield
    except Timeout:
        raise FileExistsError(
            f"another process trains in {folder}: wait for its end, or choose another folder"
        ) from None


_PROCEDURES: dict[type, Procedure] = {
    SegmentationRecipe: segmentation_procedure,
    MemSegRecipe: memseg_procedure,
    TwoStageRecipe: two_stage_procedure,
}


def _require_looks(folder: Path, steps: int, looks: int) -> None:
    # `fit` refuses this, too, but knows nothing of looks.
    if not (folder / CHECKPOINT).exists():
        return
    every = Checkpoint.load(folder / CHECKPOINT).settings.get("evaluate_every")
    if every and every != math.ceil(steps / looks):
        raise ValueError(
            f"{folder} holds a training that looks at the validation images every {every} steps, "
            f"and looks={looks} asks for every {math.ceil(steps / looks)}: go on with "
            f"looks={math.ceil(steps / every)} (--looks), or choose another folder"
        )


def _circumstances(fabric: Fabric, seconds: float) -> dict[str, Any]:
    return {
        "seconds_since_last_start": round(seconds, 1),
        "device": str(fabric.device),
        "precision": fabric.strategy.precision.precision,
        "processes": fabric.world_size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _plain(scores: dict[str, float]) -> dict[str, float | None]:
    # JSON has no NaN, and other readers than Python's refuse it.
    return {name: None if math.isnan(value) else value for name, value in scores.items()}


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}): choose another folder") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} is not of a training of this course: choose another folder")
    return found


def _write(file: Path, content: str | bytes) -> None:
    draft = _draft(file)
    draft.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(draft, file)


def _draft(file: Path) -> Path:
    return file.with_name(file.name + ".part")
