"""How fast anomalies are simulated on one core, against the published algorithm written plainly.

Run from the project's root: `python benchmarks/bench_anomaly.py`. Times are CPU seconds of this
process, the best of a few rounds, so that other work on the machine counts little. Both sides
take turns in each round, on the same images, and read the same texture files.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from course_utils.anomaly import (
    AnomalySynthesizer,
    TextureFolder,
    TextureSource,
    augment_at_random,
    draw_mask,
    foreground_mask,
    perlin_noise,
    pitfall_structure_source,
    procedural_source,
    procedural_texture,
    structure_source,
)
from course_utils.data.synthetic import SyntheticSurfaces

SIDE, ROUNDS, REPEATS = 256, 7, 40
TEXTURES, TEXTURE_SIDE = 40, 400


def best_of_both(
    ours: Callable[[], object], plain: Callable[[], object], repeats: int = REPEATS
) -> tuple[float, float]:
    """CPU milliseconds of a call of each, in their fastest rounds of `repeats` calls."""
    times: dict[int, list[float]] = {0: [], 1: []}
    ours(), plain()
    for _ in range(ROUNDS):
        for side, work in enumerate((ours, plain)):
            start = time.process_time()
            for _ in range(repeats):
                work()
            times[side].append(1000 * (time.process_time() - start) / repeats)
    return min(times[0]), min(times[1])


def plain_perlin(rng: np.random.Generator, resolution: tuple[int, int]) -> np.ndarray:
    """The form that went from code to code: everything at full size, in float64."""
    delta = resolution[0] / SIDE, resolution[1] / SIDE
    cell = SIDE // resolution[0], SIDE // resolution[1]
    grid = np.mgrid[0 : resolution[0] : delta[0], 0 : resolution[1] : delta[1]]
    grid = grid.transpose(1, 2, 0) % 1
    angles = 2 * np.pi * rng.random((resolution[0] + 1, resolution[1] + 1))
    gradients = np.stack((np.cos(angles), np.sin(angles)), axis=-1)
    full = np.repeat(np.repeat(gradients, cell[0], axis=0), cell[1], axis=1)

    def corner(down: int, across: int) -> np.ndarray:
        at = full[cell[0] * down :, cell[1] * across :][:SIDE, :SIDE]
        way = np.stack((grid[..., 0] - down, grid[..., 1] - across), axis=-1)
        return (way * at).sum(axis=-1)

    fade = 6 * grid**5 - 15 * grid**4 + 10 * grid**3
    upper = corner(0, 0) + fade[..., 0] * (corner(1, 0) - corner(0, 0))
    lower = corner(0, 1) + fade[..., 0] * (corner(1, 1) - corner(0, 1))
    return np.sqrt(2) * (upper + fade[..., 1] * (lower - upper))


def plain_mask(rng: np.random.Generator) -> np.ndarray:
    down, across = 2 ** rng.integers(0, 6, 2)
    noise = plain_perlin(rng, (int(down), int(across)))
    # The published codes call imgaug for this, which takes longer.
    turn = cv2.getRotationMatrix2D((SIDE / 2 - 0.5, SIDE / 2 - 0.5), rng.uniform(-90, 90), 1.0)
    noise = cv2.warpAffine(noise, turn, (SIDE, SIDE))
    return np.where(noise > 0.5, np.ones_like(noise), np.zeros_like(noise))


def plain_texture(rng: np.random.Generator, files: list[Path], image: np.ndarray) -> np.ndarray:
    texture = cv2.imread(str(files[rng.integers(len(files))]))
    texture = cv2.cvtColor(texture, cv2.COLOR_BGR2RGB)
    return cv2.resize(texture, image.shape[1::-1]).astype(np.float32)


def plain_structure(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Three of ten augmenters, then 8 x 8 tiles one after the other."""
    changed, step = augment_at_random(image, rng), SIDE // 8
    tiles = [
        changed[r : r + step, c : c + step]
        for r in range(0, SIDE, step)
        for c in range(0, SIDE, step)
    ]
    tiles = [tiles[i] for i in rng.permutation(64)]
    lines = [np.concatenate(tiles[start : start + 8], axis=1) for start in range(0, 64, 8)]
    return np.concatenate(lines, axis=0).astype(np.float32)


def plain_anomaly(
    image: np.ndarray, rng: np.random.Generator, sources: list[Callable[..., np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    _, foreground = cv2.threshold(gray, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    mask = plain_mask(rng) * (1 - foreground)
    full = np.expand_dims(mask, axis=2)
    source = sources[rng.integers(len(sources))](rng, image=image)
    opacity = rng.uniform(0.15, 1.0)
    filled = opacity * (full * source) + (1 - opacity) * (full * image)
    return ((1 - full) * image + filled).astype(np.uint8), mask


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rng, ours_rng = np.random.default_rng(0), np.random.default_rng(0)
    shape = (SIDE, SIDE)

    def report(name: str, ours: Callable[[], object], plain: Callable[[], object]) -> None:
        fast, slow = best_of_both(ours, plain)
        print(f"  {name:<34} {fast:6.2f} {slow:7.2f} {slow / fast:7.1f}")

    print(f"milliseconds on one core, {SIDE}x{SIDE}        ours   plain   ratio")
    for cells in (1, 8, 32):
        report(
            f"Perlin noise, {cells} x {cells} cells (wanted 10)",
            partial(perlin_noise, shape, (cells, cells), ours_rng),
            partial(plain_perlin, rng, (cells, cells)),
        )
    report("mask, one draw", partial(draw_mask, shape, ours_rng), partial(plain_mask, rng))

    surface = SyntheticSurfaces(size=SIDE, length=1)[0].image.permute(1, 2, 0).numpy()
    image = np.full((SIDE, SIDE, 3), 250, np.uint8)
    image[24:232, 24:232] = (surface[24:232, 24:232] * 150).astype(np.uint8)

    with tempfile.TemporaryDirectory() as folder:
        for number in range(TEXTURES):
            texture = procedural_texture((TEXTURE_SIDE, TEXTURE_SIDE), rng)
            cv2.imwrite(f"{folder}/{number:03}.jpg", texture)
        read = TextureSource(TextureFolder(folder))
        plain_read = partial(plain_texture, files=sorted(Path(folder).iterdir()))
        rows = {
            "anomaly, structure (wanted 6)": ([structure_source], [plain_structure]),
            "  both with three of ten, 8 x 8": ([pitfall_structure_source], [plain_structure]),
            "anomaly, textures from files": ([read], [plain_read]),
            "  ours with procedural textures": ([procedural_source], [plain_read]),
            "anomaly, half and half (wanted 6)": (
                [read, structure_source],
                [plain_read, plain_structure],
            ),
        }
        for name, (sources, plain_sources) in rows.items():
            synthesizer = AnomalySynthesizer(sources=sources, foreground=foreground_mask)
            report(
                name,
                partial(synthesizer, image, ours_rng),
                partial(plain_anomaly, image, rng, plain_sources),
            )


if __name__ == "__main__":
    main()
