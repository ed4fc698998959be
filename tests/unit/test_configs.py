"""What a training is told: each setting is checked, and a mistake is one sentence."""

import json
import subprocess
import sys

import pytest

from course_utils.config import MAX_SEED
from course_utils.trainers import MemSegConfig, NearestPatchesConfig, TwoStageConfig, UNetConfig

ALL = [UNetConfig, MemSegConfig, NearestPatchesConfig, TwoStageConfig]


@pytest.mark.parametrize("config", ALL)
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data", 3, "data must be a valid string, got 3"),
        ("seed", -1, "seed must be greater than or equal to 0, got -1"),
        ("seed", MAX_SEED + 1, "seed must be less than or equal to 4294967295"),
        ("seed", True, "seed must be a valid integer, got True"),
        ("split_seed", -1, "split_seed must be greater"),
        ("flavour", 1, "flavour is no setting of this training"),
    ],
)
def test_what_no_training_takes_is_refused(config, field, value, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        config(**{field: value})


@pytest.mark.parametrize("config", [UNetConfig, MemSegConfig, TwoStageConfig])
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("batch_size", 0, "batch_size must be "),
        ("learning_rate", 0.0, r"learning_rate must be greater than 0, got 0\.0"),
        ("learning_rate", float("nan"), "learning_rate must be a finite number, got nan"),
        ("weight_decay", -0.1, "weight_decay must be greater than or equal to 0"),
    ],
)
def test_what_no_network_trains_by_is_refused(config, field, value, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        config(**{field: value})


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (UNetConfig, {"loss": "tversky"}, "loss must be 'cross_entropy', 'weighted', .*tversky"),
        (UNetConfig, {"classes": "some"}, "classes must be 'one' or 'all', got 'some'"),
        (UNetConfig, {"split_by": "name"}, "split_by must be 'group' or 'image', got 'name'"),
        (UNetConfig, {"height": 0}, "height must be greater than or equal to 1, got 0"),
        (UNetConfig, {"encoder": "vgg"}, "encoder must be 'resnet18' or 'efficientnet_lite0', got"),
        (UNetConfig, {"weights": "vgg"}, "weights must be offline, imagenet, none or PATH"),
        (UNetConfig, {"weights": "imagenet"}, "weights are of an encoder, got 'imagenet'"),
        (
            UNetConfig,
            {"batch_size": 1, "height": 16, "width": 16},
            "batch_size must be at least 2 for images of 16 x 16",
        ),
        (
            UNetConfig,
            {"batch_size": 1, "height": 64, "width": 64, "tile": 32, "encoder": "resnet18"},
            "batch_size must be at least 2 for images of 32 x 32",
        ),
        (
            UNetConfig,
            {"channels": 0, "steps": 0},
            "channels must be .* got 0; steps must be .* got 0",
        ),
        (MemSegConfig, {"variant": "memsegg"}, "variant must be 'memseg', 'per_level', .*memsegg"),
        (MemSegConfig, {"weights": "vgg"}, "weights must be offline, imagenet, none or PATH"),
        (
            MemSegConfig,
            {"encoder": None},
            "encoder must be 'resnet18' or 'efficientnet_lite0', got",
        ),
        (MemSegConfig, {"foreground": "light"}, "foreground must be auto, none, dark, bright or"),
        (MemSegConfig, {"foreground": "product.jpg"}, "foreground must be .*got 'product.jpg'"),
        (MemSegConfig, {"batch_size": 5}, "batch_size must be a multiple of 2, got 5"),
        (MemSegConfig, {"memory_size": 0}, "memory_size must be greater than or equal to 1"),
        (MemSegConfig, {"focal_weight": 1.5}, "focal_weight must be less than or equal to 1"),
        (MemSegConfig, {"gamma": -1}, "gamma must be greater than or equal to 0"),
        (MemSegConfig, {"workers": -1}, "workers must be greater than or equal to 0"),
        (NearestPatchesConfig, {"encoder": "vgg"}, "encoder must be 'resnet18' or"),
        (NearestPatchesConfig, {"weights": "vgg"}, "weights must be offline, imagenet, none or"),
        (TwoStageConfig, {"variant": "no_stop"}, "variant must be 'two_stage', 'no_schedule'"),
        (TwoStageConfig, {"channels": "wide"}, "channels must be 'published' or 'slim'"),
        (TwoStageConfig, {"optimizer": "adam"}, "optimizer must be 'sgd' or 'adamw'"),
        (TwoStageConfig, {"masks": "boxes"}, "masks must be 'exact' or 'ellipse'"),
        (TwoStageConfig, {"fold": 4}, "fold must be less than or equal to 3, got 4"),
        (TwoStageConfig, {"height": 64, "width": 64}, "height and width must hold two cells"),
        (TwoStageConfig, {"epochs": 0}, "epochs must be greater than or equal to 1"),
        (TwoStageConfig, {"dilate": 4}, "dilate must be odd, got 4"),
        (TwoStageConfig, {"dilate": -3}, "dilate must be greater than or equal to 1"),
        (TwoStageConfig, {"segmented": -2}, "segmented must be greater than or equal to -1"),
        (TwoStageConfig, {"delta": float("nan")}, "delta must be a finite number, got nan"),
        (TwoStageConfig, {"power": -1.0}, "power must be greater than or equal to 0"),
        (TwoStageConfig, {"positive_weight": -1}, "positive_weight must be greater"),
    ],
)
def test_what_one_method_cannot_do_is_refused(config, settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        config(**settings)


@pytest.mark.parametrize(
    ("config", "settings", "multiple", "given", "fits"),
    [
        (UNetConfig, {}, 16, 100, 112),
        (UNetConfig, {}, 16, 1, 16),
        (UNetConfig, {"encoder": "resnet18"}, 32, 80, 96),
        (MemSegConfig, {}, 32, 80, 96),
        (MemSegConfig, {}, 32, 32, 64),
        (NearestPatchesConfig, {}, 32, 257, 288),
        (TwoStageConfig, {}, 8, 100, 104),
        (TwoStageConfig, {}, 8, 56, 64),
    ],
)
def test_a_side_that_does_not_fit_is_refused_with_the_next_one_that_does(
    config, settings, multiple, given, fits
):
    for side, other in (("height", "width"), ("width", "height")):
        message = f"^{side} must be a multiple of {multiple} and .*, got {given}: choose {fits}$"
        with pytest.raises(ValueError, match=message):
            config(**settings, **{side: given, other: 128})
        assert getattr(config(**settings, **{side: fits, other: 128}), side) == fits
    with pytest.raises(ValueError, match=r"^height must be .*; width must be "):
        config(height=given, width=given, **settings)


def test_the_ends_of_the_ranges_are_taken_and_whole_numbers_for_floats():
    config = UNetConfig(
        height=16,
        width=32,
        channels=1,
        steps=1,
        batch_size=1,
        learning_rate=1,
        weight_decay=0,
        seed=MAX_SEED,
    )
    assert type(config.learning_rate) is float
    assert TwoStageConfig(height=64, width=128, delta=0, power=0, segmented=0, fold=3).delta == 0
    assert MemSegConfig(focal_weight=1, gamma=0, weights="own.safetensors").focal_weight == 1


def test_the_defaults_are_the_papers_trainings():
    memseg, two_stage = MemSegConfig(), TwoStageConfig()
    assert (memseg.height, memseg.steps, memseg.batch_size, memseg.memory_size) == (
        256,
        2700,
        8,
        30,
    )
    assert (memseg.gamma, memseg.focal_weight) == (4, 0.4)
    assert (two_stage.optimizer, two_stage.weight_decay, two_stage.batch_size) == ("sgd", 0, 1)
    assert (two_stage.delta, two_stage.power, two_stage.positive_weight) == (0.01, 2, 1)
    assert (two_stage.masks, two_stage.segmented, two_stage.dilate) == ("exact", -1, 1)


@pytest.mark.parametrize(("encoder", "rate"), [(None, 3e-3), ("efficientnet_lite0", 1e-3)])
def test_pretrained_weights_are_trained_on_at_a_lower_rate_unless_one_is_given(encoder, rate):
    config = UNetConfig(encoder=encoder)
    assert config.learning_rate == rate
    assert UNetConfig(**json.loads(config.model_dump_json())) == config
    assert UNetConfig(encoder=encoder, learning_rate=0.02).learning_rate == 0.02


def test_trainings_with_the_same_images_share_them():
    tiny = TwoStageConfig(height=64)
    others = {"variant": "plain", "seed": 4, "masks": "ellipse", "epochs": 9, "segmented": 1}
    assert tiny.model_copy(update=others).images_only() == tiny.images_only()
    for change in ({"data": "a"}, {"fold": 1}, {"height": 192}, {"width": 192}, {"split_seed": 1}):
        assert tiny.model_copy(update=change).images_only() != tiny.images_only()


def test_settings_need_no_torch():
    code = "import sys, course_utils.cli.train; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
