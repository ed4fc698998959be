"""Students' notebooks as tasks: who, which lesson, and what keeps on running."""

import csv
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
from course_utils.lessons import EXERCISE_MIME
from course_utils.runs import Limits, Outcome, find_lessons, read_store
from course_utils.runs.execute import execute
from course_utils.runs.graded_notebook import CHECKED
from course_utils.runs.handed_in import JUDGED
from course_utils.runs.inbox import LEFT_OUT
from course_utils.runs.roster import StudentNames
from course_utils.runs.run import read_results
from course_utils.runs.student_notebooks import read_students

FORGED = """from IPython.display import display
bundle = {{"exercise": "{name}", "outcome": "{outcome}", "message": "said"}}
display({{"application/vnd.course.exercise+json": bundle, "text/plain": "-"}}, raw=True)"""
EXERCISE = """from course_utils.lessons import exercise
def defect_share(mask): return ...
exercise("defect_share").check(defect_share)"""
RIGHT = "def defect_share(mask): return (mask > 0).mean()"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    write_lesson(tmp_path / "course", "01_a", METRIC)
    write_lesson(tmp_path / "course", "02_b", METRIC)
    return tmp_path / "course"


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """A course with one lesson, which has an exercise."""
    write_lesson(tmp_path / "course", "01_a", EXERCISE)
    return tmp_path / "course"


def hand_in(course: Path, lesson: str, target: Path, *code: str) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.read(course / f"{lesson}.ipynb", as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in code]
    nbformat.write(notebook, target)
    return target


def read(course: Path, folder: Path, **options):
    lessons = find_lessons(course)
    return read_students(folder, lessons, parameters={"profile": "smoke"}, **options)


def tasks_of(course: Path, folder: Path):
    """Tasks, and by the names of their files why others gave none."""
    tasks, rows = read(course, folder)
    return tasks, {Path(row.file).name: row.reason for row in rows if row.state != JUDGED}


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
    expected = {"profile": "smoke", "dataset": "synthetic"}
    assert all(task.parameters == expected for task in tasks)


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
    assert wrong.keys() == {"broken.ipynb", "gone.ipynb", "holiday.ipynb"}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["metadata"], None),
        (["metadata", "course"], "01_a"),
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
    assert list(wrong) == ["odd.ipynb"]


@pytest.mark.skipif(sys.platform != "linux", reason="only there are names any bytes")
def test_a_name_that_is_no_text_is_spelt_out(course: Path, tmp_path: Path):
    file = hand_in(course, "01_a", tmp_path / "inbox" / "zoe.ipynb")
    file.rename(os.fsdecode(os.fsencode(file).replace(b"zoe", b"zo\xeb")))
    (task,), _ = tasks_of(course, tmp_path / "inbox")
    assert task.student == r"zo\udceb"


def test_an_inbox_without_files_is_an_error(course: Path, tmp_path: Path):
    inbox = tmp_path / "inbox"
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        tasks_of(course, inbox)
    inbox.mkdir()
    with pytest.raises(FileNotFoundError, match="no files"):
        tasks_of(course, inbox)


def states(rows) -> dict[str, tuple[str, str]]:
    return {row.file: (row.student, row.state) for row in rows}


def test_of_two_files_of_a_student_the_newest_counts_and_the_other_is_named(
    course: Path, tmp_path: Path
):
    inbox = tmp_path / "inbox"
    first = hand_in(course, "01_a", inbox / "ada" / "01_a.ipynb")
    second = hand_in(course, "01_a", inbox / "ada" / "01_a (1).ipynb")
    hand_in(course, "01_a", inbox / "ada.ipynb")
    hand_in(course, "02_b", inbox / "ada" / "02_b.ipynb")
    hand_in(course, "01_a", inbox / "bob.ipynb")
    for path in inbox.rglob("*.ipynb"):
        os.utime(path, (100, 100))  # as after a download that kept no times
    _, rows = read(course, inbox)
    assert states(rows) == {
        "ada.ipynb": ("ada", LEFT_OUT),
        "ada/01_a.ipynb": ("ada", LEFT_OUT),
        "ada/01_a (1).ipynb": ("ada", JUDGED),
        "ada/02_b.ipynb": ("ada", JUDGED),
        "bob.ipynb": ("bob", JUDGED),
    }
    assert "ada/01_a (1).ipynb is newer, and counts" in {row.reason for row in rows}
    os.utime(first, (200, 200))
    tasks, rows = read(course, inbox)
    assert states(rows)["ada/01_a.ipynb"] == ("ada", JUDGED)
    assert {task.student for task in tasks} == {"ada", "bob"}
    second.write_text("{")
    os.utime(second, (300, 300))
    assert states(read(course, inbox)[1])["ada/01_a.ipynb"] == ("ada", JUDGED)


