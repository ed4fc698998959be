"""Students' notebooks as tasks: who, which lesson, and what keeps on running."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from tiny_notebooks import METRIC, write_lesson

from course_utils.batch.executors.executing import execute
from course_utils.batch.plan.students import read_students
from course_utils.runs.notebooks import find_lessons
from course_utils.runs.run import Outcome

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
    tasks, wrong = tasks_of(course, inbox)
    assert not wrong
    assert sorted((task.student, task.lesson) for task in tasks) == [
        ("01_a_bob", "01_a"),
        ("ada", "01_a"),
        ("ada", "02_b"),
        ("late/my work (2)", "02_b"),
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
    tasks, wrong = tasks_of(course, inbox)
    assert [task.student for task in tasks] == ["ada"]
    assert {path.name for path in wrong} == {"broken.ipynb", "holiday.ipynb"}


def test_an_empty_folder_and_two_of_one_kind_are_errors(course: Path, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no notebooks"):
        tasks_of(course, tmp_path / "inbox")
    inbox = tmp_path / "inbox"
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
    assert "injected-parameters" in record.notebook
