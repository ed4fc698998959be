import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from course_utils.evaluation import (
    average_precision,
    best_threshold,
    dice,
    image_auroc,
    iou,
    pixel_auroc,
    precision_recall_curve,
    roc_curve,
    trapezoid_average_precision,
)

FEW = settings(max_examples=40)
"""scikit-learn takes milliseconds for each."""


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Few distinct scores, so that ties abound; both classes present."""
    size = draw(st.integers(2, 40))
    scores = draw(st.lists(st.integers(-5, 5), min_size=size, max_size=size))
    target = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    target[0], target[1] = False, True
    return np.array(scores) / 4, np.array(target)


def auroc_by_pairs(scores: np.ndarray, target: np.ndarray) -> float:
    difference = scores[target][:, None] - scores[~target][None]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


@FEW
@given(scored())
def test_areas_are_those_of_the_definition_and_of_scikit_learn(data):
    scores, target = data
    assert image_auroc(scores, target) == pytest.approx(auroc_by_pairs(scores, target))
    assert image_auroc(scores, target) == pytest.approx(metrics.roc_auc_score(target, scores))
    steps = metrics.average_precision_score(target, scores)
    assert average_precision(scores, target) == pytest.approx(steps)
    precision, recall, _ = metrics.precision_recall_curve(target, scores)
    area = metrics.auc(recall, precision)
    assert trapezoid_average_precision(scores, target) == pytest.approx(area)


@FEW
@given(scored())
def test_curves_equal_those_of_scikit_learn(data):
    scores, target = data
    fpr, tpr, thresholds = metrics.roc_curve(target, scores, drop_intermediate=False)
    ours = roc_curve(scores, target)
    for mine, theirs in zip(ours, (fpr, tpr, thresholds), strict=True):
        np.testing.assert_allclose(mine, theirs)
    precision, recall, thresholds = metrics.precision_recall_curve(target, scores)
    curve = precision_recall_curve(scores, target)
    np.testing.assert_allclose(curve.precision[::-1], precision)
    np.testing.assert_allclose(curve.recall[::-1], recall)
    np.testing.assert_allclose(curve.thresholds[:0:-1], thresholds)


@pytest.mark.parametrize("seed", range(10))
def test_without_ties_the_trapezoid_is_at_most_the_step_rule(seed):
    rng = np.random.default_rng(seed)
    scores, target = rng.permutation(60), rng.random(60) < 0.3
    assert trapezoid_average_precision(scores, target) <= average_precision(scores, target)


def test_the_trapezoid_promises_more_than_any_threshold_reaches():
    rng = np.random.default_rng(0)
    target = rng.random(400) < 0.05
    scores = (rng.normal(size=400) + target).round()
    assert trapezoid_average_precision(scores, target) > average_precision(scores, target) + 0.02


def test_pixels_are_pooled_and_good_images_count():
    maps = np.array([[[0.9, 0.1]], [[0.95, 0.2]]])
    masks = np.array([[[1, 0]], [[0, 0]]])
    assert pixel_auroc(maps, masks) == pytest.approx(2 / 3)
    assert pixel_auroc(maps[:1], masks[:1]) == 1.0


def test_images_of_different_sizes_are_pooled_from_a_list():
    maps = [np.array([[0.9, 0.1]]), np.array([[0.95], [0.2], [0.3]])]
    masks = [torch.tensor([[1, 0]]), torch.zeros(3, 1, dtype=torch.int64)]
    assert pixel_auroc(maps, masks) == pytest.approx(3 / 4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_of_any_precision_are_taken(dtype):
    scores = torch.tensor([0.125, 0.5, 0.25, 0.75], dtype=dtype, requires_grad=True)
    assert image_auroc(scores, torch.tensor([0, 0, 1, 1])) == 0.75
    assert image_auroc([*scores], [0, 0, 1, 1]) == 0.75


@pytest.mark.parametrize("metric", [image_auroc, pixel_auroc, roc_curve])
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_is_an_error_that_says_so(metric, label):
    with pytest.raises(ValueError, match="hold both"):
        metric([0.1, 0.9], [label, label])
    assert average_precision([0.3, 0.1], [1, 1]) == 1.0
    with pytest.raises(ValueError, match="need a defect"):
        average_precision([0.1, 0.9], [0, 0])


@pytest.mark.parametrize(
    ("scores", "target", "message"),
    [
        ([0.1, np.nan], [0, 1], "1 NaN or infinite of 2"),
        ([0.1, np.inf], [0, 1], "finite"),
        ([0.1, 0.2], [0, 255], r"0 to 255.*target > 0"),
        ([0.1, 0.2], [0, 0.5], "0 to 0.5"),
        ([0.1, 0.2], [0, np.nan], "NaN"),
        ([0.1, 0.2, 0.3], [0, 1], r"\(3,\) and \(2,\)"),
        ([[0.1], [0.2]], [0, 1], r"\(2, 1\) and \(2,\)"),
        ([], [], "at least one value"),
        (["a", "b"], [0, 1], "must hold numbers"),
        ([[0.1], [0.2, 0.3]], [0, 1], "cannot become one array"),
        ([np.zeros((2, 2))], [np.zeros((2, 2)), np.zeros((2, 2))], "1 images and target 2"),
    ],
)
def test_broken_input_is_an_error_that_says_what_is_wanted(scores, target, message):
    for metric in (image_auroc, average_precision):
        with pytest.raises(ValueError, match=message):
            metric(scores, target)


# The threshold


def criterion_at(threshold: float, scores: np.ndarray, target: np.ndarray, name: str) -> float:
    found = scores >= threshold
    if name == "youden":
        return float(found[target].mean() - found[~target].mean())
    return (iou if name == "iou" else dice)(found, target)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30),
    st.sampled_from(["f1", "iou", "youden"]),
)
def test_no_other_threshold_is_better_and_ties_keep_the_highest(pairs, name):
    scores = np.array([score for score, _ in pairs]) / 8
    target = np.array([positive for _, positive in pairs])
    target[:2] = True, False
    chosen = best_threshold(scores, target, criterion=name)
    values = {other: criterion_at(other, scores, target, name) for other in np.unique(scores)}
    best = max(values.values())
    assert chosen == max(other for other, value in values.items() if value > best - 1e-12)
    below = max(scores[scores < chosen], default=chosen)
    assert best_threshold(scores, target, criterion=name, middle=True) == (chosen + below) / 2


@settings(max_examples=30)
@given(hnp.arrays(np.float32, 25, elements=st.floats(-1, 1, width=16)))
def test_the_threshold_survives_the_way_back_to_short_floats(scores):
    target = np.arange(25) < 5
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        tensor = torch.from_numpy(scores).to(dtype)
        threshold = best_threshold(tensor, target)
        assert int((tensor == threshold).sum()) >= 1


@pytest.mark.parametrize(
    ("target", "criterion", "message"),
    [
        ([0, 0], "f1", "0 defects and 2 good"),
        ([1, 1], "youden", "2 defects and 0 good"),
        ([0, 1], "mcc", "f1, iou, youden, got 'mcc'"),
    ],
)
def test_a_threshold_needs_examples_and_a_known_criterion(target, criterion, message):
    with pytest.raises(ValueError, match=message):
        best_threshold([0.1, 0.2], target, criterion=criterion)
