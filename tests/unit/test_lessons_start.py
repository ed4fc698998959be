"""Parameters are checked before any work; then everything is seeded and said aloud."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import Field

from course_utils.config import MAX_SEED, Profile
from course_utils.lessons import (
    LessonParameters,
    find_lesson,
    read_parameters,
    record_metric,
    start_lesson,
)
from course_utils.lessons.content import LESSONS


class Parameters(LessonParameters):
    datasets = ("synthetic", "folder", "mvtec_ad/")
    epochs: int = Field(3, ge=1)
    gammas: list[float] = Field([0.0, 2.0])


def read(**given):
    return read_parameters(Parameters, given, lesson="09_test")


def complaint(**given):
    with pytest.raises(ValueError, match="lesson 09_test cannot start") as caught:
        read(**given)
    return str(caught.value).splitlines()[1:]


SEED = "wanted a whole number in 0..4294967295"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"seed": "3"}, [f"seed: got '3', {SEED}"]),
        ({"seed": True}, [f"seed: got True, {SEED}"]),
        ({"seed": -1}, [f"seed: got -1, {SEED}"]),
        ({"seed": 2**32}, [f"seed: got {2**32}, {SEED}"]),
        ({"profile": "fast"}, ["profile: got 'fast', wanted 'auto', 'smoke', 'laptop' or 'full'"]),
        (
            {"dataset": "steel"},
            ["dataset: got 'steel', wanted synthetic or folder:<path> or mvtec_ad/<name>"],
        ),
        (
            {"epochs": 0, "gammas": [0.5, "x"]},
            [
                "epochs: got 0, wanted greater than or equal to 1",
                "gammas.1: got 'x', wanted a valid number",
            ],
        ),
        (
            {"epoch": 3},
            [
                "epoch: unknown parameter (did you mean epochs?); this lesson takes dataset, "
                "epochs, gammas, profile, seed"
            ],
        ),
    ],
)
def test_wrong_parameters_are_all_named_with_what_is_wanted_one_line_each(given, wanted):
    assert [line.strip() for line in complaint(**given)] == wanted


def test_numpy_numbers_are_taken_and_own_parameters_told_apart():
    parameters = read(seed=np.int64(3), epochs=np.int32(2))
    assert (parameters.seed, type(parameters.seed)) == (3, int)
    assert parameters.own() == {"epochs": 2, "gammas": [0.0, 2.0]}


def test_listed_data_sets_and_their_families_alone_are_taken():
    for dataset in ("synthetic", "folder:images/mine", "mvtec_ad/bottle"):
        assert read(dataset=dataset).dataset == dataset
    for dataset in ("folder:", "mvtec_ad/", "mvtec_ad", "Synthetic", ""):
        assert complaint(dataset=dataset)[0].strip().startswith("dataset: got")


def test_lesson_06_takes_the_variants_of_memseg_alone():
    parameters = find_lesson("06").parameters
    assert parameters().variant == "scaled_maps"
    assert parameters(variant="no_memory").own() == {"variant": "no_memory"}
    with pytest.raises(ValueError, match="variant: got 'no_memry', wanted 'memseg', 'per_level'"):
        read_parameters(parameters, {"variant": "no_memry"}, lesson="06_memseg_training")


def test_what_a_lesson_takes_is_known_without_torch_numpy_and_ipython():
    code = (
        "import sys\n"
        "from course_utils.lessons import METRIC_MIME, Outcome, find_lesson, read_parameters\n"
        "read_parameters(find_lesson('07').parameters, {'seed': 3}, lesson='07')\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'IPython'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_nothing_is_seeded_or_shown_when_a_parameter_is_wrong(capsys):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="did you mean seed"):
        start_lesson("00_start_here", sed=3)
    assert torch.equal(before, torch.get_rng_state())
    assert capsys.readouterr().out == ""


def test_the_same_seed_repeats_every_generator(monkeypatch):
    def draws():
        lesson = start_lesson("00_start_here", profile="smoke", seed=5)
        return torch.rand(1).item(), np.random.random(), lesson.rng.random()  # noqa: NPY002

    assert draws() == draws()


@pytest.mark.parametrize(
    ("variable", "profile", "said"),
    [
        ("smoke", "auto", "profile smoke (from COURSE_PROFILE)"),
        ("", "auto", "profile laptop (the default)"),
        ("smoke", "full", "profile full (set here)"),
    ],
)
def test_the_header_says_what_runs_and_where_the_profile_came_from(
    monkeypatch, capsys, variable, profile, said
):
    monkeypatch.setenv("COURSE_PROFILE", variable)
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    start_lesson("00_start_here", profile=profile, dataset="magnetic_tile", seed=11)
    shown = capsys.readouterr().out
    for fact in (said, "Lesson 00 · Start here", "data magnetic_tile", "seed 11", "device cpu"):
        assert fact in shown
    assert ("only shows that everything works" in shown) is ("profile smoke" in said)


def test_pick_gives_the_value_of_the_active_profile():
    lesson = start_lesson("00_start_here", profile="smoke")
    values = [replace(lesson, profile=p).pick(smoke=1, laptop=2, full=3) for p in Profile]
    assert values == [1, 2, 3]


def test_seeds_start_at_the_lessons_own_and_stay_in_range():
    lesson = start_lesson("00_start_here", seed=MAX_SEED - 1)
    assert lesson.seeds(3) == [MAX_SEED - 1, MAX_SEED, 0]
    with pytest.raises(ValueError, match="at least 1"):
        lesson.seeds(0)


def test_a_new_start_frees_the_names_of_metrics():
    start_lesson("00_start_here")
    record_metric("a", 1)
    with pytest.raises(ValueError, match="recorded already"):
        record_metric("a", 2)
    start_lesson("00_start_here")
    record_metric("a", 2)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"fold": 4, "dataset": "kolektor_sdd"}, "fold: got 4, wanted"),
        ({"fold": 2}, "fold: got 2, wanted 0: only kolektor_sdd has folds"),
        ({"extension": "no_stop"}, "extension: got 'no_stop', wanted 'two_stage', 'no_schedule'"),
    ],
)
def test_lesson_07_takes_a_fold_of_kolektor_sdd_only_and_a_variant_that_exists(given, wanted):
    with pytest.raises(ValueError, match=wanted):
        start_lesson("07", **given)


@pytest.mark.parametrize(
    ("lesson", "given", "wanted"),
    [
        ("02", {"gamma": -0.5}, "gamma: got -0.5, wanted greater than or equal to 0"),
        ("02", {"gamma": "2"}, "gamma: got '2', wanted a valid number"),
        ("02", {"gamma": float("nan")}, "gamma: got nan"),
        (
            "03",
            {"loss": "tversky"},
            "loss: got 'tversky', wanted 'cross_entropy', 'weighted', 'focal' or 'dice'",
        ),
        (
            "03",
            {"encoder": "vgg", "loss": "dice"},
            "encoder: got 'vgg', wanted 'resnet18' or 'efficientnet_lite0'",
        ),
    ],
)
def test_what_can_be_swept_is_refused_with_the_choices_named(lesson, given, wanted):
    with pytest.raises(ValueError, match=re.escape(wanted)):
        start_lesson(lesson, **given)


@pytest.mark.parametrize("spec", LESSONS, ids=lambda spec: spec.name)
def test_a_lesson_passes_its_own_parameters_on_and_uses_them(spec):
    source = Path(__file__).parents[2] / "notebooks" / "source" / f"{spec.name}.py"
    _, parameters, rest = re.split(r'(# %% tags=\["parameters"\]\n(?:.+\n)*)', source.read_text())
    start, _, rest = rest.partition("lesson = start_lesson(")[2].partition("# %%")
    for name, default in spec.parameters().own().items():
        assert f"\n{name} = {json.dumps(default)}" in parameters
        assert f"{name}={name}" in start
        assert re.search(rf"\b{name}\b", rest), "it is not used"