def test_what_is_no_notebook_makes_no_student(course: Path, tmp_path: Path):
    inbox = tmp_path / "inbox"
    hand_in(course, "01_a", inbox / "ada" / "01_a.ipynb")
    hand_in(course, "01_a", inbox / "all" / "dee.ipynb")
    others = "ada/report.pdf", "ada/holiday.ipynb", "bob/essay.docx", "notes.txt", "cid.ipynb"
    packed = "ada/work.zip", "fay/work.zip", "gus/work.rar", "hal.7z"
    for name in (*others, *packed, "all/eve.ipynb"):
        (inbox / name).parent.mkdir(exist_ok=True)
        (inbox / name).write_text("{")
    _, rows = read(course, inbox)
    assert {row.file: row.student for row in rows} == {
        "ada/01_a.ipynb": "ada",
        "all/dee.ipynb": "all/dee",
        "all/eve.ipynb": "all/eve",
        "ada/holiday.ipynb": "ada",
        "ada/report.pdf": "ada",
        "bob/essay.docx": "",
        "notes.txt": "",
        "cid.ipynb": "cid",
        "ada/work.zip": "ada",
        "fay/work.zip": "fay",
        "gus/work.rar": "gus",
        "hal.7z": "hal",
    }


def test_students_of_one_name_are_told_apart_by_what_their_platform_writes(
    course: Path, tmp_path: Path
):
    for number in (1, 2):
        folder = tmp_path / "inbox" / f"Jan Novak_{number}_assignsubmission_file"
        hand_in(course, "01_a", folder / "01_a.ipynb")
    tasks, _ = read(course, tmp_path / "inbox", names=StudentNames())
    assert [task.student for task in tasks] == ["Jan Novak (1)", "Jan Novak (2)"]


def test_a_lesson_is_known_by_its_metadata_then_by_its_start_then_by_its_name(
    course: Path, tmp_path: Path
):
    start = 'lesson = start_lesson("02_b", profile=profile)'
    bare = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("a = 1")])
    started = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(start)])
    inbox = tmp_path / "inbox"
    hand_in(course, "01_a", inbox / "all" / "02_b.ipynb", start)
    nbformat.write(started, inbox / "all" / "01_a.ipynb")
    nbformat.write(bare, inbox / "name 01_A (2).ipynb")
    nbformat.write(bare, inbox / "none.ipynb")
    (inbox / "broken 02_b.ipynb").write_text("{")
    _, rows = read(course, inbox)
    assert {row.file: row.lesson for row in rows} == {
        "all/02_b.ipynb": "01_a",
        "all/01_a.ipynb": "02_b",
        "name 01_A (2).ipynb": "01_a",
        "none.ipynb": "",
        "broken 02_b.ipynb": "02_b",
    }


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_notebook_that_an_editor_saved_in_its_own_way_is_read(
    course: Path, tmp_path: Path, encoding: str
):
    file = hand_in(course, "01_a", tmp_path / "inbox" / "ada.ipynb")
    file.write_text(file.read_text(encoding="utf-8"), encoding=encoding)
    assert len(tasks_of(course, tmp_path / "inbox")[0]) == 1


def without_tags(notebook):
    for cell in notebook.cells:
        cell.metadata = {}


def wrong_tags(notebook):
    notebook.cells[1].metadata = {}
    notebook.cells[-1].metadata["tags"] = ["parameters", "injected-parameters"]


def one_deleted(notebook):
    notebook.cells[1].source = "dataset = 'synthetic'"


def all_deleted(notebook):
    del notebook.cells[1]


def merged(notebook):
    notebook.cells[1].source += f"\n# start\n{notebook.cells.pop(2).source}"
    without_tags(notebook)


