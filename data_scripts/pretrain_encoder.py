"""Pretrain a ResNet-18 on classified images: an encoder that needs no download.

Run from the project's root: `python data_scripts/pretrain_encoder.py --help`.
"""

import hashlib
import json
import math
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Annotated, Any

import safetensors.torch
import torch
import torchvision
import typer
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from course_utils.config import check_seed, seed_everything
from course_utils.data.labeled_images import (
    LabeledFiles,
    LabeledImage,
    LabeledImages,
    find_labeled_images,
)
from course_utils.io import report_errors, write_atomic
from course_utils.models import ResNetEncoder
from course_utils.models.encoders.base import half_precision, load_exactly
from course_utils.training import EpochLoader, History, fit, launch

VAL_BATCH = 256


@dataclass(frozen=True)
class Config:
    """All that decides a training besides the images, on one CPU with one number of threads.

    Raises:
        ValueError: for settings that cannot work.
    """

    epochs: int = 12
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    size: int = 64
    seed: int = 0
    workers: int = 2
    """They draw the augmentations, each its own: another number gives other weights."""

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.size < 32 or self.size % 32:
            raise ValueError(
                f"size must be a multiple of 32 (ResNet-18 halves it 5 times), got {self.size}"
            )
        if not 0 < self.learning_rate < math.inf or not 0 <= self.weight_decay < math.inf:
            raise ValueError(
                "learning_rate must be above 0 and weight_decay at least 0, both finite, got "
                f"{self.learning_rate} and {self.weight_decay}"
            )
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"label_smoothing must be at least 0 and below 1, got {self.label_smoothing}"
            )
        check_seed(self.seed)


