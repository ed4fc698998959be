"""Lessons one after the other: what is checked first, what is written, what is kept."""

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_output
from PIL import Image
from rich.console import Console
from tiny_notebooks import write_lesson

from course_utils.runs import (
    Failure,
    Outcome,
    RunRecord,
    Task,
    check_parameters,
    find_lessons,
    read_lesson,
    run_course,
)
from course_utils.runs.pages import write_pages
from course_utils.runs.store import open_reader

EXECUTE = "course_utils.runs.executors.execute"


def pretend_to_run(task: Task, *, on_cell: Callable[[int, int], None], **_: Any) -> RunRecord:
    """Stand in for the engine, which has tests of its own: `1 / 0` fails."""
    on_cell(1, 2)
    notebook = nbformat.reads(task.notebook, as_version=4)
    code = notebook.cells[-1].source
    bundle = {"name": "iou", "value": 0.25 * task.parameters.get("seed", 0), "unit": "share"}
    data = {"application/vnd.course.metric+json": bundle, "text/plain": "iou"}
    if code == "1 / 0":
        failure = Failure(2, code, "ZeroDivisionError: division by zero", "----> 1 1 / 0")
        facts = {"outcome": Outcome.ERROR, "message": failure.error, "failure": failure}
    else:
        notebook.cells[-1].outputs = [new_output("display_data", data=data)]
        facts = {"outcome": Outcome.OK, "metrics": (bundle,)}
    text = nbformat.writes(notebook)
    return RunRecord.of(task, seconds=1.5, peak_memory_gb=0.1, text=text, **facts)


def run_all(folder: Path, *names: str, **options: Any) -> list[RunRecord]:
    lessons = find_lessons(folder / "lessons", names)
    options = {"console": Console(quiet=True), "parameters": {}, **options}
    return run_course(lessons, out=folder / "out", **options)


@pytest.fixture(autouse=True, scope="module")
def no_kernels() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EXECUTE, pretend_to_run)
        yield


