"""Notebooks in a container. No engine is needed: a command of that name stands in for one, which
notes how it is called and runs on this machine what should run in the container.
"""

import os
import sys
from pathlib import Path

import pytest
from tiny_notebooks import write_lesson

from course_utils.runs import Limits, Outcome, run_notebook
from course_utils.runs.container import Container, find_container

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs scripts as commands")

STAND_IN = """#!{python}
import os, signal, sys
from pathlib import Path
here = Path(__file__).parent
words = sys.argv[1:]
with (here / "calls").open("a") as calls:
    calls.write(chr(31).join(words) + chr(10))
if words[0] == "image":
    print("no such image", file=sys.stderr)
    sys.exit(words[2] != "course:1")
if words[0] == "kill":
    os.kill(int((here / words[1]).read_text()), signal.SIGKILL)
    sys.exit()
options = dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)
(here / options["name"]).write_text(str(os.getpid()))
given = [word.removeprefix("--env=") for word in words if word.startswith("--env=")]
os.environ.update(dict(each.split("=", 1) for each in given))
os.execv(sys.executable, [sys.executable, *words[words.index("python") + 1 :]])
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the command."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(STAND_IN.format(python=sys.executable))
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def calls(engine: Path) -> list[list[str]]:
    return [line.split(chr(31)) for line in (engine / "calls").read_text().splitlines()]


def run(folder: Path, code: str, **limits: float):
    source = write_lesson(folder / "run", "90_tiny", code)
    return run_notebook(
        source,
        folder / "run" / "done.ipynb",
        {"seed": 7},
        workdir=folder / "run" / "work",
        limits=Limits(**limits),
        environment={"MINE": "yes"},
        container=find_container("course:1"),
    )


def test_a_notebook_is_executed_in_a_container_without_a_network(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_ROOT", str(tmp_path / "sets"))
    (tmp_path / "sets").mkdir()
    record = run(tmp_path, "import os; print(seed, os.environ['MINE'])", memory_gb=2)
    assert record.outcome is Outcome.OK, record.message
    assert "7 yes" in record.text
    asked, words = calls(engine)
    assert asked == ["image", "inspect", "course:1"]
    assert words[0] == "run"
    folder, sets = tmp_path / "run", tmp_path / "sets"
    volumes = [word for word in words if word.startswith("--volume")]
    assert volumes == [f"--volume={folder}:{folder}", f"--volume={sets}:{sets}:ro"]
    assert {"--network=none", "--pull=never", "--rm", "--memory=2000000000b"} <= set(words)
    assert f"--env=HOME={folder}" in words


def test_a_container_is_ended_by_its_engine_when_the_time_is_over(engine, tmp_path):
    record = run(tmp_path, "while True: pass", seconds=5)
    assert record.outcome is Outcome.TIMEOUT
    _, begun, ended = calls(engine)
    name = next(word for word in begun if word.startswith("--name=")).removeprefix("--name=")
    assert ended == ["kill", name]


def test_podman_keeps_the_user_of_this_machine(tmp_path):
    words = Container("/usr/bin/podman", "course:1").command(
        "x", ("-m", "y"), tmp_path, {}, memory=float("inf"), readable=tmp_path / "nowhere"
    )
    assert words[words.index("--userns") + 1] == "keep-id"
    assert not [word for word in words if word.startswith(("--memory", "--user="))]
    assert words[-4:] == ["course:1", "python", "-m", "y"]


def test_where_there_is_no_engine_or_image_that_is_told(engine, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"docker has no image 'other' \(no such image\)"):
        find_container("other")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="needs Docker or Podman"):
        find_container("course:1")
