"""`course train`: train a network of the course without a notebook."""

import json
import os
import statistics
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from course_utils.config import pick_device
from course_utils.recipes import (
    LOSS_NAMES,
    SegmentationRecipe,
    collect_scores,
    require_place,
    run_in_folder,
)
from course_utils.training import launch

app = typer.Typer(help="Train a network of the course, without a notebook.", no_args_is_help=True)
SHOWN = {"iou": "IoU", "dice": "Dice", "ap": "AP"}
DEFAULT = SegmentationRecipe()


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
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed of the training; repeatable.")
    ] = None,
    classes: Annotated[
        str, typer.Option(help="one: defect or not; all: each class of defect for itself.")
    ] = DEFAULT.classes,
    size: Annotated[int, typer.Option(help="Side of the images, in pixels.")] = DEFAULT.size,
    width: Annotated[int, typer.Option(help="Channels of the first stage.")] = DEFAULT.width,
    steps: Annotated[int, typer.Option(help="Batches to train on.")] = DEFAULT.steps,
    batch_size: Annotated[int, typer.Option(help="Images in a batch.")] = DEFAULT.batch_size,
    learning_rate: Annotated[
        float, typer.Option(help="Highest learning rate.")
    ] = DEFAULT.learning_rate,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = DEFAULT.weight_decay,
    split_by: Annotated[
        str, typer.Option(help="group, or image: leaks, to measure what that pretends.")
    ] = DEFAULT.split_by,
    looks: Annotated[int, typer.Option(help="Looks at the validation images.", min=1)] = 10,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps or auto.")] = "auto",
    devices: Annotated[
        str, typer.Option(help="How many GPUs, or processes on the CPU; auto: all GPUs.")
    ] = "1",
    precision: Annotated[
        str | None, typer.Option(help="32-true or bf16-mixed; picked by device if not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the trainings.")] = Path("runs/unet"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Train a U-Net for each loss and seed, and print the scores of the test images.

    Each training has a folder OUT/LOSS/seed_N. Stopped at any moment, it goes on when the same
    command is given again. OUT/scores.json lists all trainings that are finished in OUT.
    """
    losses = list(dict.fromkeys(loss or [DEFAULT.loss]))
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
    scores: dict[tuple[str, int], dict[str, float]] = {}
    try:
        where = pick_device(device)
        trainings = {
            key: (SegmentationRecipe(loss=key[0], seed=key[1], **settings), _folder(out, *key))
            for key in product(losses, seeds)
        }
        for recipe, folder in trainings.values():
            require_place(folder, recipe)
        for key, (recipe, folder) in trainings.items():
            scores[key] = launch(
                run_in_folder,
                recipe,
                folder,
                looks,
                not quiet,
                devices=int(devices) if devices.isdecimal() else devices,
                device=where,
                precision=precision,
            )
            _write_scores(out)
    except KeyboardInterrupt:
        Console(stderr=True, soft_wrap=True).print(
            f"stopped. {out} keeps what was done: give the same command again to go on from there",
            style="yellow",
            markup=False,
        )
        raise typer.Exit(130) from None
    except (ValueError, OSError, MemoryError) as error:
        raise _failure(error, 2) from None
    except torch.OutOfMemoryError as error:
        reason = str(error).splitlines()[0]
        raise _failure(f"{reason} Lower --batch-size, --size or --width.", 1) from None
    except FloatingPointError as error:
        raise _failure(error, 1) from None
    console = Console(soft_wrap=True)
    console.print(_table(scores, losses, data))
    console.print(f"pictures, curves and checkpoints: {out}", highlight=False, markup=False)


def _folder(out: Path, loss: str, seed: int) -> Path:
    return out / loss / f"seed_{seed}"


def _failure(message: object, code: int) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(f"error: {message}", style="red", markup=False)
    return typer.Exit(code)


def _write_scores(out: Path) -> None:
    draft = out / "scores.json.part"
    draft.write_text(json.dumps(collect_scores(out), indent=2) + "\n", encoding="utf-8")
    os.replace(draft, out / "scores.json")


def _table(scores: dict[tuple[str, int], dict[str, float]], losses: list[str], data: str) -> Table:
    seeds = len(scores) // len(losses)
    title = f"{escape(data)}, test images" + (
        f", median of {seeds} seeds (range)" if seeds > 1 else ""
    )
    table = Table("loss", *SHOWN.values(), title=title)
    for loss in losses:
        cells = []
        for name in SHOWN:
            values = [found[name] for (one, _), found in scores.items() if one == loss]
            cell = f"{statistics.median(values):.3f}"
            cells.append(cell + (f" ({min(values):.3f}-{max(values):.3f})" if seeds > 1 else ""))
        table.add_row(LOSS_NAMES[loss], *cells)
    return table
