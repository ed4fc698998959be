"""Lesson 05, MemSeg building blocks: differences, the nearest image, spatial maps, freezing."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.lessons.exercise import Exercise
from course_utils.lessons.expect import expect_array, expect_function
from course_utils.lessons.outline import LessonSpec
from course_utils.lessons.parameters import LessonParameters
from course_utils.lessons.quiz import Choice, Question
from course_utils.lessons.verdicts import call_answer, incorrect


class Parameters(LessonParameters):
    """Lesson 05 takes no parameters of its own."""

    datasets = ("synthetic", "mvtec_ad/", "folder")


SEED_OF_LEVELS = 5
"""Chosen such that no two typical mistakes give the same answer."""


def _mean_square(features: Tensor, remembered: Tensor) -> Tensor:
    return (features - remembered).square().mean(1, keepdim=True)


def _examine_difference_map(answer: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    features, remembered = torch.randn(2, 2, 5, 4, 3, generator=generator)
    result = call_answer(answer, features.clone(), remembered.clone())
    if isinstance(result, Tensor) and result.shape == (2, 4, 3):
        incorrect(
            "The values may be right, but the axis of the channels is gone: wanted (N, 1, H, W). "
            "Keep it, `keepdim=True`, so that the map can be multiplied by features."
        )
    expect_function(
        answer,
        [((features, remembered), _mean_square)],
        mistakes=[
            (
                lambda f, m: (f - m).abs().mean(1, keepdim=True),
                "That is the absolute difference. Square it.",
            ),
            (
                lambda f, m: (f - m).mean(1, keepdim=True).square(),
                "You square the mean: channels above and below the memory cancel each other "
                "before the square can save them. Square first, then take the mean.",
            ),
            (
                lambda f, m: (f - m).mean(1, keepdim=True),
                "Without a square, channels above and below the memory cancel each other.",
            ),
            (
                lambda f, m: (f - m).square().sum(1, keepdim=True),
                "That is the sum over the channels, so it grows with their number, which differs "
                "from level to level. Take the mean.",
            ),
            (
                lambda f, m: (f - m).square().mean(1, keepdim=True).sqrt(),
                "You take a root at the end. Here the mean of the squares is wanted, as it is.",
            ),
            (
                lambda f, m: (f - m).square().sum(1, keepdim=True).sqrt(),
                "That is the length of the difference. Wanted is the mean of the squares, without "
                "a root.",
            ),
            (
                lambda f, m: (f - m).square(),
                "That is the difference of each channel. The mean over the channels is missing.",
            ),
            (
                lambda f, m: (f - m).square().mean((2, 3), keepdim=True),
                "You average over the places, and nobody can tell where the difference is. Average "
                "over the channels, axis 1.",
            ),
        ],
    )


def _distances(memory: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
    """Return the mean squared distance at each level: (levels, N, M)."""
    return torch.stack(
        [
            (f.flatten(1)[:, None] - m.flatten(1)[None]).square().mean(2)
            for m, f in zip(memory, features, strict=True)
        ]
    )


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


def _examine_nearest_image(answer: Any) -> None:
    memory, features = _levels()
    given = [m.clone() for m in memory], [f.clone() for f in features]
    result = call_answer(answer, *given)
    distances = _distances(memory, features)
    joint = distances.sum(0)
    numbers = torch.tensor([m[0].numel() for m in memory]).view(-1, 1, 1)
    products = torch.stack(
        [
            f.flatten(1) @ m.flatten(1).T / m[0].numel()
            for m, f in zip(memory, features, strict=True)
        ]
    )
    if (
        isinstance(result, Tensor)
        and result.is_floating_point()
        and result.shape == joint[:, 0].shape
    ):
        if torch.equal(result, joint.argmin(1).to(result)):
            incorrect(
                "The numbers are right, but they are floats, and an index is whole: `dtype` "
                "`torch.long`."
            )
        incorrect(
            "Wanted the numbers of the images on the shelf, got floats: are these the distances? "
            "Take `argmin`, not `min`."
        )
    expect_array(
        result,
        joint.argmin(1),
        mistakes=[
            (joint, "Those are the distances, (N, M). Which memory has the smallest one?"),
            (
                joint.argmin(0),
                "For each *memory* you name the nearest image: `argmin` over axis 1.",
            ),
            (
                (distances * numbers).sum(0).argmin(1),
                "You sum over all elements, and the first level has the most of them: it outvotes "
                "the others. Take the mean at each level, then the sum over the levels.",
            ),
            (
                distances.argmin(2),
                "That is one neighbor for each level. Add the distances of the levels first, "
                "then choose once.",
            ),
            (
                distances.argmin(2).T,
                "That is one neighbor for each level, image by image. Add the distances of the "
                "levels first, then choose once.",
            ),
            *[
                (
                    distances[level].argmin(1),
                    f"You look at level {level + 1} alone. All three count.",
                )
                for level in range(3)
            ],
            (joint.argmax(1), "That is the memory farthest away: `argmin`."),
            (
                products.sum(0).argmax(1),
                "The largest product belongs to the nearest memory only if all memories are of "
                "one length. Subtract, square, take the mean.",
            ),
        ],
    )


def _double(x: Tensor, *, corners: bool = True, mode: str = "bilinear") -> Tensor:
    options = {"align_corners": corners} if mode == "bilinear" else {}
    return F.interpolate(x, scale_factor=2, mode=mode, **options)


def _maps(
    d1: Tensor,
    d2: Tensor,
    d3: Tensor,
    *,
    corners: bool = True,
    mode: str = "bilinear",
    add: bool = False,
    chain: bool = True,
    total: bool = False,
) -> list[Tensor]:
    means = [(d.sum(1, keepdim=True) if total else d.mean(1, keepdim=True)) for d in (d1, d2, d3)]
    up3 = _double(means[2], corners=corners, mode=mode)
    m2 = means[1] + up3 if add else means[1] * up3
    up2 = _double(m2 if chain else means[1], corners=corners, mode=mode)
    return [means[0] + up2 if add else means[0] * up2, m2, means[2]]


def _flat(maps: Any) -> Tensor | None:
    """All three maps as one vector, or None where they are not three maps of these shapes."""
    wanted = [(2, 1, 16, 12), (2, 1, 8, 6), (2, 1, 4, 3)]
    if not isinstance(maps, (list, tuple)) or not all(isinstance(m, Tensor) for m in maps):
        return None
    if [tuple(m.shape) for m in maps] != wanted:
        return None
    return torch.cat([m.flatten() for m in maps])


def _examine_spatial_maps(answer: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = ((2, 4, 16, 12), (2, 6, 8, 6), (2, 8, 4, 3))
    given = [torch.rand(shape, generator=generator) for shape in shapes]
    result = call_answer(answer, *[d.clone() for d in given])
    if isinstance(result, (list, tuple)) and _flat(result[::-1]) is not None:
        incorrect("The order is turned round: wanted m1, m2, m3, from fine to coarse.")
    if _flat(result) is None:
        got = (
            [tuple(getattr(one, "shape", ())) for one in result]
            if isinstance(result, (list, tuple))
            else type(result).__name__
        )
        incorrect(
            f"Wanted three maps (N, 1, H, W), each of the size of its difference, got {got}. "
            "Take the mean over the channels with `keepdim=True`."
        )
    expect_array(
        _flat(result),
        _flat(_maps(*given)),
        rtol=1e-4,
        mistakes=[
            (
                torch.cat([d.mean(1).flatten() for d in given]),
                "Those are the means alone: multiply by the next deeper map, doubled.",
            ),
            (
                _flat(_maps(*given, chain=False)),
                "m1 is its mean times m2, and m2 holds level 3 already. You multiply by the mean "
                "of d2 alone, so level 3 has no say in m1.",
            ),
            (_flat(_maps(*given, add=True)), "You add the maps. A product asks for agreement."),
            (_flat(_maps(*given, total=True)), "You sum over the channels. Take the mean."),
            (
                _flat(_maps(*given, corners=False)),
                "Nearly: the maps are shifted by a fraction of a pixel. MemSeg doubles with "
                "`align_corners=True`.",
            ),
            (
                _flat(_maps(*given, mode="nearest")),
                "You double by copying pixels, which leaves blocks: `mode='bilinear'`.",
            ),
        ],
    )


def _block() -> nn.Sequential:
    torch.manual_seed(5)
    inner = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(inner, nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)))


def _examine_freeze(answer: Any) -> None:
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
        incorrect(f"Wanted the layers themselves, got {type(frozen).__name__}: `return layers`.")
    network = nn.Sequential(frozen, nn.Conv2d(4, 2, 1))
    learns = [p.requires_grad for p in frozen.parameters()]
    with torch.no_grad():
        at_once = frozen(image)
    if "requires_grad" in vars(frozen) and any(learns):
        incorrect(
            "`layers.requires_grad = False` hangs a new attribute on the module and reaches no "
            "weight. The method with an underscore does: `layers.requires_grad_(False)`."
        )
    if all(learns) and not frozen.training:
        incorrect(
            "`eval()` stops the statistics, but every weight still learns: it has a gradient in "
            "eval mode as well. Add `layers.requires_grad_(False)`."
        )
    if all(learns):
        incorrect(
            "Every weight still learns: `requires_grad` is True. "
            "`layers.requires_grad_(False)` sets it for all."
        )
    if any(learns):
        incorrect(
            f"{sum(learns)} of {len(learns)} tensors still learn, weights or biases. "
            "`layers.requires_grad_(False)` reaches all of them, however deep."
        )
    normalisations = [m for m in frozen.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if any(m.training for m in normalisations) and "train" in vars(frozen):
        incorrect(
            "Your `train` does nothing, and the layers are still in training mode. `eval()` is "
            "only `train(False)`: call it *before* you replace `train`."
        )
    if any(m.training for m in normalisations):
        incorrect(
            "No weight learns, but the layers are in training mode: batch normalization goes on "
            "averaging, and the output drifts. `layers.eval()`, too."
        )
    if not torch.equal(at_once, before):
        incorrect("The layers give another output than before: freezing must change nothing.")
    try:
        network.train()
        network.eval()
        network.train()
    except TypeError as error:
        incorrect(
            f"`network.train()` failed on your layers ({error}). It calls `layers.train(mode)`: "
            "give them a function that takes `mode` and returns the layers, such as "
            "`lambda mode=True: layers`."
        )
    with torch.no_grad():
        for batch in batches:
            network(batch)
        in_training = network[0](image)
        after = network.eval()[0](image)
    if not torch.equal(after, before):
        incorrect(
            "Frozen, until somebody calls `train()` on the whole network, as each training loop "
            "does: that switches batch normalization back on. Let the layers' own `train` do "
            "nothing."
        )
    if not torch.equal(in_training, before):
        incorrect(
            "The statistics stay, but after `network.train()` the layers normalise by the batch "
            "they see, not by what they have learned: the output depends on its neighbors. Let "
            "the layers' own `train` do nothing, so that they stay in eval mode."
        )


EXERCISES = (
    Exercise(
        id="difference_map",
        title="How different, at each place?",
        question=(
            "`features` and `remembered` are tensors (N, C, H, W): a level of some images, and "
            "that of the nearest remembered image of each. Return the mean over the channels of "
            "the squared difference, as (N, 1, H, W)."
        ),
        stub="def difference_map(features, remembered):\n    return ...",
        answer_name="difference_map",
        hints=(
            "Subtract, square, average. Of these three the order matters.",
            "`.mean(1, keepdim=True)` averages over the channels and keeps their axis.",
        ),
        solution_source=(
            "def difference_map(features, remembered):\n"
            "    return (features - remembered).square().mean(1, keepdim=True)"
        ),
        examine=_examine_difference_map,
        why="This is what the lesson draws as D1, D2 and D3.",
    ),
    Exercise(
        id="nearest_image",
        title="Which one on the shelf?",
        question=(
            "`memory` is a list of levels (M, C, H, W), `features` a list of levels (N, C, H, W). "
            "At each level the distance is the mean squared difference; the distances of the "
            "levels are added. Return for each of the N images which of the M is nearest: N whole "
            "numbers."
        ),
        given="import torch",
        stub="def nearest_image(memory, features):\n    return ...",
        answer_name="nearest_image",
        hints=(
            "`f.flatten(1)[:, None] - m.flatten(1)[None]` has the axes (N, M, elements).",
            "Mean over the elements, sum over the levels: (N, M). Then `argmin(1)`.",
        ),
        solution_source=(
            "def nearest_image(memory, features):\n"
            "    distance = 0\n"
            "    for m, f in zip(memory, features):\n"
            "        difference = f.flatten(1)[:, None] - m.flatten(1)[None]\n"
            "        distance = distance + difference.square().mean(2)\n"
            "    return distance.argmin(1)"
        ),
        examine=_examine_nearest_image,
        why="`MemoryBank` finds the same with one matrix product and without the large tensor.",
    ),
    Exercise(
        id="spatial_maps",
        title="All levels must agree",
        question=(
            "Given the differences d1, d2, d3 of three levels, (N, C, H, W), each side half of the "
            "one before, return the spatial maps `[m1, m2, m3]`, each (N, 1, H, W). m3 is the mean "
            "of d3 over the channels. m2 is the channel mean of d2, multiplied by m3 enlarged "
            "to twice its size; m1 is the channel mean of d1, multiplied by m2 enlarged in the "
            "same way. Enlarge bilinearly, with corners aligned."
        ),
        given="from torch.nn import functional as F",
        stub="def spatial_maps(d1, d2, d3):\n    return ...",
        answer_name="spatial_maps",
        hints=(
            "Start with the deepest: m3 is needed for m2, and m2 for m1.",
            '`F.interpolate(m, scale_factor=2, mode="bilinear", align_corners=True)` doubles.',
        ),
        solution_source=(
            "def spatial_maps(d1, d2, d3):\n"
            "    def doubled(m):\n"
            '        return F.interpolate(m, scale_factor=2, mode="bilinear", align_corners=True)\n'
            "    m3 = d3.mean(1, keepdim=True)\n"
            "    m2 = d2.mean(1, keepdim=True) * doubled(m3)\n"
            "    m1 = d1.mean(1, keepdim=True) * doubled(m2)\n"
            "    return [m1, m2, m3]"
        ),
        examine=_examine_spatial_maps,
        why="Nothing here is learned: the maps are the same before and after a training.",
    ),
    Exercise(
        id="freeze",
        title="Frozen to the core",
        question=(
            "`layers` is a module with convolutions and batch normalization. Write a function that "
            "freezes it and returns it: no weight gets a gradient, and its output for an image is "
            "that of eval mode for ever, even after somebody has called `train()` on a network "
            "that contains it and has shown it batches."
        ),
        stub="def freeze(layers):\n    return ...",
        answer_name="freeze",
        hints=(
            "Three things: `requires_grad_(False)`, `eval()`, and something against `train()`.",
            "A network's `train(mode)` calls `train(mode)` of its parts. You can give `layers` a "
            "`train` of its own that only returns the module.",
        ),
        solution_source=(
            "def freeze(layers):\n"
            "    layers.requires_grad_(False)\n"
            "    layers.eval()\n"
            "    layers.train = lambda mode=True: layers\n"
            "    return layers"
        ),
        examine=_examine_freeze,
        why="`ResNetEncoder.freeze` does the same, with a `train` method of the class.",
    ),
)

QUIZ = (
    Question(
        "Why does MemSeg compare features of a network, and not pixels?",
        (
            Choice(
                "Features have fewer numbers",
                False,
                "At 256 px it is 458 752 numbers for an image, more than it has pixels.",
            ),
            Choice(
                "Features do not react to grain at all",
                False,
                "They do: D1 lights up on grain. But less than on most defects.",
            ),
            Choice(
                "Pixels differ wherever the grain does, features less",
                True,
                "The lesson measures how often a pixel of the defect lies higher: features win.",
            ),
        ),
    ),
    Question(
        "Coordinate attention is to mark two small defects in opposite corners. What can happen to "
        "its weights?",
        (
            Choice(
                "They are high at the other two corners as well",
                True,
                "Two rows and two columns have four crossings, and all are meant.",
            ),
            Choice("Only the larger one is marked", False, "Each row and column has its own say."),
            Choice("Nothing is marked: they cancel", False, "Weights lie between 0 and 1."),
        ),
    ),
    Question(
        "A frozen part has `requires_grad=False`. What else must be done?",
        (
            Choice(
                "Nothing: no gradient, no change",
                False,
                "Batch normalization changes its averages without any gradient.",
            ),
            Choice(
                "Its batch normalization must stay in eval mode",
                True,
                "In training mode it collects new statistics with every batch.",
            ),
            Choice(
                "The learning rate must be 0",
                False,
                "The statistics are no weights: no learning rate reaches them.",
            ),
        ),
    ),
    Question(
        "You load other weights into the encoder and keep the memory. What is right?",
        (
            Choice("The memory adapts by itself", False, "It is stored numbers, nothing else."),
            Choice(
                "It is fine: the images on the shelf are the same",
                False,
                "On the shelf are features, and another network makes others of the same images.",
            ),
            Choice(
                "Train for a while, until they fit together",
                False,
                "Memory and frozen layers do not learn: they never will.",
            ),
            Choice(
                "Fill the memory again",
                True,
                "Until then MemSeg refuses, since a checksum tells it that the weights changed.",
            ),
        ),
    ),
)

LESSON = LessonSpec(
    name="05_memseg_building_blocks",
    title="MemSeg building blocks",
    parameters=Parameters,
    exercises=EXERCISES,
    quiz=QUIZ,
)
