"""MemSeg's training: what it sees, what it may not see, and that it goes on to the same bits."""

import copy
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from few_images import write_images

from course_utils.anomaly import TextureSource, procedural_source, structure_source
from course_utils.data import SimulatedAnomalies
from course_utils.models import MemSeg
from course_utils.trainers import (
    VARIANTS,
    MemSegRecipe,
    memseg,
    memseg_procedure,
    open_normal_parts,
    run_folder,
    run_in_folder,
    score_anomalies,
    score_nearest_patches,
    simulator,
    train_memseg,
)
from course_utils.training import Checkpoint, History, launch

TINY = MemSegRecipe(size=64, steps=2, batch_size=2, memory_size=2, weights="none")
CPU = {"device": "cpu", "precision": "32-true"}


class Stopped(Exception):
    """The training was stopped from outside."""


@pytest.fixture(scope="module")
def parts():
    few = open_normal_parts("synthetic", size=64, most=6)
    few.val.samples = few.val.samples[:2]
    few.test.samples = sorted(few.test.samples, key=lambda sample: sample.label)[4:8]
    return few


@pytest.fixture(autouse=True)
def few_images(parts, monkeypatch):
    run_folder._read_once.cache_clear()
    monkeypatch.setattr(memseg, "open_normal_parts", lambda *_, **__: parts)
    yield
    run_folder._read_once.cache_clear()


@pytest.fixture(scope="module")
def plain(parts):
    """A training that nobody stopped or looked at; a network takes long to make."""
    return train_memseg(TINY, parts, **CPU)


@pytest.fixture(scope="module")
def one_step(parts) -> dict[str, SimpleNamespace]:
    """Of each variant: the loss of its first step, and what one step left in a frozen part."""
    found = {}
    for variant in VARIANTS:
        recipe = replace(TINY, variant=variant, steps=1)
        trained = train_memseg(recipe, parts, score_test=False, **CPU)
        mean = trained.model.encoder.layer3[0].bn1.running_mean
        found[variant] = SimpleNamespace(
            loss=trained.history.loss[0], drift=float(mean.abs().sum())
        )
    return found


@pytest.fixture
def looked_at(parts, monkeypatch):
    """Look once without a training; return the images that were looked at and the metrics."""

    def look(**settings):
        seen = []

        def note(network, images):
            seen.append(images)
            return torch.rand(len(images), 64, 64), torch.stack([s.mask for s in images.samples])

        def fit(model, *_, evaluate, **__):
            return History(evaluations=[evaluate(model)])

        with monkeypatch.context() as patch:
            patch.setattr(memseg, "_maps_and_masks", note)
            patch.setattr(memseg, "fit", fit)
            recipe = replace(TINY, **settings)
            history = train_memseg(recipe, parts, evaluate_every=1, score_test=False).history
        return seen, history.evaluations[0]

    return look


@lru_cache(maxsize=1)
def _drawn(**options) -> MemSeg:
    torch.manual_seed(0)
    return MemSeg(**options)


def _network(**options) -> MemSeg:
    """A network as it is begun with; drawing its 19 million weights takes longer than a step."""
    model = copy.deepcopy(_drawn(**options))
    torch.manual_seed(1)
    return model


@pytest.fixture(autouse=True, scope="module")
def _weights_are_drawn_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memseg, "MemSeg", _network)
        yield
    _drawn.cache_clear()


def weights_of(model) -> list[torch.Tensor]:
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "memsegg"}, "variant 'memsegg' is unknown: choose one of memseg, per_level"),
        ({"weights": None}, "weights must be text, got None"),
        (
            {"weights": "vgg"},
            "weights 'vgg' is unknown: choose one of offline, .*, none, PATH",
        ),
        ({"size": 80}, "size must be a multiple of 32 .* got 80"),
        ({"size": 32}, "at least 64, got 32"),
        ({"batch_size": 5}, "batch_size must be even and at least 2, got 5"),
        ({"memory_size": 0}, "memory_size must be at least 1, got 0"),
        ({"focal_weight": 1.5}, "focal_weight must lie in 0..1"),
        ({"gamma": -1}, "gamma be at least 0"),
        ({"workers": -1}, "workers must be at least 0"),
        ({"steps": 2.5}, "steps must be a whole number, got 2.5"),
        ({"learning_rate": 0}, "learning_rate must be above 0"),
        ({"seed": -1}, "seed must lie in 0.."),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MemSegRecipe(**settings)


def test_the_default_is_the_papers_training():
    recipe = MemSegRecipe()
    assert (recipe.size, recipe.steps, recipe.batch_size, recipe.memory_size) == (256, 2700, 8, 30)
    assert (recipe.gamma, recipe.focal_weight) == (4, 0.4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"look_at_test": True}, "need looks: give evaluate_every"),
        ({"watch": print}, "need looks: give evaluate_every"),
        ({"precision": "bf16-true"}, "precision must be one of 32-true, .*, got bf16-true"),
    ],
)
def test_what_would_be_ignored_or_fail_later_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        train_memseg(TINY, **settings)


def test_workers_and_a_checkpoint_go_together(plain, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "save", lambda *_: None)  # 200 MB at each step
    recipe = replace(TINY, workers=1)
    result = train_memseg(recipe, parts, folder=tmp_path, score_test=False, **CPU)
    assert result.history.loss == plain.history.loss
    assert not result.scores


def test_more_memory_than_images_is_refused_before_any_work():
    with pytest.raises(ValueError, match=r"memory of 7 images needs .* synthetic has 6: lower mem"):
        train_memseg(replace(TINY, memory_size=7))


# Images and anomalies


