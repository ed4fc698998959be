"""How fast synthetic images are made on one core, and what the fast random fields gain.

Run from the project's root: `python benchmarks/bench_synthetic.py`. Times are CPU seconds of
this process, the best of a few rounds, so that other work on the machine counts little.
"""

import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import torch

from course_utils.data.synthetic import SURFACES, SyntheticSurfaces
from course_utils.data.synthetic.fields import fractal, smooth, white

IMAGES, ROUNDS, SIDE, WANTED = 80, 3, 256, 100


def best(work: Callable[[], object], repeats: int = 1) -> float:
    """Return the CPU seconds of the fastest of a few rounds of `repeats` calls."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(repeats):
            work()
        times.append(time.process_time() - start)
    return min(times)


def plain_white(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(SIDE, SIDE)).astype(np.float32)


def plain_smooth(rng: np.random.Generator, cell: float) -> np.ndarray:
    """Noise at full size, then a wide blur: the textbook way."""
    field = cv2.GaussianBlur(plain_white(rng), (0, 0), cell / 2)
    return field / field.std()


def plain_fractal(rng: np.random.Generator) -> np.ndarray:
    total = plain_white(rng)
    for step in range(1, 7):
        total += 0.6 ** (6 - step) * plain_smooth(rng, 2.0**step)
    return total


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(f"images of {SIDE}x{SIDE} per second on one core")
    for family in (*SURFACES, None):
        chosen = SURFACES if family is None else (family,)
        # Iterating reads the items one by one, as a loader does.
        data = SyntheticSurfaces(size=SIDE, length=IMAGES, surfaces=chosen)
        speed = IMAGES / best(partial(list, data))
        print(f"  {family or 'all families':<14} {speed:6.0f}   {speed / WANTED:.2f} x wanted")

    rng = np.random.default_rng(0)
    shape = (SIDE, SIDE)
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "white noise": (lambda: white(rng, shape), lambda: plain_white(rng)),
        "smooth, cell 60": (lambda: smooth(rng, shape, 60.0), lambda: plain_smooth(rng, 60.0)),
        "fractal, 64 to 1": (lambda: fractal(rng, shape, 64.0), lambda: plain_fractal(rng)),
    }
    print("times faster than the plain way")
    for name, (ours, plain) in pairs.items():
        print(f"  {name:<18} {best(plain, 50) / best(ours, 50):5.1f}")


if __name__ == "__main__":
    main()
