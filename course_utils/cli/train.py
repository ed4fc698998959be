"""`course train`: train a network of the course without a notebook."""

import inspect
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args, get_origin

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from course_utils.config import pick_device
from course_utils.io import report_errors, write_atomic
from course_utils.trainers.configs import (
    ENCODERS,
    LOSS_NAMES,
    TWO_STAGE_VARIANTS,
    VARIANTS,
    WEIGHTS,
    MemSegConfig,
    NearestPatchesConfig,
    TrainingConfig,
    TwoStageConfig,
    UNetConfig,
)
from course_utils.trainers.run_folder import check_folder, collect_scores, read_json
from course_utils.trainers.shapes import shape_remark

app = typer.Typer(help="Train a network of the course, without a notebook.", no_args_is_help=True)
Scores: TypeAlias = dict[Any, dict[str, float]]
"""Of the test images, by config."""
COUNTS = ("fp", "fn")
"""Scores that count images."""
ANOMALY_SCORES = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO (.3)",
    "ap": "pixel AP",
}
FOLDERS = (
    "Each training has a folder OUT/{}/seed_N. Stopped at any moment, it goes on when the same "
    "command is given again. OUT/scores.json lists all trainings that are finished in OUT."
)


class Method(NamedTuple):
    """What one command trains, and how its scores are shown."""

    config: type[TrainingConfig]
    trainer: str
    """Its class in `course_utils.trainers`, which is imported when it trains."""
    titles: Mapping[str, str]
    """Of the rows of the table, by what is compared."""
    scores: Mapping[str, str]
    """Of the columns, by score."""
    memory: str
    """What to lower where the memory of the device does not suffice."""
    help: str
    trains: bool = True
    """Whether there are steps: nearest patches have none."""


METHODS = {
    "unet": Method(
        UNetConfig,
        "UNetTrainer",
        LOSS_NAMES,
        {"iou": "IoU", "dice": "Dice", "ap": "AP"},
        "--batch-size, --height, --width or --channels, or train on tiles (--tile)",
        "Train a U-Net for each loss and seed, and print the scores of the test images.\n\n"
        + FOLDERS.format("LOSS"),
    ),
    "memseg": Method(
        MemSegConfig,
        "MemSegTrainer",
        {name: variant.title for name, variant in VARIANTS.items()},
        ANOMALY_SCORES,
        "--batch-size, --height or --width, or train on tiles (--tile)",
        "Train MemSeg for each variant and seed, and print the scores of the test images.\n\n"
        "Only good images are trained on; the anomalies are simulated. "
        + FOLDERS.format("VARIANT"),
    ),
    "two-stage": Method(
        TwoStageConfig,
        "TwoStageTrainer",
        {name: variant.title for name, variant in TWO_STAGE_VARIANTS.items()},
        {"ap": "AP", "fp": "false alarms", "fn": "misses"},
        "--batch-size, --height or --width, or train on tiles (--tile)",
        "Train the two-stage network for each variant and seed, and print the test images' "
        "scores.\n\n" + FOLDERS.format("VARIANT") + " Each fold wants an OUT of its own.",
    ),
    "nearest": Method(
        NearestPatchesConfig,
        "NearestPatchesTrainer",
        {name: name for name in ENCODERS},
        ANOMALY_SCORES,
        "--height or --width, or look at tiles (--tile)",
        "Score the baseline of MemSeg, which trains nothing: the distance to the nearest "
        "patches.\n\nThe features of 10,000 patches of good images are kept; a pixel is as "
        "abnormal as its patch is far from the nearest of them. " + FOLDERS.format("ENCODER"),
        trains=False,
    ),
}
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps or auto.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]


@app.callback()
def train() -> None:
    """Train a network of the course, without a notebook."""


def train_all(
    method: Method,
    configs: list[TrainingConfig],
    *,
    eval_every: Annotated[
        int, typer.Option(help="Steps between two evaluations; 0: a tenth of all.", min=0)
    ] = 0,
    device: Device = "auto",
    devices: Annotated[
        str, typer.Option(help="How many GPUs, or processes on the CPU; auto: all GPUs.")
    ] = "1",
    precision: Annotated[
        str | None, typer.Option(help="32-true or bf16-mixed; picked by device if not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the trainings.")],
    quiet: Quiet = False,
) -> None:
    """Train by each config in OUT/NAME/seed_N, all of them checked before the first begins."""
    with report_errors(
        f"{out} keeps what was done: give the same command again to go on from there"
    ):
        _require_rows(out / "scores.json")
        folders = {config: out / config.name / f"seed_{config.seed}" for config in configs}
        for config, folder in folders.items():
            check_folder(folder, config)
        where = pick_device(device)

        from course_utils import trainers
        from course_utils.training import launch

        _check_weights(folders)

        scores: Scores = {}
        for config, folder in folders.items():
            scores[config] = launch(
                getattr(trainers, method.trainer).run_in_folder,
                config,
                folder,
                eval_every,
                not quiet,
                devices=int(devices) if devices.isdecimal() else devices,
                device=where,
                precision=precision,
            )
            write_atomic(out / "scores.json", json.dumps(collect_scores(out), indent=2) + "\n")
    print_table(method, scores)
    console = Console(soft_wrap=True)
    for line in _remarks(folders, out):
        console.print(line, highlight=False, markup=False)


