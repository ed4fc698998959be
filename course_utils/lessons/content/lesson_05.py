"""Lesson 05, MemSeg building blocks: nearest image and patch, maps, crossings, freezing."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.lessons.answers import call_answer, incorrect, mistake
from course_utils.lessons.expect import Case, expect_array, expect_function

SEED_OF_LEVELS = 134
"""Chosen such that no two typical mistakes give the same answer."""


def _distances(memory: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
    """Return the mean squared distance at each level: (levels, N, M)."""
    pairs = zip(memory, features, strict=True)
    differences = [f.flatten(1)[:, None] - m.flatten(1)[None] for m, f in pairs]
    return torch.stack([difference.square().mean(2) for difference in differences])


def _levels(seed: int = SEED_OF_LEVELS) -> tuple[list[Tensor], list[Tensor]]:
    """Four remembered images and six new ones for which every typical mistake shows."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((4, 8, 8), (6, 4, 4), (8, 2, 2))
    lengths = torch.tensor([0.8, 1.0, 1.2, 1.1]).view(-1, 1, 1, 1)
    memory = [lengths * torch.randn(4, *shape, generator=generator) for shape in shapes]
    features = []
    for level in memory:
        like = torch.randint(4, (6,), generator=generator)
        share = torch.rand(6, 1, 1, 1, generator=generator)
        others = torch.randn(6, *level.shape[1:], generator=generator)
        features.append(share * level[like] + (1 - share) * others)
    return memory, features


def check_nearest_image(answer: Any) -> None:
    memory, features = _levels()
    given = [m.clone() for m in memory], [f.clone() for f in features]
    result = call_answer(answer, *given)
    unchanged = [
        len(now) == len(was) and all(map(torch.equal, now, was))
        for now, was in zip(given, (memory, features), strict=True)
    ]
    if not all(unchanged):
        incorrect("`nearest_image` changes its arguments: work on a copy.")
    if isinstance(result, tuple) and hasattr(result, "indices"):
        mistake("min_of_both")
    distances = _distances(memory, features)
    joint = distances.sum(0)
    pairs = list(zip(memory, features, strict=True))
    each = [(f[:, None] - m[None]).abs().flatten(2).mean(2) for m, f in pairs]
    absolute = torch.stack(each).sum(0)
    numbers = torch.tensor([m[0].numel() for m in memory]).view(-1, 1, 1)
    products = torch.stack([f.flatten(1) @ m.flatten(1).T / m[0].numel() for m, f in pairs])
    floats = isinstance(result, Tensor) and result.is_floating_point()
    if floats and result.shape == joint[:, 0].shape:
        right = torch.equal(result, joint.argmin(1).to(result))
        mistake("floats" if right else "smallest_distance")
    expect_array(
        result,
        joint.argmin(1),
        mistakes={
            "distances": joint,
            "for_each_memory": joint.argmin(0),
            "sum_over_elements": (distances * numbers).sum(0).argmin(1),
            "one_for_each_level": distances.argmin(2),
            "one_for_each_level_by_image": distances.argmin(2).T,
            "level_1_alone": distances[0].argmin(1),
            "level_2_alone": distances[1].argmin(1),
            "level_3_alone": distances[2].argmin(1),
            "two_levels": [(joint - one).argmin(1) for one in distances],
            "absolute": [absolute.argmin(1), distances.sqrt().sum(0).argmin(1)],
            "farthest": joint.argmax(1),
            "largest_product": products.sum(0).argmax(1),
        },
    )


def _patches(
    memory: Tensor,
    features: Tensor,
    radius: int,
    *,
    best: Callable[..., Tensor] = torch.amin,
    size: Callable[[Tensor], Tensor] = lambda d: d.square().mean(-3),
    window: Callable[[int, int, int], bool] = lambda y, x, r: max(abs(y), abs(x)) <= r,
    outside: float = math.inf,
    wrap: bool = False,
) -> Tensor:
    """Return each cell's distance to the nearest one in its window; by default the right one."""
    h, w = features.shape[2:]
    most = max(h, w)
    reach = range(-min(radius, most), min(radius, most) + 1)
    padded = F.pad(memory, [most] * 4, value=outside)
    found = []
    for y in reach:
        for x in reach:
            if window(y, x, radius):
                moved = padded[:, :, most + y : most + y + h, most + x : most + x + w]
                if wrap:
                    moved = memory.roll((-y, -x), dims=(2, 3))
                found.append(size(features[:, None] - moved[None]))  # (N, M, h, w)
    return best(torch.cat(found, dim=1), 1)


