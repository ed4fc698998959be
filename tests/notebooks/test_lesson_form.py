"""The form that every lesson keeps: what a reader, a reviewer and git rely on."""

import re
import runpy
from pathlib import Path

import nbformat
import pytest
from lesson_files import FOLDER, LESSONS, SOURCES, name_of
from nbformat import NotebookNode

from course_utils.lessons import find_lesson
from course_utils.runs.mathml import formula_html, strip_delimiters

BUILD = runpy.run_path(str(FOLDER / "build.py"))
LONGEST_CELL = 25  # lines
LARGEST_FILE = 3 * 2**20  # bytes
SECTIONS = ("recap", "quiz", "references")
MACHINE = re.compile(
    r"(?<![\w.])/(?:home|Users|root|work|tmp|usr|opt|mnt)/\w|[A-Z]:\\\\?Users|site-packages"
)
WARNING = re.compile(r"\b\w*Warning\b:")
FORMULA = re.compile(r"\$\$.+?\$\$|(?<![\\$])\$[^$\n]+?\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.S)
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")

each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=name_of)


def read(lesson: Path) -> NotebookNode:
    return nbformat.read(lesson, as_version=4)


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in code(notebook) for output in cell.outputs]


def text_of(output: NotebookNode) -> str:
    """Everything that an output says, without its pictures."""
    data = {k: v for k, v in output.get("data", {}).items() if k not in PICTURES}
    said = f"{output.get('text', '')} {data} {output.get('evalue', '')}"
    return re.sub(r"data:image/[\w+]+;base64,[\w+/=\\]+", "", said)


def test_every_source_has_its_notebook_and_the_other_way_round() -> None:
    assert [path.stem for path in SOURCES] == [path.stem for path in LESSONS]


@each_lesson
def test_source_and_notebook_are_in_step(lesson: Path) -> None:
    source = BUILD["from_source"](FOLDER / "source" / f"{lesson.stem}.py")
    notebook = read(lesson)
    number = lesson.stem[:2]
    what = f"run 'make notebooks LESSON={number}', or 'notebooks/build.py --text-only {number}'"
    assert notebook.metadata.course == source.metadata.course, what
    assert [cell_text(cell) for cell in notebook.cells] == [
        cell_text(cell) for cell in source.cells
    ], what


def cell_text(cell: NotebookNode) -> tuple[str, str, list[str]]:
    return cell.cell_type, cell.source, cell.metadata.get("tags", [])


@each_lesson
def test_the_header_tells_the_truth(lesson: Path) -> None:
    assert BUILD["contradiction"](read(lesson)) == ""


@each_lesson
def test_the_notebook_was_executed_from_top_to_bottom(lesson: Path) -> None:
    notebook = read(lesson)
    assert [cell.execution_count for cell in code(notebook)] == [
        number + 1 for number in range(len(code(notebook)))
    ]
    assert not [output for output in outputs(notebook) if output.output_type == "error"]


@each_lesson
def test_stored_outputs_name_no_machine_and_hold_no_warning(lesson: Path) -> None:
    for output in outputs(read(lesson)):
        said = text_of(output)
        assert not MACHINE.search(said), MACHINE.search(said)
        assert not WARNING.search(said), said[:400]
        assert output.get("name") != "stderr", said[:400]


@each_lesson
def test_stored_outputs_are_of_the_synthetic_set_at_laptop_profile(lesson: Path) -> None:
    notebook = read(lesson)
    tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
    assert tags.count("parameters") == 1
    assert "injected-parameters" not in tags
    started = [
        output.data["application/vnd.course.lesson+json"]
        for output in outputs(notebook)
        if "application/vnd.course.lesson+json" in output.get("data", {})
    ]
    assert [s["profile"] for s in started] == ["laptop"]
    assert started[0]["dataset"].startswith("synthetic")


@each_lesson
def test_every_picture_has_a_description(lesson: Path) -> None:
    for output in outputs(read(lesson)):
        data = output.get("data", {})
        shown = [kind for kind in PICTURES if kind in data]
        in_html = re.findall(r"<img\b[^>]*>", str(data.get("text/html", "")))
        if in_html:
            assert all(re.search(r'\balt="[^"]+"', tag) for tag in in_html)
        elif shown:
            described = [output.metadata.get(kind, {}).get("alt") for kind in shown]
            assert any(described), "a figure without alt text: show it with plots.show"


@each_lesson
def test_no_cell_is_longer_than_a_screen(lesson: Path) -> None:
    for cell in code(read(lesson)):
        lines = cell.source.count("\n") + 1
        assert lines <= LONGEST_CELL, f"{lines} lines: move it to course_utils\n{cell.source[:200]}"


@each_lesson
def test_the_sections_that_close_a_lesson_are_there(lesson: Path) -> None:
    prose = [cell.source for cell in read(lesson).cells if cell.cell_type == "markdown"]
    assert prose[0].startswith("# ")
    headings = " ".join(re.findall(r"^##+ (.+)$", "\n".join(prose), re.M)).lower()
    missing = [section for section in SECTIONS if section not in headings]
    assert not missing


@each_lesson
def test_every_exercise_is_asked_and_checked(lesson: Path) -> None:
    cells = [cell.source for cell in code(read(lesson))]
    for task in find_lesson(lesson.stem).exercises:
        asked = f'exercise("{task.id}")'
        assert asked in cells, f"no cell asks {asked}: see docs/architecture.md"
        checked = f"{asked}.check({task.answer_name})"
        assert any(task.stub in cell and checked in cell for cell in cells), checked


@each_lesson
def test_every_formula_can_be_shown_without_the_internet(lesson: Path) -> None:
    for cell in read(lesson).cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"```.*?```|`[^`\n]+`", "", cell.source, flags=re.S)
            for found in FORMULA.finditer(prose):
                latex, display = strip_delimiters(found[0])
                formula_html(latex, display=display)  # raises for what it cannot translate


@each_lesson
def test_the_file_stays_small(lesson: Path) -> None:
    assert lesson.stat().st_size < LARGEST_FILE