def _check_weights(folders: Mapping[TrainingConfig, Path]) -> None:
    """Raise unless the files of weights fit their encoders, before an hour is spent on another."""
    from course_utils.models import build_encoder

    files = {
        (getattr(config, "encoder", None), str(getattr(config, "weights", "")))
        for config, folder in folders.items()
        if not (folder / "scores.json").exists()
    }
    for encoder, weights in sorted(files, key=str):
        if encoder and weights not in WEIGHTS:
            build_encoder(encoder, Path(weights))


def _remarks(folders: Mapping[TrainingConfig, Path], out: Path) -> Iterator[str]:
    """Say how the images were split, what is decided by, and what comes next."""
    *_, newest = folders.values()
    last = read_json(newest / "scores.json")
    yield str(last["split"])
    used: dict[str, dict[str, Path]] = {}
    for config, folder in folders.items():
        found = str(read_json(folder / "scores.json").get("weights_used"))
        used.setdefault(getattr(config, "encoder", None) or "", {})[found] = folder
    for encoder, several in used.items():
        if len(several) > 1:  # a download may fail for one training alone
            where = ", ".join(f"{found} in {folder}" for found, folder in several.items())
            yield f"{encoder} has different weights, so do not compare these trainings: {where}"
    if len(folders) == 1:
        from course_utils.inference import Threshold

        yield f"threshold {Threshold.model_validate(last['threshold'])}"
        found = last["test_errors"]
        yield (
            f"test images at this threshold: {found['false_alarms']} false alarms of "
            f"{found['good']} good ones, {found['misses']} misses of {found['defective']} "
            "defective ones"
        )
    yield f"all that was kept: {out}"
    yield f"next: course predict {newest} PHOTOGRAPHS --out ANSWERS"


def print_table(method: Method, scores: Scores) -> None:
    """Print the median of the seeds of each loss or variant and, of several seeds, their range."""
    rows: dict[str, list[dict[str, float]]] = {}
    for config, found in scores.items():
        rows.setdefault(config.name, []).append(found)
    config = next(iter(scores))
    seeds = len(scores) // len(rows)
    title = f"{escape(config.data)}, test images"
    if seeds > 1:
        title += f", median of {seeds} seeds (range)"
    table = Table(config.compared, *method.scores.values(), title=title)
    for name, several in rows.items():
        cells = []
        for score in method.scores:
            values = [found[score] for found in several]
            if any(map(math.isnan, values)):  # nobody can know it: no defect, or no mask
                cells.append("-")
                continue
            form = "g" if score in COUNTS else ".3f"  # the median of two counts may be a half
            cell = f"{statistics.median(values):{form}}"
            cells.append(
                f"{cell} ({min(values):{form}}-{max(values):{form}})" if seeds > 1 else cell
            )
        table.add_row(method.titles.get(name, name), *cells)
    Console(soft_wrap=True).print(table)


def command(name: str, method: Method, function: Callable[..., None]) -> None:
    """Register a command whose options are the settings of its config and `function`'s keywords.

    `function` gets a config for each value of what is compared and each seed; both options may be
    repeated.
    """
    keywords = [
        parameter.replace(default=Path("runs", name.replace("-", "_")))
        if parameter.name == "out"
        else parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and (method.trains or parameter.name not in ("eval_every", "devices", "precision"))
    ]

    def run(**given: Any) -> None:
        kept = {parameter.name: given.pop(parameter.name) for parameter in keywords}
        values, seeds = given.pop(method.config.compared), given.pop("seed")
        with report_errors():
            configs = [
                method.config(**given, **{method.config.compared: value}, seed=seed)
                for value, seed in product(dict.fromkeys(values), dict.fromkeys(seeds))
            ]
        with suppress(ValueError, OSError):  # the training will say it, if it needs the images
            if remark := shape_remark(configs[0]):
                Console(soft_wrap=True).print(remark, style="yellow", highlight=False, markup=False)
        try:
            function(method, configs, **kept)
        except RuntimeError as error:
            import torch  # it is loaded by now: the checks before take no second

            if not isinstance(error, torch.OutOfMemoryError):
                raise
            sys.exit(f"error: {str(error).splitlines()[0]} Lower {method.memory}.")

    parameters = [*_options(method.config), *keywords]
    run.__doc__ = method.help
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    vars(run)["__signature__"] = inspect.Signature(parameters)
    app.command(name)(run)


def _options(config: type[TrainingConfig]) -> list[inspect.Parameter]:
    """An option for each setting, with its type, its default and its description."""
    options = []
    for name, field in config.model_fields.items():
        kind: Any = field.annotation
        default, text = field.default, field.description or ""
        if name in (config.compared, "seed"):
            if get_origin(kind) is Literal:  # typer takes no list of these
                kind, text = str, f"{', '.join(get_args(kind))}."
            kind, default, text = list[kind], [default], f"{text.removesuffix('.')}; repeatable."
        annotation = Annotated[kind, typer.Option(help=text)]
        keyword = inspect.Parameter.KEYWORD_ONLY
        options.append(inspect.Parameter(name, keyword, default=default, annotation=annotation))
    return options


def _require_rows(file: Path) -> None:
    """Raise `FileExistsError` if a file that is not ours stands where the scores will go."""
    if not file.exists():
        return
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        rows = None
    ours = isinstance(rows, list) and all(
        isinstance(row, dict) and "data" in row and "seed" in row for row in rows
    )
    if not ours:
        raise FileExistsError(f"{file} is no list of scores of trainings: choose another --out")


for _name, _method in METHODS.items():
    command(_name, _method, train_all)
