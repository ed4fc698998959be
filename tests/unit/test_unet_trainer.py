"""The U-Net's training: its losses, its images, and what it is taught."""

from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from course_utils import load_detector
from course_utils.data import BinaryMasks, CachedDataset, open_dataset
from course_utils.models import build_encoder
from course_utils.trainers import (
    LOSS_NAMES,
    Splits,
    UNetConfig,
    UNetTrainer,
    choose_threshold,
    open_splits,
    score_segmentation,
    segmentation_loss,
    splits,
    unet,
)
from course_utils.training import Checkpoint

TINY = UNetConfig(height=32, width=32, channels=2, steps=2, batch_size=4, seed=3)
CPU = {"device": "cpu", "precision": "32-true"}


@pytest.fixture(scope="module")
def four_classes() -> Splits:
    return Splits(
        *(
            CachedDataset(open_dataset("synthetic", split, size=32), indices=range(16))
            for split in ("train", "val", "test")
        )
    )


@pytest.fixture
def few() -> Splits:
    def surfaces(split):
        return CachedDataset(
            BinaryMasks(open_dataset("synthetic", split, size=32)), indices=range(8)
        )

    return Splits(*map(surfaces, ("train", "val", "test")))


# Losses


@pytest.fixture
def pixels():
    rng = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 3, 5, 7, generator=rng, dtype=torch.float64)
    return logits, torch.randint(3, (2, 5, 7), generator=rng)


def true_probability(logits, target):
    return (logits.exp() / logits.exp().sum(1, keepdim=True)).gather(1, target[:, None])[:, 0]


def soft_dice(logits, target, smooth=1.0):
    """1 - Dice of each defect class over the batch, averaged."""
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    values = []
    for c in range(1, logits.shape[1]):
        truth = (target == c).double()
        both = (p[:, c] * truth).sum()
        values.append(1 - (2 * both + smooth) / (p[:, c].sum() + truth.sum() + smooth))
    return sum(values) / len(values)


