"""Pixels whose truth is `ignore_index` are as if they were not there: losses, counts, metrics."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils import evaluation, losses
from course_utils.data.counts import count_pixels

WEIGHTS = torch.tensor([0.2, 0.0, 3.0], dtype=torch.float64)


def tversky(**options):
    return partial(losses.tversky_loss, **options)


BINARY_LOSSES = {
    "focal": losses.BinaryFocalLoss,
    "focal, sum": partial(losses.BinaryFocalLoss, alpha=0.8, gamma=0.5, reduction="sum"),
    "Dice": losses.DiceLoss,
    "Tversky": tversky,
}
CLASS_LOSSES = {
    "focal": losses.SoftmaxFocalLoss,
    "focal, weighted": partial(losses.SoftmaxFocalLoss, gamma=1.0, class_weights=WEIGHTS),
    "focal, sum": partial(losses.SoftmaxFocalLoss, reduction="sum"),
    "cross entropy": partial(losses.WeightedCrossEntropy, WEIGHTS),
    "cross entropy, by weights": partial(losses.WeightedCrossEntropy, WEIGHTS, normalise="weights"),
    "cross entropy, sum": partial(losses.WeightedCrossEntropy, WEIGHTS, reduction="sum"),
    "Dice": losses.DiceLoss,
    "Dice, background": partial(losses.DiceLoss, background=True),
    "Tversky": tversky,
}
CASES = [("binary", name) for name in BINARY_LOSSES] + [("class", name) for name in CLASS_LOSSES]
EVERY_LOSS = pytest.mark.parametrize(("kind", "name"), CASES)


def made(kind: str, name: str, **options):
    return (BINARY_LOSSES if kind == "binary" else CLASS_LOSSES)[name](**options)


def batch(kind: str, void: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, a target with void pixels, and which pixels count."""
    torch.manual_seed(0)
    counts = torch.rand(3, 6, 5) < 0.7
    if kind == "class":
        target = torch.randint(3, counts.shape)
        counts &= target != void
        return 4 * torch.randn(3, 3, 6, 5).double(), target.where(counts, void), counts
    target = torch.rand(counts.shape).round(decimals=1) * 0.8 + 0.1  # soft ones too, never 0 or 1
    target = target.where(counts, void)[:, None]
    return 4 * torch.randn(target.shape).double(), target, counts[:, None]


def without(logits: Tensor, target: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """One row of the pixels that count."""
    if logits.shape == target.shape:
        return logits[counts][None, None], target[counts][None, None]
    return logits.movedim(1, -1)[counts].T[None], target[counts][None]


def value_and_gradient(loss, logits: Tensor, *make) -> tuple[Tensor, Tensor]:
    logits = logits.clone().requires_grad_()
    value = loss(logits, *make)
    return value, torch.autograd.grad(value, logits)[0]


@pytest.mark.parametrize("void", [255, -1, -100, 2, 0])
@EVERY_LOSS
def test_a_loss_is_that_of_the_pixels_that_count(kind, name, void):
    logits, target, counts = batch(kind, void)
    found, gradient = value_and_gradient(made(kind, name, ignore_index=void), logits, target)
    row, truth = without(logits, target, counts)
    wanted, of_row = value_and_gradient(made(kind, name), row, truth)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(without(gradient, target, counts)[0], of_row)
    assert not without(gradient, target, ~counts)[0].any()


@EVERY_LOSS
def test_where_no_pixel_counts_a_loss_and_its_gradient_are_zero(kind, name):
    logits, target, _ = batch(kind, 255)
    loss = made(kind, name, ignore_index=255)
    # Logits beyond what float32 can add up must not turn into 0 times infinity.
    for given in (logits, 3e38 * logits.float().sign()):
        value, gradient = value_and_gradient(loss, given, torch.full_like(target, 255))
        assert value == 0
        assert not gradient.any()


@EVERY_LOSS
def test_without_ignore_index_a_void_value_is_refused_and_the_cure_is_named(kind, name):
    logits, target, _ = batch(kind, 255)
    for loss in (made(kind, name), made(kind, name, ignore_index=254)):
        with pytest.raises(ValueError, match=r"got .*255: .* the void value as ignore_index"):
            loss(logits, target)


@pytest.mark.parametrize("void", [255, -100, 1])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_is_that_of_torch(void, reduction):
    logits, target, _ = batch("class", void)
    weights = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    theirs = partial(F.cross_entropy, ignore_index=void, reduction=reduction)
    ours = partial(
        losses.weighted_cross_entropy, normalise="weights", ignore_index=void, reduction=reduction
    )
    focal = partial(losses.softmax_focal_loss, gamma=0, ignore_index=void, reduction=reduction)

    def summed(loss, logits):
        value = loss(logits)
        return value.pow(2).sum()  # of "none", each pixel with a gradient of its own

    for one, other in (
        (lambda x: ours(x, target, weights), lambda x: theirs(x, target, weight=weights)),
        (lambda x: focal(x, target), lambda x: theirs(x, target)),
    ):
        torch.testing.assert_close(one(logits), other(logits))
        torch.testing.assert_close(
            value_and_gradient(partial(summed, one), logits),
            value_and_gradient(partial(summed, other), logits),
        )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float16, torch.float32])
