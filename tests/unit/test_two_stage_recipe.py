"""The two-stage network's training: what each setting changes, and what it may not see."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from stoppable_training import Stopped, weights
from tiny_defects import CHANNELS as TINY_CHANNELS
from tiny_defects import HEIGHT, WIDTH, Squares

from course_utils.data import CachedDataset, EllipseMasks, distance_weights, two_stage_target
from course_utils.evaluation import best_threshold
from course_utils.losses import TwoStageLoss
from course_utils.models import TwoStageNet
from course_utils.trainers import (
    CHANNELS,
    TWO_STAGE_VARIANTS,
    TwoStageRecipe,
    detection_parts,
    labels_of,
    open_detection_parts,
    predict_two_stage,
    run_folder,
    run_in_folder,
    score_detection,
    train_two_stage,
    two_stage_batches,
    two_stage_procedure,
)
from course_utils.trainers import two_stage as module
from course_utils.trainers.segmentation import Parts
from course_utils.training import Checkpoint, launch

TINY = TwoStageRecipe(
    height=HEIGHT, width=WIDTH, channels="slim", epochs=2, batch_size=2, learning_rate=0.25
)
STEPS = 2 * 4  # of 12 training images, 4 are defective
CPU = {"device": "cpu", "precision": "32-true"}


@pytest.fixture(autouse=True, scope="module")
def _tiny_networks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CHANNELS, "slim", TINY_CHANNELS)
        yield


@pytest.fixture(scope="module")
def parts():
    return Parts(*(CachedDataset(Squares(count, seed)) for seed, count in enumerate((12, 9, 9))))


@pytest.fixture(scope="module")
def trained(parts):
    return train_two_stage(TINY, parts, **CPU)


def changed(part: CachedDataset, change) -> CachedDataset:
    """A copy of a part whose samples went through `change`."""
    copy = CachedDataset(part)
    copy.samples = [change(sample) for sample in part.samples]
    return copy


def swapped(sample):
    """What was good is defective, and the other way round."""
    return sample._replace(label=1 - sample.label, mask=1 - sample.mask)


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "two_stages"}, "variant 'two_stages' is unknown: choose one of two_stage, no"),
        ({"channels": "wide"}, "channels 'wide' is unknown: choose one of published, slim"),
        ({"optimizer": "adam"}, "optimizer 'adam' is unknown: choose one of sgd, adamw"),
        ({"masks": "boxes"}, "masks 'boxes' is unknown: choose one of exact, ellipse"),
        ({"fold": 4}, "fold must be 1, 2 or 3, or 0 for no folds, got 4"),
        ({"fold": -1}, "fold must be 1, 2 or 3"),
        ({"height": 100}, "multiples of 8 that hold two cells of 64 x 64 pixels, got 100 and 128"),
        ({"height": 64, "width": 64}, "two cells"),
        ({"height": 56, "width": 800}, "two cells"),
        ({"height": 0}, "height must be at least 1, got 0"),
        ({"height": -128, "width": -128}, "height must be at least 1, got -128"),
        ({"width": 128.0}, "width must be a whole number, got 128.0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"dilate": 4}, "dilate must be odd, got 4"),
        ({"dilate": 0}, "dilate must be at least 1"),
        ({"dilate": -3}, "dilate must be at least 1"),
        ({"segmented": -2}, "segmented must be at least 0, or -1 for all, got -2"),
        ({"delta": -0.1}, "delta must be at least 0 and finite, got -0.1"),
        ({"delta": float("nan")}, "delta must be at least 0 and finite, got nan"),
        ({"power": float("inf")}, "power must be at least 0 and finite, got inf"),
        ({"positive_weight": -1}, "positive_weight must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay at least 0"),
        ({"seed": -1}, "seed must lie in 0"),
        ({"split_seed": True}, "split_seed must be a whole number"),
        ({"data": None}, "data must be text"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TwoStageRecipe(**settings)


def test_the_ends_of_the_ranges_are_taken():
    recipe = TwoStageRecipe(
        height=64, width=128, delta=0, power=0, positive_weight=0, segmented=0, dilate=1, fold=3
    )
    assert (recipe.delta, recipe.power, recipe.positive_weight) == (0.0, 0.0, 0.0)
    assert type(recipe.delta) is float


def test_the_default_is_the_papers_training():
    """KolektorSDD: SGD without weight decay, batches of 1, p = 2, the decision counts .01."""
    recipe = TwoStageRecipe()
    assert (recipe.optimizer, recipe.weight_decay, recipe.batch_size) == ("sgd", 0, 1)
    assert (recipe.delta, recipe.power, recipe.positive_weight) == (0.01, 2, 1)
    assert (recipe.masks, recipe.segmented, recipe.dilate) == ("exact", -1, 1)


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, {"surfaces": ["painted_sheet"], "frequency": 0.2}),
        ({"data": "kolektor_sdd", "fold": 2}, {"fold": 2}),
        ({"data": "kolektor_sdd"}, {}),
        ({"data": "magnetic_tile"}, {}),
    ],
)
def test_images_are_opened_as_the_recipe_says(settings, options, monkeypatch):
    asked = []

    def note(*given, **named):
        asked.append((given, named))
        return Squares(3)

    monkeypatch.setattr(detection_parts, "open_dataset", note)
    found = open_detection_parts(replace(TINY, split_seed=5, **settings))
    assert found.train.class_names == ("background", "defect")
    data = settings.get("data", "synthetic")
    assert [given for given, _ in asked] == [(data, name) for name in ("train", "val", "test")]
    for _, named in asked:
        assert (named.pop("size"), named.pop("seed")) == ((HEIGHT, WIDTH), 5)
        if data == "synthetic":
            assert named.pop("length") >= 100
            assert options.items() <= named.items()
        else:
            assert named == options


def test_a_fold_of_data_without_folds_is_refused():
    with pytest.raises(ValueError, match="synthetic has no option 'fold'"):
        open_detection_parts(replace(TINY, fold=1))


# What a variant changes


@pytest.fixture
def begun(parts, monkeypatch):
    """Return what reaches `fit`, without a training."""

    def begin(recipe):
        taken = {}

        def note(model, batches, loss, **settings):
            taken.update(model=model, batches=batches, loss=loss, settings=settings)
            raise Stopped

        monkeypatch.setattr(module, "fit", note)
        with pytest.raises(Stopped):
            train_two_stage(recipe, parts, **CPU)
        return SimpleNamespace(**taken)

    return begin


def facts(begun) -> dict:
    model, targets = begun.model, begun.batches.dataset
    return {
        "stop_shortcut": model.stop_shortcut,
        "stop_extractor": model.stop_extractor,
        "normalization": {norm.kind for norm in model.modules() if hasattr(norm, "kind")},
        "bias": model.segmentation_head[1].bias is not None,
        "dynamic": begun.loss.dynamic,
        "rule": begun.batches.sampler.rule,
        "weights": targets.weights,
        "pitfall_label": targets.pitfall_label,
    }


OPEN = {"stop_shortcut": False, "stop_extractor": False}
CHANGES = {
    "two_stage": {},
    "no_schedule": {"dynamic": False},
    "no_stops": OPEN,
    "no_weights": {"weights": None},
    "uniform_sampling": {"rule": "uniform"},
    "plain": {"dynamic": False, "weights": None, "rule": "uniform", **OPEN},
    "no_shortcut_stop": {"stop_shortcut": False},
    "no_extractor_stop": {"stop_extractor": False},
    "component_weights": {"weights": "component"},
    "pitfall_label": {"pitfall_label": True},
    "published_norm": {"normalization": {"published"}},
    "no_bias": {"bias": False},
}


def test_all_variants_are_tested():
    assert set(CHANGES) == set(TWO_STAGE_VARIANTS)
    assert len({variant.title for variant in TWO_STAGE_VARIANTS.values()}) == len(CHANGES)


@pytest.mark.parametrize("variant", CHANGES)
def test_a_variant_changes_what_it_says_and_nothing_else(variant, begun):
    method = {
        "stop_shortcut": True, "stop_extractor": True, "normalization": {"std"}, "bias": True,
        "dynamic": True, "rule": "least_used", "weights": "image", "pitfall_label": False,
    }  # fmt: skip
    other = begun(replace(TINY, variant=variant))
    assert facts(other) == method | CHANGES[variant]
    plain = begun(TINY)
    for name, value in plain.model.named_parameters():
        found = dict(other.model.named_parameters()).get(name)
        assert found is None or torch.equal(found, value), "the same first weights"


def test_loss_and_optimizer_are_those_of_the_recipe(begun):
    recipe = replace(TINY, delta=0.5, optimizer="adamw", weight_decay=0.25, epochs=3)
    found = begun(recipe)
    assert isinstance(found.loss, TwoStageLoss)
    assert (found.loss.delta, found.loss.epochs, found.loss.steps_per_epoch) == (0.5, 3, 4)
    assert found.settings["steps"] == 3 * 4 == two_stage_procedure.steps(recipe, found_parts(found))
    for name in ("optimizer", "learning_rate", "weight_decay"):
        assert found.settings[name] == getattr(recipe, name)
    named = set(found.settings["settings"]) | {"optimizer", "learning_rate", "weight_decay"}
    assert named == set(recipe.__dict__), "a checkpoint is told everything"


def found_parts(begun) -> Parts:
    train = begun.batches.dataset.dataset
    return Parts(train, train, train)


# Targets


def test_targets_are_made_with_the_settings_of_the_recipe(parts):
    recipe = replace(TINY, dilate=3, power=1.5, positive_weight=4.0)
    targets = two_stage_batches(recipe, parts.train).dataset
    mask = parts.train[4].mask
    wanted = two_stage_target(mask, power=1.5, positive_weight=4.0, dilate=3)
    for found, expected in zip(targets[4].target, wanted, strict=True):
        assert torch.equal(found, expected)
    assert not torch.equal(targets[4].target.weight, two_stage_target(mask).weight)
    assert distance_weights(mask, power=1.5, positive_weight=4.0).max() == 4


def test_ellipses_are_what_is_learnt_from(parts):
    exact, coarse = (
        two_stage_batches(replace(TINY, masks=masks), parts.train).dataset
        for masks in ("exact", "ellipse")
    )
    wanted = EllipseMasks(parts.train)
    for i, label in enumerate(exact.labels):
        assert torch.equal(exact[i].image, coarse[i].image)
        target = coarse[i].target
        assert torch.equal(target.mask, two_stage_target(wanted[i].mask).mask)
        assert float(target.mask.sum()) > float(exact[i].target.mask.sum()) or not label
    assert coarse.labels == exact.labels
    assert torch.equal(parts.train[1].mask, Squares(2)[1].mask), "what is given stays as it was"


def taught(recipe, parts) -> set[str]:
    """Names of the defective images whose masks teach."""
    data = two_stage_batches(recipe, parts.train).dataset
    samples = [data[i] for i in range(len(data))]
    assert all(one.target.has_mask for one in samples if not one.target.label), "good ones teach"
    assert sum(float(one.target.label) for one in samples) == 4
    return {one.name for one in samples if one.target.has_mask and one.target.label}


def test_so_many_defective_images_teach_with_their_masks(parts):
    found = [taught(replace(TINY, segmented=count), parts) for count in (0, 1, 2, 3, 4, -1)]
    assert [len(names) for names in found] == [0, 1, 2, 3, 4, 4]
    assert all(fewer <= more for fewer, more in pairwise(found)), "nested"


def test_which_masks_teach_depends_on_the_seed_alone(parts):
    def chosen(seed, **settings):
        return taught(replace(TINY, segmented=1, seed=seed, **settings), parts)

    assert chosen(3) == chosen(3, variant="plain", epochs=7)
    assert len(set.union(*(chosen(seed) for seed in range(20)))) == 4


def test_more_masks_than_there_are_is_refused(parts):
    with pytest.raises(ValueError, match="masks of 5 defective images, and synthetic has 4 to tr"):
        train_two_stage(replace(TINY, segmented=5), parts, **CPU)


def test_weak_supervision_trains(parts):
    result = train_two_stage(replace(TINY, segmented=0, delta=1.0), parts, **CPU)
    assert len(result.history.loss) == STEPS
    assert set(result.scores) == {"ap", "ap_trapezoid", "fp", "fn", "fp_oracle", "fn_oracle"}


def test_a_defect_that_was_lost_in_a_small_image_still_counts_as_one(parts):
    def lose(sample):
        return sample._replace(mask=torch.zeros_like(sample.mask))

    lost = changed(parts.test, lose)
    assert torch.equal(labels_of(lost), labels_of(parts.test))
    assert labels_of(lost).tolist() == [0, 1, 0] * 3
    train = changed(parts.train, lambda s: lose(s) if s.name == "0/01" else s)
    targets = two_stage_batches(TINY, train).dataset
    assert torch.equal(torch.tensor(targets.labels), labels_of(train)), "taught as it is judged"
    with pytest.raises(ValueError, match="masks of 4 defective images, and synthetic has 3"):
        two_stage_batches(replace(TINY, segmented=4), train)


# Trainings


def test_a_recipe_gives_the_same_bits_twice(trained, parts, monkeypatch):
    monkeypatch.setattr(detection_parts, "open_dataset", lambda *_, **__: pytest.fail("read again"))
    torch.rand(7)  # what was drawn before does not matter
    again = train_two_stage(TINY, parts, **CPU)
    assert torch.equal(weights(again.model), weights(trained.model))
    assert torch.equal(again.decisions, trained.decisions)
    assert torch.equal(again.maps, trained.maps)
    assert again.history == trained.history
    assert (again.scores, again.threshold) == (trained.scores, trained.threshold)
    assert len(again.history.loss) == STEPS


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4}, {"learning_rate": 0.125}, {"weight_decay": 0.5}, {"optimizer": "adamw"},
        {"batch_size": 4}, {"epochs": 3}, {"delta": 0.5}, {"power": 1.0}, {"dilate": 3},
        {"positive_weight": 2.0}, {"masks": "ellipse"}, {"segmented": 2},
    ],
)  # fmt: skip
def test_each_setting_makes_a_difference(change, trained, parts):
    other = train_two_stage(replace(TINY, **change), parts, **CPU)
    assert not torch.equal(weights(other.model), weights(trained.model))


def test_looking_at_the_validation_images_changes_nothing(trained, parts):
    looked = train_two_stage(TINY, parts, evaluate_every=3, **CPU)
    assert torch.equal(weights(looked.model), weights(trained.model))
    assert [row["step"] for row in looked.history.evaluations] == [3, 6, 8]
    assert set(looked.history.evaluations[0]) == {"step", "val/ap"}
    seen, _ = predict_two_stage(looked.model, parts.val)
    wanted = score_detection(seen, labels_of(parts.val), 0.0)["ap"]
    assert looked.history.evaluations[-1]["val/ap"] == wanted


def test_the_threshold_is_the_best_one_of_the_validation_images(trained, parts):
    seen, _ = predict_two_stage(trained.model, parts.val)
    assert trained.threshold == best_threshold(seen, labels_of(parts.val))
    decisions, maps = predict_two_stage(trained.model, parts.test)
    assert torch.equal(decisions, trained.decisions)
    assert torch.equal(maps, trained.maps)
    wanted = score_detection(decisions, labels_of(parts.test), trained.threshold)
    assert trained.scores == wanted


def test_threshold_and_weights_never_see_the_test_images(trained, parts):
    wrong = replace(parts, test=changed(parts.test, swapped))
    other = train_two_stage(TINY, wrong, evaluate_every=1, **CPU)
    assert other.threshold == trained.threshold
    assert torch.equal(weights(other.model), weights(trained.model))
    assert other.scores != trained.scores


def test_the_weights_never_see_the_validation_images(trained, parts):
    wrong = replace(parts, val=changed(parts.val, swapped))
    other = train_two_stage(TINY, wrong, evaluate_every=1, **CPU)
    assert torch.equal(weights(other.model), weights(trained.model))
    assert other.threshold != trained.threshold


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize(
    ("part", "name"), [("train", "training"), ("val", "validation"), ("test", "test")]
)
def test_both_kinds_of_images_must_be_there_before_the_training(
    kind, part, name, parts, monkeypatch
):
    monkeypatch.setattr(module, "fit", lambda *_, **__: pytest.fail("trained"))
    one = CachedDataset(getattr(parts, part))
    one.samples = [sample for sample in one.samples if sample.label == kind]
    count = len(one) if kind else 0
    with pytest.raises(ValueError, match=f"^{count} of the {len(one)} {name} images of synthetic"):
        train_two_stage(TINY, replace(parts, **{part: one}), **CPU)


def test_stopped_in_the_middle_it_ends_in_the_same_bits(trained, parts, tmp_path):
    def stop(history):
        if len(history.loss) == 6:
            raise Stopped

    again = {"folder": tmp_path, "evaluate_every": 3, **CPU}
    with pytest.raises(Stopped):
        train_two_stage(TINY, parts, watch=stop, **again)
    steps = []
    resumed = train_two_stage(
        TINY, parts, watch=lambda history: steps.append(len(history.loss)), **again
    )
    assert steps == [3, 6, 8], "on from step 3"
    assert torch.equal(weights(resumed.model), weights(trained.model))
    assert resumed.history.loss == trained.history.loss
    assert (resumed.scores, resumed.threshold) == (trained.scores, trained.threshold)
    for change in ({"delta": 0.5}, {"variant": "no_stops"}, {"learning_rate": 0.5}, {"fold": 1}):
        with pytest.raises(ValueError, match=f"of another run: .*{next(iter(change))}"):
            train_two_stage(replace(TINY, **change), parts, **again)


# Predictions


def test_predictions_do_not_depend_on_the_batch_and_come_in_order(trained, parts):
    one, maps = predict_two_stage(trained.model, parts.val, batch_size=1)
    four, maps_of_four = predict_two_stage(trained.model, parts.val, batch_size=4)
    assert one.shape == (9,)
    assert maps.shape == (9, HEIGHT // 8, WIDTH // 8)
    torch.testing.assert_close(one, four, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps, maps_of_four, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        output = trained.model(parts.val[5].image[None])
    torch.testing.assert_close(one[5:6], output.decision, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps[5:6], output.segmentation[:, 0], rtol=1e-4, atol=1e-4)


def test_predicting_leaves_each_part_in_its_mode_and_draws_nothing(parts):
    model = TwoStageNet(channels=TINY_CHANNELS)
    model.train()
    model.extractor.eval()
    modes = [one.training for one in model.modules()]
    state = torch.get_rng_state()
    decisions, maps = predict_two_stage(model, parts.val)
    assert [one.training for one in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert not decisions.requires_grad
    assert not maps.requires_grad


def test_a_network_in_bf16_gives_float32(parts):
    model = TwoStageNet(channels=TINY_CHANNELS).bfloat16()
    decisions, maps = predict_two_stage(model, parts.val)
    assert (decisions.dtype, maps.dtype) == (torch.float32, torch.float32)


# In a folder


@pytest.fixture
def _images(parts, monkeypatch):
    run_folder._read_once.cache_clear()
    monkeypatch.setattr(two_stage_procedure, "open_parts", lambda *_, **__: parts)
    yield
    run_folder._read_once.cache_clear()


def in_folder(folder: Path, recipe: TwoStageRecipe = TINY, looks: int = 3) -> dict[str, float]:
    return launch(run_in_folder, recipe, folder, looks, False, **CPU)


@pytest.mark.usefixtures("_images")
def test_stopped_in_its_folder_it_goes_on_and_finished_it_returns_at_once(
    trained, parts, tmp_path, monkeypatch
):
    whole = two_stage_procedure.train
    looks = []

    def stop(history):
        looks.append(len(history.loss))
        if len(history.loss) == 6:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(two_stage_procedure, "train", lambda *a, **k: whole(*a, **k, watch=stop))
        with pytest.raises(Stopped):
            in_folder(tmp_path)
    assert looks == [3, 6], "8 steps, looked at 3 times"
    assert not (tmp_path / "scores.json").exists()
    assert in_folder(tmp_path) == trained.scores
    found = Checkpoint.load(tmp_path / "checkpoint.pt").model
    assert all(torch.equal(found[name], one) for name, one in trained.model.state_dict().items())
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["images"] == {"train": 12, "val": 9, "test": 9}
    assert report["defective"] == {"train": 4, "val": 3, "test": 3}
    assert report["threshold"] == trained.threshold
    assert report["split"] == Squares.split_note
    for name in ("learning.png", "hardest.png"):
        assert (tmp_path / name).stat().st_size > 1000
    monkeypatch.setattr(two_stage_procedure, "train", lambda *_, **__: pytest.fail("!"))
    assert in_folder(tmp_path) == trained.scores
    with pytest.raises(ValueError, match="holds a training with fold 0, and this one has 1"):
        in_folder(tmp_path, replace(TINY, fold=1))


def test_recipes_that_read_the_same_images_share_them():
    images = two_stage_procedure.only_images
    others = {"variant": "plain", "seed": 4, "masks": "ellipse", "epochs": 9, "segmented": 1}
    assert images(replace(TINY, **others)) == images(TINY)
    for change in ({"data": "a"}, {"fold": 1}, {"height": 192}, {"width": 192}, {"split_seed": 1}):
        assert images(replace(TINY, **change)) != images(TINY)


def test_the_picture_shows_the_hardest_images_of_each_kind(parts, trained, monkeypatch):
    drawn = {}

    def note(images, masks, maps, **_):
        drawn.update(images=images, masks=masks, maps=maps["two stages"])

    monkeypatch.setattr(two_stage_procedure, "heat_maps", note)
    monkeypatch.setattr(two_stage_procedure, "training_curves", lambda *_, **__: None)
    # Defects are images 1, 4, 7; the good ones 0, 3, 5 raise the loudest false alarms.
    decisions = torch.tensor([3.0, 9.0, -5.0, 2.0, -9.0, 1.0, -6.0, 0.0, -7.0])
    maps = torch.stack([torch.full((8, 16), float(i) - 4) for i in range(9)])
    made = two_stage_procedure.pictures(parts, replace(trained, decisions=decisions, maps=maps))
    assert set(made) == {"learning.png", "hardest.png"}
    shown = [4, 7, 1, 0, 3, 5]
    for place, i in enumerate(shown):
        assert drawn["images"][place] is parts.test[i].image
        assert drawn["masks"][place] is parts.test[i].mask
        wanted = torch.full((HEIGHT, WIDTH), float(i) - 4).sigmoid()
        torch.testing.assert_close(drawn["maps"][place], wanted)
