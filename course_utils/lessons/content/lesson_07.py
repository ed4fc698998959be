"""Lesson 07, two-stage training: a label, a schedule, a fair draw, weights by distance."""

import copy
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor
from torch.nn import functional as F

from course_utils.lessons.exercise import Exercise
from course_utils.lessons.expect import expect_function
from course_utils.lessons.likeness import as_array, describe
from course_utils.lessons.outline import LessonSpec
from course_utils.lessons.parameters import LessonParameters
from course_utils.lessons.quiz import Choice, Question
from course_utils.lessons.verdicts import AnswerRaised, call_answer, incorrect

Array = npt.NDArray[Any]


class Parameters(LessonParameters):
    """Lesson 07 takes one of KolektorSDD's three folds; 0 is the course's own split."""

    datasets = ("synthetic", "kolektor_sdd", "magnetic_tile")

    fold: Annotated[int, Field(ge=0, le=3)] = 0

    @field_validator("fold")
    @classmethod
    def _check_fold(cls, fold: int, info: ValidationInfo) -> int:
        dataset = info.data.get("dataset", "kolektor_sdd")  # a wrong data set is said elsewhere
        if fold and dataset != "kolektor_sdd":
            raise ValueError(f"0: only kolektor_sdd has folds, and the data set is {dataset}")
        return fold


