"""Promises of `course_utils.config`: profile, data root, device, precision, seeds."""

import random
import re
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import course_utils
from course_utils import config
from course_utils.config import (
    MAX_SEED,
    Profile,
    cache_root,
    data_root,
    get_profile,
    pick_device,
    pick_precision,
    seed_everything,
)

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """No setting of the person who runs the tests reaches them."""
    for variable in ("COURSE_PROFILE", "COURSE_DATA_ROOT", "COURSE_DEVICE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("name", ["smoke", "laptop", "full"])
def test_a_profile_is_found_by_its_name_and_by_itself(name):
    profile = get_profile(name)
    assert get_profile(profile) is profile
    assert str(profile) == name


def test_auto_asks_the_environment_at_each_call_and_a_name_does_not(monkeypatch):
    for value, profile in (("full", Profile.FULL), ("smoke", Profile.SMOKE), ("", Profile.LAPTOP)):
        monkeypatch.setenv("COURSE_PROFILE", value)
        assert get_profile() is get_profile("auto") is profile
        assert get_profile("full") is Profile.FULL
    monkeypatch.delenv("COURSE_PROFILE")
    assert get_profile() is Profile.LAPTOP


@pytest.mark.parametrize("name", ["Smoke", "", "fast", "smoke ", None, 3])
def test_an_unknown_profile_is_quoted_and_the_known_ones_are_listed(name, monkeypatch):
    with pytest.raises(ValueError, match="choose one of smoke, laptop, full") as caught:
        get_profile(name)
    assert repr(name) in str(caught.value)
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    with pytest.raises(ValueError, match="COURSE_PROFILE=fast is not a profile"):
        get_profile()


def test_an_argument_wins_over_the_environment_and_the_root_is_not_made(monkeypatch, tmp_path):
    default = data_root()
    monkeypatch.setenv("COURSE_DATA_ROOT", "")
    assert data_root() == default
    monkeypatch.setenv("COURSE_DATA_ROOT", str(tmp_path / "set"))
    assert data_root() == tmp_path / "set"
    assert data_root(tmp_path / "given") == tmp_path / "given"
    assert data_root(str(tmp_path / "given")) == tmp_path / "given"
    assert list(tmp_path.iterdir()) == []


def test_without_settings_the_root_is_data_beside_the_notebooks_of_a_checkout(
    monkeypatch, tmp_path
):
    module = tmp_path / "course" / "course_utils" / "config.py"
    monkeypatch.setattr(config, "__file__", str(module))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert data_root() == elsewhere / "data"
    (tmp_path / "course" / "notebooks").mkdir(parents=True)
    assert data_root() == tmp_path / "course" / "data"


def test_the_root_is_absolute_so_that_it_outlives_a_change_of_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_DATA_ROOT", "sets")
    for root in (data_root(), data_root("sets"), data_root(Path("sets"))):
        assert root == tmp_path / "sets"


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # Windows asks this one
    monkeypatch.setenv("COURSE_DATA_ROOT", "~/sets")
    assert data_root() == tmp_path / "sets"
    assert data_root("~/other") == tmp_path / "other"


def test_the_cache_lies_where_the_variable_says_else_with_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    assert cache_root() == tmp_path / "cache"
    monkeypatch.setenv("COURSE_CACHE", "~/kept")
    assert cache_root() == Path.home() / "kept"
    monkeypatch.delenv("COURSE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root().name == "course_utils"
    assert cache_root().is_absolute()


def test_auto_asks_the_environment_and_a_named_device_does_not(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert pick_device() == pick_device("auto") == CPU
    monkeypatch.setenv("COURSE_DEVICE", "cuda:99")
    assert pick_device("cpu") == CPU
    with pytest.raises(ValueError, match="COURSE_DEVICE=cuda:99 cannot be used here"):
        pick_device()


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_a_gpu_where_there_is_one(cuda, mps, best, monkeypatch):
    tried = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch, "empty", lambda *_, device: tried.append(device))
    assert pick_device() == torch.device(best)
    assert tried == [torch.device(best)], "the device is tried before it is trusted"


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "", "cpu ", "xla"])
def test_a_device_that_cannot_be_used_is_quoted_with_the_way_out(name):
    with pytest.raises(ValueError, match=r"cannot be used here .*try cpu") as caught:
        pick_device(name)
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("fast", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_device_computes_in_bf16_only_when_its_hardware_does(fast, precision, monkeypatch):
    is_supported = Mock(return_value=fast)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert pick_precision(torch.device("cuda")) == precision
    is_supported.assert_called_once_with(including_emulation=False)  # it is slower than float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast, raising=False)
    assert pick_precision(CPU) == precision


def test_float32_is_the_answer_where_nothing_is_known(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert pick_precision(torch.device("mps")) == "32-true"
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert pick_precision(CPU) == "32-true"


def draw(seed):
    rng = seed_everything(seed)
    return random.random(), np.random.rand(), torch.rand(1).item(), rng.random()  # noqa: NPY002


@given(seed=st.integers(0, MAX_SEED))
@example(seed=0)
@example(seed=2**32 - 1)
def test_equal_seeds_give_equal_numbers_everywhere(seed):
    assert draw(seed) == draw(seed)
    assert MAX_SEED == 2**32 - 1


def test_another_seed_gives_other_numbers_everywhere():
    assert all(first != second for first, second in zip(draw(1), draw(2), strict=True))


def test_the_returned_generator_is_that_of_the_seed_and_apart_from_the_global_one():
    rng = seed_everything(11)
    np.random.rand(5)  # noqa: NPY002 (the global generator must not move the returned one)
    np.testing.assert_array_equal(rng.random(4), np.random.default_rng(11).random(4))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "7", None, True])
def test_a_wrong_seed_is_quoted_with_the_range_and_seeds_nothing(seed):
    before = random.getstate(), torch.get_rng_state()
    with pytest.raises(ValueError, match=r"whole number in 0\.\.4294967295, got") as caught:
        seed_everything(seed)
    assert str(caught.value).endswith(repr(seed))
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


LOOKUP = re.compile(r"environ(\.get\(|\[[^]]*\](?! = ))|getenv\(| in (os\.)?environ")
"""To look a variable up; to set one, or to hand the whole of it on, is not to read it."""


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("os.environ['HOME']", True),
        ("os.environ.get('HOME')", True),
        ("os.getenv('HOME')", True),
        ("environ.get('HOME')", True),
        ("'HOME' in os.environ", True),
        ("os.environ['HOME'] = '/'", False),
        ("run(env={**os.environ, 'A': '1'})", False),
    ],
)
def test_the_search_for_lookups_finds_them(source, answer):
    assert bool(LOOKUP.search(source)) == answer


def test_no_other_module_reads_environment_variables():
    package = Path(course_utils.__file__).parent
    readers = [
        path.relative_to(package).as_posix()
        for path in sorted(package.rglob("*.py"))
        if LOOKUP.search(path.read_text(encoding="utf-8"))
    ]
    assert readers == ["config.py"]
