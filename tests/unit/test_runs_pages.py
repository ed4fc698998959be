"""The page of each run of a batch: what it shows, what it keeps out, and what it may cost."""

import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from bs4 import BeautifulSoup
from fake_runs import TASKS, FakeExecutor, SilentCallbacks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_utils.runs import Failure, Outcome, RunRecord, run_batch
from course_utils.runs.report import write_report
from course_utils.runs.run_pages import LARGEST, PAGES, PageWriter, page_of

HOSTILE = (
    '<meta http-equiv="refresh" content="0; url=https://example.org"><script>alert(1)</script>'
    '<img src="https://example.org/seen.png"><style>h1 { color: red }</style>'
)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageWriter]:
    """One for all tests, in a folder of its own: its process takes a second to start."""
    with PageWriter(tmp_path_factory.mktemp("batch")) as writer:
        yield writer


def ended(folder: Path, name: str, *outputs: Any, text: str = "", **changes: Any) -> RunRecord:
    cells = [new_markdown_cell(text or "# What I did"), new_code_cell("1", outputs=list(outputs))]
    path = folder / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)
    facts = {
        "attempt": 1,
        "outcome": Outcome.OK,
        "seconds": 24.0,
        "started": "2031-05-06T07:08:09+00:00",
        **changes,
    }
    digest = sha256(path.read_bytes()).hexdigest()
    return RunRecord(
        name, "90_tiny", {"seed": 3}, notebook=f"notebooks/{path.name}", digest=digest, **facts
    )


def written(writer: PageWriter, run: RunRecord) -> BeautifulSoup:
    writer.write(run)
    return BeautifulSoup((writer.folder / page_of(run)).read_text("utf-8"), "html.parser")


def test_a_page_shows_the_notebook_and_how_it_ended(writer: PageWriter) -> None:
    failure = Failure(2, "1 / 0", "ZeroDivisionError: by zero", "the last lines")
    printed = new_output("stream", name="stdout", text="what was printed")
    run = ended(
        writer.folder, "a", printed, student="Zoë & <b>", outcome=Outcome.ERROR,
        message="cell 2: it broke", failure=failure,
    )  # fmt: skip
    page = written(writer, run)
    assert page.title is not None
    assert page.title.text == "Zoë & <b> · seed 3"
    assert "what was printed" in page.text
    assert page.select_one(".course-run").text.split()[0] == "error"
    assert "the last lines" in page.select_one(".course-failure").text
    links = [link["href"] for link in page.select(".course-run a, .course-home")]
    assert links == ["../report/index.html", "../notebooks/a.ipynb"]
    style = page.select_one("link[rel=stylesheet]")["href"]
    assert ".course-failure" in (writer.folder / PAGES / style).read_text("utf-8")
    assert len(list((writer.folder / PAGES).glob("*.css"))) == 1


def test_nothing_in_a_notebook_runs_or_leads_elsewhere(writer: PageWriter) -> None:
    shown = new_output("display_data", {"text/html": f"<b>{HOSTILE}</b>"})
    page = written(writer, ended(writer.folder, "b", shown, text=HOSTILE))
    metas = page.select("meta[http-equiv]")
    assert [meta["http-equiv"] for meta in metas] == ["Content-Security-Policy"]
    assert metas[0].parent is page.head
    policy = dict(part.split(" ", 1) for part in metas[0]["content"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"
    assert not {"script-src", "connect-src"} & policy.keys()


def test_what_cannot_be_rendered_has_no_page_and_the_report_leads_to_its_notebook(
    writer: PageWriter,
) -> None:
    folder = writer.folder
    runs = [ended(folder, name) for name in ("good", "no_json", "gone", "large")]
    (folder / runs[1].notebook).write_text("{")
    (folder / runs[2].notebook).unlink()
    with (folder / runs[3].notebook).open("ab") as file:
        file.truncate(LARGEST + 1)
    for run in runs:
        writer.write(run)
    assert [(folder / page_of(run)).exists() for run in runs] == [True, False, False, False]
    report = BeautifulSoup(
        write_report(runs, folder, folder / "report").read_text("utf-8"), "html.parser"
    )
    rows = report.select("#runs tbody tr")
    links = [[link["href"] for link in row.select("a")] for row in rows]
    assert links == [
        [f"../{page_of(runs[0])}", "../notebooks/good.ipynb"],
        *([f"../{run.notebook}"] for run in runs[1:]),
    ]


def test_a_renderer_that_is_killed_costs_one_page(writer: PageWriter) -> None:
    writer.write(ended(writer.folder, "first"))
    (renderer,) = [
        process
        for process in psutil.Process().children()
        if "course_utils.runs.run_pages" in process.cmdline()
    ]
    renderer.kill()
    renderer.wait()
    lost, later = ended(writer.folder, "lost"), ended(writer.folder, "later")
    for run in (lost, later):
        writer.write(run)
    assert [(writer.folder / page_of(run)).exists() for run in (lost, later)] == [False, True]
    writer.write(lost)
    assert (writer.folder / page_of(lost)).exists()


def test_a_new_attempt_replaces_the_page_and_an_old_one_is_not_shown(writer: PageWriter) -> None:
    before = ended(writer.folder, "twice", text="before")
    writer.write(before)
    after = ended(writer.folder, "twice", text="after")
    assert page_of(before) != page_of(after)
    assert "after" in written(writer, after).text
    assert not (writer.folder / page_of(before)).exists()
    page = writer.folder / page_of(after)
    page.write_text("as it was")
    writer.write(after)
    assert page.read_text() == "as it was"


def test_a_renderer_that_takes_too_long_ends_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A regular expression that would take years; no timer of Python's runs meanwhile."""
    (tmp_path / "course_utils_slow.py").write_text(
        "import re, sys\nfrom course_utils.runs import pages, run_pages\nrun_pages.LONGEST = 1\n"
        "pages.write_run_page = lambda *_: re.match('(a*)*b', 'a' * 60)\nrun_pages.main()\n"
    )
    monkeypatch.setattr("course_utils.runs.run_pages.MODULE", "course_utils_slow")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")
    started = time.monotonic()
    with PageWriter(tmp_path) as writer:
        run = ended(tmp_path, "slow")
        writer.write(run)
        assert not (tmp_path / page_of(run)).exists()
    assert time.monotonic() - started < 100


class Asked:
    """In the place of a writer: notes what it is asked for."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, int, bool]] = []

    def __enter__(self) -> "Asked":
        return self

    def __exit__(self, *_: object) -> None: ...

    def write(self, run: RunRecord) -> None:
        self.runs.append((run.id, run.attempt, bool(run.notebook and run.digest)))


def test_a_batch_asks_for_a_page_as_each_run_ends_and_makes_up_for_those_it_lost(
    tmp_path: Path,
) -> None:
    first, then = Asked(), Asked()
    executor = FakeExecutor([Outcome.OK], [Outcome.KILLED], [KeyboardInterrupt()])
    options: Any = {"callbacks": SilentCallbacks(), "retries": 0}
    with pytest.raises(KeyboardInterrupt):
        run_batch(TASKS, tmp_path, executor, pages=first, **options)  # type: ignore[arg-type]
    assert first.runs == [("a", 1, True), ("b", 1, True)]
    run_batch(TASKS, tmp_path, FakeExecutor(), pages=then, **options)  # type: ignore[arg-type]
    assert then.runs == [("c", 2, True), ("a", 1, True), ("b", 1, True), ("c", 2, True)]
