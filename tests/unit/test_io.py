"""What kills and broken installations leave behind."""

import os
from importlib import import_module
from pathlib import Path

import pytest

from course_utils.io import report_errors, write_atomic

GONE = 2**22 + 1  # Linux numbers no process higher than 2**22


def test_the_next_write_removes_the_drafts_of_processes_that_are_gone(tmp_path: Path) -> None:
    stay = [f".a.json.{os.getppid()}.part", ".a.json.mine.part", f".b.json.{GONE}.part"]
    for name in (f".a.json.{GONE}.part", *stay):
        (tmp_path / name).touch()
    write_atomic(tmp_path / "a.json", "{}")
    assert sorted(os.listdir(tmp_path)) == sorted([*stay, "a.json"])


def test_a_library_that_does_not_load_is_one_sentence_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"), report_errors():
        import_module("no_library")
    told = capsys.readouterr().err
    assert told.startswith("error: No module named 'no_library': ")
    assert "course doctor" in told


@pytest.mark.parametrize("name", ["course_utils.no_module", "course_utils.io.no_module"])
def test_a_module_of_ours_that_does_not_load_keeps_its_traceback(name: str) -> None:
    with pytest.raises(ModuleNotFoundError), report_errors():
        import_module(name)
