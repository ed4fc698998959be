import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from course_utils.evaluation import (
    average_precision,
    image_auroc,
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
def test_auroc_is_the_chance_that_a_defect_scores_higher(data):
    assert image_auroc(*data) == pytest.approx(auroc_by_pairs(*data))
    assert image_auroc(*data) == pytest.approx(metrics.roc_auc_score(data[1], data[0]))


@FEW
@given(scored())
def test_average_precision_is_the_step_rule_of_scikit_learn(data):
    scores, target = data
    assert average_precision(scores, target) == pytest.approx(
        metrics.average_precision_score(target, scores)
    )


@FEW
@given(scored())
def test_the_trapezoid_is_the_area_that_published_code_reports(data):
    scores, target = data
    precision, recall, _ = metrics.precision_recall_curve(target, scores)
    expected = metrics.auc(recall, precision)
    assert trapezoid_average_precision(scores, target) == pytest.approx(expected)


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


@FEW
@given(scored(), st.randoms())
def test_only_the_order_of_scores_counts(data, random):
    scores, target = data
    shuffle = np.array(random.sample(range(len(scores)), len(scores)))
    for metric in (image_auroc, average_precision, trapezoid_average_precision):
        value = metric(scores, target)
        assert 0 <= value <= 1
        assert metric(np.exp(3 * scores) - 7, target) == pytest.approx(value)
        assert metric(scores[shuffle], target[shuffle]) == pytest.approx(value)
    assert image_auroc(-scores, target) == pytest.approx(1 - image_auroc(scores, target))


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


def test_the_mean_over_batches_is_not_the_auroc():
    scores = np.array([0.1, 0.2, 0.8, 0.9])  # each batch is ranked perfectly, the whole is not
    labels = np.array([0, 1, 0, 1])
    batches = [image_auroc(scores[part], labels[part]) for part in (slice(2), slice(2, 4))]
    assert np.mean(batches) == 1.0
    assert image_auroc(scores, labels) == 0.75


def test_pixels_are_pooled_and_good_images_count():
    maps = np.array([[[0.9, 0.1]], [[0.95, 0.2]]])
    masks = np.array([[[1, 0]], [[0, 0]]])
    assert pixel_auroc(maps, masks) == pytest.approx(2 / 3)
    assert pixel_auroc(maps[:1], masks[:1]) == 1.0


def test_images_of_different_sizes_are_pooled_from_a_list():
    maps = [np.array([[0.9, 0.1]]), np.array([[0.95], [0.2], [0.3]])]
    masks = [torch.tensor([[1, 0]]), torch.zeros(3, 1, dtype=torch.int64)]
    assert pixel_auroc(maps, masks) == pytest.approx(3 / 4)


def test_an_easy_background_lifts_pixel_auroc_but_not_average_precision():
    rng = np.random.default_rng(1)
    hard = rng.normal(size=500)
    target = np.zeros(500, dtype=bool)
    target[:20] = True
    scores = hard + 1.0 * target
    padded = np.concatenate([scores, np.full(20_000, -9.0)])
    more = np.concatenate([target, np.zeros(20_000, dtype=bool)])
    assert pixel_auroc(padded[None], more[None]) > 0.98 > pixel_auroc(scores[None], target[None])
    assert average_precision(padded, more) == pytest.approx(average_precision(scores, target))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_of_any_precision_are_taken(dtype):
    scores = torch.tensor([0.125, 0.5, 0.25, 0.75], dtype=dtype, requires_grad=True)
    assert image_auroc(scores, torch.tensor([0, 0, 1, 1])) == 0.75
    assert image_auroc([*scores], [0, 0, 1, 1]) == 0.75


def test_constant_scores_have_defined_values():
    target = [1, 0, 0, 0]
    assert image_auroc([0.3] * 4, target) == 0.5
    assert average_precision([0.3] * 4, target) == 0.25


def test_nothing_but_defects_has_average_precision_one():
    assert average_precision([0.3, 0.1], [1, 1]) == 1.0


@pytest.mark.parametrize("metric", [image_auroc, pixel_auroc, roc_curve])
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_is_an_error_that_says_so(metric, label):
    with pytest.raises(ValueError, match="hold both"):
        metric([0.1, 0.9], [label, label])


def test_no_defect_is_an_error_for_average_precision():
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


@settings(max_examples=20)
@given(scored())
def test_results_are_plain_floats(data):
    assert type(image_auroc(*data)) is float
    assert type(average_precision(*data)) is float
    assert type(trapezoid_average_precision(*data)) is float
