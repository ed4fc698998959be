"""MemSeg's training: what it sees, what it may not see, and that it goes on to the same bits."""

import copy
from functools import lru_cache
from itertools import combinations
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from few_images import write_images
from stoppable_training import Stopped, weights

from course_utils.anomaly import TextureSource, procedural_source, structure_source
from course_utils.models import MemSeg, build_encoder
from course_utils.models.encoders import ENCODERS
from course_utils.trainers import (
    VARIANTS,
    MemSegConfig,
    MemSegTrainer,
    NearestPatchesConfig,
    NearestPatchesTrainer,
    memseg,
    open_normal_splits,
    simulator,
)
from course_utils.training import Checkpoint

SIDES = {"height": 64, "width": 64}
TINY = MemSegConfig(
    **SIDES, encoder="resnet18", steps=2, batch_size=2, memory_size=2, weights="none"
)
CPU = {"device": "cpu", "precision": "32-true"}


def changed(**settings) -> MemSegConfig:
    return TINY.model_copy(update=settings)


@pytest.fixture(scope="module")
def splits():
    few = open_normal_splits(TINY, most=6)
    few.val.samples = few.val.samples[:2]
    few.test.samples = sorted(few.test.samples, key=lambda sample: sample.label)[4:8]
    return few


@pytest.fixture(scope="module")
def plain(splits):
    """A training that nobody stopped or evaluated; a network takes long to make."""
    return MemSegTrainer(TINY, splits).train(**CPU)


@pytest.fixture(scope="module")
def one_step(splits) -> dict[str, tuple[float, float]]:
    """Of each variant: the loss of its first step, and what one step left in a frozen part."""
    found = {}
    for variant in VARIANTS:
        config = changed(variant=variant, steps=1)
        trained = MemSegTrainer(config, splits, score_test=False).train(**CPU)
        mean = trained.model.encoder.layer3[0].bn1.running_mean
        found[variant] = trained.history.loss[0], float(mean.abs().sum())
    return found


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


def test_a_precision_that_changes_the_memory_and_too_large_a_memory_are_refused(splits):
    with pytest.raises(ValueError, match=r"precision must be one of 32-true, .*, got bf16-true"):
        MemSegTrainer(TINY, splits).train(device="cpu", precision="bf16-true")
    with pytest.raises(ValueError, match=r"memory of 7 images needs .* synthetic has 6: lower mem"):
        MemSegTrainer(changed(memory_size=7), splits).train(**CPU)


def test_half_precision_is_refused_where_the_product_of_maps_leaves_its_range(splits):
    half = SimpleNamespace(
        strategy=SimpleNamespace(precision=SimpleNamespace(precision="16-mixed"))
    )
    lite = TINY.model_copy(update={"encoder": "efficientnet_lite0"})
    with pytest.raises(ValueError, match=r"leaves the range of float16: .* scaled_maps"):
        MemSegTrainer(lite, splits).check(half)
    for fine in (TINY, lite.model_copy(update={"variant": "scaled_maps"})):
        MemSegTrainer(fine, splits).check(half)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_change_no_bit_and_go_with_a_checkpoint(plain, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "save", lambda *_: None)  # 200 MB at each step
    trainer = MemSegTrainer(changed(workers=1), splits, score_test=False)
    result = trainer.train(folder=tmp_path, **CPU)
    assert result.history.loss == plain.history.loss
    assert not result.scores


# Images and anomalies


def test_only_good_images_are_learnt_from_and_both_kinds_scored():
    splits = open_normal_splits(TINY)
    for images in (splits.train, splits.val):
        assert not any(sample.label or sample.mask.any() for sample in images.samples)
    assert {sample.label for sample in splits.test.samples} == {0, 1}


def test_a_few_images_of_each_kind_are_drawn_by_the_seed():
    def names(seed):
        splits = open_normal_splits(changed(split_seed=seed), most=5)
        assert [len(images) for images in vars(splits).values()] == [5, 5, 10]
        assert sum(sample.label for sample in splits.test.samples) == 5
        return [sample.name for sample in splits.test.samples]

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
        open_normal_splits(changed(data=name))


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


