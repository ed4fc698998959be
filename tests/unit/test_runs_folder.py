"""The folder of a run: whose it is, and that only what is nobody's is removed."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from course_utils.runs import execute, run_folder
from course_utils.runs.records import Task
from course_utils.runs.run_folder import OWNER, remove_orphans

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs flock")

OWN = """import sys
sys.path.insert(0, sys.argv[1])
from run_folder import run_folder
with run_folder() as folder:
    (folder / "work").mkdir()
    (folder / "work/result").write_text("mine")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def owner(place: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the midst of a run; it has told its folder."""
    module = Path(run_folder.__file__)
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", OWN, str(module.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(place)},
    )
    yield process
    process.kill()
    with suppress(BrokenPipeError):
        process.communicate()


def folder_of(owner: subprocess.Popen[str]) -> Path:
    assert owner.stdout
    return Path(owner.stdout.readline().strip())


def kill(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.wait()


def test_a_folder_is_left_to_its_owner_while_it_lives(owner: subprocess.Popen[str]) -> None:
    folder = folder_of(owner)
    remove_orphans()
    assert (folder / "work/result").read_text() == "mine"
    assert (folder / OWNER).read_text().split()[1] == str(owner.pid)
    kill(owner)
    assert folder.is_dir(), "what this is about"
    remove_orphans()
    assert not folder.exists()


def test_a_folder_is_gone_after_its_run(owner: subprocess.Popen[str], place: Path) -> None:
    folder_of(owner)
    owner.communicate("")
    assert owner.returncode == 0
    assert list(place.iterdir()) == []


def test_a_folder_of_this_process_is_left(place: Path) -> None:
    with run_folder.run_folder() as folder:
        remove_orphans()
        assert (folder / OWNER).is_file()
        assert folder.parent == place
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("what", ["no lock", "draft", "another host", "another user", "link"])
def test_what_is_not_known_to_be_ours_is_left(
    what: str, owner: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(owner)
    kill(owner)
    lock = folder / OWNER
    if what == "no lock":
        lock.unlink()
    elif what == "draft":
        lock.rename(f"{lock}.draft")
    elif what == "another host":
        lock.write_text("node7\n1\n")
    elif what == "another user":
        monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    else:
        elsewhere = folder.with_name("elsewhere")
        folder.rename(elsewhere)
        folder.symlink_to(elsewhere)
    remove_orphans()
    assert (folder / "work/result").read_text() == "mine"


def test_what_bears_another_name_or_is_a_file_is_left(
    owner: subprocess.Popen[str], place: Path
) -> None:
    kept = folder_of(owner).rename(place / "thesis")
    kill(owner)
    (place / "course-run-notes").write_text("mine")
    remove_orphans()
    assert (kept / "work/result").is_file()
    assert (place / "course-run-notes").is_file()


def test_nothing_is_raised_whatever_lies_there(
    owner: subprocess.Popen[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(owner)
    kill(owner)
    for name, lock in {"noise": b"\xff\x00", "empty": b""}.items():
        (place / f"course-run-{name}").mkdir()
        (place / f"course-run-{name}" / OWNER).write_bytes(lock)
    (place / "course-run-odd" / OWNER).mkdir(parents=True)
    (place / "course-run-gone").symlink_to(place / "nowhere")
    remove_orphans()
    assert not folder.exists()
    assert len(list(place.iterdir())) == 4
    monkeypatch.setattr(tempfile, "tempdir", str(place / "nowhere"))
    remove_orphans()


def test_who_dies_while_removing_leaves_a_folder_that_is_known(
    owner: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(owner)
    kill(owner)
    remove = shutil.rmtree

    def die(path: Path, **options: bool) -> None:
        if path == folder:
            raise KeyboardInterrupt
        remove(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            remove_orphans()
    assert [path.name for path in folder.iterdir()] == [OWNER]
    remove_orphans()
    assert not folder.exists()


def test_without_locks_runs_have_folders_and_none_is_removed(
    owner: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = folder_of(owner)
    kill(owner)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with run_folder.run_folder() as folder:
        assert not (folder / OWNER).exists()
        remove_orphans()
        assert folder.is_dir()
    assert not folder.exists()
    assert dead.is_dir()


def test_the_first_run_of_a_process_removes_what_others_left(
    owner: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(owner)
    kill(owner)
    times: list[int] = []

    def remove() -> None:
        times.append(1)
        remove_orphans()

    monkeypatch.setattr(execute, "remove_orphans", remove)
    execute._remove_orphans_once.cache_clear()
    for _ in range(2):
        execute.execute(Task("a", "90_tiny", "no notebook", {}))
    assert not folder.exists()
    assert times == [1]
