"""How much faster MemSeg is than a plain version of its published algorithm, with the same result.

Run from the project's root: `python benchmarks/bench_memseg.py`. Both sides have the same layers
and the same weights and take turns in one process; a ratio is the median over rounds. Wall-clock
time on all cores: leave the machine alone while it runs. On a CPU without bf16 instructions the
course's side falls back to float32, and the script says so.

The plain side is what the public re-implementations do: float32, channels first, a loop over the
batch that repeats the features of one image for each memory, gradients through the frozen layers
down to the stem.
"""

import argparse
import copy
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.config import pick_precision
from course_utils.losses import memseg_loss
from course_utils.models import MemSeg, spatial_attention

WANTED = {"training step": 3.5, "inference": 3.5, "memory look-up": 15.0}


class PlainMemSeg(nn.Module):
    """The layers of `model`, run as the public code runs them."""

    def __init__(self, model: MemSeg, images: Tensor) -> None:
        super().__init__()
        self.layers = copy.deepcopy(model)
        encoder = self.layers.encoder
        encoder.frozen = False  # batch normalization follows train(), the stem learns
        for name in encoder.STEM:
            getattr(encoder, name).requires_grad_(True)
        with torch.no_grad():
            features = [encoder(image[None])[1:4] for image in images]
        self.memory = [torch.cat(level).contiguous() for level in zip(*features, strict=True)]

    def forward(self, image: Tensor) -> Tensor:
        f0, f1, f2, f3, f4 = self.layers.encoder(image)
        differences = self.look_up([f1, f2, f3])
        joined = [torch.cat(pair, 1) for pair in zip([f1, f2, f3], differences, strict=True)]
        maps = spatial_attention(differences)
        fused = [c * m for c, m in zip(self.layers.fusion(joined), maps, strict=True)]
        return self.layers.decoder(f4, fused, f0)

    def look_up(self, features: list[Tensor]) -> list[Tensor]:
        count = len(self.memory[0])
        distances = torch.zeros(len(features[0]), count)
        for level, memory in zip(features, self.memory, strict=True):
            for number, f in enumerate(level):
                repeated = f[None].repeat(count, 1, 1, 1)
                each = F.mse_loss(repeated, memory, reduction="none").mean(dim=(1, 2, 3))
                distances[number] += each.detach()
        nearest = distances.argmin(1)
        return [
            F.mse_loss(torch.index_select(memory, 0, nearest), level, reduction="none")
            for level, memory in zip(features, self.memory, strict=True)
        ]


def training_step(model: nn.Module, precision: str) -> Callable[[Tensor, Tensor], Tensor]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step(image: Tensor, mask: Tensor) -> Tensor:
        model.train()
        optimizer.zero_grad()
        with autocast(precision):
            logits = model(image)
        loss = memseg_loss(logits.float(), mask)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def inference(model: nn.Module, precision: str) -> Callable[[Tensor], Tensor]:
    def infer(image: Tensor) -> Tensor:
        model.eval()
        with torch.inference_mode(), autocast(precision):
            return model(image).float().softmax(1)[:, 1]

    return infer


def autocast(precision: str) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed")


def compare(
    name: str, plain: Callable[[], object], ours: Callable[[], object], rounds: int
) -> None:
    plain(), ours()
    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        started = time.perf_counter()
        plain()
        between = time.perf_counter()
        ours()
        times.append((between - started, time.perf_counter() - between))
    ratio = statistics.median(p / o for p, o in times)
    slow, fast = (statistics.median(side) * 1e3 for side in zip(*times, strict=True))
    print(
        f"{name:<15} plain {slow:8.0f} ms   course {fast:7.0f} ms   {ratio:5.1f} times as fast "
        f"({ratio / WANTED[name]:.2f} x wanted)",
        flush=True,
    )


def processor() -> str:
    """Return the name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def apart(plain: Tensor, ours: Tensor) -> str:
    return f"{(plain - ours).abs().max():.1e} at most, {(plain - ours).abs().mean():.1e} on average"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--encoder", default="resnet18", help="resnet18 or efficientnet_lite0")
    arguments = parser.parse_args()
    precision = pick_precision(torch.device("cpu"))
    print(f"8 images of {arguments.side}x{arguments.side}, {arguments.encoder}, 30 memories")
    print(
        f"{processor()}, {torch.get_num_threads()} threads, {precision}, torch {torch.__version__}"
    )
    if precision == "32-true":
        print("this CPU has no bf16 instructions: both sides compute in float32")
    torch.manual_seed(0)
    normal = torch.rand(30, 3, 1, 1) * torch.rand(30, 3, arguments.side, arguments.side)
    image = 0.9 * normal[:8] + 0.1 * torch.rand(8, 3, arguments.side, arguments.side)
    mask = (torch.rand(8, arguments.side, arguments.side) < 0.05).long()
    model = MemSeg(encoder=arguments.encoder, weights="offline").eval()
    model.fill_memory(normal)
    plain = PlainMemSeg(model, normal).eval()
    ours = copy.deepcopy(model).to(memory_format=torch.channels_last)
    fast_image = image.contiguous(memory_format=torch.channels_last)

    with torch.inference_mode():
        features = [f.contiguous() for f in plain.layers.encoder(image)[1:4]]
        fast_features = [f.contiguous(memory_format=torch.channels_last) for f in features]
        for one, other in zip(
            plain.look_up(features), ours.memory.best_differences(fast_features), strict=True
        ):
            print(f"differences are {apart(one, other)} apart, of {one.max():.0f}")
        compare(
            "memory look-up",
            lambda: plain.look_up(features),
            lambda: ours.memory.best_differences(fast_features),
            arguments.rounds,
        )
    infer_plain, infer = inference(plain, "32-true"), inference(ours, precision)
    print(f"probabilities are {apart(infer_plain(image), infer(fast_image))} apart")
    compare("inference", lambda: infer_plain(image), lambda: infer(fast_image), arguments.rounds)
    step_plain, step = training_step(plain, "32-true"), training_step(ours, precision)
    compare(
        "training step",
        lambda: step_plain(image, mask),
        lambda: step(fast_image, mask),
        arguments.rounds,
    )


if __name__ == "__main__":
    main()