def _patches_by_image(memory: Tensor, features: Tensor, radius: int) -> Tensor:
    each = torch.stack([_patches(one[None], features, radius) for one in memory], dim=1)
    return each[torch.arange(len(features)), each.mean((2, 3)).argmin(1)]


def check_nearest_patch(answer: Any) -> None:
    generator = torch.Generator().manual_seed(4)
    memory = torch.randn(3, 4, 5, 7, generator=generator)
    features = 0.3 * torch.randn(2, 4, 5, 7, generator=generator)
    features = features + memory[:2].roll((1, -1), dims=(2, 3))
    cases: list[Case] = [((memory, features, radius), _patches) for radius in (1, 0, 2, 7)]
    expect_function(
        answer,
        cases,
        rtol=1e-4,
        atol=1e-5,
        mistakes={
            "same_place": lambda m, f, r: _patches(m, f, 0),
            "anywhere": lambda m, f, r: _patches(m, f, 7),
            "window_of_one": lambda m, f, r: _patches(m, f, 1),
            "wraps_round": lambda m, f, r: _patches(m, f, r, wrap=True),
            "zeros_outside": lambda m, f, r: _patches(m, f, r, outside=0.0),
            "diamond": lambda m, f, r: _patches(
                m, f, r, window=lambda y, x, r: abs(y) + abs(x) <= r
            ),
            "one_direction": [
                lambda m, f, r: _patches(m, f, r, window=lambda y, x, r: min(y, x) >= 0),
                lambda m, f, r: _patches(m, f, r, window=lambda y, x, r: max(y, x) <= 0),
            ],
            "one_short": lambda m, f, r: _patches(
                m, f, r, window=lambda y, x, r: max(y, x) < max(r, 1)
            ),
            "farthest": lambda m, f, r: _patches(
                m,
                f,
                r,
                best=torch.amax,
                size=lambda d: d.square().mean(-3).nan_to_num(posinf=0.0),
            ),
            "one_image": _patches_by_image,
            "pooled_distances": lambda m, f, r: (
                -F.max_pool2d(-_patches(m, f, 0)[:, None], 2 * r + 1, 1, r)[:, 0]
            ),
            "mean_of_the_images": lambda m, f, r: _patches(m.mean(0, keepdim=True), f, r),
            "sum": lambda m, f, r: _patches(m, f, r, size=lambda d: d.square().sum(-3)),
            "root": [
                lambda m, f, r: _patches(m, f, r).sqrt(),
                lambda m, f, r: _patches(m, f, r, size=lambda d: d.square().sum(-3)).sqrt(),
            ],
            "absolute": lambda m, f, r: _patches(m, f, r, size=lambda d: d.abs().mean(-3)),
            "channel_by_channel": lambda m, f, r: _patches(
                m, f, r, size=lambda d: d.square().amin(-3)
            ),
        },
    )


def _maps(
    *differences: Tensor,
    join: Callable[[Tensor, Tensor], Tensor] = torch.mul,
    chain: bool = True,
    apart: bool = False,
    scale: Callable[[Tensor], Tensor] = lambda m: m.mean((2, 3), keepdim=True),
    **enlarge: Any,
) -> list[Tensor]:
    """Return m1, m2 and m3; by default the right ones."""
    how = {"mode": "bilinear", "align_corners": True, **enlarge}
    mean1, mean2, m3 = (d.mean(1, keepdim=True) for d in differences)
    m2 = join(mean2, F.interpolate(m3, scale_factor=2, **how))
    m1 = join(mean1, F.interpolate(m2 if chain and not apart else mean2, scale_factor=2, **how))
    if apart:
        twice = F.interpolate(m3, scale_factor=2, **how)
        m1 = join(m1, F.interpolate(twice, scale_factor=2, **how))
    return [m / scale(m).clamp(min=1e-8) for m in (m1, m2, m3)]


