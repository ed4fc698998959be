"""How much faster a U-Net trains with channels-last and bf16, and whether it learns the same.

Run from the project's root: `python benchmarks/bench_unet.py`. Both loops take the same steps in
turn, in one process; a ratio is the median over rounds. Wall-clock time on all cores: leave the
machine alone while it runs. On a CPU without bf16 instructions the fast loop falls back to
float32, and the script says so.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from course_utils.config import pick_precision
from course_utils.data import BinaryMasks, CachedDataset, open_dataset
from course_utils.evaluation import average_precision
from course_utils.models import UNet
from course_utils.training import fit, predict_probabilities

ROUNDS, STEPS, SIDE, BATCH, WANTED = 5, 6, 128, 8, 2.0


def plain_loop(model: nn.Module, image: Tensor, mask: Tensor) -> None:
    """The loop of most tutorials: float32, channels first."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(model(image), mask).backward()
        optimizer.step()


def course_loop(model: nn.Module, image: Tensor, mask: Tensor) -> None:
    """The loop of the course, with everything that it checks and records."""

    class Batch:
        pass

    batch = Batch()
    batch.image, batch.mask = image, mask  # type: ignore[attr-defined]
    fit(model, [batch], F.cross_entropy, steps=STEPS, learning_rate=1e-3, device="cpu")


def seconds(loop, width: int, image: Tensor, mask: Tensor) -> float:
    torch.manual_seed(0)
    model = UNet(image.shape[1], 2, width=width)
    started = time.perf_counter()
    loop(model, image, mask)
    return (time.perf_counter() - started) / STEPS


def compare_speed(width: int) -> None:
    torch.manual_seed(0)
    image, mask = torch.rand(BATCH, 3, SIDE, SIDE), torch.randint(2, (BATCH, SIDE, SIDE))
    for loop in (plain_loop, course_loop):
        seconds(loop, width, image, mask)
    plain, ours = [], []
    for _ in range(ROUNDS):
        plain.append(seconds(plain_loop, width, image, mask))
        ours.append(seconds(course_loop, width, image, mask))
    ratio = statistics.median(p / o for p, o in zip(plain, ours, strict=True))
    print(
        f"  width {width:<3} plain {statistics.median(plain) * 1e3:6.0f} ms   course "
        f"{statistics.median(ours) * 1e3:6.0f} ms   {ratio:4.2f} times as fast "
        f"({ratio / WANTED:.2f} x wanted)"
    )


def compare_learning(steps: int, seeds: int) -> None:
    """Train with both precisions from the same seeds: the two must not be told apart."""
    train = CachedDataset(
        BinaryMasks(open_dataset("synthetic", "train", size=96)), indices=range(200)
    )
    val = CachedDataset(BinaryMasks(open_dataset("synthetic", "val", size=96)), indices=range(80))
    print(f"AP on validation images and mean loss of the last tenth, after {steps} steps")
    for precision in ("32-true", "bf16-mixed"):
        cells = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            model = UNet(train.channels, 2)
            batches = DataLoader(train, batch_size=BATCH, shuffle=True, drop_last=True)
            history = fit(
                model,
                batches,
                F.cross_entropy,
                steps=steps,
                learning_rate=3e-3,
                device="cpu",
                precision=precision,
            )
            probabilities, masks = predict_probabilities(model, val)
            ap = average_precision(probabilities[:, 1], masks > 0)
            loss = statistics.mean(history.loss[-(steps // 10) :])
            cells.append(f"{ap:.3f} / {loss:.4f}")
        print(f"  {precision:<10}  " + "   ".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    precision = pick_precision(torch.device("cpu"))
    print(f"one step of {BATCH} images of {SIDE}x{SIDE}, {torch.get_num_threads()} threads")
    if precision == "32-true":
        print("this CPU has no bf16 instructions: only channels-last is compared")
    for width in (16, 32):
        compare_speed(width)
    compare_learning(arguments.steps, arguments.seeds)


if __name__ == "__main__":
    main()
