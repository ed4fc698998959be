"""How much faster the two-stage network trains than a plain version, with the same result.

Run from the project's root: `python benchmarks/bench_two_stage.py`. Both sides have the same
weights and take turns in one process; a ratio is the median over rounds. Wall-clock time on all
cores: leave the machine alone while it runs, or ask for `--clock cpu`, the processor time of all
threads. On a CPU without bf16 instructions the course's side falls back to float32, and the script
says so.

The plain side is what the public code does: float32, channels first, one image after the other
with gradients summed, normalization written out, gradient stops that send back zeros. Then the
15x15 convolution by itself: its share of a step, and other ways to compute it, none of which the
network uses:

- FFT, overlap-save with tiles of 32 cells: the transform of 65,536 kernels does not depend on the
  batch, so it pays with several images only.
- Winograd's F(4x4, 3x3), with the kernel cut into 25 of 3x3 (Lavin and Gray, CVPR 2016): four
  times fewer products, and the sums over the 25 cost no transform of their own.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.config import pick_precision
from course_utils.models import FeatureNorm, TwoStageNet

BALANCE, DELTA = 0.5, 0.01  # lambda and delta of the published loss, in the middle of a training


class PlainNorm(nn.Module):
    def __init__(self, norm: FeatureNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        variance = x.var(dim=(2, 3), keepdim=True, correction=0)
        x = (x - mean) / (variance + 1e-5).sqrt()
        return x * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


class ZeroGradient(torch.autograd.Function):
    @staticmethod
    def forward(_, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_, gradient: Tensor) -> Tensor:
        return torch.zeros_like(gradient)


class PlainTwoStage(nn.Module):
    """The layers of `model`, run as the public code runs them."""

    def __init__(self, model: TwoStageNet) -> None:
        super().__init__()
        self.layers = copy.deepcopy(model)
        for parent in list(self.layers.modules()):
            for name, child in parent.named_children():
                if isinstance(child, FeatureNorm):
                    setattr(parent, name, PlainNorm(child))
                elif isinstance(child, nn.ReLU):
                    setattr(parent, name, nn.ReLU())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        volume = self.layers.volume(image)
        segmentation = self.layers.segmentation_head(volume)
        both = ZeroGradient.apply(torch.cat([volume, segmentation], 1))
        features = self.layers.extractor(both)
        shortcut = ZeroGradient.apply(segmentation)
        pooled = [p(m).flatten(1) for m in (features, shortcut) for p in (
            nn.AdaptiveMaxPool2d(1), nn.AdaptiveAvgPool2d(1))]  # fmt: skip
        return segmentation, self.layers.classifier(torch.cat(pooled, 1)).squeeze(1)


def loss_of(output: tuple[Tensor, Tensor], mask: Tensor, label: Tensor) -> Tensor:
    segmentation = F.binary_cross_entropy_with_logits(output[0].float(), mask)
    decision = F.binary_cross_entropy_with_logits(output[1].float(), label)
    return BALANCE * segmentation + DELTA * (1 - BALANCE) * decision


def plain_step(model: nn.Module, images: Tensor, mask: Tensor, label: Tensor) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    optimizer.zero_grad()
    for n in range(len(images)):
        part = slice(n, n + 1)
        loss_of(model(images[part]), mask[part], label[part]).backward()
    optimizer.step()


def course_step(
    model: nn.Module, images: Tensor, mask: Tensor, label: Tensor, precision: str
) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        output = model(images)
    loss_of(output, mask, label).backward()
    optimizer.step()


def by_fft(x: Tensor, w: Tensor, tile: int = 32) -> Tensor:
    """Same convolution with an odd kernel: overlapping tiles, products of their transforms."""
    n, inputs, height, width = x.shape
    outputs, _, kernel, _ = w.shape
    border, valid = kernel // 2, tile - kernel + 1
    down, across = -(-height // valid), -(-width // valid)
    right, bottom = valid * across - width + border, valid * down - height + border
    tiles = F.pad(x, (border, right, border, bottom)).unfold(2, tile, valid).unfold(3, tile, valid)
    of_x = torch.fft.rfft2(tiles).permute(4, 5, 0, 2, 3, 1).reshape(-1, n * down * across, inputs)
    of_w = torch.fft.rfft2(w, s=(tile, tile)).permute(2, 3, 1, 0).reshape(-1, inputs, outputs)
    y = torch.bmm(of_x, of_w.conj()).reshape(tile, tile // 2 + 1, n, down, across, outputs)
    y = torch.fft.irfft2(y.permute(2, 5, 3, 4, 0, 1), s=(tile, tile))[..., :valid, :valid]
    y = y.permute(0, 1, 2, 4, 3, 5).reshape(n, outputs, valid * down, valid * across)
    return y[:, :, :height, :width]


WINOGRAD_DATA = torch.tensor([
    [4.0, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]])  # fmt: skip
WINOGRAD_KERNEL = torch.tensor([
    [6.0, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24  # fmt: skip
WINOGRAD_BACK = torch.tensor([
    [1.0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1]])  # fmt: skip


def by_winograd(x: Tensor, w: Tensor) -> Tensor:
    """15x15 same convolution: 25 kernels of 3x3, added up in the domain of the transform."""
    n, inputs, height, width = x.shape
    outputs = len(w)
    down, across = -(-height // 4), -(-width // 4)
    x = F.pad(x, (7, 4 * across - width + 7, 7, 4 * down - height + 7)).contiguous()
    image, channel, row, column = x.stride()
    tiles = x.as_strided(
        (6, 6, n, down, across, inputs, 5, 5),
        (row, column, image, 4 * row, 4 * column, channel, 3 * row, 3 * column),
    )
    of_x = torch.kron(WINOGRAD_DATA, WINOGRAD_DATA) @ tiles.reshape(36, -1)
    kernels = w.view(outputs * inputs * 5, 3, 5, 3).permute(1, 3, 0, 2).reshape(9, -1)
    of_w = torch.kron(WINOGRAD_KERNEL, WINOGRAD_KERNEL) @ kernels
    of_x = of_x.view(36, n * down * across, inputs * 25)
    y = torch.bmm(of_x, of_w.view(36, outputs, inputs * 25).transpose(1, 2))
    y = torch.kron(WINOGRAD_BACK, WINOGRAD_BACK) @ y.view(36, -1)
    y = y.view(4, 4, n, down, across, outputs).permute(2, 5, 3, 0, 4, 1)
    return y.reshape(n, outputs, 4 * down, 4 * across)[:, :, :height, :width]


def direct(x: Tensor, w: Tensor) -> Tensor:
    return F.conv2d(x, w, padding=7)


def direct_bf16(x: Tensor, w: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return direct(x, w).float()


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def seconds(run: Callable[[], object], clock: str) -> float:
    started = CLOCKS[clock]()
    run()
    return CLOCKS[clock]() - started


def apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


def compare_steps(
    batch: int, height: int, width: int, rounds: int, precision: str, clock: str
) -> float:
    """Print one line, and return the seconds of the course's step."""
    torch.manual_seed(0)
    images = torch.rand(batch, 1, height, width)
    mask = (torch.rand(batch, 1, height // 8, width // 8) < 0.02).float()
    label = torch.arange(batch).remainder(2).float()
    model = TwoStageNet()
    plain = PlainTwoStage(model)
    ours = model.to(memory_format=torch.channels_last)
    fast_images = images.contiguous(memory_format=torch.channels_last)

    def one() -> None:
        plain_step(plain, images, mask, label)

    def other() -> None:
        course_step(ours, fast_images, mask, label, precision)

    one(), other()
    found = apart(
        torch.cat([p.grad.flatten() for p in ours.parameters()]),
        torch.cat([p.grad.flatten() / batch for p in plain.parameters()]),
    )
    times = [(seconds(one, clock), seconds(other, clock)) for _ in range(rounds)]
    ratio = statistics.median(p / o for p, o in times)
    slow, fast = (statistics.median(side) for side in zip(*times, strict=True))
    print(
        f"training step   plain {slow * 1e3:8.0f} ms   course {fast * 1e3:8.0f} ms   {ratio:5.2f} "
        f"times as fast; gradients are {found:.0e} apart",
        flush=True,
    )
    return fast


def compare_convolutions(
    batch: int, height: int, width: int, rounds: int, precision: str, clock: str, step: float
) -> None:
    torch.manual_seed(0)
    x = torch.rand(batch, 64, height // 8, width // 8)
    w = torch.randn(1024, 64, 15, 15) * 0.01
    g = torch.randn(batch, 1024, height // 8, width // 8)
    ways: list[tuple[str, Callable[[Tensor, Tensor], Tensor], torch.memory_format]] = [
        ("channels first", direct, torch.contiguous_format),
        ("channels last", direct, torch.channels_last),
        ("FFT", by_fft, torch.contiguous_format),
        ("Winograd", by_winograd, torch.contiguous_format),
    ]
    if precision == "bf16-mixed":
        ways.insert(2, ("bf16", direct_bf16, torch.channels_last))
    wanted: list[Tensor] = []
    for name, way, layout in ways:
        inputs = [t.contiguous(memory_format=layout).requires_grad_() for t in (x.clone(), w)]
        # The Winograd view of the weights wants them channels first, whatever the layout.
        gradient = g.contiguous(memory_format=layout)

        def run(way=way, inputs=inputs, gradient=gradient) -> list[Tensor]:
            y = way(*inputs)
            return [y.detach(), *torch.autograd.grad(y, inputs, gradient)]

        results = run()
        wanted = wanted or results
        off = max(apart(a, b) for a, b in zip(results, wanted, strict=True))
        del results
        took = statistics.median(seconds(run, clock) for _ in range(rounds))
        print(
            f"  15x15, {name:<15} {took * 1e3:8.0f} ms = {took / step:4.0%} of the course's step; "
            f"{off:.0e} from the first",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=704)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    precision = pick_precision(torch.device("cpu"))
    if precision == "32-true":
        print("this CPU has no bf16 instructions: both sides compute in float32")
    size = arguments.height, arguments.width
    how = arguments.rounds, precision, arguments.clock
    for batch in arguments.batches:
        print(
            f"{batch} of {size[0]}x{size[1]}, {torch.get_num_threads()} threads, {precision}, "
            f"{arguments.clock} time"
        )
        step = compare_steps(batch, *size, *how)
        compare_convolutions(batch, *size, *how, step)


if __name__ == "__main__":
    main()