class Classifier(nn.Module):
    """The encoder, the mean of its last features over all places, and one linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder = ResNetEncoder(weights=None)
        self.fc = nn.Linear(512, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        *_, f4 = self.encoder(image)  # (N, 512, H/32, W/32)
        return self.fc(f4.mean(dim=(2, 3)))  # (N, classes)


def pretrain(
    fabric: Fabric,
    config: Config,
    data: Path,
    out: Path,
    *,
    save_every: int = 100,
    progress: bool = False,
) -> dict[str, Any]:
    """Train on the images of `data` and write the encoder to `out`, its report beside it.

    Until it is finished, a checkpoint lies beside `out`, from which the training goes on.

    Args:
        fabric: what `launch` hands over.
        config: all settings.
        data: folder of images, see `find_labeled_images`.
        out: a path that ends in `.safetensors`; the report ends in `.json`.
        save_every: steps between two checkpoints.
        progress: whether a bar is shown.

    Returns:
        The report: settings, images, accuracy on the validation images with the weights as
        written, and circumstances.

    Raises:
        FileExistsError: if there is such a file.
        ValueError: for fewer images than a batch takes, and as `find_labeled_images` and `fit` do.
    """
    start = perf_counter()
    require_place(out)
    files = find_labeled_images(data, seed=config.seed)
    epoch = len(files.train) // config.batch_size
    if epoch == 0:
        raise ValueError(
            f"{data} has {len(files.train)} images to train on, fewer than a batch of "
            f"{config.batch_size}: choose a smaller batch size"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    seed_everything(config.seed)
    model = Classifier(len(files.class_names))
    batches = EpochLoader(
        LabeledImages(files.train, augmentation(config.size)),
        batch_size=config.batch_size,
        shuffle=True,
        drop_last=True,
        seed=config.seed,
        workers=config.workers,
    )
    shown = LabeledImages(files.val, plain_view(config.size))
    val = DataLoader(shown, batch_size=VAL_BATCH, num_workers=config.workers)
    history = fit(
        model,
        batches,
        nn.CrossEntropyLoss(label_smoothing=config.label_smoothing),
        steps=config.epochs * epoch,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        evaluate=lambda _: accuracy(model, val),
        evaluate_every=epoch,
        checkpoint=checkpoint_of(out),
        checkpoint_every=save_every,
        settings={
            **{name: value for name, value in asdict(config).items() if name not in FIT_COMPARES},
            "classes": len(files.class_names),
            "images": _fingerprint(files, data),
        },
        fabric=fabric,
        progress=progress,
        description=out.stem,
    )
    weights = half_precision(model.encoder)
    load_exactly(model.encoder, weights)
    content = safetensors.torch.save(weights, {"source": f"see {report_of(out).name} beside this"})
    report = {
        "file": out.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "accuracy": accuracy(model, val),
        "images": {
            "folder": data.resolve().name,
            "classes": len(files.class_names),
            "train": len(files.train),
            "val": len(files.val),
            "val_source": files.val_source,
        },
        "config": {**asdict(config), **CONFIG_IN_WORDS},
        "epochs": _by_epoch(history, epoch),
        **_circumstances(fabric, perf_counter() - start),
    }
    # The weights come last: where they are, all is there.
    write_atomic(report_of(out), json.dumps(report, indent=2) + "\n")
    write_atomic(out, content)
    checkpoint_of(out).unlink()
    return report


FIT_COMPARES = ("learning_rate", "weight_decay", "workers")
"""What `fit` compares by itself when a training goes on."""
CONFIG_IN_WORDS = {
    "network": "ResNet-18, from random weights",
    "optimizer": "AdamW, one-cycle learning rate (20 % rise, then cosine to 0)",
    "augmentation": "random resized crop (area .35 to 1, aspect e^-.29 to e^.29), flip, gray with "
    "probability .2, brightness and contrast .7 to 1.3",
    "normalization": "mean and standard deviation of ImageNet",
}


def augmentation(size: int) -> v2.Compose:
    """Return what turns a PIL image into a training image, (3, size, size) in [0, 1]."""
    return v2.Compose(
        [
            # As for the weights that come with the package.
            v2.RandomResizedCrop(size, scale=(0.35, 1), ratio=(0.748, 1.336)),
            v2.RandomHorizontalFlip(),
            v2.RandomGrayscale(0.2),
            v2.ColorJitter(brightness=0.3, contrast=0.3),
            *_TO_TENSOR,
        ]
    )


def plain_view(size: int) -> v2.Compose:
    """Return what turns a PIL image into a validation image: its center, (3, size, size)."""
    return v2.Compose([v2.Resize(size), v2.CenterCrop(size), *_TO_TENSOR])


_TO_TENSOR = (v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.ToPureTensor())


@torch.no_grad()
def accuracy(model: nn.Module, batches: DataLoader[LabeledImage]) -> dict[str, float]:
    """Return the share of images whose class is the most probable one, or among the first five.

    Of five classes or fewer, "top5" would always be 1 and is left out.
    """
    model.eval()
    device = next(model.parameters()).device
    correct: list[Tensor] = []
    for image, label in batches:
        logits = model(image.to(device))  # (N, classes)
        first = logits.topk(min(5, logits.shape[1])).indices.cpu()
        correct.append(first == label[:, None])
    found = torch.cat(correct).double()  # (images, 5)
    shares = {"top1": found[:, 0].mean().item()}
    return {**shares, "top5": found.sum(1).mean().item()} if logits.shape[1] > 5 else shares


def checkpoint_of(out: Path) -> Path:
    """Return where an unfinished training is kept."""
    return out.with_suffix(".checkpoint.pt")


def report_of(out: Path) -> Path:
    """Return where settings and accuracy are written."""
    return out.with_suffix(".json")


def require_place(out: Path) -> None:
    """Raise unless `out` can be written: nothing is overwritten but an unfinished training."""
    if out.suffix != ".safetensors":
        raise ValueError(f"the file to write must end in .safetensors, got {out}")
    taken = out if out.exists() else report_of(out)
    if taken.exists() and (taken == out or not checkpoint_of(out).exists()):
        raise FileExistsError(f"{taken} exists already: move it away, or choose another file")


def _fingerprint(files: LabeledFiles, data: Path) -> int:
    """Of names and classes, so that a training does not go on with other images."""
    names = [
        f"{label} {Path(path).relative_to(data).as_posix()}"
        for path, label in files.train + files.val
    ]
    return zlib.crc32("\n".join(names).encode("utf-8", "surrogateescape"))


def _by_epoch(history: History, steps: int) -> list[dict[str, float]]:
    return [
        {
            "loss": round(fmean(history.loss[number * steps : (number + 1) * steps]), 4),
            **{name: round(value, 4) for name, value in row.items() if name != "step"},
        }
        for number, row in enumerate(history.evaluations)
    ]


def _circumstances(fabric: Fabric, seconds: float) -> dict[str, Any]:
    gpu = fabric.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(fabric.device) if gpu else str(fabric.device),
        "precision": fabric.strategy.precision.precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "seconds_since_last_start": round(seconds, 1),
    }


app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
DEFAULT = Config()


@app.command(no_args_is_help=True)
def main(
    data: Annotated[
        Path,
        typer.Argument(help="Folder of images: Tiny-ImageNet as it is unpacked, or CLASS/IMAGES."),
    ],
    out: Annotated[
        Path, typer.Option(help="File to write; settings and accuracy go to a .json beside it.")
    ] = Path("runs/encoder.safetensors"),
    epochs: Annotated[int, typer.Option(help="Passes through the images.")] = DEFAULT.epochs,
    batch_size: Annotated[int, typer.Option(help="Images in a batch.")] = DEFAULT.batch_size,
    learning_rate: Annotated[
        float, typer.Option(help="Highest learning rate.")
    ] = DEFAULT.learning_rate,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = DEFAULT.weight_decay,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of the target that all classes divide.")
    ] = DEFAULT.label_smoothing,
    size: Annotated[int, typer.Option(help="Side of the images, in pixels.")] = DEFAULT.size,
    seed: Annotated[
        int, typer.Option(help="Of weights, order, augmentation and held-out images.")
    ] = DEFAULT.seed,
    workers: Annotated[int, typer.Option(help="Processes that read images.")] = DEFAULT.workers,
    save_every: Annotated[int, typer.Option(help="Steps between two checkpoints.", min=1)] = 100,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps or auto.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="32-true or bf16-mixed; picked by device if not given.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Pretrain a ResNet-18 on classified images, for use without the internet.

    DATA holds train/ and val/ as Tiny-ImageNet does, or a folder of images for each class; then
    10 % of each class are held out to measure the accuracy.

    Stopped at any moment, the training goes on when the same command is given again.
    """
    with report_errors(f"Where {checkpoint_of(out)} is there, the same command goes on from it."):
        config = Config(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            size=size,
            seed=seed,
            workers=workers,
        )

        def work(fabric: Fabric) -> dict[str, Any]:
            return pretrain(fabric, config, data, out, save_every=save_every, progress=not quiet)

        try:
            report = launch(work, device=device, precision=precision)
        except (ValueError, OSError) as error:
            if "Original Traceback" not in str(error):
                raise
            # Of an error in a process that reads images: what stands below its traceback.
            message = str(error).strip().splitlines()[-1].partition(": ")[2]
            raise ValueError(message) from None
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error)) from None
    shares = ", ".join(f"{name} {share:.1%}" for name, share in report["accuracy"].items())
    typer.echo(f"{report['images']['val']} validation images: {shares}", err=True)
    typer.echo(f"weights: {out}\nsettings and accuracy: {report_of(out)}", err=True)
    typer.echo(f"next: course train unet --encoder resnet18 --weights {out}", err=True)


if __name__ == "__main__":
    app()
