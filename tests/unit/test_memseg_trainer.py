"""MemSeg's training: what it sees, what it may not see, and that it goes on to the same bits."""

import copy
import json
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from few_images import write_image, write_images
from stoppable_training import Stopped, weights

from course_utils import load_detector
from course_utils.anomaly import (
    MVTEC_FOREGROUNDS,
    ForegroundRule,
    TextureSource,
    procedural_source,
    structure_source,
)
from course_utils.data import CachedDataset, Sample
from course_utils.models import MemSeg, build_encoder
from course_utils.models.encoders import ENCODERS
from course_utils.trainers import (
    VARIANTS,
    MemSegConfig,
    MemSegTrainer,
    NearestPatchesConfig,
    NearestPatchesTrainer,
    Splits,
    UNetConfig,
    choose_foreground,
    memseg,
    open_normal_splits,
    open_splits,
    score_anomalies,
    simulator,
)
from course_utils.training import Checkpoint, launch

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
    by_label = sorted(range(len(few.test)), key=lambda i: few.test.labels[i])
    return replace(few, val=few.val.subset(range(2)), test=few.test.subset(by_label[4:8]))


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
        assert not any(sample.label or sample.mask.any() for sample in images)
    assert {sample.label for sample in splits.test} == {0, 1}


def test_a_few_images_of_each_kind_are_drawn_by_the_seed():
    def names(seed):
        splits = open_normal_splits(changed(split_seed=seed), most=5)
        assert [len(images) for images in vars(splits).values()] == [5, 5, 10]
        assert sum(sample.label for sample in splits.test) == 5
        return [sample.name for sample in splits.test]

    assert names(0) == names(0) != names(1)


def test_images_without_a_good_one_cannot_be_learnt_from(tmp_path):
    with pytest.raises(ValueError, match="there is no good image"):
        open_normal_splits(changed(data=write_images(tmp_path / "few")))


def own_images(folder: Path, good: int = 25, defective: int = 0, masks: bool = False) -> str:
    """Write noise into good/, and into images/ and masks/, or defective/ where no mask is drawn."""
    rng = np.random.default_rng(0)
    for number in range(good + defective):
        image = rng.integers(0, 128, (64, 64), np.uint8)
        if number < good:
            write_image(folder / "good" / f"{number}.png", image)
            continue
        mask = np.zeros((64, 64), np.uint8)
        mask[10:40, 10:40] = 255
        image[mask > 0] = 255
        write_image(folder / ("images" if masks else "defective") / f"{number}.png", image)
        if masks:
            write_image(folder / "masks" / f"{number}.png", mask)
    return f"folder:{folder}"


@pytest.mark.parametrize(
    ("defects", "known"),
    [
        ({}, set()),
        ({"defective": 5}, {"image_auroc"}),
        ({"defective": 5, "masks": True}, {"image_auroc", "pixel_auroc", "aupro", "ap"}),
    ],
    ids=["good ones alone", "labels", "masks"],
)
def test_no_score_is_pretended_of_own_photographs(defects, known, tmp_path):
    config = NearestPatchesConfig(data=own_images(tmp_path / "own", **defects), **SIDES)
    splits = open_normal_splits(config)
    assert [sum(images.labels) for images in vars(splits).values()] == [
        0,
        0,
        sum([defects.get("defective", 0)]),
    ], "whatever is defective is for the test"
    scores = launch(
        NearestPatchesTrainer.run_in_folder, config, tmp_path / "run", 0, False, device="cpu"
    )
    assert {name for name, value in scores.items() if not np.isnan(value)} == known
    report = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert {name for name, value in report["scores"].items() if value is not None} == known
    assert report["threshold"]["false_alarms"]["count"] == 0
    detector = load_detector(tmp_path / "run", device="cpu")
    if defects:
        assert all(
            answer.is_defective
            for answer in detector.predict(
                tmp_path / "own" / ("images" if "masks" in defects else "defective")
            )
        )


