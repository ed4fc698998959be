"""The two-stage network's training: what each setting changes, and what reaches the network."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from stoppable_training import Stopped
from test_trainers import CPU, squares, with_changed
from tiny_defects import CHANNELS as TINY_CHANNELS
from tiny_defects import HEIGHT, WIDTH, Squares

from course_utils.data import EllipseMasks, two_stage_target
from course_utils.data.synthetic_layouts import LAYOUTS, lay_out, write_set
from course_utils.evaluation import best_threshold
from course_utils.losses import TwoStageLoss
from course_utils.models import TwoStageNet
from course_utils.trainers import (
    CHANNELS,
    TWO_STAGE_VARIANTS,
    TwoStageConfig,
    TwoStageTrainer,
    labels_of,
    open_detection_splits,
    predict_two_stage,
    score_detection,
    trainer,
    two_stage,
)
from course_utils.trainers import splits as splits_module

TINY = TwoStageConfig(
    height=HEIGHT, width=WIDTH, channels="slim", epochs=2, batch_size=2, learning_rate=0.25
)


def tiny(**settings) -> TwoStageConfig:
    return TINY.model_copy(update=settings)


@pytest.fixture(autouse=True, scope="module")
def _tiny_networks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CHANNELS, "slim", TINY_CHANNELS)
        yield


@pytest.fixture(scope="module")
def splits():
    return squares()


@pytest.fixture(scope="module")
def trained(splits):
    return TwoStageTrainer(TINY, splits).train(**CPU)


def targets_of(config, splits):
    return TwoStageTrainer(config, splits).build_batches().dataset


# Images


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, {"surfaces": ["painted_sheet"], "frequency": 0.2}),
        ({"data": "kolektor_sdd", "fold": 2}, {"fold": 2, "split_by": "group"}),
        ({"data": "kolektor_sdd"}, {"split_by": "group"}),
        ({"data": "magnetic_tile", "split_by": "image"}, {"split_by": "image"}),
    ],
)
def test_images_are_opened_as_the_config_says(settings, options, monkeypatch):
    asked = []

    def note(*given, **named):
        asked.append((given, named))
        return Squares(3)

    monkeypatch.setattr(splits_module, "open_dataset", note)
    found = open_detection_splits(tiny(split_seed=5, **settings))
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
    monkeypatch.undo()
    with pytest.raises(ValueError, match="synthetic has no option 'fold'"):
        open_detection_splits(tiny(fold=1))


# What a variant changes


@pytest.fixture
def begun(splits, monkeypatch):
    """Return what reaches `fit`, without a training."""

    def begin(config):
        taken = {}

        def note(model, batches, loss, **settings):
            taken.update(model=model, batches=batches, loss=loss, settings=settings)
            raise Stopped

        monkeypatch.setattr(trainer, "fit", note)
        with pytest.raises(Stopped):
            TwoStageTrainer(config, splits).train(**CPU)
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
        "weights": targets._target_of.keywords["weights"],
        "pitfall_label": targets.pitfall_label,
    }


OPEN = {"stop_shortcut": False, "stop_extractor": False}
CHANGES = {
    "two_stage": {},
    "no_schedule": {"dynamic": False},
    "no_stops": OPEN,
    "no_schedule_no_stops": {"dynamic": False, **OPEN},
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


@pytest.mark.parametrize("variant", TWO_STAGE_VARIANTS)
def test_a_variant_changes_what_it_says_and_nothing_else(variant, begun):
    method = {
        "stop_shortcut": True, "stop_extractor": True, "normalization": {"std"}, "bias": True,
        "dynamic": True, "rule": "least_used", "weights": "image", "pitfall_label": False,
    }  # fmt: skip
    other = begun(tiny(variant=variant))
    assert facts(other) == method | CHANGES[variant]
    plain = begun(TINY)
    for name, value in plain.model.named_parameters():
        found = dict(other.model.named_parameters()).get(name)
        assert found is None or torch.equal(found, value), "the same first weights"


def test_no_variant_has_the_title_of_another():
    assert len({variant.title for variant in TWO_STAGE_VARIANTS.values()}) == len(CHANGES)


def test_loss_and_optimizer_are_those_of_the_config(begun):
    config = tiny(delta=0.5, optimizer="adamw", weight_decay=0.25, epochs=3)
    found = begun(config)
    assert isinstance(found.loss, TwoStageLoss)
    assert (found.loss.delta, found.loss.epochs, found.loss.steps_per_epoch) == (0.5, 3, 4)
    assert found.settings["steps"] == 3 * 4 == 3 * len(found.batches)
    for name in ("optimizer", "learning_rate", "weight_decay"):
        assert found.settings[name] == getattr(config, name)
    named = set(found.settings["settings"]) | {"optimizer", "learning_rate", "weight_decay"}
    images = {"train_images", "val_images", "test_images"}
    assert named == set(TwoStageConfig.model_fields) | images, "a checkpoint keeps everything"


# Targets


def test_targets_are_made_with_the_settings_of_the_config(splits):
    config = tiny(dilate=3, power=1.5, positive_weight=4.0)
    targets = targets_of(config, splits)
    mask = splits.train[4].mask
    wanted = two_stage_target(mask, power=1.5, positive_weight=4.0, dilate=3)
    for found, expected in zip(targets[4].target, wanted, strict=True):
        assert torch.equal(found, expected)
    assert not torch.equal(targets[4].target.weight, two_stage_target(mask).weight)


def test_ellipses_are_what_is_learnt_from(splits):
    exact, coarse = (targets_of(tiny(masks=masks), splits) for masks in ("exact", "ellipse"))
    wanted = EllipseMasks(splits.train)
    for i, label in enumerate(exact.labels):
        assert torch.equal(exact[i].image, coarse[i].image)
        target = coarse[i].target
        assert torch.equal(target.mask, two_stage_target(wanted[i].mask).mask)
        assert float(target.mask.sum()) > float(exact[i].target.mask.sum()) or not label
    assert coarse.labels == exact.labels
    assert torch.equal(splits.train[1].mask, Squares(2)[1].mask), "what is given stays as it was"


def taught(config, splits) -> set[str]:
    """Names of the defective images whose masks teach."""
    data = targets_of(config, splits)
    samples = [data[i] for i in range(len(data))]
    assert all(one.target.has_mask for one in samples if not one.target.label), "good ones teach"
    assert sum(float(one.target.label) for one in samples) == 4
    return {one.name for one in samples if one.target.has_mask and one.target.label}


def test_so_many_defective_images_teach_with_their_masks(splits):
    found = [taught(tiny(segmented=count), splits) for count in (0, 1, 2, 3, 4, -1)]
    assert [len(names) for names in found] == [0, 1, 2, 3, 4, 4]
    assert all(fewer <= more for fewer, more in pairwise(found)), "nested"


def test_which_masks_teach_depends_on_the_seed_alone(splits):
    def chosen(seed, **settings):
        return taught(tiny(segmented=1, seed=seed, **settings), splits)

    assert chosen(3) == chosen(3, variant="plain", epochs=7)
    assert len(set.union(*(chosen(seed) for seed in range(20)))) == 4


def test_more_masks_than_there_are_is_refused(splits):
    with pytest.raises(ValueError, match="masks of 5 defective images, and synthetic has 4 to tr"):
        targets_of(tiny(segmented=5), splits)


def test_weak_supervision_trains(splits):
    result = TwoStageTrainer(tiny(segmented=0, delta=1.0), splits).train(**CPU)
    assert len(result.history.loss) == 2 * 4
    assert set(result.scores) == {"ap", "ap_trapezoid", "fp", "fn", "fp_oracle", "fn_oracle"}


def test_a_defect_that_was_lost_in_a_small_image_still_counts_as_one(splits):
    def lose(sample):
        return sample._replace(mask=torch.zeros_like(sample.mask))

    lost = with_changed(splits.test, lose)
    assert torch.equal(labels_of(lost), labels_of(splits.test))
    assert labels_of(lost).tolist() == [0, 1, 0] * 3
    train = with_changed(splits.train, lambda s: lose(s) if s.name == "0/01" else s)
    targets = targets_of(TINY, replace(splits, train=train))
    assert torch.equal(torch.tensor(targets.labels), labels_of(train)), "taught as it is judged"
    with pytest.raises(ValueError, match="masks of 4 defective images, and synthetic has 3"):
        targets_of(tiny(segmented=4), replace(splits, train=train))


# Training


def test_a_threshold_is_chosen_on_validation_images_and_scored_on_test_images(trained, splits):
    seen, _ = predict_two_stage(trained.model, splits.val)
    assert trained.threshold == best_threshold(seen, labels_of(splits.val), middle=True)
    decisions, maps = predict_two_stage(trained.model, splits.test)
    assert torch.equal(decisions, trained.decisions)
    assert torch.equal(maps, trained.maps)
    wanted = score_detection(decisions, labels_of(splits.test), trained.threshold)
    assert trained.scores == wanted


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize(
    ("split", "name"), [("train", "training"), ("val", "validation"), ("test", "test")]
)
def test_both_kinds_of_images_must_be_there_before_the_training(
    kind, split, name, splits, monkeypatch
):
    monkeypatch.setattr(trainer, "fit", lambda *_, **__: pytest.fail("trained"))
    images = getattr(splits, split)
    one = images.subset(i for i, label in enumerate(images.labels) if label == kind)
    count = len(one) if kind else 0
    with pytest.raises(ValueError, match=f"^{count} of the {len(one)} {name} images of synthetic"):
        TwoStageTrainer(TINY, replace(splits, **{split: one})).train(**CPU)


# Predictions


def test_predictions_do_not_depend_on_the_batch_and_come_in_order(trained, splits):
    one, maps = predict_two_stage(trained.model, splits.val, batch_size=1)
    four, maps_of_four = predict_two_stage(trained.model, splits.val, batch_size=4)
    assert one.shape == (9,)
    assert maps.shape == (9, HEIGHT // 8, WIDTH // 8)
    torch.testing.assert_close(one, four, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps, maps_of_four, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        output = trained.model(splits.val[5].image[None])
    torch.testing.assert_close(one[5:6], output.decision, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps[5:6], output.segmentation[:, 0], rtol=1e-4, atol=1e-4)


def test_predicting_leaves_each_part_in_its_mode_and_draws_nothing(splits):
    model = TwoStageNet(channels=TINY_CHANNELS)
    model.train()
    model.extractor.eval()
    modes = [one.training for one in model.modules()]
    state = torch.get_rng_state()
    decisions, maps = predict_two_stage(model, splits.val)
    assert [one.training for one in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert not decisions.requires_grad
    assert not maps.requires_grad
    decisions, maps = predict_two_stage(model.bfloat16(), splits.val)
    assert (decisions.dtype, maps.dtype) == (torch.float32, torch.float32)


# Pictures


def test_the_picture_shows_the_hardest_images_of_each_kind(splits, trained, monkeypatch):
    drawn = {}

    def note(images, masks, maps, **_):
        drawn.update(images=images, masks=masks, maps=maps["two stages"])

    monkeypatch.setattr(two_stage, "heat_maps", note)
    # Defects are images 1, 4, 7; the good ones 0, 3, 5 raise the loudest false alarms.
    decisions = torch.tensor([3.0, 9.0, -5.0, 2.0, -9.0, 1.0, -6.0, 0.0, -7.0])
    maps = torch.stack([torch.full((8, 16), float(i) - 4) for i in range(9)])
    trainer = TwoStageTrainer(TINY, splits)
    pictures = trainer.pictures(replace(trained, decisions=decisions, maps=maps))
    assert set(pictures) == {"hardest.png", "learning.png"}
    for place, i in enumerate([4, 7, 1, 0, 3, 5]):
        assert torch.equal(drawn["images"][place], splits.test[i].image)
        assert torch.equal(drawn["masks"][place], splits.test[i].mask)
        wanted = torch.full((HEIGHT, WIDTH), float(i) - 4).sigmoid()
        torch.testing.assert_close(drawn["maps"][place], wanted)


def test_the_report_counts_the_images_of_each_kind(splits, trained):
    report = TwoStageTrainer(TINY, splits).report(trained)
    assert report["images"] == {"train": 12, "val": 9, "test": 9}
    assert report["defective"] == {"train": 4, "val": 3, "test": 3}
    assert report["split"] == Squares.split_note


@pytest.mark.parametrize(
    ("layout", "fold"), [("dagm", 0), ("severstal", 0), ("kolektor_sdd", 2)], ids=str
)
def test_the_data_of_lesson_07_open_where_they_are_and_train(layout, fold, tmp_path, monkeypatch):
    count, size = (30, None) if layout == "severstal" else (60, (64, 128))
    pictures = lay_out(LAYOUTS[layout], count=count, size=size)
    write_set(LAYOUTS[layout], pictures, tmp_path)
    monkeypatch.setenv("COURSE_DATA_ROOT", str(tmp_path))
    config = tiny(data=LAYOUTS[layout].opens, fold=fold, height=64, width=128, epochs=1)
    few = open_detection_splits(config, most=2)
    for part in vars(few).values():
        assert part[0].image.shape == (1, 64, 128)
        assert 0 < labels_of(part).sum() < len(part) <= 4
    scores = TwoStageTrainer(config, few).train(**CPU).scores
    assert scores["fn"] + scores["fp"] <= len(few.test)
