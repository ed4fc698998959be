"""nbval over every lesson: facts that the text states are what the code gives today."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lesson_files import LESSONS, name_of
from nbval_session import run_nbval


@pytest.mark.parametrize("lesson", LESSONS, ids=name_of)
def test_stored_facts_of_a_lesson_are_reproduced(
    lesson: Path, tmp_path: Path, note_time: Callable[[str, float], None]
) -> None:
    copy = shutil.copy(lesson, tmp_path)  # a lesson may write beside itself
    started = time.monotonic()
    session = run_nbval(Path(copy))
    note_time(f"{lesson.stem} (nbval)", time.monotonic() - started)
    assert session.returncode == 0, session.stdout[-6000:] + session.stderr[-2000:]