def test_validation_anomalies_are_their_own_and_the_same_for_all_variants_and_seeds(splits):
    trainers = [
        MemSegTrainer(changed(variant=v, seed=s), splits)
        for v, s in (("memseg", 0), ("texture_only", 1))
    ]
    first, second = (
        torch.stack([sample.mask for sample in trainer._val_with_anomalies.samples])
        for trainer in trainers
    )
    assert torch.equal(first, second)
    count = len(splits.val)
    trained_on = trainers[0].build_batches().dataset
    for i in range(count):
        assert not torch.equal(first[count + i], trained_on[len(splits.train) + i].mask)


# Training


def test_every_variant_trains_and_is_another_network_or_loss(one_step):
    # Of "per_level": the nearest of two images may be that of each level.
    losses = {loss for variant, (loss, _) in one_step.items() if variant != "per_level"}
    assert len(losses) == len(VARIANTS) - 1
    drifts = {variant: drift for variant, (_, drift) in one_step.items()}
    assert drifts["published_code"] > 0
    assert drifts["published_frozen"] == 0, "as it was initialized"


def test_evaluating_the_test_images_changes_nothing(plain, splits):
    watched = MemSegTrainer(TINY, splits, evaluate_test=True).train(evaluate_every=1, **CPU)
    assert [row["step"] for row in watched.history.evaluations] == [1, 2]
    assert watched.history.evaluations[-1]["test/aupro"] == watched.scores["aupro"]
    assert not plain.history.evaluations
    metrics = MemSegTrainer(TINY, splits).evaluate(plain.model)  # of validation images alone
    assert set(metrics) == {f"val/{name}" for name in plain.scores}
    assert watched.scores == plain.scores
    assert torch.equal(weights(watched.model), weights(plain.model))


def test_stopped_in_the_middle_it_ends_in_the_same_bits(plain, splits, tmp_path):
    def stop(history):
        raise Stopped

    trainer = MemSegTrainer(TINY, splits)
    with pytest.raises(Stopped):
        trainer.train(folder=tmp_path, evaluate_every=1, on_evaluation=stop, **CPU)
    assert not (tmp_path / "checkpoint.pt").exists(), "stopped before it was saved"
    steps = []

    def stop_later(history):
        steps.append(len(history.loss))
        if len(history.loss) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        trainer.train(folder=tmp_path, evaluate_every=1, on_evaluation=stop_later, **CPU)
    resumed = trainer.train(
        folder=tmp_path,
        evaluate_every=1,
        on_evaluation=lambda history: steps.append(len(history.loss)),
        **CPU,
    )
    assert steps == [1, 2, 1, 2]
    assert resumed.scores == plain.scores
    assert torch.equal(weights(resumed.model), weights(plain.model))
    report = trainer.report(resumed)
    assert report["images"] == {"train": 6, "val": 2, "test": 4}
    assert report["weights_used"] == "none"
    assert set(trainer.pictures(resumed)) == {"predictions.png"}


@pytest.mark.parametrize("variant", ["memseg", "scaled_maps", "published_frozen"])
def test_it_trains_with_another_encoder(variant, splits):
    config = changed(encoder="efficientnet_lite0", weights="offline", variant=variant)
    trainer = MemSegTrainer(config, splits)
    result = trainer.train(**CPU)
    assert all(np.isfinite([*result.scores.values(), *result.history.loss]))
    assert trainer.report(result)["weights_used"] == "imagenet"
    kept = build_encoder("efficientnet_lite0", "offline").state_dict()
    now = result.model.encoder.state_dict()
    changed_parts = {name.split(".")[0] for name in now if not torch.equal(now[name], kept[name])}
    assert changed_parts == {"stage4"}


def test_the_baseline_scores_the_same_images(splits):
    def score(seed, **settings):
        config = NearestPatchesConfig(**{"weights": "none", "seed": seed, **SIDES, **settings})
        return NearestPatchesTrainer(config, splits).train(device="cpu")

    first = score(0)
    assert first.maps.shape == (4, 64, 64)
    assert first.scores == score(0).scores != score(1).scores
    of_encoders = [score(0, encoder=name, weights="offline").maps for name in ENCODERS]
    assert not any(torch.equal(*pair) for pair in combinations([first.maps, *of_encoders], 2))
