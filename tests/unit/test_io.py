"""What kills leave behind."""

import os
from pathlib import Path

from course_utils.io import write_atomic

GONE = 2**22 + 1  # Linux numbers no process higher than 2**22


def test_the_next_write_removes_the_drafts_of_processes_that_are_gone(tmp_path: Path) -> None:
    stay = [f".a.json.{os.getppid()}.part", ".a.json.mine.part", f".b.json.{GONE}.part"]
    for name in (f".a.json.{GONE}.part", *stay):
        (tmp_path / name).touch()
    write_atomic(tmp_path / "a.json", "{}")
    assert sorted(os.listdir(tmp_path)) == sorted([*stay, "a.json"])