def test_a_binary_target_of_any_number_type_may_hold_255(dtype):
    target = torch.tensor([0, 1, 255], dtype=dtype)
    found = losses.binary_focal_loss(torch.zeros(3), target, ignore_index=255)
    assert found == losses.binary_focal_loss(torch.zeros(2), target[:2])
    # -100 of uint8 would be 156, a value like any other
    with pytest.raises(ValueError, match=r"got 156\.\.156"):
        losses.binary_focal_loss(torch.zeros(1), torch.tensor([156.0]), ignore_index=-100)
    with pytest.raises(ValueError, match="156"):
        losses.softmax_focal_loss(
            torch.zeros(1, 2), torch.tensor([156], dtype=torch.uint8), ignore_index=-100
        )


def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 9, (4, 6, 5)) / 8
    counts = rng.random(scores.shape) < 0.7
    counts[3] = False  # an image of which nothing counts
    return scores, np.where(counts, rng.random(scores.shape) < 0.3, 255).astype(np.uint8), counts


RANKINGS = {
    "pixel_auroc": evaluation.pixel_auroc,
    "average_precision": evaluation.average_precision,
    "trapezoid_average_precision": evaluation.trapezoid_average_precision,
    "best_threshold": partial(evaluation.best_threshold, criterion="youden", middle=True),
    "roc_curve": evaluation.roc_curve,
    "precision_recall_curve": evaluation.precision_recall_curve,
}
OVERLAPS = {
    "iou": evaluation.iou,
    "dice": evaluation.dice,
    "accuracy": evaluation.accuracy,
    "confusion_matrix": partial(evaluation.confusion_matrix, num_classes=2),
}


@pytest.mark.parametrize("name", [*RANKINGS, *OVERLAPS])
def test_a_metric_is_that_of_the_pixels_that_count(name):
    scores, target, counts = scored()
    given = scores if name in RANKINGS else scores > 0.5
    metric = (RANKINGS | OVERLAPS)[name]
    wanted = metric(given[counts], target[counts])
    np.testing.assert_equal(metric(given, target, ignore_index=255), wanted)
    signed = torch.from_numpy(target).long().where(torch.from_numpy(counts), -100)
    np.testing.assert_equal(
        metric(torch.from_numpy(given), signed, ignore_index=-100), wanted
    )  # tensors as well, and what is below 0
    with pytest.raises(ValueError, match="ignore_index"):
        evaluation.confusion_matrix(given > 0.5, target, 2)


@pytest.mark.parametrize("metric", [evaluation.iou, evaluation.dice])
def test_of_an_image_only_what_counts_is_compared_and_one_without_it_is_empty(metric):
    scores, target, counts = scored()
    pred = scores > 0.5
    each = [metric(p[c], t[c]) for p, t, c in zip(pred[:3], target, counts, strict=False)]
    found = metric(pred, target, average="per_image", empty=0.25, ignore_index=255)
    assert found == pytest.approx(np.mean([*each, 0.25]))
    rows = evaluation.per_image_table(
        list("abcd"), [1, 1, 1, 0], [0.5] * 4, pred, target, empty=0.25, ignore_index=255
    )
    assert [getattr(row, metric.__name__) for row in rows] == pytest.approx([*each, 0.25])
    assert [row.fp for row in rows] == [
        int((p[c] & (t[c] == 0)).sum()) for p, t, c in zip(pred, target, counts, strict=True)
    ]


def test_a_void_border_is_neither_clean_nor_part_of_a_defect():
    mask = np.zeros((12, 12), int)
    mask[2:9, 2:9] = 255
    mask[3:8, 3:8] = 1
    mask[5, 3:8] = 255  # cuts the defect in two, of 10 pixels each
    scores = np.random.default_rng(0).permutation(144).reshape(12, 12) / 144
    fpr, pro = [], []
    for threshold in np.unique(scores[mask != 255])[::-1]:
        found = scores >= threshold
        fpr.append(found[mask == 0].mean())
        pro.append((found[3:5, 3:8].mean() + found[6:8, 3:8].mean()) / 2)
    curve = evaluation.pro_curve(scores, mask, ignore_index=255)
    np.testing.assert_allclose(curve.fpr[1:], fpr)
    np.testing.assert_allclose(curve.pro[1:], pro)
    assert evaluation.aupro(scores, mask, ignore_index=255) < 1
    louder = np.where(mask == 255, 9.0, scores)
    assert evaluation.aupro(louder, mask, ignore_index=255) == evaluation.aupro(
        scores, mask, ignore_index=255
    )


def test_pixels_that_do_not_count_are_not_counted():
    _, target, counts = scored()
    wanted = np.bincount(target[counts], minlength=3).tolist()
    images = torch.zeros(4, 1, 6, 5)
    for source in (target, list(target), list(zip(images, torch.from_numpy(target), strict=True))):
        assert count_pixels(source, 3, ignore_index=255).tolist() == wanted
    with pytest.raises(ValueError, match="holds 255, outside"):
        count_pixels(target, 3, ignore_index=254)
    with pytest.raises(ValueError, match="no pixels that count"):
        count_pixels(target[3:], 3, ignore_index=255)
    with pytest.raises(ValueError, match="pass one_hot_axis or ignore_index, got 0 and 255"):
        count_pixels(target, 6, one_hot_axis=0, ignore_index=255)


@pytest.mark.parametrize("name", RANKINGS)
def test_a_ranking_of_nothing_is_refused(name):
    with pytest.raises(ValueError, match="the whole target is ignore_index=255"):
        RANKINGS[name]([0.1, 0.2], [255, 255], ignore_index=255)