@pytest.mark.parametrize("change", [without_tags, wrong_tags, one_deleted, all_deleted, merged])
def test_parameters_arrive_whatever_happened_to_the_cell(course: Path, tmp_path: Path, change):
    start = "def start_lesson(name, **given): print(given)\nstart_lesson('01_a', p=profile, s=seed)"
    file = hand_in(course, "01_a", tmp_path / "inbox" / "ada.ipynb")
    notebook = nbformat.read(file, as_version=4)
    notebook.cells[2:] = [nbformat.v4.new_code_cell(start), nbformat.v4.new_code_cell("1")]
    change(notebook)
    nbformat.write(notebook, file)
    (task,), _ = tasks_of(course, tmp_path / "inbox")
    record = execute(task, threads=1)
    assert record.outcome is Outcome.OK, record.message
    assert "{'p': 'smoke', 's': 0}" in record.text


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


def test_the_first_error_is_told_and_how_many_followed(course: Path, tmp_path: Path):
    code = "def answer(:", "print('on')", "also_undefined", "1 / 0"
    hand_in(course, "01_a", tmp_path / "inbox" / "ada" / "01_a.ipynb", *code)
    (task,), _ = tasks_of(course, tmp_path / "inbox")
    record = execute(task, threads=1)
    assert record.outcome is Outcome.ERROR
    assert record.message.startswith("cell 4: SyntaxError: ")
    assert record.message.endswith(", and 2 later cells")
    assert record.failure is not None
    assert (record.failure.cell, record.failure.source) == (4, "def answer(:")


def verdicts_of(course: Path, tmp_path: Path, *code: str) -> dict:
    hand_in(course, "01_a", tmp_path / "inbox" / "ada" / "01_a.ipynb", *code)
    (task,), _ = tasks_of(course, tmp_path / "inbox")
    (verdict,) = execute(task, threads=1).exercises
    return dict(verdict)


@pytest.mark.parametrize(
    ("code", "outcome", "shown"),
    [
        ([RIGHT], "correct", "not_attempted"),
        ([FORGED.format(name="defect_share", outcome="correct")], "not_attempted", "correct"),
        (
            [
                "def exercise(name):\n    raise SystemExit",
                RIGHT.replace("> 0", "> 1"),
                FORGED.format(name="defect_share", outcome="correct"),
            ],
            "incorrect",
            "correct",
        ),
        (["def broken(:", RIGHT, "del exercise"], "correct", "not_attempted"),
    ],
)
def test_the_answer_is_judged_and_not_what_the_notebook_shows(
    judged: Path, tmp_path: Path, code, outcome, shown
):
    verdict = verdicts_of(judged, tmp_path, *code)
    assert (verdict["outcome"], verdict["shown"]) == (outcome, shown)


def test_an_exercise_that_was_deleted_is_not_attempted(judged: Path, tmp_path: Path):
    file = hand_in(judged, "01_a", tmp_path / "inbox" / "ada.ipynb")
    notebook = nbformat.read(file, as_version=4)
    del notebook.cells[2]
    nbformat.write(notebook, file)
    (task,), (row,) = read(judged, tmp_path / "inbox")
    assert row.answers == {}
    (verdict,) = execute(task, threads=1).exercises
    assert verdict["outcome"] == "not_attempted"
    assert "shown" not in verdict


def test_two_verdicts_where_the_batch_checks_are_none() -> None:
    data = {EXERCISE_MIME: {"exercise": "q", "outcome": "correct"}}
    shown = [nbformat.v4.new_output("display_data", data) for _ in range(2)]
    cell = nbformat.v4.new_code_cell("", outputs=shown, metadata={CHECKED: "q"})
    for outputs, outcome in ((shown, None), (shown[:1], "correct"), ([], None)):
        cell.outputs = outputs
        _, (verdict,) = read_results(nbformat.v4.new_notebook(cells=[cell]))
        assert verdict.get("outcome") == outcome


