"""What the Makefile passes on, and when it makes the environment anew. Nothing is installed."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the Makefile whose `.venv` is finished; its `course` shows what it was given."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, tmp_path)
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    write_command(commands / "python", f'exec "{sys.executable}" "$@"')
    write_command(commands / "course", 'printf \'[%s]\' "$@" "${COURSE_DATA_ROOT:-}"')
    (tmp_path / ".venv" / ".ready").touch()
    return tmp_path


def write_command(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_names_with_spaces_and_quotes_arrive_in_one_piece(checkout: Path) -> None:
    done = make(checkout, "course", "DATASET=folder:/my images/ada's; echo", "LESSON=01 02")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[run][01][02][--profile][smoke][--dataset]")
    assert "[folder:/my images/ada's; echo]" in done.stdout


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [("sets of mine", "{folder}/sets of mine"), ("/srv/a b", "/srv/a b"), ("", "")],
)
def test_the_data_root_becomes_absolute(checkout: Path, given: str, passed_on: str) -> None:
    wanted = f"[{passed_on.format(folder=checkout)}]"
    assert make(checkout, "doctor", COURSE_DATA_ROOT=given).stdout == f"[doctor]{wanted}"
    assert make(checkout, "doctor", f"COURSE_DATA_ROOT={given}").stdout == f"[doctor]{wanted}"


def test_another_python_than_the_environments_is_refused_with_a_way_out(checkout: Path) -> None:
    other = write_command(checkout / "python3.99", 'case "$2" in *%d.%d*) echo Python 3.99;; esac')
    done = make(checkout, "doctor", f"PYTHON={other}")
    assert done.returncode != 0
    assert f"and {other} is Python 3.99" in done.stderr
    assert "rm -rf .venv" in done.stderr
    assert (checkout / ".venv" / ".ready").exists()


def test_an_environment_without_pip_is_made_again(checkout: Path) -> None:
    write_command(checkout / ".venv" / "bin" / "python", "exit 1")
    python = write_command(checkout / "python3", 'echo "$@" >> calls; test "$2" != venv')
    make(checkout, "doctor", PATH=f"{python.parent}:{os.environ['PATH']}")
    assert "-m venv --clear .venv" in (checkout / "calls").read_text()


def test_a_finished_environment_is_left_alone(checkout: Path) -> None:
    python = write_command(checkout / "python3", 'echo "$@" >> calls')
    assert make(checkout, "doctor", PATH=f"{python.parent}:{os.environ['PATH']}").returncode == 0
    assert not (checkout / "calls").exists()
