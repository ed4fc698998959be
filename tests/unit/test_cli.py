"""The command `course`: exit codes and messages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_notebooks import METRIC, write_lesson
from typer.testing import CliRunner

from course_utils import doctor
from course_utils.cli.commands import GROUPS, app
from course_utils.doctor import Check, Status
from course_utils.runs import Task, open_store


def course(*arguments: str | Path):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


HEAVY = {"torch", "numpy", "matplotlib", "nbformat", "papermill", "cv2"}


def loaded_by(*words: str | Path) -> tuple[str, set[str]]:
    """What a command says, and which of the packages that take long to load it has loaded."""
    program = f"""
import sys
from course_utils.cli import app
try:
    app(sys.argv[1:])
except SystemExit:
    print("loaded:", *({HEAVY} & set(sys.modules)))
"""
    said, _, loaded = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.partition("loaded:")
    return " ".join(said.split()), set(loaded.split())


def test_the_commands_are_listed_without_loading_what_they_need() -> None:
    said, loaded = loaded_by("--help")
    assert all(help_line in said for help_line, _ in GROUPS.values())
    assert loaded == set()


def test_the_status_of_a_batch_is_read_without_loading_what_runs_need(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.plan([Task("a", "90_tiny", "{}", {"seed": 3})])
    said, loaded = loaded_by("batch", "status", tmp_path)
    assert "to do 1" in said
    assert loaded == set()


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_says_in_the_list_what_it_says_itself(name: str) -> None:
    help_line, load = GROUPS[name]
    assert load().info.help == help_line
    assert help_line in course(name, "--help").output


@pytest.mark.parametrize(
    ("words", "library"),
    [
        (("run", "00"), "papermill"),
        (("train", "unet"), "torch"),
        (("data", "list"), "requests"),
    ],
)
def test_a_library_that_is_missing_is_one_sentence(words: tuple[str, ...], library: str) -> None:
    program = f"""
import sys
sys.modules[{library!r}] = None
from course_utils.cli import app
app(sys.argv[1:])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert library in done.stderr
    assert "course doctor" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_passes_parameters_and_writes_the_index(tmp_path: Path) -> None:
    write_lesson(tmp_path / "lessons", "90_one", METRIC, "assert gamma == 0.5 and seed == 4")
    options = ["--seed", "4", "--param", "gamma=0.5", "--profile", "smoke", "--quiet"]
    result = course(
        "run", "90", "--notebooks", tmp_path / "lessons", "--out", tmp_path / "out", *options
    )
    assert result.exit_code == 0, result.output
    assert "1 of 1 lessons ok" in result.output
    assert (tmp_path / "out" / "index.html").is_file()


def test_a_failing_lesson_gives_1(tmp_path: Path) -> None:
    write_lesson(tmp_path / "lessons", "90_one", "raise OSError('gone')")
    result = course("run", "--notebooks", tmp_path / "lessons", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "OSError: gone" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "77"], "unknown lesson '77'"),
        (["run", "--param", "gama=1"], "gama: 90_one has no such parameter"),
        (["run", "--param", "gamma"], "must look like name=value"),
        (["run", "--param", "seed=1", "--seed", "2"], "was given twice"),
        (["run", "--profile", "huge"], "not a profile"),
        (["run", "--timeout", "0"], "must be a number above 0"),
        (["run", "--timeout", "nan"], "must be a number above 0"),
        (["run", "--param", "seed=none"], "seed: got nothing, wanted a whole number"),
        (["run", "²"], "unknown lesson '²'"),
    ],
)
def test_wrong_arguments_give_2_and_run_nothing(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    write_lesson(tmp_path / "lessons", "90_one", f"open({str(tmp_path / 'ran')!r}, 'w')")
    result = course(*arguments, "--notebooks", tmp_path / "lessons", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def test_a_file_as_the_folder_gives_2_and_stays(tmp_path: Path) -> None:
    write_lesson(tmp_path / "lessons", "90_one")
    (tmp_path / "out").write_text("mine")
    for out in (tmp_path / "out", tmp_path / "out" / "below"):
        result = course("run", "--notebooks", tmp_path / "lessons", "--out", out)
        assert result.exit_code == 2
        assert result.output.startswith("error: ")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_store_that_is_not_ours_gives_2_and_is_named(tmp_path: Path) -> None:
    write_lesson(tmp_path / "lessons", "90_one")
    store = tmp_path / "out" / "runs.sqlite"
    store.parent.mkdir()
    store.write_text("mine")
    result = course("run", "--notebooks", tmp_path / "lessons", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert f"{store} is damaged or no run store" in result.output
    assert store.read_text() == "mine"


@pytest.mark.parametrize(("status", "code"), [(Status.NOTE, 0), (Status.PROBLEM, 1)])
def test_only_problems_fail_the_doctor(
    monkeypatch: pytest.MonkeyPatch, status: Status, code: int
) -> None:
    answer = [Check("disk", status, "full", "make clean")]
    monkeypatch.setattr(doctor, "doctor", lambda **_: answer)
    result = course("doctor")
    assert result.exit_code == code
    assert "make clean" in result.output