def test_only_good_images_are_learnt_from_and_both_kinds_scored():
    parts = open_normal_parts("synthetic", size=64)
    assert not any(sample.label or sample.mask.any() for sample in parts.train.samples)
    assert not any(sample.label or sample.mask.any() for sample in parts.val.samples)
    assert {sample.label for sample in parts.test.samples} == {0, 1}


def test_a_few_images_of_each_kind_are_drawn_by_the_seed():
    def names(seed):
        parts = open_normal_parts("synthetic", size=64, most=5, split_seed=seed)
        assert [len(part) for part in (parts.train, parts.val, parts.test)] == [5, 5, 10]
        assert sum(sample.label for sample in parts.test.samples) == 5
        return [sample.name for sample in parts.test.samples]

    assert names(0) == names(0) != names(1)


@pytest.mark.parametrize(
    ("keep", "message"),
    [("good", "test part of .* has no defect"), ("defects", "train part of .* has no good image")],
)
def test_data_that_cannot_serve_are_named(keep, message, tmp_path):
    name = write_images(tmp_path / "few")
    if keep == "good":
        for path in (tmp_path / "few" / "masks").iterdir():
            cv2.imwrite(str(path), np.zeros((32, 32), np.uint8))
    with pytest.raises(ValueError, match=message):
        open_normal_parts(name, size=64)


def test_anomalies_are_of_the_kind_asked_and_lie_on_the_object(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_ROOT", str(tmp_path))
    assert simulator("synthetic").sources == (procedural_source, structure_source)
    assert simulator("mvtec_ad/bottle", "structure").sources == (structure_source,)
    assert simulator("mvtec_ad/bottle").foreground is not None
    assert simulator("mvtec_ad/carpet").foreground is None
    (tmp_path / "dtd" / "images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "dtd" / "images" / "a.png"), np.full((8, 8, 3), 9, np.uint8))
    (texture,) = simulator("mvtec_ad/bottle", "texture").sources
    assert isinstance(texture, TextureSource)
    assert simulator("synthetic", "texture").sources == (procedural_source,)


def test_validation_anomalies_are_not_those_of_the_training(parts):
    train = SimulatedAnomalies(parts.train, simulator("synthetic"), seed=0)
    val = SimulatedAnomalies(parts.val, simulator("synthetic"), seed=memseg._validation_seed(0))
    for i in range(len(parts.val)):
        ours, theirs = val[len(parts.val) + i].mask, train[len(parts.train) + i].mask
        assert not torch.equal(ours, theirs)


def test_a_defect_too_small_for_its_mask_still_makes_its_image_defective():
    masks = torch.zeros(3, 16, 16, dtype=torch.long)
    masks[0, :4] = 1
    maps = masks.float()
    maps[1] = 0.5  # its defect vanished when the mask was made smaller
    assert score_anomalies(maps, masks, torch.tensor([1, 1, 0]))["image_auroc"] == 1
    assert score_anomalies(maps, masks)["image_auroc"] == 1
    maps[1] = 2
    assert score_anomalies(maps, masks)["image_auroc"] == 0.5


def test_validation_anomalies_are_the_same_for_all_variants_and_seeds(looked_at):
    stacks = []
    for variant, seed in (("memseg", 0), ("texture_only", 1)):
        (images,), _ = looked_at(variant=variant, seed=seed)
        stacks.append(torch.stack([sample.image for sample in images.samples]))
    assert torch.equal(*stacks)


# Training


def test_every_variant_trains_and_is_another_network_or_loss(one_step):
    losses = {
        found.loss
        for variant, found in one_step.items()
        if variant != "per_level"  # the nearest of two images may be that of each level
    }
    assert len(losses) == len(VARIANTS) - 1


def test_looking_at_the_test_images_changes_nothing(plain, parts):
    looked = train_memseg(TINY, parts, evaluate_every=1, look_at_test=True, **CPU)
    assert [row["step"] for row in looked.history.evaluations] == [1, 2]
    assert looked.history.evaluations[-1]["test/aupro"] == looked.scores["aupro"]
    assert not plain.history.evaluations
    assert looked.scores == plain.scores
    for ours, theirs in zip(weights_of(looked.model), weights_of(plain.model), strict=True):
        assert torch.equal(ours, theirs)


def test_test_images_are_not_looked_at_before_the_end(looked_at, parts):
    (images,), metrics = looked_at()
    assert images is not parts.test
    assert metrics
    assert all(name.startswith("val/") for name in metrics)


def test_the_drift_of_the_published_network_is_stopped_in_one_variant(one_step):
    assert one_step["published_code"].drift > 0
    assert one_step["published_frozen"].drift == 0  # as it was initialized


def train(folder: Path) -> dict[str, float]:
    return launch(run_in_folder, TINY, folder, TINY.steps, False, **CPU)


def test_stopped_in_the_middle_it_ends_in_the_same_bits(plain, tmp_path, monkeypatch):
    whole = memseg_procedure.train

    def stop(history):
        if len(history.loss) == 2:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(memseg_procedure, "train", lambda *a, **k: whole(*a, **k, watch=stop))
        with pytest.raises(Stopped):
            train(tmp_path)
    assert train(tmp_path) == plain.scores
    found = Checkpoint.load(tmp_path / "checkpoint.pt").model
    assert all(torch.equal(found[name], one) for name, one in plain.model.state_dict().items())
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["images"] == {"train": 6, "val": 2, "test": 4}
    assert report["weights_used"] == "none"
    assert (tmp_path / "predictions.png").stat().st_size > 1000


def test_the_baseline_scores_the_same_images(parts):
    scores, maps = score_nearest_patches(parts, weights=None, device="cpu")
    assert maps.shape == (4, 64, 64)
    assert scores == score_nearest_patches(parts, weights=None, device="cpu")[0]
    assert scores != score_nearest_patches(parts, weights=None, seed=1, device="cpu")[0]
