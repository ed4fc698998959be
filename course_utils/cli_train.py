"""`course train`: train a network of the course without a notebook."""

import json
import os
import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from course_utils.config import pick_device
from course_utils.recipes import (
    LOSS_NAMES,
    VARIANTS,
    WEIGHTS,
    MemSegRecipe,
    Recipe,
    SegmentationRecipe,
    collect_scores,
    encoder_weights,
    open_normal_parts,
    require_place,
    run_in_folder,
    score_nearest_patches,
)
from course_utils.training import launch

app = typer.Typer(help="Train a network of the course, without a notebook.", no_args_is_help=True)
DEFAULT, MEMSEG = SegmentationRecipe(), MemSegRecipe()
ANOMALY_SCORES = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO (.3)",
    "ap": "pixel AP",
}
Seeds = Annotated[list[int] | None, typer.Option(help="Seed of the training; repeatable.")]
Size = Annotated[int, typer.Option(help="Side of the images, in pixels.")]
Steps = Annotated[int, typer.Option(help="Batches to train on.")]
LearningRate = Annotated[float, typer.Option(help="Highest learning rate.")]
WeightDecay = Annotated[float, typer.Option(help="Of AdamW.")]
Looks = Annotated[int, typer.Option(help="Looks at the validation images.", min=1)]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps or auto.")]
Devices = Annotated[
    str, typer.Option(help="How many GPUs, or processes on the CPU; auto: all GPUs.")
]
Precision = Annotated[
    str | None, typer.Option(help="32-true or bf16-mixed; picked by device if not given.")
]
Out = Annotated[Path, typer.Option(help="Folder of the trainings.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]

Scores: TypeAlias = dict[tuple[str, int], dict[str, float]]
"""Of the test images, by (loss or variant, seed)."""


@app.callback()
def train() -> None:
    """Train a network of the course, without a notebook."""


@app.command()
def unet(
    data: Annotated[
        str, typer.Option(help="Data set: synthetic, magnetic_tile, sd_saliency_900, folder:PATH.")
    ] = DEFAULT.data,
    loss: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(LOSS_NAMES)}; repeatable.")
    ] = None,
    seed: Seeds = None,
    classes: Annotated[
        str, typer.Option(help="one: defect or not; all: each class of defect for itself.")
    ] = DEFAULT.classes,
    size: Size = DEFAULT.size,
    width: Annotated[int, typer.Option(help="Channels of the first stage.")] = DEFAULT.width,
    steps: Steps = DEFAULT.steps,
    batch_size: Annotated[int, typer.Option(help="Images in a batch.")] = DEFAULT.batch_size,
    learning_rate: LearningRate = DEFAULT.learning_rate,
    weight_decay: WeightDecay = DEFAULT.weight_decay,
    split_by: Annotated[
        str, typer.Option(help="group, or image: leaks, to measure what that pretends.")
    ] = DEFAULT.split_by,
    looks: Looks = 10,
    device: Device = "auto",
    devices: Devices = "1",
    precision: Precision = None,
    out: Out = Path("runs/unet"),
    quiet: Quiet = False,
) -> None:
    """Train a U-Net for each loss and seed, and print the scores of the test images.

    Each training has a folder OUT/LOSS/seed_N. Stopped at any moment, it goes on when the same
    command is given again. OUT/scores.json lists all trainings that are finished in OUT.
    """
    names = list(dict.fromkeys(loss or [DEFAULT.loss]))
    seeds = list(dict.fromkeys(seed or [DEFAULT.seed]))
    settings: dict[str, Any] = {
        "data": data,
        "classes": classes,
        "size": size,
        "width": width,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "split_by": split_by,
    }
    with _errors_told(out, "--batch-size, --size or --width"):
        recipes = {
            key: SegmentationRecipe(loss=key[0], seed=key[1], **settings)
            for key in product(names, seeds)
        }
        scores = _train_all(recipes, out, looks, quiet, device, devices, precision)
    shown = {"iou": "IoU", "dice": "Dice", "ap": "AP"}
    _print_table(scores, "loss", LOSS_NAMES, shown, data, out)


@app.command()
def memseg(
    data: Annotated[
        str, typer.Option(help="Data set: synthetic, mvtec_ad/CATEGORY, folder:PATH.")
    ] = MEMSEG.data,
    variant: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(VARIANTS)}; repeatable.")
    ] = None,
    seed: Seeds = None,
    weights: Annotated[
        str, typer.Option(help=f"Of the encoder: {', '.join(WEIGHTS)} or a file.")
    ] = MEMSEG.weights,
    size: Size = MEMSEG.size,
    steps: Steps = MEMSEG.steps,
    batch_size: Annotated[
        int, typer.Option(help="Images in a batch, half of them good.")
    ] = MEMSEG.batch_size,
    learning_rate: LearningRate = MEMSEG.learning_rate,
    weight_decay: WeightDecay = MEMSEG.weight_decay,
    gamma: Annotated[float, typer.Option(help="Of the focal loss.")] = MEMSEG.gamma,
    focal_weight: Annotated[
        float, typer.Option(help="Of the focal loss; L1 has the rest.")
    ] = MEMSEG.focal_weight,
    memory_size: Annotated[int, typer.Option(help="Images in the memory.")] = MEMSEG.memory_size,
    workers: Annotated[
        int, typer.Option(help="Processes that simulate anomalies.")
    ] = MEMSEG.workers,
    looks: Looks = 10,
    device: Device = "auto",
    devices: Devices = "1",
    precision: Precision = None,
    out: Out = Path("runs/memseg"),
    quiet: Quiet = False,
) -> None:
    """Train MemSeg for each variant and seed, and print the scores of the test images.

    Only good images are trained on; the anomalies are simulated. Each training has a folder
    OUT/VARIANT/seed_N. Stopped at any moment, it goes on when the same command is given again.
    OUT/scores.json lists all trainings that are finished in OUT.
    """
    names = list(dict.fromkeys(variant or [MEMSEG.variant]))
    seeds = list(dict.fromkeys(seed or [MEMSEG.seed]))
    settings: dict[str, Any] = {
        "data": data,
        "weights": weights,
        "size": size,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "gamma": gamma,
        "focal_weight": focal_weight,
        "memory_size": memory_size,
        "workers": workers,
    }
    with _errors_told(out, "--batch-size or --size"):
        recipes = {
            key: MemSegRecipe(variant=key[0], seed=key[1], **settings)
            for key in product(names, seeds)
        }
        scores = _train_all(recipes, out, looks, quiet, device, devices, precision)
    titles = {name: one.title for name, one in VARIANTS.items()}
    _print_table(scores, "variant", titles, ANOMALY_SCORES, data, out)