def test_anomalies_are_of_the_kind_asked_and_lie_on_the_object(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_ROOT", str(tmp_path))
    assert simulator("synthetic").sources == (procedural_source, structure_source)
    assert simulator("mvtec_ad/bottle", "structure").sources == (structure_source,)
    for category, rule in (("bottle", MVTEC_FOREGROUNDS["bottle"]), ("carpet", None)):
        found = choose_foreground(changed(data=f"mvtec_ad/{category}"), ...)
        assert simulator("synthetic", foreground=found.foreground).foreground == rule
        assert "best known re-implementation" in found.note
    (tmp_path / "dtd" / "images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "dtd" / "images" / "a.png"), np.full((8, 8, 3), 9, np.uint8))
    (texture,) = simulator("mvtec_ad/bottle", "texture").sources
    assert isinstance(texture, TextureSource)
    assert simulator("synthetic", "texture").sources == (procedural_source,)


class Plates:
    """Good images of one dark plate on a bright ground; it lies a little elsewhere each time."""

    class_names = ("background", "defect")
    channels = 1
    split_note = "Made up."

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Sample:
        if index >= 6:
            raise IndexError(index)
        image = 0.9 + 0.05 * torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(index))
        image[:, 16 + index : 48 + index, 12:52] -= 0.7
        return Sample(image, torch.zeros(64, 64, dtype=torch.long), 0, str(index), str(index))


@pytest.fixture(scope="module")
def plates() -> CachedDataset:
    return CachedDataset(Plates())


def on_plates(**settings) -> MemSegConfig:
    return changed(data="folder:plates", **settings)


@pytest.mark.parametrize("foreground", ["auto", "dark"])
def test_anomalies_lie_on_an_object_of_ones_own(foreground, plates):
    trainer = MemSegTrainer(on_plates(foreground=foreground), Splits(plates, plates, plates))
    assert trainer.foreground.foreground == ForegroundRule(None, bright=False)
    for made in (trainer.build_batches().dataset, trainer.val_with_anomalies):
        for index in range(6):
            plate = plates[index].image[0] < 0.5
            mask = made[6 + index].mask.bool()
            assert mask.any()
            assert not bool((mask & ~plate).any())


def test_it_is_said_where_the_anomalies_lie_and_a_training_elsewhere_does_not_go_on(
    plates, tmp_path, capsys
):
    splits = Splits(plates, plates, plates)
    trainer = MemSegTrainer(on_plates(), splits, score_test=False, progress=True)
    result = trainer.train(folder=tmp_path, **CPU)
    said = "a dark object stands out from the ground in 6 of 6 training images"
    assert f"foreground of the anomalies: {said}" in "".join(capsys.readouterr())
    assert trainer.report(result)["foreground"] == said
    for other in ("none", "dark"):
        with pytest.raises(ValueError, match="foreground"):
            MemSegTrainer(on_plates(foreground=other), splits).train(folder=tmp_path, **CPU)


def test_without_an_object_anomalies_lie_anywhere_and_that_is_said(splits):
    chosen = choose_foreground(TINY, splits.train)
    assert chosen.foreground is None
    assert chosen.note.startswith("none: a bright object stands out from a plain ground in only 0")


@pytest.mark.parametrize("size", [(64, 64), (300, 200)])
def test_a_mask_says_where_the_product_is(size, plates, tmp_path):
    region = np.zeros(size, np.uint8)
    region[: size[0] // 2] = 255
    cv2.imwrite(str(tmp_path / "product.png"), region)
    chosen = choose_foreground(on_plates(foreground=str(tmp_path / "product.png")), plates)
    assert "50.0% of an image" in chosen.note
    mask = simulator("synthetic", foreground=chosen.foreground).foreground(
        np.zeros((64, 64), np.uint8)
    )
    assert mask[:32].all()
    assert not mask[32:].any()


@pytest.mark.parametrize(
    ("pixels", "error", "message"),
    [
        (None, FileNotFoundError, "there is no mask .*product.png"),
        (np.zeros((8, 8), np.uint8), ValueError, "draw it in black and white"),
        (np.arange(64, dtype=np.uint8).reshape(8, 8), ValueError, r"64 values in 0\.\.63"),
    ],
)
def test_a_mask_that_says_nothing_is_refused_before_the_training(
    pixels, error, message, plates, tmp_path
):
    if pixels is not None:
        cv2.imwrite(str(tmp_path / "product.png"), pixels)
    config = on_plates(foreground=str(tmp_path / "product.png"))
    trainer = MemSegTrainer(config, Splits(plates, plates, plates))
    with pytest.raises(error, match=message):
        trainer.train(folder=tmp_path / "out", **CPU)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("foreground", ["dark", "product.png"])
def test_on_tiles_anomalies_lie_anywhere(foreground, plates):
    with pytest.raises(ValueError, match=f"foreground {foreground} goes with whole images"):
        MemSegConfig(tile=64, foreground=foreground)
    note = choose_foreground(MemSegConfig(data="folder:plates", tile=64), plates).note
    assert note.startswith("none: many tiles show no object")


def test_validation_anomalies_are_their_own_and_the_same_for_all_variants_and_seeds(splits):
    trainers = [
        MemSegTrainer(changed(variant=v, seed=s), splits)
        for v, s in (("memseg", 0), ("texture_only", 1))
    ]
    first, second = (trainer.val_with_anomalies.masks for trainer in trainers)
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
    assert set(trainer.pictures(resumed)) == {"learning.png", "predictions.png"}


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


@pytest.mark.parametrize("method", ["memseg", "nearest"])
def test_a_detector_decides_by_good_images_that_it_has_not_learnt_from(method, splits, plain):
    if method == "memseg":
        trainer, result = MemSegTrainer(TINY, splits), plain
    else:
        trainer = NearestPatchesTrainer(NearestPatchesConfig(weights="none", **SIDES), splits)
        result = trainer.train(device="cpu")
    detector = trainer.detector(result)
    threshold = detector.settings.threshold
    scores = [detector.predict(sample.image).score for sample in splits.val]
    # Made-up images are no multiples of 1/255, as photographs are.
    assert threshold.value == pytest.approx(max(scores), rel=0.05)
    assert (threshold.false_alarms.count, threshold.false_alarms.total) == (0, 2)
    changed = sum(bool(one.mask.any()) for one in trainer.val_with_anomalies)
    assert threshold.misses.total == changed
    for sample, score in zip(splits.test, trainer.image_scores(result), strict=True):
        assert detector.predict(sample.image).score == pytest.approx(score, rel=0.05, abs=0.01)


def test_the_baseline_keeps_a_model_that_answers(splits, tmp_path, monkeypatch):
    config = NearestPatchesConfig(weights="none", **SIDES)
    monkeypatch.setattr(NearestPatchesTrainer, "open_splits", lambda *_, **__: splits)
    scores = launch(
        NearestPatchesTrainer.run_in_folder, config, tmp_path / "run", 0, False, device="cpu"
    )
    assert scores == NearestPatchesTrainer(config, splits).train(device="cpu").scores
    answer = load_detector(tmp_path / "run", device="cpu").predict(splits.test[0].image)
    first = (tmp_path / "run" / "predictions.csv").read_text().splitlines()[1].split(",")
    assert answer.score == pytest.approx(float(first[3]), rel=0.05)
    found = {path.name for path in (tmp_path / "run").iterdir()} - {".training.lock"}
    files = "config.json data.json detector.json predictions.csv predictions.png scores.json"
    assert found == {*files.split(), "weights.safetensors"}, "nothing was trained"


def test_defects_without_a_mask_teach_no_network_that_they_are_good(tmp_path):
    data = own_images(tmp_path / "own", defective=10, masks=True)
    for number in range(100, 105):
        write_image(tmp_path / "own" / "defective" / f"{number}.png", np.zeros((64, 64), np.uint8))
    parts = vars(open_splits(UNetConfig(data=data, height=64, width=64)))
    samples = [sample for images in parts.values() for sample in images]
    assert len(samples) == 35
    assert all(bool(sample.mask.any()) == bool(sample.label) for sample in samples)
    notes = " ".join(images.split_note for images in parts.values())
    assert "defective images without a mask, which would teach that they are good" in notes


def test_pixels_of_a_defect_without_a_mask_are_not_scored():
    masks = torch.zeros(3, 16, 16, dtype=torch.uint8)
    masks[1, :8] = 1
    maps = masks.float()
    maps[2] = 1  # found, but nobody has drawn it
    scores = score_anomalies(maps, masks, torch.tensor([0, 1, 1]))
    assert set(scores.values()) == {1.0}
