"""The doctor: what it finds, how it says so, and what it never shows."""

import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console

from course_utils import config, doctor
from course_utils.doctor import Check, Checklist, Status, without_paths
from course_utils.models.encoders import ENCODERS, Encoder


def named(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_nothing_is_wrong_on_a_machine_that_runs_these_tests() -> None:
    checks = doctor.doctor()
    assert [check for check in checks if check.status is Status.PROBLEM] == []
    assert named(checks, "kernel").status is Status.OK


def test_the_quick_checks_are_the_ones_of_the_whole_list_that_load_no_torch() -> None:
    code = (
        "import sys; from course_utils.doctor import doctor;"
        "print([check.name for check in doctor(quick=True)]);"
        "print(sorted({'torch', 'torchvision', 'matplotlib', 'jupyter_client'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, loaded = done.stdout.splitlines()
    assert "'Python', 'packages', 'profile', 'memory', 'disk', 'data sets'" in names
    assert loaded == "[]"


def test_absent_data_are_a_note_with_a_way_out(tmp_path: Path) -> None:
    found = named(doctor.doctor(data_root=tmp_path, quick=True), "data sets")
    assert found.status is Status.NOTE
    assert "COURSE_DATA_ROOT" in found.remedy


def test_real_data_are_listed_with_their_number_of_images() -> None:
    if not (config.data_root() / "magnetic_tile").is_dir():
        pytest.skip("magnetic_tile is not here: set COURSE_DATA_ROOT to the folder that holds it")
    found = named(doctor.doctor(quick=True), "data sets")
    assert found.status is Status.OK
    assert re.search(r"magnetic_tile \(\d+ images\)", found.found)


@pytest.mark.parametrize(
    ("found", "words"), [("0.1", "einops 0.1 is too old"), (None, "einops>=0.8 is missing")]
)
def test_a_package_that_is_old_or_missing_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, found: str | None, words: str
) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "einops" and found is None:
            raise metadata.PackageNotFoundError(name)
        return found if name == "einops" and found else real(name)

    monkeypatch.setattr(metadata, "version", version)
    check = named(doctor.doctor(quick=True), "packages")
    assert check.status is Status.PROBLEM
    assert words in check.found
    assert check.remedy.startswith(f"{sys.executable} -m pip install --upgrade -e /")


def test_torchvision_of_another_torch_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    nms = Mock(side_effect=RuntimeError("operator torchvision::nms does not exist"))
    monkeypatch.setattr(torchvision.ops, "nms", nms)
    found = doctor._torchvision()
    assert found.status is Status.PROBLEM
    assert found.remedy.startswith(f"{sys.executable} -m pip install")
    assert found.remedy.endswith(" torch torchvision")


@pytest.mark.parametrize("encoder", ENCODERS.values())
def test_weights_that_are_missing_are_a_problem(
    encoder: type[Encoder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "shipped", (encoder.shipped[0], tmp_path / "gone.safetensors"))
    (check,) = doctor._run(doctor._weights)
    assert check.status is Status.PROBLEM
    assert "gone.safetensors is not there" in check.found


def test_a_full_disk_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = doctor.shutil.disk_usage(Path.cwd())._replace(free=10**8)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    found = named(doctor.doctor(quick=True), "disk")
    assert found.status is Status.PROBLEM
    assert "make clean" not in found.remedy, "it deletes results and the environment"


@pytest.mark.parametrize(
    ("variable", "check"), [("COURSE_DEVICE", doctor._device), ("COURSE_PROFILE", doctor._profile)]
)
def test_a_wrong_setting_is_mended_by_unsetting_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, check: Callable[[], Check]
) -> None:
    monkeypatch.setenv(variable, "warp")
    found = check()
    assert found.status is Status.PROBLEM
    assert f"{variable}=warp" in found.found
    assert found.remedy == f"unset {variable}"
    for setting in ("COURSE_DEVICE", "COURSE_PROFILE"):
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setattr(config, "_best_device", lambda: "cuda:99")  # that nobody chose
    assert doctor._device().remedy == "export COURSE_DEVICE=cpu"


def test_a_check_that_breaks_is_a_problem_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Mock(side_effect=OSError("no such device"))
    monkeypatch.setattr(doctor.psutil, "virtual_memory", broken)
    checks = doctor.doctor(quick=True)
    assert named(checks, "memory").found == "OSError: no such device"
    assert named(checks, "disk").status is Status.OK


def test_every_form_tells_the_problem_and_what_mends_it() -> None:
    checks = [Check("a", Status.OK, "fine"), Check("b", Status.PROBLEM, "no <disk>", "make clean")]
    console = Console(record=True, width=100)
    console.print(Checklist(checks))
    shown = Checklist(checks)
    for text in (console.export_text(), repr(shown), shown._repr_html_()):
        assert "make clean" in text
        assert "1 problem:" in text
    assert "no &lt;disk&gt;" in shown._repr_html_()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("in /home/ada/data sets", "in …/data sets"),
        (r"in C:\Users\ada\data", "in …/data"),
        ("1/2 of 3/4", "1/2 of 3/4"),
        ("~/course/.venv/bin/python -m x", "…/python -m x"),
    ],
)
def test_a_notebook_names_no_folder_of_a_person(text: str, shown: str) -> None:
    assert without_paths(text) == shown


def test_a_notebook_hides_paths_and_gives_a_command_that_works_without_them() -> None:
    mend = f"{doctor.HERE} -m pip install --upgrade -e /srv/course"
    checks = [Check("packages", Status.PROBLEM, "in /home/ada/data", mend)]
    shown = Checklist(checks, show_paths=False)
    assert mend in repr(Checklist(checks))
    assert "→ rm -rf .venv && make course\n" in repr(shown)
    assert "ada" not in shown._repr_html_() + repr(shown)