def by_formula(name, logits, target, counts):
    p = true_probability(logits, target)
    if name == "focal":
        return (-((1 - p) ** 2) * p.log()).mean()
    if name == "weighted":
        share = 1 / counts.double().sqrt()
        share = share / (share * counts).sum() * counts.sum()  # the average pixel weighs 1
        return (share[target] * -p.log()).mean()
    plain = -p.log().mean()
    return {"cross_entropy": plain, "dice": plain + soft_dice(logits, target)}[name]


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_each_loss_is_its_formula_in_value_and_gradient(name, pixels):
    logits, target = pixels
    counts = torch.tensor([900, 90, 10])
    found_at, wanted_at = (logits.clone().requires_grad_() for _ in range(2))
    found = segmentation_loss(name, counts.numpy())(found_at, target)
    wanted = by_formula(name, wanted_at, target, counts)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)
    found.backward()
    wanted.backward()
    torch.testing.assert_close(found_at.grad, wanted_at.grad, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_a_class_that_training_never_shows_does_no_harm(name, pixels):
    logits, target = pixels
    logits = logits.requires_grad_()
    loss = segmentation_loss(name, np.array([50, 20, 0]))(logits, target.clamp(max=1))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_a_batch_without_defects_has_a_finite_loss_that_falls_with_the_defect_logit(name):
    loss = segmentation_loss(name, np.array([99, 1]))
    logits = torch.zeros(1, 2, 4, 4, requires_grad=True)
    loss(logits, torch.zeros(1, 4, 4, dtype=torch.long)).backward()
    assert (logits.grad[:, 1] > 0).all()


# Images


@pytest.mark.parametrize("settings", [{}, {"classes": "all"}, {"split_by": "image"}])
def test_splits_are_opened_as_the_config_says(settings, monkeypatch):
    monkeypatch.setattr(
        splits, "CachedDataset", lambda images, progress: CachedDataset(images, indices=range(2))
    )
    found = open_splits(TINY.model_copy(update={"split_seed": 5, **settings}))
    for name in ("train", "val", "test"):
        plain = open_dataset(
            "synthetic", name, size=32, seed=5, split_by=settings.get("split_by", "group")
        )
        split = getattr(found, name)
        assert split[1].name == plain[1].name
        assert torch.equal(split[1].image, plain[1].image)
        merged = settings.get("classes", "one") == "one"
        assert split.class_names == (("background", "defect") if merged else plain.class_names)
        assert split.split_note == plain.split_note


def test_all_three_parts_must_fit_into_memory_before_any_is_read(monkeypatch):
    read = []
    monkeypatch.setattr(splits, "CachedDataset", lambda *_, **__: read.append(1))
    parts = [open_dataset("synthetic", name, size=32) for name in ("train", "val", "test")]
    each = 32 * 32 * (3 * 4 + 1)
    needed = each * sum(map(len, parts))
    for free in (needed, needed - 1):
        monkeypatch.setattr(
            psutil, "virtual_memory", lambda free=free: SimpleNamespace(available=free)
        )
        if free == needed:
            open_splits(TINY)
            assert len(read) == 3
        else:
            with pytest.raises(MemoryError, match=f"{sum(map(len, parts))} images take"):
                open_splits(TINY)
            assert len(read) == 3


# Training


def test_several_classes_have_scores_each_and_no_threshold(four_classes):
    config = TINY.model_copy(update={"classes": "all"})
    result = UNetTrainer(config, four_classes).train(**CPU)
    assert result.threshold is None
    assert result.probabilities.shape == (16, 4, 32, 32)
    assert {"iou", "iou/line", "ap/spot", "dice/area"} <= set(result.scores)


def test_the_weights_of_the_loss_are_counted_on_training_images_alone(four_classes, monkeypatch):
    seen = []
    monkeypatch.setattr(
        unet, "segmentation_loss", lambda *given: seen.append(given) or nn.CrossEntropyLoss()
    )
    UNetTrainer(TINY.model_copy(update={"loss": "weighted"}), four_classes).train(**CPU)
    masks = torch.stack([sample.mask for sample in four_classes.train])
    ((name, counts),) = seen
    assert (name, counts.tolist()) == ("weighted", masks.flatten().bincount(minlength=4).tolist())


def test_another_network_can_stand_in_and_is_scored_at_the_validation_threshold(four_classes):
    torch.manual_seed(0)
    network = nn.Conv2d(3, 2, 1)
    config = TINY.model_copy(update={"batch_size": 2})
    few = Splits(
        *(
            CachedDataset(BinaryMasks(part), indices=range(6))
            for part in vars(four_classes).values()
        )
    )
    result = UNetTrainer(config, few, model=network).train(**CPU)
    assert result.model is network
    p, masks = (
        torch.stack([getattr(sample, name) for sample in few.val]) for name in ("image", "mask")
    )
    with torch.no_grad():
        p = network(p.contiguous(memory_format=torch.channels_last)).softmax(1)
    assert result.threshold == pytest.approx(choose_threshold(p, masks), rel=1e-4)
    masks = torch.stack([sample.mask for sample in few.test])
    names = ("background", "defect")
    assert result.scores == score_segmentation(result.probabilities, masks, result.threshold, names)


@pytest.mark.parametrize(("encoder", "used"), [(None, "none"), ("efficientnet_lite0", "imagenet")])
def test_it_goes_on_from_the_weights_of_an_encoder(encoder, used, four_classes):
    config = TINY.model_copy(update={"encoder": encoder, "classes": "all", "learning_rate": 1e-6})
    trainer = UNetTrainer(config, four_classes)
    result = trainer.train(**CPU)
    assert trainer.agreed(result.model) == {"weights_used": used}
    if encoder:
        first = build_encoder(encoder, "offline").stage0[0].weight
        torch.testing.assert_close(result.model.encoder.stage0[0].weight, first, rtol=0, atol=1e-5)
        assert not torch.equal(result.model.encoder.stage0[0].weight, first)


def test_an_unknown_loss_and_a_batch_larger_than_the_training_set_are_refused(four_classes):
    with pytest.raises(ValueError, match="loss 'tversky' is unknown: choose one of cross_entropy"):
        segmentation_loss("tversky", np.array([9, 1]))
    with pytest.raises(ValueError, match=r"batch of 17 images .* has 16: choose a smaller"):
        UNetTrainer(TINY.model_copy(update={"batch_size": 17}), four_classes).train(**CPU)


def test_a_cascade_trains_one_autoencoder_after_the_other_and_goes_on(few, tmp_path):
    config = UNetConfig(network="casae", height=32, width=32, channels=2, steps=5, batch_size=4)
    whole = UNetTrainer(config, few).train(**CPU, folder=tmp_path / "whole")
    begun = UNetTrainer(config, few).build_model()
    first, second = whole.model.first, whole.model.second
    assert first.frozen, "the second learns from what the first has become"
    for part, start in ((first, begun.first), (second, begun.second)):
        assert not torch.equal(next(part.parameters()), next(start.parameters()))
    assert Checkpoint.load(tmp_path / "whole" / "first_checkpoint.pt").step == 3
    assert Checkpoint.load(tmp_path / "whole" / "checkpoint.pt").step == 2

    trainer = UNetTrainer(config, few)
    stages = trainer.stages

    def stop_after_first(model):
        yield next(stages(model))
        raise KeyboardInterrupt

    trainer.stages = stop_after_first
    with pytest.raises(KeyboardInterrupt):
        trainer.train(**CPU, folder=tmp_path / "stopped")
    resumed = UNetTrainer(config, few).train(**CPU, folder=tmp_path / "stopped")
    assert resumed.scores == whole.scores
    assert all(map(torch.equal, resumed.model.parameters(), whole.model.parameters()))

    detector = UNetTrainer(config, few).detector(whole)
    detector.save(tmp_path)
    again = load_detector(tmp_path, device="cpu")
    assert again.settings.network == "CascadedAutoencoder"
    assert again.predict(few.test[0].image).score == detector.predict(few.test[0].image).score


def test_a_cascade_takes_no_encoder():
    with pytest.raises(ValueError, match="casae has encoders of its own"):
        UNetConfig(network="casae", encoder="resnet18")