def _in_a_kind_it_takes(answer: Any, cases: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    """The cases; if the answer cannot take the first, with tensors for arrays or the reverse."""
    try:
        call_answer(answer, *_turned(_turned(cases[0])))
    except AnswerRaised as raised:
        turned = [_turned(case) for case in cases]
        try:
            call_answer(answer, *_turned(_turned(turned[0])))
        except AnswerRaised:
            # Of an answer in torch, the error is to be said that it has with tensors.
            if "numpy.ndarray" in str(raised.error):
                raise
            raise raised from None
        return turned
    return cases


def _turned(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Copies: arrays as tensors, tensors as arrays."""
    return tuple(
        arg.numpy().copy()
        if isinstance(arg, Tensor)
        else torch.from_numpy(arg.copy())
        if isinstance(arg, np.ndarray)
        else arg
        for arg in args
    )


# The label of an image


def _label(mask: Any) -> int:
    return int((torch.as_tensor(mask) > 0).any())


def _masks() -> list[Tensor]:
    """Masks that no two typical mistakes label alike."""
    masks = torch.zeros(9, 64, 64, dtype=torch.int64)
    masks[0, 33:38, 33:38] = 1
    masks[1, 50, 21] = 3
    masks[3, 5:57, 5:57] = 2
    masks[4] = 1
    masks[5, 10:34, 22:46] = 255
    masks[6, 3, 61] = 1
    masks[7, 15:18, 23:26] = 2
    masks[8, 30:54, 12:36] = 1
    return list(masks)


def _soft(mask: Any) -> Tensor:
    """The mask at an eighth of its size, as the published code makes it."""
    defect = (torch.as_tensor(mask) > 0).double()[None]
    return F.avg_pool2d(F.pad(defect, (8, 8, 8, 8), mode="reflect"), 17, stride=8)


def _examine_image_label(answer: Any) -> None:
    try:
        cases = _in_a_kind_it_takes(answer, [(mask,) for mask in _masks()])
    except AnswerRaised as raised:
        if "ambiguous" not in str(raised.error):
            raise
        incorrect(
            "Python's own `if`, `any` and `max` want one yes or no, and get a whole row of them, "
            "or the whole mask. Ask the tensor: `mask.any()`, `mask.max()`."
        )
    t = torch.as_tensor
    soft = (
        "That is no label but a share: the largest value of a mask that was made smaller. A defect "
        "of 5 x 5 pixels has .087 in it and would be taught as nearly good. Ask the mask at "
        "**full** size, and answer 0 or 1."
    )
    few = "A single pixel is enough: your function wants more of them."
    expect_function(
        answer,
        [(case, _label) for case in cases],
        mistakes=[
            *[
                (wrong, soft)
                for wrong in (
                    lambda m: _soft(m).max(),
                    lambda m: F.avg_pool2d(
                        F.pad(t(m).double()[None], (8, 8, 8, 8)), 17, stride=8
                    ).max(),
                    lambda m: F.avg_pool2d(
                        F.pad(t(m).double()[None], (8, 8, 8, 8), mode="reflect"), 17, stride=8
                    ).max(),
                    lambda m: F.avg_pool2d((t(m) > 0).double()[None], 8).max(),
                    lambda m: F.avg_pool2d(t(m).double()[None], 8).max(),
                )
            ],
            (
                lambda m: _soft(m).sum().clamp(max=1),
                "The sum of the smaller mask, up to 1: still a single pixel is taught as good. "
                "Ask the mask at full size.",
            ),
            (
                lambda m: _soft(m).max() > 0.5,
                "You round what is left after making the mask smaller: then small defects are "
                "taught as **good**. Ask the mask at full size.",
            ),
            (
                lambda m: t(m)[::8, ::8].any(),
                "You look at each eighth pixel, and small defects fall in between.",
            ),
            (
                lambda m: (t(m) > 0).double().mean() > 0.5,
                "More than half of the image? No scratch covers that. One pixel makes it "
                "defective.",
            ),
            (
                lambda m: t(m).double().mean() > 0.5,
                "You compare the mean of the mask with .5: a scratch on a large image never gets "
                "there. One pixel makes it defective.",
            ),
            (
                lambda m: (t(m) > 0).double().mean(),
                "That is the share of the defect. It belongs into no label: asked is yes or no.",
            ),
            (
                lambda m: t(m).double().mean(),
                "That is the mean of the mask. Asked is yes or no.",
            ),
            (
                lambda m: (t(m) > 0).sum(),
                "That is the **number** of defect pixels: a label is 0 or 1.",
            ),
            (
                lambda m: t(m).sum(),
                "That is the **sum** of the mask: a label is 0 or 1.",
            ),
            (
                lambda m: t(m).max(),
                "That is the largest value, so the number of a class, or 255: a label is 0 or 1. "
                "Compare with 0 first.",
            ),
            (
                lambda m: t(m),
                "That is the mask itself. Asked is one number for the whole image.",
            ),
            (
                lambda m: t(m) > 0,
                "That is an answer for each pixel. Asked is one for the whole image: `.any()`.",
            ),
            (lambda m: (t(m) > 0).all(), "`all` asks whether **every** pixel is defect: `any`."),
            (lambda m: 1 - _label(m), "Turned over: 1 is defective, 0 is good."),
            (
                lambda m: (t(m) == 1).any(),
                "Only pixels of value 1 count for you. Whatever is above 0 is a defect, here also "
                "2, 3 and 255.",
            ),
            (
                lambda m: (t(m) == 255).any(),
                "Only pixels of value 255, or close to it, count for you. Whatever is above 0 is a "
                "defect.",
            ),
            (
                lambda m: t(m).max() > 1,
                "Pixels of value 1 do not count for you: compare with 0.",
            ),
            (lambda m: (t(m) > 0).sum() > 1, few),
            (lambda m: t(m).sum() > 1, few),
            (
                lambda m: len(t(m).unique()) > 1,
                "You ask whether the mask holds different values. One that is all defect does not.",
            ),
        ],
    )


# Two losses, one schedule


def _joint(share: Callable[[int, int], float]) -> Callable[..., Any]:
    """The loss with another schedule: `share` is lambda of epoch and epochs."""

    def loss(s: Tensor, d: Tensor, n: int, e: int, delta: float) -> Tensor:
        return share(n, e) * s + delta * (1 - share(n, e)) * d

    return loss


def _lambda(n: int, e: int) -> float:
    return 1 - n / e


def _examine_joint_loss(answer: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    cases = []
    for learns, epoch, epochs, delta in (
        # Without a gradient first: a change in place is then ours to name, not torch's.
        (False, 3, 8, 0.1),
        (False, 0, 5, 0.01),
        (True, 2, 5, 0.1),
        (True, 4, 5, 1.0),
    ):
        segmentation, decision = 1 + torch.rand(2, generator=generator, dtype=torch.float64)
        parts = segmentation.clone(), 3 * decision
        cases.append((*(p.requires_grad_(learns) for p in parts), epoch, epochs, delta))
    right = _joint(_lambda)
    result = call_answer(answer, *copy.deepcopy(cases[0]))
    if isinstance(result, tuple | list) or np.shape(result) == (2,):
        incorrect("Wanted one loss, got several: are these its two parts? Add them.")
    expect_function(
        answer,
        [(case, right) for case in cases],
        mistakes=[
            (
                _joint(lambda n, e: n / e),
                "Your schedule runs backwards: it starts with the decision. Lambda is 1 in epoch "
                "0 and falls.",
            ),
            (
                _joint(lambda n, e: 1 - n / (e - 1)),
                "Yours reaches 0 in the last epoch, which would teach no segmentation at all. "
                "Divide by E, not by E - 1.",
            ),
            (
                _joint(lambda n, e: 1 - (n + 1) / e),
                "Epochs count from 0: in the first one n is 0, and lambda is 1.",
            ),
            (
                _joint(lambda n, e: (1 - n) / e),
                "Brackets: 1 - (n / E), not (1 - n) / E.",
            ),
            (
                _joint(lambda n, e: 1 - n // e),
                "`//` divides whole numbers and drops the rest: `epoch // epochs` is always 0, and "
                "the decision never learns. Take `/`.",
            ),
            (
                lambda s, d, n, e, delta: delta * _lambda(n, e) * s + (1 - _lambda(n, e)) * d,
                "Delta stands at the segmentation: it belongs to the decision.",
            ),
            (
                lambda s, d, n, e, delta: delta * (_lambda(n, e) * s + (1 - _lambda(n, e)) * d),
                "Delta damps both parts, which is only a smaller learning rate. It belongs to the "
                "decision alone.",
            ),
            (
                lambda s, d, n, e, delta: _lambda(n, e) * s + (1 - _lambda(n, e)) * d,
                "Delta is missing: it damps the decision.",
            ),
            (
                lambda s, d, n, e, delta: (
                    (1 - delta) * _lambda(n, e) * s + delta * (1 - _lambda(n, e)) * d
                ),
                "Delta is no share: the segmentation has no factor 1 - delta.",
            ),
            (
                lambda s, d, n, e, delta: s + delta * d,
                "That is the loss without a schedule: epoch and epochs are not used.",
            ),
            (
                lambda s, d, n, e, delta: _lambda(n, e) * s + delta * d,
                "The decision counts from the start: its factor 1 - lambda is missing.",
            ),
            (
                lambda s, d, n, e, delta: s + delta * (1 - _lambda(n, e)) * d,
                "The segmentation never fades: its factor lambda is missing.",
            ),
            (
                lambda s, d, n, e, delta: _lambda(n, e) * (s + delta * d),
                "Both parts fade together. The factor of the decision is 1 - lambda.",
            ),
            (
                lambda s, d, n, e, delta: _lambda(n, e) * s + delta * 1 - _lambda(n, e) * d,
                "Brackets are missing: `delta * 1 - share * decision` is read as "
                "`(delta * 1) - (share * decision)`.",
            ),
            (
                lambda s, d, n, e, delta: _lambda(n, e) * d + delta * (1 - _lambda(n, e)) * s,
                "Segmentation and decision are exchanged.",
            ),
            (
                lambda s, d, n, e, delta: _lambda(n, e) * s,
                "The decision is missing.",
            ),
            (lambda s, d, n, e, delta: _lambda(n, e), "That is lambda alone."),
        ],
    )


# The least used


def _uses() -> Array:
    """Uses of 24 images; of seven that are taken, four are drawn from nine equal ones."""
    uses = np.repeat([0, 1, 2, 4, 30], [3, 9, 6, 3, 3])
    return np.random.default_rng(7).permutation(uses)


DRAWS = 60
"""Generators that are tried: four of nine drawn fairly leave none out in 60 draws."""


def _draw(answer: Any, uses: Array, count: int, seed: int) -> Array:
    """The images that the answer chooses; what is wrong with a single choice is said here."""
    given = uses.copy()
    fewest = int((uses == uses.min()).sum())
    few = (
        f"Only {fewest} images have been used the fewest times, and {count} are wanted: go on with "
        "those that were used next to never. Sort all of them by use."
    )
    try:
        result = call_answer(answer, given, count, np.random.default_rng(seed))
    except AnswerRaised as raised:
        if "larger sample than population" not in str(raised.error):
            raise
        incorrect("`rng.choice` has too few images to choose from. " + few)
    if not np.array_equal(given, uses):
        incorrect(
            "`uses` is different afterwards. Who trains with the images counts them; your function "
            "only chooses: work on a copy."
        )
    chosen = as_array(result)
    if chosen is None:
        incorrect(f"Wanted {count} indices, got {describe(result)}.")
    kind = np.asarray(result).dtype.kind
    if kind == "b":
        incorrect("Those are truth values. Asked are the indices, `np.flatnonzero(...)`.")
    if chosen.shape == uses.shape:
        incorrect(f"Those are all {uses.size} images: take the first `count` of them.")
    if chosen.shape == (fewest,) and fewest < count:
        incorrect(few)
    if chosen.shape != (count,):
        incorrect(f"Wanted {count} indices, got {describe(result)}.")
    if np.array_equal(np.sort(chosen), np.sort(uses)[:count]):
        incorrect("Those are the uses themselves. Asked is *which* images: `np.argsort`.")
    if kind == "f":
        incorrect("Indices are whole numbers, and these are floats.")
    if chosen.min() < 0 or chosen.max() >= uses.size:
        incorrect(
            f"There are {uses.size} images, numbers 0 to {uses.size - 1}, and you name "
            f"{describe(chosen)}."
        )
    if len(np.unique(chosen)) < count:
        incorrect(
            "An image comes twice in one epoch: draw without putting back, `replace=False`, or "
            "cut a permutation."
        )
    return chosen.astype(np.int64)


def _examine_next_negatives(answer: Any) -> None:
    for uses, count in ((_uses(), 7), (np.zeros(12, np.int64), 5)):
        draws = [_draw(answer, uses, count, seed) for seed in range(DRAWS)]
        _expect_least_used(uses, count, draws)
        again = [_draw(answer, uses, count, seed) for seed in range(3)]
        if any(not np.array_equal(one, two) for one, two in zip(again, draws, strict=False)):
            incorrect(
                "Two generators with the same seed give different images: you draw from another "
                "generator. Use `rng`, or nobody can repeat your training."
            )
        _expect_random_ties(uses, count, draws)


def _expect_least_used(uses: Array, count: int, draws: list[Array]) -> None:
    used = np.array([np.sort(uses[chosen]) for chosen in draws])
    ascending = np.sort(uses)
    if (used == ascending[:count]).all():
        return
    if (used == ascending[-count:]).all():
        incorrect("Those are the *most* used images: `np.argsort` goes upwards.")
    if all(_are_places(uses, chosen, seed) for seed, chosen in enumerate(draws)):
        incorrect(
            "Those are places in *your shuffled* list, not numbers of images. Look them up there: "
            "`order[places]`."
        )
    if abs(used.mean() - uses.mean()) < 0.3 * uses.mean():
        incorrect(
            "You draw all images alike, however often they were used. If there is a sort, it is "
            "undone afterwards, or chance stands before use in it."
        )
    incorrect(
        f"You take images that were used {used.max()} times, and leave out others with fewer uses. "
        "Chance decides only between images with *equal* uses."
    )


def _are_places(uses: Array, chosen: Array, seed: int) -> bool:
    """Whether `chosen` are the places of the least used in a permutation by this seed."""
    shuffled = (
        uses[np.random.default_rng(seed).permutation(uses.size)],
        np.random.default_rng(seed).permutation(uses),
    )
    return any(
        np.array_equal(np.argsort(one, kind=kind)[: chosen.size], chosen)
        for one in shuffled
        for kind in ("quicksort", "stable")
    )


def _expect_random_ties(uses: Array, count: int, draws: list[Array]) -> None:
    if not uses.any() and all(np.array_equal(chosen, draws[0]) for chosen in draws):
        incorrect(
            "Right later on, but at the start, when no image has been used, you always take the "
            "same ones: do you divide by the largest use, which is 0?"
        )
    if all(np.array_equal(chosen, draws[0]) for chosen in draws):
        incorrect(
            "The least used, but always the same ones: among equal uses the first in the list win, "
            "so neighbors stay together for the whole training. Let `rng` decide between equals."
        )
    if all(set(chosen) == set(draws[0]) for chosen in draws):
        incorrect(
            "You shuffle *after* choosing: the order differs, and the images are always the same. "
            "Shuffle first, then sort by use."
        )
    equal = np.flatnonzero(uses == np.sort(uses)[count - 1])
    drawn = np.array([np.isin(equal, chosen) for chosen in draws]).sum(0)
    if drawn.min() == 0 or drawn.max() == DRAWS:
        incorrect(
            f"Of {len(equal)} images with equal uses, some come with every generator or with none: "
            "all of them need the same chance."
        )


# What a pixel counts


def _weights(
    mask: Array, distance: Array, power: float, positive_weight: float
) -> npt.NDArray[np.float64]:
    relative = distance / max(float(distance.max()), 1.0)
    return np.where(mask > 0, positive_weight * relative**power, 1.0)


def _on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(mask: Any, distance: Any, power: float, positive_weight: float) -> Any:
        arrays = np.asarray(mask), np.asarray(distance, dtype=np.float64)
        return function(*arrays, power, positive_weight)

    return call


def _by_rows(m: Array, d: Array, p: float, w: float) -> Array:
    weights = np.ones(m.shape)
    weights[m] = w * (d[m] / d.max()) ** p
    return weights


def _examine_distance_weights(answer: Any) -> None:
    mask = np.zeros((18, 24), np.int64)
    mask[2:13, 3:12] = 1
    mask[6:9, 15:20] = 1
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    empty = (np.zeros_like(mask), np.zeros_like(distance), 2.0, 3.0)
    settings = ((2.0, 3.0), (1.0, 20.0), (3.0, 0.5))
    *cases, empty = _in_a_kind_it_takes(answer, [*[(mask, distance, *s) for s in settings], empty])
    expect_function(
        answer,
        [(case, _on_arrays(_weights)) for case in cases],
        rtol=1e-4,
        atol=1e-6,
        mistakes=[(_on_arrays(wrong), message) for wrong, message in _MISTAKEN_WEIGHTS],
    )
    _expect_ones(answer, empty)


_MISTAKEN_WEIGHTS: tuple[tuple[Callable[..., Any], str], ...] = (
    (
        lambda m, d, p, w: m * w * (d / d.max()) ** p,
        "Outside of the defects you have 0, so nobody punishes a false alarm: there it is 1.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, w * d / d.max(), 1),
        "The power is missing.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, w * p * d / d.max(), 1),
        "You multiply by the power: `**` raises to it.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, w * (d / d.sum()) ** p, 1),
        "You divide by the sum of all distances: then the larger a defect, the less each of its "
        "pixels counts. Divide by the largest.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, w * (d / d.mean()) ** p, 1),
        "You divide by the mean distance: divide by the largest, so that the middle has "
        "`positive_weight`.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, w * (d / d[m > 0].mean()) ** p, 1),
        "You divide by the mean distance of the defects: divide by the largest.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, w * (d / np.maximum(d.max(0), 1)) ** p, 1),
        "You divide each column by its own largest distance: divide by that of the whole image, "
        "`distance.max()`.",
    ),
    (
        lambda m, d, p, w: _weights(m, d, p, w) / _weights(m, d, p, w).sum(),
        "Your weights add up to 1, so a good pixel weighs next to nothing: there the weight is 1. "
        "The loss takes a mean afterwards.",
    ),
    (
        lambda m, d, p, w: _weights(m, d, p, w) / _weights(m, d, p, w).mean(),
        "You divide by the mean weight, and a good pixel weighs more or less than 1. Leave the "
        "weights as they are.",
    ),
    (
        lambda m, d, p, w: np.maximum(1, w * (d / d.max()) ** p),
        "On defects no weight of yours is below 1. At the edge it may be, and shall be.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, w * d**p, 1),
        "You do not divide by the largest distance: large defects get weights of hundreds.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, w * d**p / d.max(), 1),
        "Divide first, then raise to the power: `(distance / largest) ** power`.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, w * (d / d.max()) ** p, w),
        "`positive_weight` reaches the good pixels as well: there the weight is 1.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, (w * d / d.max()) ** p, 1),
        "You raise `positive_weight` to the power, too: only the distance.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, (d / d.max()) ** p, 1),
        "`positive_weight` is not used.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, w, 1),
        "All pixels of a defect weigh the same: the distance is not used.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, w * (1 - d / d.max()) ** p, 1),
        "Turned over: the edge counts most. There nobody is sure where the defect ends.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, w * (1 - (d / d.max()) ** p), 1),
        "Turned over: 1 minus the weight makes the edge count most.",
    ),
    (
        lambda m, d, p, w: 1 + w * (d / d.max()) ** p,
        "You add 1 everywhere, on the defects as well: there the weight is the formula alone.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, 1, w * (d / d.max()) ** p),
        "Exchanged: the formula holds where the mask is 1, and 1 is the weight of good pixels.",
    ),
    (
        lambda m, d, p, w: np.where(m > 0, np.trunc(w * (d / d.max()) ** p), 1),
        "The weights have lost what is behind the point: `np.ones_like(mask)` is as whole as the "
        "mask, and cuts off what you write into it. Take `np.ones(mask.shape)`.",
    ),
    (
        _by_rows,
        "`weights[mask]` with whole numbers picks the *rows* 0 and 1. Truth values pick pixels: "
        "`weights[mask > 0]`.",
    ),
)


def _expect_ones(answer: Any, args: tuple[Any, ...]) -> None:
    """Of a mask without a defect."""
    try:
        with np.errstate(all="ignore"):
            result = call_answer(answer, *_turned(_turned(args)))
    except AnswerRaised as raised:
        incorrect(
            "Right for defects, but a mask without one stops your function "
            f"(`{type(raised.error).__name__}`): there is no largest distance, or it is 0. Most "
            "images are good. Return ones for them."
        )
    weights = as_array(result)
    if weights is None or weights.shape != args[0].shape:
        incorrect(
            f"For a mask without a defect you return {describe(result)}. There, too, each pixel "
            "needs its weight: ones, as many as the mask has pixels."
        )
    if np.isnan(weights).any():
        incorrect(
            "Right for defects, but a mask without one gives NaN: the largest distance is 0, and "
            "0 / 0 is no number. One such image ends a training. Return ones for it."
        )
    if not weights.any():
        incorrect(
            "Right for defects, but a mask without one gives zeros: then good images teach "
            "nothing. All their pixels weigh 1."
        )
    if not np.allclose(weights, 1, rtol=1e-4, atol=0):
        incorrect("Right for defects, but in a mask without one all pixels weigh 1.")


EXERCISES = (
    Exercise(
        id="image_label",
        title="Good or defective?",
        question=(
            "`mask` (H, W) is a tensor of whole numbers, the mask of an image at its full size: 0 "
            "is good, all above 0 is defect, whatever its kind. Write a function that returns the "
            "label for the second stage: 1 if any pixel is defect, else 0."
        ),
        given="import torch\nfrom torch.nn import functional as F",
        stub="def image_label(mask):\n    return ...",
        answer_name="image_label",
        hints=(
            "`mask > 0` answers for each pixel. One yes is enough.",
            "`.any()` makes one answer of many, and `int(...)` a number of it.",
        ),
        solution_source="def image_label(mask):\n    return int((mask > 0).any())",
        examine=_examine_image_label,
        why="One line, and the published code has another one: the largest value of the mask "
        "*after* it was made smaller.",
    ),
    Exercise(
        id="joint_loss",
        title="First where, then whether",
        question=(
            "`segmentation` and `decision` are the losses of the two stages, tensors without "
            "axes. In epoch n = `epoch` of E = `epochs`, counted from 0, lambda is 1 - n / E. "
            "Return lambda times the segmentation loss, plus `delta` times 1 - lambda times the "
            "decision loss."
        ),
        stub="def joint_loss(segmentation, decision, epoch, epochs, delta):\n    return ...",
        answer_name="joint_loss",
        hints=(
            "`lambda` is a word of Python's own: call it `lam`, or `share`.",
            "In epoch 0 nothing but the segmentation is left; in the last one lambda is 1 / E.",
        ),
        solution_source=(
            "def joint_loss(segmentation, decision, epoch, epochs, delta):\n"
            "    share = 1 - epoch / epochs\n"
            "    return share * segmentation + delta * (1 - share) * decision"
        ),
        examine=_examine_joint_loss,
        why="`TwoStageLoss` does the same and counts the epochs itself, so that a training that "
        "was interrupted goes on at its place in the schedule.",
    ),
    Exercise(
        id="next_negatives",
        title="Whose turn is it?",
        question=(
            "`uses` is an array: how often each good image was trained with so far. Write a "
            "function that returns the indices of the `count` images that were used least. Where "
            "images with equal uses compete for the last places, the NumPy generator `rng` decides "
            "between them. No image comes twice, and `uses` stays as it is."
        ),
        given="import numpy as np",
        stub="def next_negatives(uses, count, rng):\n    return ...",
        answer_name="next_negatives",
        hints=(
            "`np.argsort(uses)[:count]` is nearly right, but between equals it decides by their "
            "place in the list. What if that place were random?",
            "`order = rng.permutation(len(uses))` is a random order. Sort *it* by use: "
            "`np.argsort(uses[order])` are places in `order`.",
        ),
        solution_source=(
            "def next_negatives(uses, count, rng):\n"
            "    order = rng.permutation(len(uses))\n"
            "    return order[np.argsort(uses[order])][:count]"
        ),
        examine=_examine_next_negatives,
        why="After any number of epochs the uses of two images differ by at most 1. "
        "`FrequencyOfUseSampler` counts them itself and keeps them in the checkpoint.",
    ),
    Exercise(
        id="distance_weights",
        title="The middle counts",
        question=(
            "`mask` (H, W) is an array of 0 and 1, 1 is defect. `distance` (H, W) is how far each "
            "pixel of a defect is from the nearest good pixel; on good pixels it is 0. Return what "
            "each pixel counts in the loss, (H, W): 1 on good pixels, and `positive_weight` times "
            "(`distance` / its largest value) to the power of `power` on defects. A mask without "
            "a defect gives all ones."
        ),
        given="import numpy as np\nimport torch",
        stub="def distance_weights(mask, distance, power, positive_weight):\n    return ...",
        answer_name="distance_weights",
        hints=(
            "Start with all ones, `np.ones(mask.shape)`, and write into the pixels where "
            "`mask > 0`.",
            "Without a defect the largest distance is 0: do not divide by it. `mask.any()` tells.",
        ),
        solution_source=(
            "def distance_weights(mask, distance, power, positive_weight):\n"
            "    weights = np.ones(mask.shape)\n"
            "    if mask.any():\n"
            "        inside = mask > 0\n"
            "        relative = distance[inside] / distance.max()\n"
            "        weights[inside] = positive_weight * relative**power\n"
            "    return weights"
        ),
        examine=_examine_distance_weights,
        why="The edge of a hand-drawn mask is a guess, and counts little. The course's "
        "`distance_weights` measures the distances itself, and can take the largest one of each "
        "defect by itself.",
    ),
)

QUIZ = (
    Question(
        "33 defective images, and wanted is one decision for each image. Why train a segmentation "
        "network first?",
        (
            Choice(
                "A network cannot be trained on labels of whole images",
                False,
                "It can, and with many thousands of images it works well.",
            ),
            Choice(
                "A mask answers for thousands of places, a label for one image",
                True,
                "33 labels say yes 33 times. The masks say where to look.",
            ),
            Choice(
                "It makes the decision faster",
                False,
                "The decision needs its features, so both networks run for every image.",
            ),
        ),
    ),
    Question(
        "The gradient is stopped between the first stage and the second. What changes?",
        (
            Choice(
                "The loss of the decision no longer changes the segmentation network",
                True,
                "Forwards all numbers pass. Backwards nothing does.",
            ),
            Choice(
                "The second stage sees zeros",
                False,
                "The stop is zero backwards only; forwards it changes nothing.",
            ),
            Choice(
                "The segmentation network is frozen",
                False,
                "It still learns from its own loss, that of the masks.",
            ),
            Choice(
                "The second stage no longer learns",
                False,
                "The gradient reaches all of its own layers before it is stopped.",
            ),
        ),
    ),
    Question(
        "A colleague drew as many good images as defective ones for each epoch, 33 of 230, at "
        "random and without doubles. How often is a good image used in 50 epochs?",
        (
            Choice("7 or 8 times", False, "That is the rule of the least used."),
            Choice("50 times", False, "An epoch shows 33 of 230 of them."),
            Choice(
                "about 7 times on average, some 2 or 3 times, others 14 or more",
                True,
                "Each epoch draws anew and does not know what came before.",
            ),
        ),
    ),
    Question(
        "A defect of 5 x 5 pixels has the label .087 in a training, the largest value of its "
        "smaller mask. What is the second stage taught about this image?",
        (
            Choice(
                "That it is defective, with a small weight",
                False,
                "A small *weight* would still pull towards 1. This is a small *target*.",
            ),
            Choice(
                "Nothing: cross entropy needs labels 0 and 1",
                False,
                "It takes anything in between, without a warning. That is why nobody noticed.",
            ),
            Choice(
                "That it is more defective than good",
                False,
                ".087 is far on the other side of one half.",
            ),
            Choice(
                "That it is probably good",
                True,
                "Cross entropy with the target .087 is smallest at a probability of .087.",
            ),
        ),
    ),
    Question(
        "Which of these can make a detector look better than it is?",
        (
            Choice(
                "FP and FN at a threshold chosen on validation images",
                False,
                "That is how it will be used: the threshold stands before the test images come.",
            ),
            Choice(
                "FP and FN at the threshold with the best F1 on the test images",
                True,
                "On the line nobody knows it: it was chosen with the answers at hand.",
            ),
            Choice(
                "AP as a sum of steps, from the unrounded logits",
                False,
                "Each step has the precision of a threshold that exists.",
            ),
            Choice(
                "Scores in whole percents, and AP as the area below straight lines",
                True,
                "Many scores tie then, and no threshold has the precision that the line between "
                "two ties promises.",
            ),
        ),
        several=True,
    ),
)

LESSON = LessonSpec(
    name="07_two_stage_training",
    title="Two-stage training",
    parameters=Parameters,
    exercises=EXERCISES,
    quiz=QUIZ,
)