def _flat(maps: Any) -> Tensor | None:
    """All three maps as one vector, or None where they are not three maps of these shapes."""
    wanted = [(3, 1, 16, 12), (3, 1, 8, 6), (3, 1, 4, 3)]
    if not isinstance(maps, list | tuple):
        return None
    maps = [torch.as_tensor(m) if isinstance(m, np.ndarray) else m for m in maps]
    if not all(isinstance(m, Tensor) for m in maps):
        return None
    if [tuple(m.shape) for m in maps] != wanted:
        return None
    return torch.cat([m.flatten() for m in maps])


def check_spatial_maps(answer: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = ((3, 4, 16, 12), (3, 6, 8, 6), (3, 8, 4, 3))
    # Images of different strength; the last one is in the memory.
    strengths = torch.tensor([1.0, 5.0, 0.0]).view(-1, 1, 1, 1)
    given = [strengths * torch.rand(shape, generator=generator) for shape in shapes]
    handed = [d.clone() for d in given]
    result = call_answer(answer, *handed)
    if not all(map(torch.equal, handed, given)):
        incorrect("`spatial_maps` changes its arguments: work on copies.")
    if isinstance(result, list | tuple) and _flat(result[::-1]) is not None:
        mistake("turned_round")
    flat = _flat(result)
    if flat is None:
        several = isinstance(result, list | tuple)
        got = [tuple(getattr(one, "shape", ())) for one in result] if several else []
        mistake("no_three_maps", got=got or type(result).__name__)
    if torch.isnan(flat).any():
        mistake("nothing_by_nothing")
    expect_array(
        flat,
        _flat(_maps(*given)),
        rtol=1e-4,
        atol=1e-5,
        mistakes={
            "not_divided": _flat(_maps(*given, scale=torch.ones_like)),
            "means_alone": [
                torch.cat([d.mean(1).flatten() for d in given]),
                torch.cat(
                    [
                        (m / m.mean((1, 2), keepdim=True).clamp(min=1e-8)).flatten()
                        for m in (d.mean(1) for d in given)
                    ]
                ),
            ],
            "whole_batch": _flat(_maps(*given, scale=torch.mean)),
            "by_the_largest": _flat(_maps(*given, scale=lambda m: m.amax((2, 3), keepdim=True))),
            "by_the_sum": _flat(_maps(*given, scale=lambda m: m.sum((2, 3), keepdim=True))),
            "by_row": [
                _flat(_maps(*given, scale=lambda m: m.mean(3, keepdim=True))),
                _flat(_maps(*given, scale=lambda m: m.mean(2, keepdim=True))),
            ],
            "no_chain": _flat(_maps(*given, chain=False)),
            "doubled_apart": _flat(_maps(*given, apart=True)),
            "added": _flat(_maps(*given, join=torch.add)),
            "corners": _flat(_maps(*given, align_corners=False)),
            "nearest": _flat(_maps(*given, mode="nearest", align_corners=None)),
        },
    )


def _crossings(masks: Tensor) -> Tensor:
    passed = masks.amax(2, keepdim=True) * masks.amax(1, keepdim=True)
    return (passed - masks).sum((1, 2)).long()


def _box(masks: Tensor) -> Tensor:
    """Return the number of pixels of the box around each mask, (N,)."""
    sides = []
    for axis in (2, 1):
        held = masks.amax(axis)  # (N, side)
        steps = torch.arange(1, held.shape[1] + 1)
        first = (held * (held.shape[1] + 1 - steps)).amax(1)
        last = (held * steps).amax(1)
        sides.append(last - (held.shape[1] + 1 - first) + 1)
    return torch.where(masks.amax((1, 2)) > 0, sides[0] * sides[1], 0)


def check_crossings(answer: Any) -> None:
    masks = torch.zeros(5, 9, 12, dtype=torch.long)
    masks[0, 1:3, 1:4] = 1  # one rectangle: nothing else passes
    masks[1, 1:3, 1:4] = 1  # two of them, apart
    masks[1, 6:8, 7:11] = 1
    masks[2, range(6), range(6)] = 1  # a slanted scratch
    masks[3, 0, 0] = masks[3, 4, 5] = masks[3, 8, 11] = 1
    rows, columns = masks.amax(2), masks.amax(1)
    handed = masks.clone()
    result = call_answer(answer, handed)
    if not torch.equal(handed, masks):
        incorrect("`crossings` changes its argument: work on a copy.")
    passed = rows.sum(1) * columns.sum(1)
    right, area = _crossings(masks), masks.sum((1, 2))
    expect_array(
        result,
        right,
        mistakes={
            "all_that_passes": passed,
            "whole_batch": right.sum(),
            "shares": [right / passed.clamp(min=1), right / masks[0].numel()],
            "rows_and_columns": rows.sum(1) + columns.sum(1),
            "either": [
                ((rows[:, :, None] + columns[:, None]) > 0).sum((1, 2)),
                ((rows[:, :, None] + columns[:, None]) > 0).sum((1, 2)) - area,
            ],
            "the_box": [_box(masks) - area, _box(masks)],
            "sums_of_rows": [
                (masks.sum(2, keepdim=True) * masks.sum(1, keepdim=True)).sum((1, 2)),
                (masks.sum(2, keepdim=True) * masks.sum(1, keepdim=True)).sum((1, 2)) - area,
            ],
            "not_passed": masks[0].numel() - passed,
            "area": area,
        },
    )


def _block() -> nn.Sequential:
    torch.manual_seed(5)
    inner = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(inner, nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)))


