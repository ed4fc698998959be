"""Scores of segmentations, maps of anomaly and decisions, against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    auc,
    average_precision_score,
    confusion_matrix,
    f1_score,
    jaccard_score,
    precision_recall_curve,
)

from course_utils.trainers import (
    choose_threshold,
    decide,
    iou_by_kind,
    score_anomalies,
    score_detection,
    score_segmentation,
)

# Segmentation


@pytest.fixture
def answers():
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 4, (3, 8, 9)) * (rng.random((3, 8, 9)) < 0.5)
    logits = rng.normal(size=(3, 4, 8, 9)) + 1.2 * np.moveaxis(np.eye(4)[masks], -1, 1)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return torch.from_numpy(p), torch.from_numpy(masks)


def test_binary_scores_are_those_of_scikit_learn(answers):
    p, masks = answers
    two = torch.stack([p[:, 0], p[:, 1:].sum(1)], dim=1)
    scores = score_segmentation(two, masks, 0.6, ("background", "defect"))
    truth, found = (masks > 0).ravel(), (two[:, 1] >= 0.6).ravel()
    assert scores == pytest.approx(
        {
            "iou": jaccard_score(truth, found),
            "dice": f1_score(truth, found),
            "ap": average_precision_score(truth, two[:, 1].ravel()),
        }
    )


def test_scores_of_four_classes_are_those_of_scikit_learn(answers):
    p, masks = answers
    names = ("background", "line", "spot", "area")
    scores = score_segmentation(p, masks, None, names)
    truth, found = masks.ravel(), p.argmax(1).ravel()
    wanted = {
        "iou": jaccard_score(truth, found, labels=[1, 2, 3], average=None),
        "dice": f1_score(truth, found, labels=[1, 2, 3], average=None),
        "ap": [average_precision_score(truth == c, p[:, c].ravel()) for c in (1, 2, 3)],
    }
    for name, values in wanted.items():
        assert scores[name] == pytest.approx(np.mean(values))
        for class_name, value in zip(names[1:], values, strict=True):
            assert scores[f"{name}/{class_name}"] == pytest.approx(value)
    assert len(scores) == 12


def one_hot(classes: list[int]) -> torch.Tensor:
    return torch.eye(3)[torch.tensor([[classes]])].movedim(-1, 1)


def test_a_class_that_is_neither_there_nor_predicted_is_left_out_of_the_means():
    masks = torch.tensor([[[0, 1, 1, 0]]])
    scores = score_segmentation(one_hot([0, 1, 0, 0]), masks, None, ("background", "a", "b"))
    assert (scores["iou"], scores["iou/a"]) == (0.5, 0.5)
    assert scores["dice"] == scores["dice/a"] == pytest.approx(2 / 3)
    assert all(np.isnan(scores[f"{name}/b"]) for name in ("iou", "dice", "ap"))


def test_a_class_that_is_predicted_and_not_there_counts_as_0_except_in_ap():
    masks = torch.tensor([[[0, 1, 1, 0]]])
    scores = score_segmentation(one_hot([0, 1, 1, 2]), masks, None, ("background", "a", "b"))
    assert (scores["iou/a"], scores["iou/b"], scores["iou"]) == (1, 0, 0.5)
    assert (scores["dice/b"], scores["dice"]) == (0, 0.5)
    assert scores["ap"] == scores["ap/a"] == 1
    assert np.isnan(scores["ap/b"])


def test_what_cannot_be_scored_is_refused(answers):
    p, good = answers[0][:1, :, :2, :2], torch.zeros(1, 2, 2, dtype=torch.long)
    for classes, threshold in ((2, 0.5), (3, None)):
        names = ("background", "a", "b")[:classes]
        with pytest.raises(ValueError, match="the masks hold no defect"):
            score_segmentation(p[:, :classes], good, threshold, names)
    with pytest.raises(ValueError, match="of 4 classes, and 2 have names"):
        score_segmentation(*answers, None, ("background", "defect"))
    with pytest.raises(ValueError, match="between 2 classes, got 4"):
        decide(answers[0], 0.5)
    with pytest.raises(ValueError, match="need a defect"):
        score_detection(torch.tensor([0.1, 0.2]), torch.tensor([0, 0]), 0.0)
    with pytest.raises(ValueError, match="finite"):
        score_detection(torch.tensor([0.1, float("nan")]), torch.tensor([0, 1]), 0.0)


def test_no_other_threshold_has_a_better_iou(answers):
    p, masks = answers
    two = torch.stack([p[:, 0], 1 - p[:, 0]], dim=1)
    names = ("background", "defect")
    best = score_segmentation(two, masks, choose_threshold(two, masks), names)["iou"]
    others = [score_segmentation(two, masks, float(t), names)["iou"] for t in two[:, 1].unique()]
    assert best == max(others)
    assert min(others) < best


def test_of_several_classes_the_most_probable_one_is_taken(answers):
    assert choose_threshold(*answers) is None
    assert torch.equal(decide(answers[0], None), answers[0].argmax(1))


def test_the_iou_of_a_kind_pools_the_images_of_that_kind_alone():
    masks = torch.zeros(4, 2, 2, dtype=torch.long)
    masks[:3, 0] = 1
    found = masks.clone()
    found[1, 1] = 1  # twice what is there
    found[3] = 1  # a false alarm on a good image: of no kind
    names = ("background", "crack", "fray", "never seen")
    assert iou_by_kind(found, masks, [1, 2, 1, 0], names) == {"crack": 1.0, "fray": 0.5}


# Maps of anomaly


def test_a_defect_too_small_for_its_mask_still_makes_its_image_defective():
    masks = torch.zeros(3, 16, 16, dtype=torch.long)
    masks[0, :4] = 1
    maps = masks.float()
    maps[1] = 0.5  # its defect vanished when the mask was made smaller
    assert score_anomalies(maps, masks, torch.tensor([1, 1, 0]))["image_auroc"] == 1
    assert score_anomalies(maps, masks)["image_auroc"] == 1
    maps[1] = 2
    assert score_anomalies(maps, masks)["image_auroc"] == 0.5


# Decisions

# Few values, so that many tie; eighths are exact in every precision.
DECISIONS = st.lists(
    st.tuples(st.integers(-16, 16).map(lambda n: n / 8), st.booleans()), min_size=2, max_size=30
).filter(lambda pairs: len({label for _, label in pairs}) == 2)


@settings(max_examples=40, deadline=None)
@given(pairs=DECISIONS, threshold=st.integers(-20, 20).map(lambda n: n / 8))
def test_scores_are_those_of_scikit_learn(pairs, threshold):
    decisions, labels = (np.array(side, float) for side in zip(*pairs, strict=True))
    found = score_detection(torch.tensor(decisions), torch.tensor(labels), threshold)
    assert found["ap"] == pytest.approx(average_precision_score(labels, decisions))
    precision, recall, thresholds = precision_recall_curve(labels, decisions)
    assert found["ap_trapezoid"] == pytest.approx(auc(recall, precision))
    _, fp, fn, _ = confusion_matrix(labels, decisions >= threshold, labels=[0, 1]).ravel()
    assert (found["fp"], found["fn"]) == (fp, fn)
    assert all(type(value) is float for value in found.values())

    def f1(at):
        tp = ((decisions >= at) & (labels == 1)).sum()
        return 2 * tp / ((decisions >= at).sum() + labels.sum())

    best = max(f1(at) for at in thresholds)
    errors = found["fp_oracle"], found["fn_oracle"]
    counts = [
        tuple(confusion_matrix(labels, decisions >= at, labels=[0, 1]).ravel()[1:3])
        for at in thresholds
        if f1(at) == pytest.approx(best)
    ]
    assert errors in counts


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_decision_at_the_threshold_is_a_defect_in_every_precision(dtype):
    decisions = torch.tensor([0.1, 0.3, 0.7], dtype=dtype)
    labels = torch.tensor([0, 1, 1])
    scores = score_detection(decisions, labels, float(decisions[1]))
    assert (scores["fp"], scores["fn"], scores["fp_oracle"], scores["fn_oracle"]) == (0, 0, 0, 0)