@pytest.fixture(scope="module")
def finished(no_kernels: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A course of three lessons, the middle one broken, and what the terminal showed."""
    folder = tmp_path_factory.mktemp("course")
    write_lesson(folder / "lessons", "90_good", "x = 1")
    write_lesson(folder / "lessons", "91_broken", "1 / 0", summary="Breaks & <b>stops</b>.")
    write_lesson(folder / "lessons", "92_after", "x = 1")
    console = Console(record=True, width=110, quiet=False, file=(folder / "shown").open("w"))
    run_all(folder, parameters={"seed": 2, "profile": "smoke"}, console=console)
    return folder / "out", console.export_text()


def test_a_broken_lesson_does_not_stop_the_others(finished: tuple[Path, str]) -> None:
    with open_reader(finished[0]) as store:
        runs = store.latest()
    assert [run.outcome for run in runs] == ["ok", "error", "ok"]
    assert runs[0].metrics == ({"name": "iou", "value": 0.5, "unit": "share"},)
    assert runs[0].parameters == {"seed": 2, "profile": "smoke"}
    assert [run.notebook for run in runs] == ["90_good.ipynb", "91_broken.ipynb", "92_after.ipynb"]


def test_the_terminal_shows_the_failing_cell_and_the_table(finished: tuple[Path, str]) -> None:
    shown = finished[1]
    assert "… 91_broken" in shown
    assert "1 / 0" in shown
    assert "ZeroDivisionError: division by zero" in shown
    assert "2 of 3 lessons ok" in shown


def test_the_index_links_every_page_with_its_outcome(finished: tuple[Path, str]) -> None:
    page = BeautifulSoup((finished[0] / "index.html").read_text(), "html.parser")
    links = [link["href"] for link in page.select("h2 a")]
    assert links == ["90_good.html", "91_broken.html", "92_after.html"]
    assert all((finished[0] / link).is_file() for link in links)
    cards = page.select(".card")
    assert [card.select_one(".outcome").text for card in cards] == ["ok", "error", "ok"]
    assert cards[1].select_one(".summary").text == "Breaks & <b>stops</b>."


@pytest.mark.parametrize(("profile", "shown"), [("smoke", "stored"), ("laptop", "run")])
def test_a_smoke_run_stands_beside_the_stored_lesson(
    tmp_path: Path, profile: str, shown: str
) -> None:
    ran = write_lesson(tmp_path, "90_one", "print('it runs')")
    stored = write_lesson(tmp_path / "stored", "90_one", "print('it shows')")
    for path, text in ((ran, "text of the run"), (stored, "text of the stored")):
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[-1].outputs = [new_output("stream", name="stdout", text=text)]
        nbformat.write(notebook, path)
    run = RunRecord(
        "a", "90_one", {"profile": profile}, outcome=Outcome.OK, seconds=24.0, notebook=ran.name
    )
    write_pages([run], tmp_path, {"90_one": stored})
    assert f"text of the {shown}" in (tmp_path / "90_one.html").read_text()
    links = BeautifulSoup((tmp_path / "index.html").read_text(), "html.parser").select("a")
    if shown == "stored":
        assert [link["href"] for link in links] == ["90_one.html", "90_one.run.html"]
        assert "text of the run" in (tmp_path / "90_one.run.html").read_text()
    else:
        assert [link["href"] for link in links] == ["90_one.html"]


def test_code_that_only_draws_is_folded_and_the_cover_is_the_picture(tmp_path: Path) -> None:
    source = write_lesson(tmp_path, "90_one", "draw()", "x = 1")
    notebook = nbformat.read(source, as_version=4)
    figures = []
    for cell, color in zip(notebook.cells[-2:], ("red", "blue"), strict=True):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), color).save(buffer, "PNG")
        figures.append(base64.b64encode(buffer.getvalue()).decode())
        cell.outputs = [new_output("display_data", {"image/png": figures[-1]})]
    notebook.cells[-2].metadata.tags = ["hide-input"]
    notebook.cells[-1].metadata.tags = ["cover"]
    nbformat.write(notebook, source)
    run = RunRecord("a", "90_one", {}, outcome=Outcome.OK, seconds=1.0, notebook=source.name)
    write_pages([run], tmp_path)
    page = BeautifulSoup((tmp_path / "90_one.html").read_text(), "html.parser")
    assert [details.find("pre").text.strip() for details in page.select("details.folded")] == [
        "draw()"
    ]
    index = BeautifulSoup((tmp_path / "index.html").read_text(), "html.parser")
    picture = base64.b64decode(index.select_one(".picture img")["src"].split(",")[1])
    assert Image.open(io.BytesIO(picture)).getpixel((4, 4))[2] > 200


def test_a_page_has_its_neighbors_and_says_what_failed(finished: tuple[Path, str]) -> None:
    page = BeautifulSoup((finished[0] / "91_broken.html").read_text(), "html.parser")
    assert page.select_one("a[rel=prev]")["href"] == "90_good.html"
    assert page.select_one("a[rel=next]")["href"] == "92_after.html"
    assert page.select_one(".course-home")["href"] == "index.html"
    assert "ZeroDivisionError: division by zero" in page.select_one(".course-failure").text
    assert page.find("math") is not None


def test_a_page_shows_what_was_printed_in_pieces_as_one_text(tmp_path: Path) -> None:
    source = write_lesson(tmp_path, "90_one", "print('one'); print('two')", "print('three')")
    notebook = nbformat.read(source, as_version=4)
    printed = [
        nbformat.v4.new_output("stream", name=name, text=text)
        for name, text in [("stdout", "one\n"), ("stdout", "two\n"), ("stderr", "three\n")]
    ]
    notebook.cells[2].outputs = printed
    nbformat.write(notebook, source)
    run = RunRecord("a", "90_one", {}, outcome=Outcome.OK, seconds=1.0, notebook=source.name)
    write_pages([run], tmp_path)
    page = BeautifulSoup((tmp_path / "90_one.html").read_text(), "html.parser")
    assert [text.text for text in page.select("[class*=OutputArea-output] pre")] == [
        "one\ntwo\n",
        "three\n",
    ]


def test_pages_fetch_nothing(finished: tuple[Path, str]) -> None:
    for path in finished[0].glob("*.html"):
        page = BeautifulSoup(path.read_text(), "html.parser")
        assert not page.select("script[src], link[href], iframe")
        assert all(image["src"].startswith("data:") for image in page.select("img"))


def test_a_second_run_of_one_lesson_keeps_the_others_in_the_index(tmp_path: Path) -> None:
    for name in ("90_one", "91_two"):
        write_lesson(tmp_path / "lessons", name)
    assert [run.lesson for run in run_all(tmp_path, "90")] == ["90_one"]
    assert [run.lesson for run in run_all(tmp_path, "91")] == ["91_two"]
    assert (tmp_path / "out" / "index.html").read_text().count('class="card"') == 2


def test_a_lesson_is_run_anew_each_time_and_an_edited_notebook_kept(tmp_path: Path) -> None:
    write_lesson(tmp_path / "lessons", "90_one", "x = 1")
    out, console = (
        tmp_path / "out",
        Console(record=True, width=100, file=(tmp_path / "x").open("w")),
    )
    for notes in ("first notes", "second notes"):
        run_all(tmp_path)
        edited = nbformat.read(out / "90_one.ipynb", as_version=4)
        edited.cells[0].source = notes
        nbformat.write(edited, out / "90_one.ipynb")
    run_all(tmp_path, console=console)
    assert run_all(tmp_path)[0].attempt == 4
    assert "first notes" in (out / "90_one.edited-1.ipynb").read_text()
    assert "second notes" in (out / "90_one.edited-2.ipynb").read_text()
    assert not (out / "90_one.edited-3.ipynb").exists()
    assert "edited 90_one.ipynb: kept as 90_one.edited-2.ipynb" in console.export_text()


def test_after_ctrl_c_the_finished_lessons_keep_their_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("90_one", "91_two", "92_three"):
        write_lesson(tmp_path / "lessons", name, "x = 1")
    console = Console(record=True, width=100, file=(tmp_path / "shown").open("w"))

    def stop(display: object, task: Task, cell: int, cells: int) -> None:
        if task.lesson == "91_two":
            raise KeyboardInterrupt

    def until_stopped(task: Task, *, cancel: Any, **options: Any) -> RunRecord:
        record = pretend_to_run(task, **options)
        assert task.lesson == "90_one" or cancel.wait(20)
        return record

    monkeypatch.setattr(EXECUTE, until_stopped)
    monkeypatch.setattr("course_utils.runs.display.RunDisplay.on_cell", stop)
    with pytest.raises(KeyboardInterrupt):
        run_all(tmp_path, console=console)
    with open_reader(tmp_path / "out") as store:
        assert [run.state for run in store.latest()] == ["ok", "cancelled", "to do"]
    shown = console.export_text()
    assert "not started" in shown
    assert "1 of 3 lessons ok" in shown
    index = (tmp_path / "out" / "index.html").read_text()
    assert "90_one.html" in index
    assert "92_three.html" not in index


def test_a_folder_with_other_peoples_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.ipynb").write_text("{}")
    write_lesson(tmp_path / "lessons", "90_one")
    with pytest.raises(FileExistsError, match=r"thesis\.ipynb and no runs\.sqlite"):
        run_all(tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.ipynb"]


def test_a_second_run_into_the_same_folder_is_refused_while_the_first_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lesson(tmp_path / "lessons", "90_one")
    refused = []

    def run_another(task: Task, **options: Any) -> RunRecord:
        with pytest.raises(FileExistsError, match="another process is working in"):
            run_all(tmp_path)
        refused.append(True)
        return pretend_to_run(task, **options)

    monkeypatch.setattr(EXECUTE, run_another)
    run_all(tmp_path)
    assert refused == [True]


@pytest.mark.parametrize("name", ["90", "90_one", "90_one.ipynb", "notebooks/90_one.ipynb"])
def test_a_lesson_is_found_by_number_name_or_file(tmp_path: Path, name: str) -> None:
    write_lesson(tmp_path, "90_one")
    write_lesson(tmp_path, "91_two")
    assert [lesson.name for lesson in find_lessons(tmp_path, [name])] == ["90_one"]


def test_a_single_digit_names_a_lesson_too(tmp_path: Path) -> None:
    write_lesson(tmp_path, "05_five")
    assert find_lessons(tmp_path, ["5"])[0].number == "05"


def test_unknown_lessons_and_empty_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no lessons"):
        find_lessons(tmp_path)
    write_lesson(tmp_path, "90_one")
    with pytest.raises(ValueError, match="unknown lesson '77': the lessons are 90_one"):
        find_lessons(tmp_path, ["77"])


def test_a_lesson_says_what_it_is(tmp_path: Path) -> None:
    lesson = read_lesson(write_lesson(tmp_path, "90_one", compared_cells=4))
    assert (lesson.title, lesson.compared_cells) == ("Lesson 90_one", 4)
    assert dict(lesson.parameters) == {
        "profile": "auto",
        "dataset": "synthetic",
        "seed": 0,
        "gamma": 2.0,
    }


def test_metadata_that_are_missing_are_named(tmp_path: Path) -> None:
    path = write_lesson(tmp_path, "90_one")
    notebook = nbformat.read(path, as_version=4)
    del notebook.metadata.course["summary"]
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match=r"lack course\.summary"):
        read_lesson(path)


def test_text_becomes_the_type_of_the_default(tmp_path: Path) -> None:
    lesson = read_lesson(write_lesson(tmp_path, "90_one"))
    given = {"seed": "3", "gamma": "1", "dataset": "synthetic"}
    assert check_parameters(lesson, given) == {"seed": 3, "gamma": 1.0, "dataset": "synthetic"}


@pytest.mark.parametrize("given", ["sets/mine", "./sets/mine"])
def test_a_folder_of_images_is_meant_from_where_the_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    lesson = read_lesson(write_lesson(tmp_path, "90_one"))
    monkeypatch.chdir(tmp_path)
    wanted = {"dataset": f"folder:{tmp_path / 'sets' / 'mine'}"}
    assert check_parameters(lesson, {"dataset": f"folder:{given}"}) == wanted
    assert check_parameters(lesson, wanted) == wanted


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gama": 1}, "gama: 90_one has no such parameter: it has profile, dataset, seed, gamma"),
        ({"seed": "one"}, 'seed: got "one", wanted a whole number such as 0 of 90_one'),
        ({"seed": True}, "got true, wanted a whole number"),
        ({"seed": "none"}, "got nothing, wanted a whole number"),
        ({"seed": -1}, "whole number in 0"),
        ({"gamma": "high"}, 'got "high", wanted a number such as 2.0'),
        ({"profile": "huge"}, "not a profile"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(
    tmp_path: Path, given: dict[str, object], message: str
) -> None:
    lesson = read_lesson(write_lesson(tmp_path / "lessons", "90_one"))
    with pytest.raises(ValueError, match=message):
        run_course([lesson], given, tmp_path / "out")
    assert not (tmp_path / "out").exists()
