"""What sixty students have handed in is graded over a kill -9: nobody is lost, no mark is false."""

import csv
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from batch_place import COURSE, Place, end, wait_for
from bs4 import BeautifulSoup
from sixty_students import JUNK, LESSON, READ, STUDENTS, hand_in_all

from course_utils.runs import find_lessons, notebooks_folder
from course_utils.runs.handed_in import read_handed_in

LONGEST = 3600.0  # seconds: something hangs
ENDED_BEFORE = 12  # runs, when the batch is killed

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.end_all()


def ended(place: Place) -> dict[str, int]:
    """The runs that have ended, with their attempts."""
    if not (place.folder / "out/runs.sqlite").exists():
        return {}
    return {run.id: run.attempt for run in place.latest() if run.outcome}


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_sixty_students_are_graded_over_a_kill(place: Place) -> None:
    (lesson,) = [each for each in find_lessons(notebooks_folder()) if each.name == LESSON]
    inbox = hand_in_all(place.folder / "inbox", lesson)
    students = {student.name: student for student in inbox.students}
    assert len(students) >= STUDENTS
    (place.folder / "class.csv").write_text("name,id\nanswered 1,a1\nNobody Here,n0\n")
    words = (
        *COURSE, "batch", "students", "inbox", "--out", "out", "--workers", "2",
        "--notebooks", str(notebooks_folder()), "--roster", "class.csv",
        "--cell-seconds", "60", "--memory-gb", "2.5",
    )  # fmt: skip

    started = time.monotonic()
    first = place.start(*words)
    wait_for(
        lambda: len(ended(place)) >= ENDED_BEFORE, shown=lambda: ended(place), patience=LONGEST
    )
    first.kill()
    first.wait()
    before = ended(place)
    wait_for(lambda: place.running() == [], shown=place.running)

    status, text = end(place.start(*words), patience=LONGEST)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.monotonic() - started
    assert status == 1, text
    assert "Traceback" not in text
    assert place.running() == []
    assert list((place.folder / "tmp").glob("course-run-*")) == []
    runs = {run.student: run for run in place.latest()}
    graded = {name: student for name, student in students.items() if student.outcome}
    assert {name: run.state for name, run in runs.items()} == {
        name: student.outcome for name, student in graded.items()
    }
    assert {run.id: run.attempt for run in runs.values() if run.id in before} == before
    assert len(runs) > len(before) >= ENDED_BEFORE

    # Every file has a row, and what systems leave behind has none.
    rows = {row.file: row.state for row in read_handed_in(place.folder / "out").submissions}
    assert rows == {file: state for each in students.values() for file, state in each.files.items()}
    assert not any(Path(name).name in Path(file).parts for name in JUNK for file in rows)

    # No mark is false, none is missing.
    report = place.folder / "out/report"
    marks: dict[str, dict[str, str]] = {}
    for line in read_csv(report / "marks.csv"):
        if line["exercise"]:
            assert line["lesson"] == LESSON
            marks.setdefault(line["student"], {})[line["exercise"]] = line["outcome"]
            worth = {"correct": "1", "not checked": ""}.get(line["outcome"], "0")
            assert line["points"] == worth, line
    wanted = {name: student.marks for name, student in graded.items()}
    assert marks == {
        name: {key: outcome.replace("_", " ") for key, outcome in each.items()}
        for name, each in wanted.items()
    }
    wide = {line["student"]: line for line in read_csv(report / "marks_wide.csv")}
    assert wide.keys() == {*students, "Nobody Here"}
    assert wide["Nobody Here"]["note"] == "nothing handed in"
    for name, student in students.items():
        assert float(wide[name]["points"]) == list(student.marks.values()).count("correct")

    # Pages: everybody's own, with what they wrote and nothing of others.
    page = BeautifulSoup((report / "index.html").read_text("utf-8"), "html.parser")
    found = {}
    for row in page.select("#students tbody tr"):
        cells = [cell.text for cell in row.select("td")][-len(inbox.exercises) :]
        name = row.th.a.text
        found[name] = report / unquote(row.th.a["href"])
        flagged = [key for key, cell in zip(inbox.exercises, cells, strict=True) if "⚑" in cell]
        assert flagged == list(students[name].flagged if name in students else ()), name
    assert found.keys() == wide.keys()
    secrets = {student.secret for student in students.values()}
    for name, student in students.items():
        feedback = found[name].read_text("utf-8")
        assert BeautifulSoup(feedback, "html.parser").h1.text == name
        own = {student.secret} if {*student.marks.values()} - {"not attempted"} else set()
        assert {secret for secret in secrets if f"# {secret}\n" in feedback} == own, name
        if name in runs:
            (shown,) = (place.folder / "out/pages").glob(f"{runs[name].id}-*.html")
            text = BeautifulSoup(shown.read_text("utf-8"), "html.parser").main.text
            assert {secret for secret in secrets if f"Notes of mine: {secret}\n" in text} == {
                student.secret
            }, name

    # The same once more does nothing.
    status, text = end(place.start(*words), patience=LONGEST)
    assert status == 1
    assert {run.student: run for run in place.latest()} == runs
    cpu = used.ru_utime + used.ru_stime
    most = max(run.peak_memory_gb or 0 for run in runs.values() if run.outcome == "ok")
    print(
        f"{len(students)} students, {len(rows)} files, {len(runs)} runs, {len(before)} of them "
        f"before the kill: {seconds:.0f} s; {cpu:.0f} CPU s after the kill; "
        f"a good run takes up to {most:.2f} GB, the largest process {used.ru_maxrss / 1e6:.2f} GB"
    )
    assert all(READ in student.files.values() for student in graded.values())
