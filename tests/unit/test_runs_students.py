"""Students' notebooks as tasks: who, which lesson, and what keeps on running."""

import json
import os
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from tiny_notebooks import METRIC, write_lesson
from typer.testing import CliRunner

from course_utils.cli import app
from course_utils.runs import Limits, Outcome, find_lessons, read_store
from course_utils.runs.execute import execute
from course_utils.runs.student_notebooks import read_students

CHECK = """from IPython.display import display
bundle = {{"exercise": "{name}", "outcome": "{outcome}", "message": "said"}}
display({{"application/vnd.course.exercise+json": bundle, "text/plain": "-"}}, raw=True)"""


@pytest.fixture
def course(tmp_path: Path) -> Path:
    write_lesson(tmp_path / "course", "01_a", METRIC)
    write_lesson(tmp_path / "course", "02_b", METRIC)
    return tmp_path / "course"


def hand_in(course: Path, lesson: str, target: Path, *code: str) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.read(course / f"{lesson}.ipynb", as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in code]
    nbformat.write(notebook, target)
    return target


def tasks_of(course: Path, folder: Path):
    return read_students(folder, find_lessons(course), parameters={"profile": "smoke"})


def test_students_are_called_as_their_files_lie_and_lessons_are_known_by_what_they_say(
    course: Path, tmp_path: Path
):
    inbox = tmp_path / "inbox"
    hand_in(course, "01_a", inbox / "ada" / "01_a.ipynb")
    hand_in(course, "02_b", inbox / "ada" / "02_b.ipynb")
    hand_in(course, "01_a", inbox / "01_a_bob.ipynb")
    hand_in(course, "02_b", inbox / "late" / "my work (2).ipynb")
    hand_in(course, "01_a", inbox / "李 雷" / "my work.ipynb")
    hand_in(course, "01_a", inbox / "Zoë" / "my work.ipynb")
    hand_in(course, "02_b", inbox / "02_b.ipynb")
    tasks, wrong = tasks_of(course, inbox)
    assert not wrong
    assert sorted((task.student, task.lesson) for task in tasks) == [
        ("01_a_bob", "01_a"),
        ("02_b", "02_b"),
        ("Zoë/my work", "01_a"),
        ("ada", "01_a"),
        ("ada", "02_b"),
        ("late/my work (2)", "02_b"),
        ("李 雷/my work", "01_a"),
    ]
    assert all(task.parameters == {"profile": "smoke"} for task in tasks)


def test_what_is_no_notebook_of_the_course_is_named_and_left_out(course: Path, tmp_path: Path):
    inbox = tmp_path / "inbox"
    hand_in(course, "01_a", inbox / "ada" / "01_a.ipynb")
    (inbox / "broken.ipynb").write_text("{")
    foreign = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    nbformat.write(foreign, inbox / "holiday.ipynb")
    checkpoint = inbox / ".ipynb_checkpoints" / "01_a-checkpoint.ipynb"
    checkpoint.parent.mkdir()
    shutil.copy(inbox / "ada" / "01_a.ipynb", checkpoint)
    (inbox / "gone.ipynb").symlink_to("nowhere")
    (inbox / "folder.ipynb").mkdir()
    tasks, wrong = tasks_of(course, inbox)
    assert [task.student for task in tasks] == ["ada"]
    assert {path.name for path in wrong} == {"broken.ipynb", "gone.ipynb", "holiday.ipynb"}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["metadata"], None),
        (["metadata", "course"], "01_a"),
        (["metadata", "course", "title"], ["Lesson 01_a"]),
        (["cells", 1], 3),
        (["cells", 1, "metadata"], None),
        (["cells", 1, "metadata", "tags"], 3),
        (["cells", 1, "source"], "'\ud800'"),
        (["nbformat"], "4"),
    ],
)
def test_an_odd_notebook_costs_nobody_else_theirs(course: Path, tmp_path: Path, place, value):
    inbox = tmp_path / "inbox"
    hand_in(course, "01_a", inbox / "ada.ipynb")
    content = inner = json.loads((inbox / "ada.ipynb").read_text())
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    (inbox / "odd.ipynb").write_text(json.dumps(content))
    tasks, wrong = tasks_of(course, inbox)
    assert [task.student for task in tasks] == ["ada"]
    assert [path.name for path in wrong] == ["odd.ipynb"]


