"""Lesson 05, MemSeg building blocks: differences, the nearest image, spatial maps, freezing."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.lessons.answers import call_answer, mistake
from course_utils.lessons.expect import expect_array, expect_function

SEED_OF_LEVELS = 5
"""Chosen such that no two typical mistakes give the same answer."""


def _mean_square(features: Tensor, remembered: Tensor) -> Tensor:
    return (features - remembered).square().mean(1, keepdim=True)


def check_difference_map(answer: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    features, remembered = torch.randn(2, 2, 5, 4, 3, generator=generator)
    result = call_answer(answer, features.clone(), remembered.clone())
    if isinstance(result, Tensor) and result.shape == (2, 4, 3):
        mistake("means_first")
    expect_function(
        answer,
        [((features, remembered), _mean_square)],
        mistakes={
            "absolute": lambda f, m: (f - m).abs().mean(1, keepdim=True),
            "square_of_the_mean": lambda f, m: (f - m).mean(1, keepdim=True).square(),
            "no_square": lambda f, m: (f - m).mean(1, keepdim=True),
            "sum": lambda f, m: (f - m).square().sum(1, keepdim=True),
            "root": lambda f, m: (f - m).square().mean(1, keepdim=True).sqrt(),
            "length": lambda f, m: (f - m).square().sum(1, keepdim=True).sqrt(),
            "each_channel": lambda f, m: (f - m).square(),
            "over_the_places": lambda f, m: (f - m).square().mean((2, 3), keepdim=True),
        },
    )


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
    distances = _distances(memory, features)
    joint = distances.sum(0)
    numbers = torch.tensor([m[0].numel() for m in memory]).view(-1, 1, 1)
    pairs = zip(memory, features, strict=True)
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
            "farthest": joint.argmax(1),
            "largest_product": products.sum(0).argmax(1),
        },
    )


def _maps(
    *differences: Tensor,
    reduce: Callable[..., Tensor] = Tensor.mean,
    join: Callable[[Tensor, Tensor], Tensor] = torch.mul,
    chain: bool = True,
    **enlarge: Any,
) -> list[Tensor]:
    """Return m1, m2 and m3; by default the right ones."""
    how = {"mode": "bilinear", "align_corners": True, **enlarge}
    mean1, mean2, m3 = (reduce(d, 1, keepdim=True) for d in differences)
    m2 = join(mean2, F.interpolate(m3, scale_factor=2, **how))
    m1 = join(mean1, F.interpolate(m2 if chain else mean2, scale_factor=2, **how))
    return [m1, m2, m3]


def _flat(maps: Any) -> Tensor | None:
    """All three maps as one vector, or None where they are not three maps of these shapes."""
    wanted = [(2, 1, 16, 12), (2, 1, 8, 6), (2, 1, 4, 3)]
    if not isinstance(maps, list | tuple) or not all(isinstance(m, Tensor) for m in maps):
        return None
    if [tuple(m.shape) for m in maps] != wanted:
        return None
    return torch.cat([m.flatten() for m in maps])


def check_spatial_maps(answer: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = ((2, 4, 16, 12), (2, 6, 8, 6), (2, 8, 4, 3))
    given = [torch.rand(shape, generator=generator) for shape in shapes]
    result = call_answer(answer, *[d.clone() for d in given])
    if isinstance(result, list | tuple) and _flat(result[::-1]) is not None:
        mistake("turned_round")
    if _flat(result) is None:
        several = isinstance(result, list | tuple)
        shapes = [tuple(getattr(one, "shape", ())) for one in result] if several else []
        mistake("no_three_maps", got=shapes or type(result).__name__)
    expect_array(
        _flat(result),
        _flat(_maps(*given)),
        rtol=1e-4,
        mistakes={
            "means_alone": torch.cat([d.mean(1).flatten() for d in given]),
            "no_chain": _flat(_maps(*given, chain=False)),
            "added": _flat(_maps(*given, join=torch.add)),
            "summed": _flat(_maps(*given, reduce=Tensor.sum)),
            "corners": _flat(_maps(*given, align_corners=False)),
            "nearest": _flat(_maps(*given, mode="nearest", align_corners=None)),
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
    frozen = call_answer(answer, layers)
    if not isinstance(frozen, nn.Module):
        mistake("no_layers", got=type(frozen).__name__)
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
    except TypeError as error:
        mistake("no_train_with_a_mode", error=error)
    with torch.no_grad():
        for batch in batches:
            network(batch)
        in_training = network[0](image)
        after = network.eval()[0](image)
    if not torch.equal(after, before):
        mistake("until_train")
    if not torch.equal(in_training, before):
        mistake("no_momentum")
