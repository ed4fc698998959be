import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from course_utils.evaluation import (
    accuracy,
    confusion_matrix,
    dice,
    iou,
    mean_iou,
    per_class_dice,
    per_class_iou,
    per_image_table,
)

FEW = settings(max_examples=40)
"""scikit-learn takes milliseconds for each."""
shapes = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))
two_masks = shapes.flatmap(
    lambda shape: st.tuples(hnp.arrays(np.bool_, shape), hnp.arrays(np.bool_, shape))
)
two_classes = shapes.flatmap(
    lambda shape: st.tuples(
        *[hnp.arrays(np.int64, shape, elements=st.integers(0, 3)) for _ in range(2)]
    )
)


@FEW
@given(two_masks)
def test_overlap_equals_scikit_learn_where_there_is_something(masks):
    pred, target = masks
    if (pred | target).any():
        flat = target.ravel(), pred.ravel()
        assert iou(pred, target) == pytest.approx(metrics.jaccard_score(*flat, zero_division=0))
        assert dice(pred, target) == pytest.approx(metrics.f1_score(*flat, zero_division=0))
    else:
        assert iou(pred, target) == dice(pred, target) == 1.0


@given(two_masks, st.sampled_from([0.0, 1.0]))
def test_per_image_is_the_mean_of_the_images(masks, empty):
    pairs = list(zip(*masks, strict=True))
    for metric in (iou, dice):
        expected = np.mean([metric(one, other, empty=empty) for one, other in pairs])
        value = metric(*masks, average="per_image", empty=empty)
        assert value == pytest.approx(expected)


def test_the_value_of_an_empty_pair_is_the_callers_choice():
    nothing = torch.zeros(3, 1, 4, 4, dtype=torch.bfloat16)
    for average in ("pooled", "per_image"):
        assert iou(nothing, nothing, average=average) == 1.0
        assert dice(nothing, nothing, average=average, empty=0.0) == 0.0
        assert math.isnan(iou(nothing, nothing, average=average, empty=math.nan))


@pytest.mark.parametrize("metric", [iou, dice])
@pytest.mark.parametrize(
    ("pred", "target", "message"),
    [
        ([[0.3, 0.9]], [[0, 1]], "pred >= threshold"),
        ([[0, 1]], [[0, 2]], "target > 0"),
        ([[0, 1]], [[0, 1, 1]], r"\(1, 2\) and \(1, 3\)"),
        ([[0, math.nan]], [[0, 1]], "NaN"),
    ],
)
def test_overlap_wants_two_binary_masks_of_one_shape(metric, pred, target, message):
    for average in ("pooled", "per_image"):
        with pytest.raises(ValueError, match=message):
            metric(pred, target, average=average)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (2, 0, 4), (0, 4, 4)])
def test_overlap_wants_pixels(shape):
    for average in ("pooled", "per_image"):
        with pytest.raises(ValueError, match="pred must"):
            iou(np.zeros(shape), np.zeros(shape), average=average)
    with pytest.raises(ValueError, match="pred must"):
        per_image_table(["a"], [0], [0.1], np.zeros(shape), np.zeros(shape))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: iou([[0]], [[0]], average="macro"), "'pooled' or 'per_image', got 'macro'"),
        (lambda: mean_iou([[2, 0], [0, 0]], background=False), "needs a class"),
        (lambda: accuracy([], []), "at least one"),
        (lambda: accuracy([0], [0, 1]), "one shape"),
        (lambda: accuracy([math.nan], [1]), "finite"),
    ],
)
def test_what_has_no_value_is_refused(call, message):
    assert confusion_matrix([], [], 2).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match=message):
        call()


@FEW
@given(two_classes)
def test_confusion_and_class_overlaps_equal_scikit_learn(classes):
    pred, target = classes
    confusion = confusion_matrix(pred, target, 4)
    flat = target.ravel(), pred.ravel()
    np.testing.assert_array_equal(confusion, metrics.confusion_matrix(*flat, labels=range(4)))
    options = {"labels": range(4), "average": None, "zero_division": 0}
    seen = np.isin(range(4), np.append(*flat))
    overlaps = np.where(seen, metrics.jaccard_score(*flat, **options), np.nan)
    np.testing.assert_allclose(per_class_iou(confusion), overlaps)
    f1 = np.where(seen, metrics.f1_score(*flat, **options), -1)
    np.testing.assert_allclose(per_class_dice(confusion, empty=-1), f1)
    assert mean_iou(confusion) == pytest.approx(np.nanmean(overlaps))
    if seen[1:].any():
        rest = mean_iou(confusion, background=False)
        assert rest == pytest.approx(np.nanmean(overlaps[1:]))


@pytest.mark.parametrize(
    ("pred", "target", "classes", "message"),
    [
        ([0, 3], [0, 1], 3, "pred must hold class indices 0..2, got values from 0 to 3"),
        ([0, 1], [0, 255], 3, "target must hold class indices 0..2"),
        ([0, 1], [0, -1], 3, "-1 to 0"),
        ([0.2, 0.8], [0, 1], 2, "argmax first"),
        ([0, math.nan], [0, 1], 2, "NaN"),
        ([0, 1], [0], 2, "one shape"),
        ([0], [0], 0, "num_classes"),
    ],
)
def test_confusion_wants_known_classes(pred, target, classes, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(pred, target, classes)


@pytest.mark.parametrize(
    "matrix", [[[1, 2]], [1, 2], [[-1, 0], [0, 1]], [[0.9, 0.1], [0.5, 0.5]], [[math.inf]]]
)
def test_class_overlaps_want_a_confusion_matrix(matrix):
    with pytest.raises(ValueError, match="square matrix"):
        per_class_iou(matrix)