@pytest.mark.skipif(sys.platform != "linux", reason="only there are names any bytes")
def test_a_name_that_is_no_text_is_spelt_out(course: Path, tmp_path: Path):
    file = hand_in(course, "01_a", tmp_path / "inbox" / "zoe.ipynb")
    file.rename(os.fsdecode(os.fsencode(file).replace(b"zoe", b"zo\xeb")))
    (task,), _ = tasks_of(course, tmp_path / "inbox")
    assert task.student == r"zo\udceb"


def test_an_empty_folder_and_two_of_one_kind_are_errors(course: Path, tmp_path: Path):
    inbox = tmp_path / "inbox"
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        tasks_of(course, inbox)
    inbox.mkdir()
    with pytest.raises(FileNotFoundError, match="no notebooks"):
        tasks_of(course, inbox)
    hand_in(course, "01_a", inbox / "ada" / "01_a.ipynb")
    notebook = hand_in(course, "01_a", inbox / "ada.ipynb")
    with pytest.raises(ValueError, match="are both 01_a by ada: keep one"):
        tasks_of(course, inbox)
    notebook.unlink()
    tasks_of(course, inbox)


def test_a_changed_notebook_is_new_work_and_an_executed_one_is_not(course: Path, tmp_path: Path):
    file = hand_in(course, "01_a", tmp_path / "inbox" / "ada" / "01_a.ipynb", "a = 1")
    (first,), _ = tasks_of(course, tmp_path / "inbox")
    content = json.loads(file.read_text())
    content["cells"][-1]["execution_count"] = 7
    file.write_text(json.dumps(content))
    assert tasks_of(course, tmp_path / "inbox")[0][0].id == first.id
    content["cells"][-1]["source"] = "a = 2"
    file.write_text(json.dumps(content))
    assert tasks_of(course, tmp_path / "inbox")[0][0].id != first.id


def test_an_error_does_not_keep_later_exercises_from_being_judged(course: Path, tmp_path: Path):
    hand_in(
        course,
        "01_a",
        tmp_path / "inbox" / "ada" / "01_a.ipynb",
        CHECK.format(name="one", outcome="incorrect"),
        "def answer(:",
        CHECK.format(name="one", outcome="correct"),
        CHECK.format(name="two", outcome="not_attempted"),
    )
    (task,), _ = tasks_of(course, tmp_path / "inbox")
    record = execute(task, threads=1)
    assert record.outcome is Outcome.ERROR
    assert record.failure is not None
    assert "def answer(:" in record.failure.source
    verdicts = {verdict["exercise"]: verdict["outcome"] for verdict in record.exercises}
    assert verdicts == {"one": "correct", "two": "not_attempted"}
    assert "injected-parameters" in record.text


def students(course: Path, tmp_path: Path, *options: str):
    where = [str(tmp_path / "inbox"), "--notebooks", str(course), "--out", str(tmp_path / "out")]
    return CliRunner().invoke(app, ["batch", "students", *where, *options])


def test_the_command_judges_what_comes_after_an_endless_loop_and_names_what_it_left_out(
    course: Path, tmp_path: Path
):
    one, two = (CHECK.format(name=name, outcome="correct") for name in ("one", "two"))
    hand_in(course, "01_a", tmp_path / "inbox" / "ada" / "01_a.ipynb", one, two)
    loop = f"while True:\n    pass\n{one}"
    hand_in(course, "01_a", tmp_path / "inbox" / "Björn.ipynb", loop, two)
    (tmp_path / "inbox" / "broken.ipynb").write_text("{")
    result = students(course, tmp_path, "--cell-seconds", "2")
    assert result.exit_code == 1
    assert "left out: " in result.output
    assert "broken.ipynb is not a notebook" in result.output
    ada, bjorn = sorted(read_store(tmp_path / "out"), key=lambda run: run.student.casefold())
    assert (ada.student, ada.outcome) == ("ada", Outcome.OK)
    assert (bjorn.student, bjorn.outcome) == ("Björn", Outcome.TIMEOUT)
    assert bjorn.message == "cell 4 took longer than 2 s and had to be interrupted"
    assert [verdict["exercise"] for verdict in bjorn.exercises] == ["two"]
    assert ada.limits == bjorn.limits == Limits(600, 4, 1, cell_seconds=2)
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "Students (2)" in page
    assert f"01_a: timeout: {bjorn.message}" in page


def test_the_command_runs_nothing_where_there_is_nothing_to_run(course: Path, tmp_path: Path):
    result = students(course, tmp_path)
    assert (result.exit_code, "there is no folder" in result.output) == (2, True)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "broken.ipynb").write_text("{")
    result = students(course, tmp_path)
    assert result.exit_code == 2
    assert "left out: " in result.output
    assert "nothing was run" in result.output
    assert not (tmp_path / "out").exists()
