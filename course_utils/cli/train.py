"""`course train`: train a network of the course without a notebook."""

from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from course_utils.cli.trainings import errors_told, print_table, train_all
from course_utils.config import pick_device
from course_utils.trainers import (
    CHANNELS,
    LOSS_NAMES,
    TWO_STAGE_VARIANTS,
    VARIANTS,
    WEIGHTS,
    MemSegRecipe,
    SegmentationRecipe,
    TwoStageRecipe,
    encoder_weights,
    open_normal_parts,
    score_nearest_patches,
)

app = typer.Typer(help="Train a network of the course, without a notebook.", no_args_is_help=True)
DEFAULT, MEMSEG, TWO_STAGE = SegmentationRecipe(), MemSegRecipe(), TwoStageRecipe()
ANOMALY_SCORES = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO (.3)",
    "ap": "pixel AP",
}
DETECTION_SCORES = {"ap": "AP", "fp": "false alarms", "fn": "misses"}
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
    with errors_told(out, "--batch-size, --size or --width"):
        recipes = {
            key: SegmentationRecipe(loss=key[0], seed=key[1], **settings)
            for key in product(names, seeds)
        }
        scores = train_all(recipes, out, looks, quiet, device, devices, precision)
    shown = {"iou": "IoU", "dice": "Dice", "ap": "AP"}
    print_table(scores, "loss", LOSS_NAMES, shown, data, out)


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
    with errors_told(out, "--batch-size or --size"):
        recipes = {
            key: MemSegRecipe(variant=key[0], seed=key[1], **settings)
            for key in product(names, seeds)
        }
        scores = train_all(recipes, out, looks, quiet, device, devices, precision)
    titles = {name: one.title for name, one in VARIANTS.items()}
    print_table(scores, "variant", titles, ANOMALY_SCORES, data, out)


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
    with errors_told(None, "--size"):
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
    print_table(scores, "weights", {name: name for name in names}, ANOMALY_SCORES, data, None)


@app.command("two-stage")
def two_stage(
    data: Annotated[
        str, typer.Option(help="Data set: synthetic, kolektor_sdd, magnetic_tile, folder:PATH.")
    ] = TWO_STAGE.data,
    variant: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(TWO_STAGE_VARIANTS)}; repeatable.")
    ] = None,
    seed: Seeds = None,
    fold: Annotated[
        int, typer.Option(help="Of KolektorSDD: 1, 2 or 3 is the test part; 0: no folds.")
    ] = TWO_STAGE.fold,
    height: Annotated[int, typer.Option(help="Of the images, in pixels.")] = TWO_STAGE.height,
    width: Annotated[int, typer.Option(help="Of the images, in pixels.")] = TWO_STAGE.width,
    channels: Annotated[str, typer.Option(help=f"{' or '.join(CHANNELS)}.")] = TWO_STAGE.channels,
    epochs: Annotated[
        int, typer.Option(help="Passes: all defective images and as many good ones.")
    ] = TWO_STAGE.epochs,
    batch_size: Annotated[int, typer.Option(help="Images in a batch.")] = TWO_STAGE.batch_size,
    optimizer: Annotated[
        str, typer.Option(help="sgd, at one rate, or adamw, with a rise and fall.")
    ] = TWO_STAGE.optimizer,
    learning_rate: LearningRate = TWO_STAGE.learning_rate,
    weight_decay: Annotated[float, typer.Option(help="Of the optimizer.")] = TWO_STAGE.weight_decay,
    delta: Annotated[float, typer.Option(help="Weight of the decision's loss.")] = TWO_STAGE.delta,
    power: Annotated[float, typer.Option(help="Of the distance weights.")] = TWO_STAGE.power,
    positive_weight: Annotated[
        float, typer.Option(help="Weight of the innermost pixel of a defect.")
    ] = TWO_STAGE.positive_weight,
    dilate: Annotated[
        int, typer.Option(help="Side of the square by which masks grow; odd.")
    ] = TWO_STAGE.dilate,
    masks: Annotated[
        str, typer.Option(help="exact, or ellipse: what is learnt from.")
    ] = TWO_STAGE.masks,
    segmented: Annotated[
        int, typer.Option(help="Defective images that teach with their masks; -1: all.")
    ] = TWO_STAGE.segmented,
    looks: Looks = 10,
    device: Device = "auto",
    devices: Devices = "1",
    precision: Precision = None,
    out: Out = Path("runs/two_stage"),
    quiet: Quiet = False,
) -> None:
    """Train the two-stage network for each variant and seed, and print the test images' scores.

    Each training has a folder OUT/VARIANT/seed_N. Stopped at any moment, it goes on when the same
    command is given again. OUT/scores.json lists all trainings that are finished in OUT. Each fold
    wants an OUT of its own.
    """
    names = list(dict.fromkeys(variant or [TWO_STAGE.variant]))
    seeds = list(dict.fromkeys(seed or [TWO_STAGE.seed]))
    settings: dict[str, Any] = {
        "data": data,
        "fold": fold,
        "height": height,
        "width": width,
        "channels": channels,
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "delta": delta,
        "power": power,
        "positive_weight": positive_weight,
        "dilate": dilate,
        "masks": masks,
        "segmented": segmented,
    }
    with errors_told(out, "--batch-size, --height or --width"):
        recipes = {
            key: TwoStageRecipe(variant=key[0], seed=key[1], **settings)
            for key in product(names, seeds)
        }
        scores = train_all(recipes, out, looks, quiet, device, devices, precision)
    titles = {name: one.title for name, one in TWO_STAGE_VARIANTS.items()}
    print_table(scores, "variant", titles, DETECTION_SCORES, data, out)