@app.command()
def nearest(
    data: Annotated[
        str, typer.Option(help="Data set: synthetic, mvtec_ad/CATEGORY, folder:PATH.")
    ] = MEMSEG.data,
    weights: Annotated[
        list[str] | None,
        typer.Option(help=f"Of the encoder: {', '.join(WEIGHTS)} or a file; repeatable."),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Draws the patches that are kept; repeatable.")
    ] = None,
    size: Size = MEMSEG.size,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Score the baseline of MemSeg, which trains nothing: the distance to the nearest patches.

    The features of 10,000 patches of good images are kept; a pixel is as abnormal as its patch is
    far from the nearest of them.
    """
    names = list(dict.fromkeys(weights or [MEMSEG.weights]))
    seeds = list(dict.fromkeys(seed or [MEMSEG.seed]))
    with _errors_told(None, "--size"):
        recipes = {
            key: MemSegRecipe(data=data, weights=key[0], seed=key[1], size=size)
            for key in product(names, seeds)
        }
        where = pick_device(device)
        parts = open_normal_parts(data, size=size, progress=not quiet)
        scores = {
            key: score_nearest_patches(
                parts, weights=encoder_weights(recipe.weights), seed=recipe.seed, device=where
            )[0]
            for key, recipe in recipes.items()
        }
    _print_table(scores, "weights", {name: name for name in names}, ANOMALY_SCORES, data, None)


@contextmanager
def _errors_told(out: Path | None, to_lower: str) -> Iterator[None]:
    """Tell an error in one line, with the exit status that belongs to it."""
    try:
        yield
    except KeyboardInterrupt:
        kept = (
            f" {out} keeps what was done: give the same command again to go on from there"
            if out
            else ""
        )
        Console(stderr=True, soft_wrap=True).print(f"stopped.{kept}", style="yellow", markup=False)
        raise typer.Exit(130) from None
    except (ValueError, OSError, MemoryError) as error:
        raise _failure(error, 2) from None
    except torch.OutOfMemoryError as error:
        reason = str(error).splitlines()[0]
        raise _failure(f"{reason} Lower {to_lower}.", 1) from None
    except FloatingPointError as error:
        raise _failure(error, 1) from None


def _train_all(
    recipes: Mapping[tuple[str, int], Recipe],
    out: Path,
    looks: int,
    quiet: bool,
    device: str,
    devices: str,
    precision: str | None,
) -> Scores:
    """Train by each recipe in OUT/NAME/seed_N, all of them checked before the first begins."""
    where = pick_device(device)
    folders = {key: out / key[0] / f"seed_{key[1]}" for key in recipes}
    _require_rows(out / "scores.json")
    for key, recipe in recipes.items():
        require_place(folders[key], recipe)
    scores: Scores = {}
    for key, recipe in recipes.items():
        scores[key] = launch(
            run_in_folder,
            recipe,
            folders[key],
            looks,
            not quiet,
            devices=int(devices) if devices.isdecimal() else devices,
            device=where,
            precision=precision,
        )
        _write_scores(out)
    return scores


def _failure(message: object, code: int) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(f"error: {message}", style="red", markup=False)
    return typer.Exit(code)


def _require_rows(file: Path) -> None:
    """Raise `FileExistsError` if a file that is not ours stands where the scores will go."""
    if not file.exists():
        return
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        rows = None
    if not isinstance(rows, list) or any("data" not in row or "seed" not in row for row in rows):
        raise FileExistsError(f"{file} is no list of scores of trainings: choose another --out")


def _write_scores(out: Path) -> None:
    draft = out / "scores.json.part"
    draft.write_text(json.dumps(collect_scores(out), indent=2) + "\n", encoding="utf-8")
    os.replace(draft, out / "scores.json")


def _print_table(
    scores: Scores,
    heading: str,
    titles: Mapping[str, str],
    shown: Mapping[str, str],
    data: str,
    out: Path | None,
) -> None:
    names = list(dict.fromkeys(name for name, _ in scores))
    seeds = len(scores) // len(names)
    title = f"{escape(data)}, test images" + (
        f", median of {seeds} seeds (range)" if seeds > 1 else ""
    )
    table = Table(heading, *shown.values(), title=title)
    for name in names:
        cells = []
        for score in shown:
            values = [found[score] for (one, _), found in scores.items() if one == name]
            cell = f"{statistics.median(values):.3f}"
            cells.append(cell + (f" ({min(values):.3f}-{max(values):.3f})" if seeds > 1 else ""))
        table.add_row(titles[name], *cells)
    console = Console(soft_wrap=True)
    console.print(table)
    if out:
        console.print(f"pictures, curves and checkpoints: {out}", highlight=False, markup=False)
