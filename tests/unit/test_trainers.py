"""What every training promises: the same bits, and nothing learnt from what it is judged by."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from stoppable_training import Stopped, weights
from tiny_defects import CHANNELS as TINY_CHANNELS
from tiny_defects import HEIGHT, WIDTH, Squares

from course_utils.data import BinaryMasks, CachedDataset, MappedDataset, open_dataset
from course_utils.trainers import (
    CHANNELS,
    Splits,
    Trainer,
    TrainingConfig,
    TwoStageConfig,
    TwoStageTrainer,
    UNetConfig,
    UNetTrainer,
    trainer,
)

CPU = {"device": "cpu", "precision": "32-true"}


@dataclass(frozen=True)
class Case:
    """A method with a tiny training of it, and settings that change it."""

    trainer: type[Trainer]
    config: TrainingConfig
    changes: list[dict]
    metrics: set[str]
    compared: list[str]
    """What a result has besides weights, history and scores."""


CASES = {
    "unet": Case(
        UNetTrainer,
        UNetConfig(height=32, width=32, channels=2, steps=6, batch_size=4, seed=3),
        [
            {"seed": 4}, {"flips": False}, {"learning_rate": 1e-3}, {"weight_decay": 0.5},
            {"loss": "focal"}, {"batch_size": 5}, {"steps": 7},
        ],
        {"step", "val/iou", "val/dice", "val/ap"},
        ["probabilities"],
    ),
    "two_stage": Case(
        TwoStageTrainer,
        TwoStageConfig(
            height=HEIGHT, width=WIDTH, channels="slim", epochs=2, batch_size=2, learning_rate=0.25
        ),
        [
            {"seed": 4}, {"learning_rate": 0.125}, {"weight_decay": 0.5}, {"optimizer": "adamw"},
            {"batch_size": 4}, {"epochs": 3}, {"delta": 0.5}, {"power": 1.0}, {"dilate": 3},
            {"positive_weight": 2.0}, {"masks": "ellipse"}, {"segmented": 2},
        ],
        {"step", "val/ap"},
        ["decisions", "maps"],
    ),
}  # fmt: skip


def squares() -> Splits:
    return Splits(*(CachedDataset(Squares(count, seed)) for seed, count in enumerate((12, 9, 9))))


def surfaces() -> Splits:
    return Splits(
        *(
            CachedDataset(BinaryMasks(open_dataset("synthetic", name, size=32)), indices=range(n))
            for name, n in (("train", 10), ("val", 6), ("test", 6))
        )
    )


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """A case with its splits and one training that nobody stopped or watched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CHANNELS, "slim", TINY_CHANNELS)
        one = CASES[request.param]
        splits = surfaces() if request.param == "unet" else squares()
        trained = one.trainer(one.config, splits).train(**CPU)
        yield SimpleNamespace(**vars(one), splits=splits, trained=trained)


def train(case, splits=None, changes=None, **settings):
    config = case.config.model_copy(update=changes or {})
    return case.trainer(config, splits or case.splits).train(**CPU, **settings)


def same(case, found) -> bool:
    return (
        torch.equal(weights(found.model), weights(case.trained.model))
        and found.history.loss == case.trained.history.loss
        and (found.scores, found.threshold) == (case.trained.scores, case.trained.threshold)
        and all(torch.equal(getattr(found, n), getattr(case.trained, n)) for n in case.compared)
    )


def with_changed(images: CachedDataset, change) -> CachedDataset:
    changed = MappedDataset(images)
    changed.map_sample = change
    return CachedDataset(changed)


def swapped(sample):
    """What was good is defective, and the other way round."""
    return sample._replace(label=1 - sample.label, mask=1 - sample.mask)


def test_the_detector_gives_test_images_the_scores_that_the_table_has(case):
    class Photographs(MappedDataset):
        """With steps of 1/255, which made-up images do not have."""

        def map_sample(self, sample):
            return sample._replace(image=(sample.image * 255).round() / 255)

    splits = replace(case.splits, test=CachedDataset(Photographs(case.splits.test)))
    method = case.trainer(case.config, splits)
    result = method.score(case.trained.model, case.trained.history)
    detector = method.detector(result)
    for sample, score in zip(splits.test, method.image_scores(result), strict=True):
        assert detector.predict(sample.image).score == pytest.approx(score, rel=1e-4, abs=1e-5)
    threshold = detector.settings.threshold
    labels = [sample.label for sample in case.splits.val]
    errors = [threshold.false_alarms, threshold.misses]
    assert sum(one.total for one in errors if one) == len(labels)


def test_a_config_gives_the_same_bits_twice_and_the_images_are_not_read_again(case, monkeypatch):
    monkeypatch.setattr(case.trainer, "open_splits", lambda *_, **__: pytest.fail("read again"))
    torch.rand(7)  # what was drawn before does not matter
    assert same(case, train(case))


def test_each_setting_makes_a_difference(case):
    for change in case.changes:
        other = train(case, changes=change)
        assert not torch.equal(weights(other.model), weights(case.trained.model)), change


def test_evaluating_the_validation_images_changes_nothing(case):
    watched = train(case, evaluate_every=2)
    assert same(case, watched)
    steps = len(watched.history.loss)
    assert [row["step"] for row in watched.history.evaluations] == list(range(2, steps + 1, 2))
    assert all(set(row) == case.metrics for row in watched.history.evaluations)


def test_threshold_and_weights_never_see_the_test_images(case):
    wrong = replace(case.splits, test=with_changed(case.splits.test, swapped))
    other = train(case, wrong, evaluate_every=3)
    assert other.threshold == case.trained.threshold
    assert torch.equal(weights(other.model), weights(case.trained.model))
    assert other.scores != case.trained.scores


def test_the_weights_never_see_the_validation_images(case):
    wrong = replace(case.splits, val=with_changed(case.splits.val, swapped))
    other = train(case, wrong, evaluate_every=1)
    assert torch.equal(weights(other.model), weights(case.trained.model))
    assert other.threshold != case.trained.threshold


def test_stopped_in_the_middle_it_ends_in_the_same_bits(case, tmp_path):
    def stop(history):
        if len(history.loss) == 4:
            raise Stopped

    again = {"folder": tmp_path, "evaluate_every": 2}
    with pytest.raises(Stopped):
        train(case, on_evaluation=stop, **again)
    steps = []
    resumed = train(case, on_evaluation=lambda history: steps.append(len(history.loss)), **again)
    assert steps == list(range(2, len(resumed.history.loss) + 1, 2)), "on from step 2"
    assert same(case, resumed)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    for change in case.changes:
        with pytest.raises(ValueError, match=f"of another run: .*({'|'.join(change)}|steps)"):
            train(case, changes=change, **again)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_callback_without_evaluations_is_refused(case):
    with pytest.raises(ValueError, match="needs evaluations: give evaluate_every"):
        train(case, on_evaluation=print)


@pytest.mark.parametrize(("split", "name"), [("val", "validation"), ("test", "test")])
def test_splits_without_defects_are_refused_before_the_training(case, split, name, monkeypatch):
    monkeypatch.setattr(trainer, "fit", lambda *_, **__: pytest.fail("trained"))
    images = getattr(case.splits, split)
    good = with_changed(images, lambda s: s._replace(label=0, mask=torch.zeros_like(s.mask)))
    with pytest.raises(ValueError, match=rf"of the {len(images)} {name} images of synthetic show"):
        train(case, replace(case.splits, **{split: good}))
