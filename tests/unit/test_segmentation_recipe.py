"""Losses, scores and whole trainings of `course_utils.trainers`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, jaccard_score
from torch import nn

from course_utils.config import MAX_SEED
from course_utils.data import BinaryMasks, CachedDataset, open_dataset
from course_utils.trainers import (
    LOSS_NAMES,
    Parts,
    SegmentationRecipe,
    choose_threshold,
    decide,
    open_parts,
    score_segmentation,
    segmentation_loss,
    train_segmentation,
)
from course_utils.trainers import segmentation as module

TINY = SegmentationRecipe(size=32, width=2, steps=6, batch_size=4, seed=3)


class Stopped(Exception):
    """The training was stopped from outside."""


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")


def held(split: str, count: int, *, merged: bool = True) -> CachedDataset:
    surfaces = open_dataset("synthetic", split, size=32)
    return CachedDataset(BinaryMasks(surfaces) if merged else surfaces, indices=range(count))


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts(held("train", 10), held("val", 6), held("test", 6))


@pytest.fixture(scope="module")
def parts_of_four() -> Parts:
    return Parts(*(held(split, 16, merged=False) for split in ("train", "val", "test")))


def with_masks(images: CachedDataset, change) -> CachedDataset:
    """A copy whose masks are `change(mask)`."""
    copy = CachedDataset(images, indices=[])
    copy.samples = [sample._replace(mask=change(sample.mask)) for sample in images.samples]
    return copy


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([values.detach().flatten().double() for values in model.state_dict().values()])


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
    return plain + soft_dice(logits, target) if name == "dice" else plain


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


def test_an_unknown_loss_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="loss 'tversky' is unknown: choose one of cross_entropy"):
        segmentation_loss("tversky", np.array([9, 1]))


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


# Thresholds and scores


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


@pytest.mark.parametrize("classes", [2, 3])
def test_masks_without_defects_cannot_be_scored(classes):
    with pytest.raises(ValueError, match="the masks hold no defect"):
        score_segmentation(
            torch.full((1, classes, 2, 2), 1 / classes),
            torch.zeros(1, 2, 2, dtype=torch.long),
            0.5 if classes == 2 else None,
            ("background", "a", "b")[:classes],
        )


def test_names_must_match_the_classes(answers):
    with pytest.raises(ValueError, match="of 4 classes, and 2 have names"):
        score_segmentation(*answers, None, ("background", "defect"))


def test_a_threshold_is_no_way_to_decide_among_four_classes(answers):
    with pytest.raises(ValueError, match="between 2 classes, got 4"):
        decide(answers[0], 0.5)


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


# Recipes


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data", 3, "data must be text, got 3"),
        ("data", None, "data must be text"),
        ("loss", "tversky", "loss 'tversky' is unknown"),
        ("loss", ["focal"], "loss must be text"),
        ("classes", "some", 'classes must be "one" or "all", got \'some\''),
        ("size", 0, "size must be a multiple of 16"),
        ("size", -16, "size must be a multiple of 16"),
        ("size", 100, "size must be a multiple of 16 .* got 100"),
        ("size", 128.0, r"size must be a whole number, got 128\.0"),
        ("size", (128, 128), "size must be a whole number"),
        ("width", 0, "width must be at least 1, got 0"),
        ("width", True, "width must be a whole number, got True"),
        ("steps", 0, "steps must be at least 1"),
        ("steps", "9", "steps must be a whole number, got '9'"),
        ("batch_size", 0, "batch_size must be at least 1"),
        ("learning_rate", 0.0, "learning_rate must be above 0"),
        ("learning_rate", -1, "learning_rate must be above 0"),
        ("learning_rate", float("nan"), "learning_rate must be above 0 .* got nan"),
        ("learning_rate", float("inf"), "both finite, got inf"),
        ("learning_rate", "fast", "learning_rate must be a number, got 'fast'"),
        ("weight_decay", -0.1, "weight_decay at least 0"),
        ("weight_decay", float("nan"), "weight_decay at least 0"),
        ("weight_decay", float("inf"), "both finite"),
        ("flips", 1, "flips must be True or False, got 1"),
        ("flips", "no", "flips must be True or False"),
        ("seed", -1, "seed must lie in 0"),
        ("seed", MAX_SEED + 1, "seed must lie in 0"),
        ("seed", 1.0, "seed must be a whole number"),
        ("seed", True, "seed must be a whole number"),
        ("split_seed", -1, "split_seed must lie in 0"),
        ("split_seed", None, "split_seed must be a whole number"),
        ("split_by", "name", 'split_by must be "group" or "image", got \'name\''),
    ],
)
def test_a_recipe_refuses_what_cannot_work(field, value, message):
    with pytest.raises(ValueError, match=message):
        SegmentationRecipe(**{field: value})


def test_a_recipe_takes_the_ends_of_each_range_and_whole_numbers_for_floats():
    recipe = SegmentationRecipe(
        size=16, width=1, steps=1, batch_size=1, learning_rate=1, weight_decay=0, seed=MAX_SEED
    )
    assert (recipe.learning_rate, recipe.weight_decay) == (1.0, 0.0)
    assert type(recipe.learning_rate) is float


@pytest.mark.parametrize("settings", [{}, {"classes": "all"}, {"split_by": "image"}])
def test_parts_are_opened_as_the_recipe_says(settings, monkeypatch):
    monkeypatch.setattr(
        module, "CachedDataset", lambda images, progress: CachedDataset(images, indices=range(2))
    )
    found = open_parts(replace(TINY, split_seed=5, **settings))
    for name in ("train", "val", "test"):
        plain = open_dataset(
            "synthetic", name, size=32, seed=5, split_by=settings.get("split_by", "group")
        )
        part = getattr(found, name)
        assert part[1].name == plain[1].name
        assert torch.equal(part[1].image, plain[1].image)
        merged = settings.get("classes", "one") == "one"
        assert part.class_names == (("background", "defect") if merged else plain.class_names)
        assert part.split_note == plain.split_note


# Trainings


@pytest.fixture(scope="module")
def trained(parts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        return train_segmentation(TINY, parts)


def test_a_recipe_gives_the_same_bits_twice(trained, parts):
    torch.rand(7)  # what was drawn before does not matter
    again = train_segmentation(TINY, parts)
    assert torch.equal(weights(again.model), weights(trained.model))
    assert torch.equal(again.probabilities, trained.probabilities)
    assert again.history == trained.history
    assert (again.scores, again.threshold) == (trained.scores, trained.threshold)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"flips": False},
        {"learning_rate": 1e-3},
        {"weight_decay": 0.5},
        {"loss": "focal"},
        {"batch_size": 5},
        {"steps": 7},
    ],
)
def test_each_setting_makes_a_difference(change, trained, parts):
    other = train_segmentation(replace(TINY, **change), parts)
    assert not torch.equal(weights(other.model), weights(trained.model))


def test_looking_at_the_validation_images_changes_nothing(trained, parts):
    looked = train_segmentation(TINY, parts, evaluate_every=2)
    assert torch.equal(weights(looked.model), weights(trained.model))
    assert [row["step"] for row in looked.history.evaluations] == [2, 4, 6]
    assert set(looked.history.evaluations[0]) == {"step", "val/iou", "val/dice", "val/ap"}


def test_the_scores_are_those_of_the_test_images_at_the_validation_threshold(trained, parts):
    masks = torch.stack([sample.mask for sample in parts.test.samples])
    names = ("background", "defect")
    assert trained.probabilities.shape == (6, 2, 32, 32)
    wanted = score_segmentation(trained.probabilities, masks, trained.threshold, names)
    assert trained.scores == wanted
    chosen = parts.val.samples
    image = torch.stack([sample.image for sample in chosen])
    with torch.no_grad():
        p = trained.model.eval()(image.contiguous(memory_format=torch.channels_last)).softmax(1)
    assert trained.threshold == pytest.approx(
        choose_threshold(p, torch.stack([sample.mask for sample in chosen])), rel=1e-4
    )


def test_threshold_and_weights_never_see_the_test_images(trained, parts):
    wrong = replace(parts, test=with_masks(parts.test, lambda mask: 1 - mask))
    other = train_segmentation(TINY, wrong)
    assert other.threshold == trained.threshold
    assert torch.equal(weights(other.model), weights(trained.model))
    assert other.scores != trained.scores


def test_the_weights_never_see_the_validation_images(trained, parts):
    wrong = replace(parts, val=with_masks(parts.val, lambda mask: 1 - mask))
    other = train_segmentation(TINY, wrong, evaluate_every=1)
    assert torch.equal(weights(other.model), weights(trained.model))
    assert other.threshold != trained.threshold


def test_the_weights_of_the_loss_are_counted_on_training_images_alone(parts, monkeypatch):
    seen = []
    monkeypatch.setattr(
        module, "segmentation_loss", lambda *given: seen.append(given) or nn.CrossEntropyLoss()
    )
    train_segmentation(replace(TINY, loss="weighted"), parts)
    masks = torch.stack([sample.mask for sample in parts.train.samples])
    ((name, counts),) = seen
    assert (name, counts.tolist()) == ("weighted", masks.flatten().bincount().tolist())


def test_several_classes_have_scores_each_and_no_threshold(parts_of_four):
    result = train_segmentation(replace(TINY, classes="all"), parts_of_four)
    assert result.threshold is None
    assert result.probabilities.shape == (16, 4, 32, 32)
    assert {"iou", "iou/line", "ap/spot", "dice/area"} <= set(result.scores)


def test_another_network_can_stand_in(parts):
    torch.manual_seed(0)
    network = nn.Conv2d(3, 2, 1)
    result = train_segmentation(TINY, parts, model=network)
    assert result.model is network


def test_parts_that_are_given_are_not_read_again(parts, monkeypatch):
    monkeypatch.setattr(module, "open_dataset", lambda *_, **__: pytest.fail("read again"))
    reads = len(parts.train.samples)
    train_segmentation(TINY, parts)
    assert len(parts.train.samples) == reads


def test_stopped_in_the_middle_it_ends_in_the_same_bits(trained, parts, tmp_path):
    def stop(history):
        if len(history.loss) == 4:
            raise Stopped

    with pytest.raises(Stopped):
        train_segmentation(TINY, parts, folder=tmp_path, evaluate_every=2, watch=stop)
    steps = []
    resumed = train_segmentation(
        TINY,
        parts,
        folder=tmp_path,
        evaluate_every=2,
        watch=lambda history: steps.append(len(history.loss)),
    )
    assert steps[0] < 6
    assert steps[-1] == 6
    assert steps[0] > 0, "it started again from the beginning"
    assert torch.equal(weights(resumed.model), weights(trained.model))
    assert torch.equal(resumed.probabilities, trained.probabilities)
    assert resumed.scores == trained.scores


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"loss": "dice"}, {"steps": 8}, {"split_by": "image"}, {"flips": False}]
)
def test_a_checkpoint_of_another_recipe_is_refused(change, parts, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "finished"
    train_segmentation(TINY, parts, folder=folder)
    before = (folder / "checkpoint.pt").read_bytes()
    with pytest.raises(ValueError, match=f"of another run: .*{next(iter(change))}"):
        train_segmentation(replace(TINY, **change), parts, folder=folder)
    assert (folder / "checkpoint.pt").read_bytes() == before


def test_a_batch_larger_than_the_training_set_is_refused(parts):
    with pytest.raises(ValueError, match=r"batch of 11 images .* has 10: choose a smaller"):
        train_segmentation(replace(TINY, batch_size=11), parts)


@pytest.mark.parametrize(("part", "name"), [("val", "validation"), ("test", "test")])
def test_parts_without_defects_are_refused_before_the_training(part, name, parts, monkeypatch):
    monkeypatch.setattr(module, "fit", lambda *_, **__: pytest.fail("trained"))
    sound = replace(parts, **{part: with_masks(getattr(parts, part), torch.zeros_like)})
    with pytest.raises(ValueError, match=f"none of the 6 {name} images"):
        train_segmentation(TINY, sound)
