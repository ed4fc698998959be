"""AP and errors of decisions on whole images, against scikit-learn and counting by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, confusion_matrix, precision_recall_curve

from course_utils.trainers import score_detection

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

    def f1(at):
        hits = ((decisions >= at) & (labels == 1)).sum()
        return 2 * hits / ((decisions >= at).sum() + labels.sum())

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


def test_the_threshold_given_is_not_the_one_of_the_oracle():
    decisions, labels = torch.tensor([-5.0, -4.0, -3.0, -2.0]), torch.tensor([0, 0, 1, 1])
    scores = score_detection(decisions, labels, threshold=0.0)
    assert (scores["ap"], scores["fn"], scores["fn_oracle"]) == (1, 2, 0)
    assert all(type(value) is float for value in scores.values())


@pytest.mark.parametrize(
    ("decisions", "labels"),
    [
        ([0.1, 0.2], [0, 0]),
        ([0.1, float("nan")], [0, 1]),
        ([0.1, float("inf")], [0, 1]),
        ([0.1, 0.2], [0, 2]),
        ([0.1, 0.2, 0.3], [0, 1]),
        ([], []),
    ],
)
def test_what_cannot_be_scored_is_refused(decisions, labels):
    with pytest.raises(ValueError, match=r"scores|target|defects|hold"):
        score_detection(torch.tensor(decisions), torch.tensor(labels), 0.0)