def test_the_cell_with_an_answer_is_kept_and_no_metadata_pass_for_the_batch(
    judged: Path, tmp_path: Path
):
    file = hand_in(judged, "01_a", tmp_path / "inbox" / "ada.ipynb", f"{RIGHT}  # mine")
    notebook = nbformat.read(file, as_version=4)
    notebook.cells[-1].metadata[CHECKED] = "defect_share"
    nbformat.write(notebook, file)
    (task,), (row,) = read(judged, tmp_path / "inbox")
    assert row.answers == {"defect_share": f"{RIGHT}  # mine"}
    marked = [CHECKED in cell.metadata for cell in nbformat.reads(task.notebook, 4).cells]
    assert marked == [False, False, False, False, True]


def students(course: Path, tmp_path: Path, *options: str):
    where = [str(tmp_path / "inbox"), "--notebooks", str(course), "--out", str(tmp_path / "out")]
    return CliRunner().invoke(app, ["batch", "students", *where, *options])


def test_what_comes_after_an_endless_loop_is_run(course: Path, tmp_path: Path):
    hand_in(course, "01_a", tmp_path / "inbox" / "ada.ipynb", "while True:\n    pass", METRIC)
    result = students(course, tmp_path, "--cell-seconds", "5")
    assert result.exit_code == 1
    (run,) = read_store(tmp_path / "out")
    assert run.outcome is Outcome.TIMEOUT
    assert "cell 4" in run.message
    assert run.metrics
    assert run.limits == Limits(600, 4, 1, cell_seconds=5)
    page = (tmp_path / "out" / "report" / "index.html").read_text(encoding="utf-8")
    assert f"01_a: timeout: {run.message}" in page


def test_the_command_writes_marks_and_names_what_it_left_out(judged: Path, tmp_path: Path):
    hand_in(judged, "01_a", tmp_path / "inbox" / "ada" / "01_a.ipynb", RIGHT)
    hand_in(judged, "01_a", tmp_path / "inbox" / "Björn.ipynb", "undefined", RIGHT)
    (tmp_path / "inbox" / "broken.ipynb").write_text("{")
    (tmp_path / "roster.csv").write_text("name,id\nAda,7\nBjörn,8\nCid,9\n", encoding="utf-8")
    result = students(
        judged, tmp_path, "--cell-seconds", "300", "--roster", str(tmp_path / "roster.csv"),
        "--points", "defect_share=2.5", "--deadline", "1999-01-01",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "could not be read: broken.ipynb: not a notebook" in result.output
    runs = {run.student: run for run in read_store(tmp_path / "out")}
    assert (runs["Ada"].outcome, runs["Björn"].outcome) == (Outcome.OK, Outcome.ERROR)
    report = tmp_path / "out" / "report"
    with (report / "marks_wide.csv").open(encoding="utf-8", newline="") as file:
        lines = {line["student"]: line for line in csv.DictReader(file)}
    marks = {name: (line["id"], line["01_a/defect_share"]) for name, line in lines.items()}
    assert marks == {
        "Ada": ("7", "2.5"),
        "Björn": ("8", "2.5"),
        "Cid": ("9", ""),
        "broken": ("", ""),
    }
    assert int(lines["Ada"]["days_late"]) > 10_000
    assert lines["Cid"]["note"] == "nothing handed in"
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "Students (4)" in page
    assert len(list((report / "feedback").iterdir())) == 4


def test_files_that_are_no_notebooks_have_rows_even_where_nothing_can_be_run(
    course: Path, tmp_path: Path
):
    result = students(course, tmp_path)
    assert (result.exit_code, "there is no folder" in result.output) == (2, True)
    (tmp_path / "inbox").mkdir()
    assert students(course, tmp_path).exit_code == 2
    assert not (tmp_path / "out").exists()
    (tmp_path / "inbox" / "broken.ipynb").write_text("{")
    result = students(course, tmp_path)
    assert result.exit_code == 1
    assert "broken.ipynb" in (tmp_path / "out" / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--points", "nothing=1"), "no exercise 'nothing' here"),
        (("--points", "defect_share=-1"), "points must be like defect_share=2"),
        (("--deadline", "soon"), "the deadline must be like"),
        (("--student-pattern", "("), "no regular expression"),
        (("--roster", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_run(judged, tmp_path, words, told):
    hand_in(judged, "01_a", tmp_path / "inbox" / "ada.ipynb")
    result = students(judged, tmp_path, *words)
    assert result.exit_code == 2
    assert told in result.output.replace("\n", " ")
    assert not (tmp_path / "out").exists()