def check_freeze(answer: Any) -> None:
    state = torch.get_rng_state()
    try:
        layers = _block()
    finally:
        torch.set_rng_state(state)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 8, 8, generator=generator)
    batches = 3 + 2 * torch.rand(5, 4, 3, 8, 8, generator=generator)
    with torch.no_grad():
        before = layers.eval()(image)
    layers.train()
    whole = nn.Sequential.train
    try:
        frozen = call_answer(answer, layers)
        replaced = nn.Sequential.train is not whole or "train" in vars(nn.Sequential)
    finally:
        if "train" in vars(nn.Sequential):
            del nn.Sequential.train
    if replaced:
        mistake("train_of_the_class")
    if not isinstance(frozen, nn.Module):
        mistake("no_layers", got=type(frozen).__name__)
    if frozen is not layers:
        mistake("another_module")
    network = nn.Sequential(frozen, nn.Conv2d(4, 2, 1))
    learns = [p.requires_grad for p in frozen.parameters()]
    with torch.no_grad():
        at_once = frozen(image)
    if "requires_grad" in vars(frozen) and any(learns):
        mistake("flag_on_the_module")
    if all(learns) and not frozen.training:
        mistake("eval_alone")
    if all(learns):
        mistake("unchanged")
    if any(learns):
        mistake("convolutions_alone", learning=sum(learns), tensors=len(learns))
    normalizing = [m for m in frozen.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if any(m.training for m in normalizing):
        mistake("eval_too_late" if "train" in vars(frozen) else "no_gradient_alone")
    if not torch.equal(at_once, before):
        mistake("no_statistics")
    try:
        network.train()
        network.eval()
        network.train()
        returned = [frozen.train(False), frozen.eval(), frozen.train(True)]
    except RecursionError:
        mistake("calls_itself")
    except Exception as error:
        mistake("no_train_with_a_mode", error=error)
    if any(one is not frozen for one in returned):
        mistake("train_returns_nothing")
    with torch.no_grad():
        for batch in batches:
            network(batch)
        in_training = network[0](image)
        after = network.eval()[0](image)
    if not torch.equal(after, before):
        mistake("until_train")
    if not torch.equal(in_training, before):
        mistake("no_momentum")
