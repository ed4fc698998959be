"""The report of a batch: what stands on its page and in its tables is what the store holds."""

import base64
import csv
import io
import json
import math
import os
import re
import statistics
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from bs4 import BeautifulSoup, Tag
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from course_utils.lessons.metrics import METRIC_MIME
from course_utils.runs import Failure, Outcome, RunRecord
from course_utils.runs.figures import run_figure
from course_utils.runs.handed_in import JUDGED, HandedIn, Person, Submission, write_handed_in
from course_utils.runs.inbox import UNREADABLE
from course_utils.runs.report import runs_table, write_report
from course_utils.runs.report.compare import compare
from course_utils.runs.report.marks import UNKNOWN, mark_table
from course_utils.runs.report.summary import Labels, SeedStatistics, combinations

HOSTILE = '<script>alert("1")</script>'
VOID = {"meta", "img", "br", "wbr"}


def make_run(
    seed: int = 0,
    state: Outcome | str = Outcome.OK,
    *,
    lesson: str = "90_tiny",
    metrics: dict[str, Any] | None = None,
    parameters: dict[str, Any] | None = None,
    **changes: Any,
) -> RunRecord:
    """A run that has ended with an outcome, is `"running"` or `"to do"`."""
    values = {"profile": "smoke", "dataset": "synthetic", **(parameters or {}), "seed": seed}
    name = sha256(f"{lesson} {sorted(values.items())} {changes}".encode()).hexdigest()[:16]
    run = RunRecord(name, lesson, values, started="2031-05-06T07:08:09+00:00")
    if state != "to do":
        run = replace(run, attempt=1, host="node7")
    if isinstance(state, Outcome):
        run = replace(
            run,
            outcome=state,
            message="" if state is Outcome.OK else "It went wrong.",
            metrics=tuple({"name": k, "value": v} for k, v in (metrics or {}).items()),
            versions={"python": "3.11", "torch": "2.6"},
            device="cpu, 2 threads",
            seconds=10.0,
            peak_memory_gb=0.75,
        )
    return replace(run, **changes)


def png(color: str, size: tuple[int, int] = (900, 400)) -> str:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def figure_of(color: str, alt: str = "A plot.") -> Any:
    return new_output(
        "display_data", {"image/png": png(color)}, metadata={"image/png": {"alt": alt}}
    )


def metric_of(name: str) -> Any:
    return new_output("display_data", {METRIC_MIME: {"name": name, "value": 1.0, "unit": None}})


def with_notebook(run: RunRecord, folder: Path, *cells: list[Any]) -> RunRecord:
    notebook = new_notebook(cells=[new_code_cell("1", outputs=outputs) for outputs in cells])
    path = folder / "notebooks" / f"{run.id}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    digest = sha256(path.read_bytes()).hexdigest()
    return replace(run, notebook=f"notebooks/{path.name}", digest=digest)


class Nesting(HTMLParser):
    """Fails where a browser would have to guess which element ends."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(folder: Path, runs: list[RunRecord], **options: Any) -> BeautifulSoup:
    page = write_report(runs, folder, folder / "report", **options).read_text(encoding="utf-8")
    nesting = Nesting()
    nesting.feed(page)
    assert not nesting.open
    return BeautifulSoup(page, "html.parser")


def text(element: Tag) -> str:
    return " ".join(element.get_text().split())


def lines_of(table: Tag) -> list[list[str]]:
    return [[text(cell) for cell in row.find_all(["th", "td"])] for row in table.find_all("tr")]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_mean_and_deviation_are_those_of_the_formula(values):
    spread = SeedStatistics(tuple(values))
    mean = sum(values) / len(values)
    squares = sum((value - mean) ** 2 for value in values)
    assert math.isclose(spread.mean, mean, rel_tol=1e-9, abs_tol=1e-6)
    assert spread.std is not None
    expected = math.sqrt(squares / (len(values) - 1))
    assert math.isclose(spread.std, expected, rel_tol=1e-6, abs_tol=1e-6)
    shown = [float(part) for part in str(spread).split(" ± ")]
    assert math.isclose(shown[1], spread.std, rel_tol=0.06)
    assert abs(shown[0] - mean) <= max(0.06 * spread.std, 1e-3 * abs(mean))


def test_only_runs_that_went_well_count_towards_metrics_and_times():
    runs = [
        make_run(0, metrics={"iou": 0.4}, seconds=10),
        make_run(1, metrics={"iou": 0.6}, seconds=30),
        make_run(2, Outcome.ERROR, metrics={"iou": 99.0}, seconds=1, peak_memory_gb=3),
        make_run(3, "running"),
        make_run(4, "to do"),
    ]
    (combination,) = combinations(runs)
    assert combination.metrics()["iou"].values == (0.4, 0.6)
    assert combination.seconds() == 20
    assert combination.peak_memory_gb() == 3
    assert len(combination.ok) == 2
    assert len(combination.failed) == 1


def test_what_is_no_finite_number_is_no_metric():
    odd = {"a": "<b>", "b": math.nan, "c": math.inf, "d": True, "e": None, "f": 10**400, "g": 2}
    runs = [make_run(0, metrics=odd)]
    assert combinations(runs)[0].metrics() == {"g": SeedStatistics((2.0,))}
    assert runs_table(runs).column_names[-1] == "metric.g"


def test_labels_name_the_data_set_and_what_differs():
    runs = [make_run(0, parameters={"gamma": 1.0}), make_run(0, parameters={"gamma": 2.0})]
    labels = Labels(runs)
    assert labels.of("90_tiny", runs[1].parameters) == "dataset synthetic · gamma 2.0 · seed 0"
    assert labels.constants("90_tiny") == {"profile": "smoke"}


def make_many() -> list[RunRecord]:
    names = ["", "=cmd()", 'Zoë, "Z"', "'quoted", "@home", "-1", "a\nb", "\tx"]
    return [
        make_run(
            seed,
            [Outcome.OK, Outcome.ERROR, Outcome.TIMEOUT, "running", "to do"][seed % 5],
            student=names[seed],
            message='said "no", and\nwent',
            metrics={"iou": -0.1 * seed, "a/b": seed} if seed % 2 else {},
            parameters={
                "gamma": [1, 2.5][seed % 2],
                "name": names[seed],
                "flag": bool(seed % 2),
                "mixed": [1, "1", [2, "x"]][seed % 3],
                "depth": seed,
                **({"rare": 7} if seed == 3 else {}),
            },
        )
        for seed in range(8)
    ]


def test_the_table_holds_what_the_runs_hold():
    runs = make_many()
    found = runs_table(runs).to_pylist()
    assert len(found) == len(runs)
    for line, run in zip(found, runs, strict=True):
        for name in ("id", "lesson", "student", "dataset", "seed", "profile", "message"):
            assert line[name] == getattr(run, name)
        for name in ("seconds", "peak_memory_gb", "attempt"):
            assert line[name] == getattr(run, name)
        assert line["outcome"] == (run.state if run.attempt else None)
        assert line["started"] == (run.started if run.attempt else None)
        for name in ("gamma", "name", "flag", "depth"):
            assert line[f"param.{name}"] == run.parameters[name]
        assert json.loads(line["param.mixed"]) == run.parameters["mixed"]
        assert line["param.rare"] == run.parameters.get("rare")
        recorded = {metric["name"]: metric["value"] for metric in run.metrics}
        assert line["metric.iou"] == recorded.get("iou")
        assert line["metric.a/b"] == recorded.get("a/b")


def test_csv_and_parquet_read_back_as_the_same_table(tmp_path):
    runs = make_many()
    write_report(runs, tmp_path, tmp_path / "report")
    table = runs_table(runs)
    parquet = pyarrow.parquet.read_table(tmp_path / "report" / "runs.parquet")
    assert parquet.equals(table)
    read = pyarrow.csv.read_csv(
        tmp_path / "report" / "runs.csv",
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=table.schema, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    assert read.column_names == table.column_names
    for name in table.column_names:
        texts = pa.types.is_string(table[name].type)
        undone = [x[1:] if texts and x and x[0] == "'" else x for x in read[name].to_pylist()]
        assert undone == table[name].to_pylist(), name


def test_no_text_of_the_csv_starts_like_a_formula(tmp_path):
    write_report(make_many(), tmp_path, tmp_path / "report")
    text = (tmp_path / "report" / "runs.csv").read_text(encoding="utf-8")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["student"] for line in lines[:6]] == [
        "", "'=cmd()", 'Zoë, "Z"', "''quoted", "'@home", "'-1",
    ]  # fmt: skip
    for line in lines:
        for name, value in line.items():
            if value.startswith(("=", "+", "-", "@", "\t")):
                assert float(value) < 0, name
                assert name == "metric.iou"


def test_a_table_of_no_runs_has_its_columns(tmp_path):
    assert runs_table([]).num_rows == 0
    assert "outcome" in runs_table([]).column_names
    page = page_of(tmp_path, [])
    assert "0 of 0 runs ok" in text(page)


def test_counts_and_running_time_are_those_of_the_runs(tmp_path):
    runs = [
        *(make_run(seed) for seed in range(3)),
        make_run(3, Outcome.ERROR),
        make_run(4, "running"),
        make_run(5, "to do"),
    ]
    page = page_of(tmp_path, runs)
    counts = page.select_one("ul.counts")
    said = [text(item) for item in counts.find_all("li")]
    assert said == ["✔ 3 ok", "✘ 1 error", "▶ 1 running", "○ 1 to do"]
    lead = text(page.find_all("p")[0])
    assert "3 of 6 runs ok; 40 s of running time together" in lead
    assert "2031-05-06 07:08 to 2031-05-06 07:08 UTC" in lead
    assert "2 of its runs have no end" in text(page)


def test_a_lesson_has_a_line_for_each_choice_of_parameters(tmp_path):
    runs = [
        make_run(0, parameters={"gamma": 1.0}, metrics={"iou": 0.4}),
        make_run(1, parameters={"gamma": 1.0}, metrics={"iou": 0.6}),
        make_run(2, Outcome.TIMEOUT, parameters={"gamma": 1.0}),
        make_run(0, parameters={"gamma": 2.0}, metrics={"iou": 0.5}),
        make_run(1, "running", parameters={"gamma": 2.0}),
    ]
    lessons = page_of(tmp_path, runs).find(id="lessons")
    assert lines_of(lessons.find_all("table")[0]) == [
        ["dataset", "gamma", "ok / runs", "iou", "time", "memory GB"],
        ["synthetic", "1.0", "✘ 2 / 3", "0.50 ± 0.14", "10 s", "0.75"],
        ["synthetic", "2.0", "○ 1 / 2", "0.5", "10 s", "0.75"],
    ]
    (cell,) = (x for x in lessons.find_all("td") if text(x) == "0.50 ± 0.14")
    assert cell["title"] == "2 runs, 0.4 to 0.6"
    assert float(cell["data-value"] or "") == statistics.fmean([0.4, 0.6])


def test_metrics_beyond_the_headlines_stand_in_a_table_of_their_own(tmp_path):
    runs = [make_run(seed, metrics={f"m{k}": k for k in range(8)}) for seed in range(2)]
    first, second = page_of(tmp_path, runs).find(id="lessons").find_all("table")
    assert lines_of(first)[0][2:-2] == [f"m{k}" for k in range(6)]
    assert lines_of(second)[0][2:-2] == ["m6", "m7"]


def test_metrics_that_depend_on_the_parameters_come_first(tmp_path):
    runs = [
        make_run(0, metrics={"same": 1.0, "other": gamma, "also": 2.0}, parameters={"gamma": gamma})
        for gamma in (0.0, 2.0)
    ]
    table = page_of(tmp_path, runs).find(id="lessons").find_all("table")[0]
    assert lines_of(table)[0][3:-2] == ["other", "same", "also"]


def test_every_run_has_a_line_that_links_to_its_notebook(tmp_path):
    runs = [
        with_notebook(make_run(0), tmp_path, [figure_of("red")]),
        make_run(1, Outcome.KILLED, attempt=3),
        make_run(2, "to do"),
    ]
    table = page_of(tmp_path, runs).find(id="runs").find_all("table")[0]
    assert [line[0] for line in lines_of(table)] == ["outcome", "✔ ok", "✖ killed", "○ to do"]
    assert [line[6] for line in lines_of(table)[1:]] == ["1", "3", "0"]
    (link,) = table.find_all("a")
    target = tmp_path / "report" / str(link["href"])
    assert target.resolve() == (tmp_path / runs[0].notebook).resolve()
    assert not os.path.isabs(str(link["href"]))


def test_different_conditions_are_said(tmp_path):
    same = [make_run(0), make_run(1)]
    assert "not quite comparable" not in text(page_of(tmp_path, same))
    other = make_run(2, versions={"python": "3.11", "torch": "2.7"}, device="H100")
    said = text(page_of(tmp_path, [*same, other]))
    assert "not quite comparable: torch 2.6 (2), 2.7 (1); device H100 (1), cpu, 2 thr" in said


def test_a_failure_shows_its_cell_and_its_message(tmp_path):
    failure = Failure(3, "1 / 0  # <here>", "ZeroDivisionError", "\x1b[31mline 1\x1b[0m & more")
    runs = [make_run(5, Outcome.ERROR, failure=failure), make_run(6), make_run(7, "running")]
    (shown,) = page_of(tmp_path, runs).find(id="failures").find_all("details")
    assert [text(pre) for pre in shown.find_all("pre")] == ["1 / 0 # <here>", "line 1 & more"]
    assert "90_tiny · dataset synthetic · seed 5" in text(shown)
    assert "It went wrong." in text(shown)


def test_nothing_a_student_writes_becomes_part_of_the_page(tmp_path):
    failure = Failure(1, HOSTILE, HOSTILE, HOSTILE)
    verdicts = (
        {"exercise": HOSTILE, "outcome": "correct", "message": f'"{HOSTILE}'},
        {"exercise": "q", "outcome": HOSTILE},
    )
    changes: dict[str, Any] = {
        "student": f"{HOSTILE}\ud800",
        "message": HOSTILE,
        "exercises": verdicts,
        "host": HOSTILE,
        "device": HOSTILE,
        "versions": {HOSTILE: HOSTILE},
    }
    runs = [
        make_run(seed, outcome, lesson=HOSTILE, failure=failure, parameters={HOSTILE: seed})
        for seed, outcome in enumerate([Outcome.OK, Outcome.ERROR])
    ]
    runs += [replace(run, **changes) for run in runs]
    metric = {"name": HOSTILE, "value": 1.0, "unit": HOSTILE}
    runs = [replace(run, metrics=(metric,)) for run in runs]
    runs[2] = with_notebook(runs[2], tmp_path, [figure_of("red", f'"{HOSTILE}')])
    earlier = [replace(runs[0], outcome=Outcome.ERROR), replace(runs[2], outcome=Outcome.ERROR)]
    page = page_of(tmp_path, runs, earlier=earlier)
    assert len(page.find_all("script")) == 1
    assert "alert" not in text(page.find_all("script")[0])
    assert not page.find_all("b")
    assert HOSTILE in text(page)
    assert f'"{HOSTILE}' in str(page.find_all("img")[0]["alt"])
    allowed = {"class", "id", "href", "title", "alt", "src", "data-value", "role", "tabindex",
               "aria-label", "scope", "open", "width", "height", "loading", "decoding", "lang",
               "charset", "content", "http-equiv", "name"}  # fmt: skip
    for element in page.find_all(True):
        assert element.attrs.keys() <= allowed, element.tag


def test_the_page_fetches_nothing_and_its_script_is_the_one_it_allows(tmp_path):
    runs = [with_notebook(make_run(0), tmp_path, [figure_of("red")])]
    page = page_of(tmp_path, runs)
    sources = [str(x["src"]) for x in page.find_all(True) if "src" in x.attrs]
    assert sources
    assert sources == [f"figures/{runs[0].id}-{runs[0].digest[:8]}.png"]
    assert (tmp_path / "report" / sources[0]).read_bytes() == base64.b64decode(png("red"))
    assert not page.find_all("link")
    assert "url(" not in text(page.find_all("style")[0])
    (script,) = page.find_all("script")
    assert not script.attrs
    raw = re.search(
        r"<script>(.*?)</script>", Path(tmp_path, "report/index.html").read_text(), re.S
    )
    assert raw
    policy = str(page.find_all("meta")[1]["content"])
    allowed = base64.b64encode(sha256(raw[1].encode()).digest()).decode()
    assert f"'sha256-{allowed}'" in policy
    assert "default-src 'none'" in policy


def test_every_cell_that_is_sorted_as_a_number_holds_one(tmp_path):
    runs = [make_run(0, metrics={"iou": 0.5}), make_run(1, "to do")]
    page = page_of(tmp_path, runs, earlier=runs)
    for cell in page.find_all("td"):
        if cell.get("data-value"):
            assert math.isfinite(float(str(cell["data-value"])))
    for table in page.find_all("table"):
        width = len(table.find_all("thead")[0].find_all("th"))
        assert all(len(line) == width for line in lines_of(table))


def test_a_report_that_cannot_be_made_leaves_the_older_one_as_it_is(tmp_path, monkeypatch):
    write_report([make_run(0)], tmp_path, tmp_path / "report")
    before = {path: path.read_bytes() for path in (tmp_path / "report").iterdir()}

    def full(table: pa.Table) -> bytes:
        raise OSError("no space left on device")

    monkeypatch.setattr("course_utils.runs.report.page.as_parquet", full)
    with pytest.raises(OSError, match="no space"):
        write_report([make_run(1), make_run(2)], tmp_path, tmp_path / "report")
    assert {path: path.read_bytes() for path in (tmp_path / "report").iterdir()} == before


def test_figures_that_no_run_has_any_more_are_removed(tmp_path):
    run = with_notebook(make_run(0), tmp_path, [figure_of("red")])
    page_of(tmp_path, [run])
    page_of(tmp_path, [with_notebook(run, tmp_path, [figure_of("blue")])])
    (figure,) = (tmp_path / "report" / "figures").iterdir()
    assert figure.read_bytes() == base64.b64decode(png("blue"))
    page_of(tmp_path, [])
    assert not list((tmp_path / "report" / "figures").iterdir())


def color_of(content: bytes) -> tuple[int, ...]:
    with Image.open(io.BytesIO(content)) as picture:
        pixel = picture.convert("RGB").getpixel((3, 3))
    assert isinstance(pixel, tuple)
    return tuple(round(value / 255) for value in pixel)


def test_the_figure_is_the_one_that_stands_with_most_metrics(tmp_path):
    run = with_notebook(
        make_run(0),
        tmp_path,
        [figure_of("red"), metric_of("a")],
        [metric_of("b"), metric_of("c")],
        [figure_of("lime", "The result.")],
        [metric_of("d"), figure_of("blue")],
    )
    figure = run_figure(run, tmp_path)
    assert color_of(figure.content) == (0, 1, 0)
    assert figure.alt == "The result."
    assert (figure.width, figure.height) == (900, 400)


def test_without_metrics_it_is_the_first_and_without_a_later_one_the_last(tmp_path):
    run = with_notebook(make_run(0), tmp_path, [figure_of("red")], [figure_of("blue")])
    assert color_of(run_figure(run, tmp_path).content) == (1, 0, 0)
    run = with_notebook(run, tmp_path, [figure_of("red")], [figure_of("blue")], [metric_of("a")])
    assert color_of(run_figure(run, tmp_path).content) == (0, 0, 1)


def test_figures_inside_html_are_found_with_their_words(tmp_path):
    html = f'<p><img alt="a &lt; b" src="data:image/png;base64,{png("red")}"></p>'
    run = with_notebook(make_run(0), tmp_path, [new_output("display_data", {"text/html": html})])
    assert run_figure(run, tmp_path).alt == "a < b"


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        (b"{", "the notebook cannot be read"),
        (b"[]", "the notebook cannot be read"),
        (b'{"cells": [{"outputs": [3]}]}', "the notebook cannot be read"),
        (b'{"cells": []}', "no figure"),
        (b'{"cells": [{"outputs": [{"data": {"image/png": "%%%%"}}]}]}',
         "the figure cannot be read"),
        (b'{"cells": [{"outputs": [{"data": {"image/png": "iVBORw0KGgo="}}]}]}',
         "the figure cannot be read"),
        (b"[" * 100_000, "the notebook cannot be read"),
    ],
)  # fmt: skip
def test_a_notebook_that_is_none_costs_its_picture_and_not_the_report(tmp_path, content, missing):
    (tmp_path / "x.ipynb").write_bytes(content)
    run = make_run(0, notebook="x.ipynb", digest=sha256(content).hexdigest())
    assert run_figure(run, tmp_path).missing == missing


def test_a_picture_of_billions_of_pixels_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("course_utils.runs.figures.LARGEST", 1000)
    run = with_notebook(make_run(0), tmp_path, [figure_of("red")])
    assert run_figure(run, tmp_path).missing == "the figure cannot be read"


def test_a_notebook_that_is_gone_or_was_changed_shows_no_figure(tmp_path):
    run = with_notebook(make_run(0), tmp_path, [figure_of("red")])
    assert (
        run_figure(replace(run, digest="0"), tmp_path).missing == "the notebook was changed since"
    )
    (tmp_path / run.notebook).unlink()
    assert run_figure(run, tmp_path).missing == "the notebook is gone"
    assert run_figure(make_run(1), tmp_path).missing == "no notebook"


def test_figures_stand_by_lesson_with_the_seeds_side_by_side(tmp_path):
    runs = [
        with_notebook(make_run(seed, parameters={"gamma": gamma}), tmp_path, [figure_of("red")])
        for seed in (0, 1)
        for gamma in (1.0, 2.0)
    ]
    found = page_of(tmp_path, runs).find(id="figures")
    captions = [text(caption) for caption in found.find_all("figcaption")]
    assert captions == [
        f"dataset synthetic · gamma {gamma} · seed {seed}"
        for gamma in (1.0, 2.0)
        for seed in (0, 1)
    ]
    picture = found.find_all("img")[0]
    assert picture["alt"] == f"90_tiny, {captions[0]}: A plot."
    assert picture["loading"] == "lazy"


def class_of(folder: Path) -> list[RunRecord]:
    """Three students with runs, one whose file could not be read, and one who is missing."""
    long = "def f(x):\n    total = 0\n    for y in x:\n        total += y * y + 1\n    return total"
    answers = {
        "Ada": long,
        "Bob": f"# mine\n{long}",
        "Cid": "f = sum",
        "=Dee": "secret of <b>Dee</b>",
    }
    verdicts = {"Ada": "correct", "Bob": "correct", "Cid": "incorrect", "=Dee": None}
    lesson, exercises = "00_start_here", ("defect_share", "accuracy_and_recall")
    runs = [
        make_run(
            0,
            lesson=lesson,
            student=name,
            exercises=(
                {"exercise": exercises[0], "outcome": verdict, "message": f"To {name}."},
                {"exercise": exercises[1], "outcome": "not_attempted", "shown": "correct"},
            ),
        )
        for name, verdict in verdicts.items()
    ]
    files = [
        Submission(f"{name}.ipynb", name, JUDGED, "", lesson, 100_000.0 * i, runs[i].id,
                   {exercises[0]: source})
        for i, (name, source) in enumerate(answers.items())
    ]  # fmt: skip
    files.append(Submission("eve.ipynb", "Eve", UNREADABLE, "no JSON", lesson))
    roster = (Person("Ada", "a1", "red"), Person("Fay", "f6"))
    points = {exercises[0]: 2.5}
    handed_in = HandedIn(tuple(files), roster, {lesson: exercises}, points, deadline=100_000.0)
    write_handed_in(folder, handed_in)
    return runs


def marks_of(folder: Path, name: str) -> list[dict[str, str]]:
    write_report(class_of(folder), folder, folder / "report")
    text = (folder / "report" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def test_marks_have_a_line_each_and_nobody_is_left_out(tmp_path):
    lines = [
        (line["student"], line["exercise"], line["points"], line["outcome"])
        for line in marks_of(tmp_path, "marks.csv")
    ]
    assert lines == [
        ("'=Dee", "defect_share", "", "not checked"),
        ("'=Dee", "accuracy_and_recall", "0", "not attempted"),
        ("Ada", "defect_share", "2.5", "correct"),
        ("Ada", "accuracy_and_recall", "0", "not attempted"),
        ("Bob", "defect_share", "2.5", "correct"),
        ("Bob", "accuracy_and_recall", "0", "not attempted"),
        ("Cid", "defect_share", "0", "incorrect"),
        ("Cid", "accuracy_and_recall", "0", "not attempted"),
        ("Eve", "", "", "could not be read"),
        ("Fay", "", "", "nothing handed in"),
    ]


def test_the_wide_marks_have_a_line_for_each_student(tmp_path):
    lines = {line["student"]: line for line in marks_of(tmp_path, "marks_wide.csv")}
    assert list(lines) == ["'=Dee", "Ada", "Bob", "Cid", "Eve", "Fay"]
    assert (lines["Ada"]["id"], lines["Ada"]["group"]) == ("a1", "red")
    shares = {name: line["00_start_here/defect_share"] for name, line in lines.items()}
    assert list(shares.values()) == ["", "2.5", "2.5", "0", "", ""]
    assert [line["points"] for line in lines.values()] == ["0", "2.5", "2.5", "0", "0", "0"]
    assert [line["days_late"] for line in lines.values()] == ["3", "0", "0", "2", "0", "0"]
    assert lines["Fay"]["note"] == "nothing handed in"
    assert lines["Eve"]["note"] == "eve.ipynb could not be read: no JSON"


def test_a_feedback_page_has_the_answers_of_its_student_and_nothing_of_others(tmp_path):
    page = page_of(tmp_path, class_of(tmp_path))
    links = page.find(id="students").find_all("tbody")[0].find_all("a")
    assert len(links) == 6
    names = ["=Dee", "Ada", "Bob", "Cid", "Eve", "Fay"]
    for link, name in zip(links, names, strict=True):
        content = (tmp_path / "report" / unquote(str(link["href"]))).read_text(encoding="utf-8")
        assert text(BeautifulSoup(content, "html.parser").find_all("h1")[0]) == name
        assert [other for other in names if other in content] == [name]
        assert "<b>" not in content
        assert ("secret of" in content) == (name == "=Dee")
    ada = (tmp_path / "report" / unquote(str(links[1]["href"]))).read_text(encoding="utf-8")
    assert "To Ada." in ada
    assert "total += y * y + 1" in ada
    assert "2.5 of 2.5 points" in ada


def test_equal_programs_and_verdicts_that_a_notebook_only_shows_are_flagged(tmp_path):
    students = page_of(tmp_path, class_of(tmp_path)).find(id="students")
    rows = {line[0]: line for line in lines_of(students.find_all("table")[0])[1:]}
    assert rows["Ada"][-2] == rows["Bob"][-2] == "✔ correct ⚑"
    assert rows["Cid"][-2:] == ["✘ incorrect", "○ not attempted ⚑"]
    titles = [str(cell.get("title")) for cell in students.find_all("td")]
    assert "To Ada. ⚑ the same program as Bob" in titles
    assert "⚑ the notebook itself shows: correct" in [title.strip() for title in titles]


def test_every_file_of_the_inbox_stands_in_the_report(tmp_path):
    files = page_of(tmp_path, class_of(tmp_path)).find(id="files")
    assert lines_of(files.find_all("table")[0])[1:] == [
        ["eve.ipynb", "Eve", "00_start_here", "could not be read", "no JSON"]
    ]
    assert len(lines_of(files.find_all("table")[1])) == 5


def test_a_batch_compared_with_itself_shows_no_change():
    runs = [make_run(seed, metrics={"iou": 0.1 * seed}) for seed in range(3)]
    found = compare(runs, runs)
    assert found.matched == 3
    assert [change.moved for change in found.metrics] == [False]
    lists = [found.now_failing, found.now_ok, found.not_done, found.slower, found.faster]
    assert not any([*lists, found.new, found.gone])


def test_runs_are_matched_by_lesson_parameters_and_student():
    earlier = [make_run(0), make_run(1), make_run(2, Outcome.ERROR), make_run(3), make_run(4)]
    now = [
        make_run(0, Outcome.KILLED),
        make_run(2),
        make_run(3, "running"),
        make_run(4, student="Zoë"),
        make_run(5),
    ]
    found = compare(now, earlier)
    assert [pair[1].seed for pair in found.now_failing] == [0]
    assert [pair[1].seed for pair in found.now_ok] == [2]
    assert [run.seed for run in found.not_done] == [3]
    assert [run.seed for run in found.new] == [4, 5]
    assert [run.seed for run in found.gone] == [1, 4]


def test_a_metric_has_moved_if_it_changed_by_more_than_two_earlier_spreads():
    before = [0.5, 0.6, 0.7]  # spread .1

    def change(by: float) -> Any:
        earlier = [make_run(seed, metrics={"iou": iou}) for seed, iou in enumerate(before)]
        now = [make_run(seed, metrics={"iou": iou + by}) for seed, iou in enumerate(before)]
        return compare(now, earlier).metrics[0]

    assert not change(0.19).moved
    assert change(0.21).moved
    assert change(-0.21).moved
    assert math.isclose(change(-0.21).change, -0.21)
    assert math.isclose(change(-0.21).stds, 2.1)


def test_a_metric_of_one_seed_is_never_marked_and_one_without_spread_if_it_changed():
    assert (
        not compare([make_run(0, metrics={"a": 9})], [make_run(0, metrics={"a": 1})])
        .metrics[0]
        .moved
    )
    earlier = [make_run(seed, metrics={"a": 1}) for seed in range(2)]
    assert (
        compare([make_run(seed, metrics={"a": 2}) for seed in range(2)], earlier).metrics[0].moved
    )


def test_means_are_over_the_seeds_that_were_ok_in_both():
    earlier = [make_run(0, metrics={"a": 1}), make_run(1, metrics={"a": 3})]
    now = [make_run(0, metrics={"a": 2}), make_run(1, Outcome.ERROR, metrics={"a": 100})]
    (change,) = compare(now, earlier).metrics
    assert (change.earlier, change.now, change.runs) == (1, 2, 1)
    assert change.std == pytest.approx(math.sqrt(2))


def test_times_that_changed_by_more_than_a_fifth_are_listed():
    def times(now: float) -> tuple[int, int]:
        found = compare([make_run(0, seconds=now)], [make_run(0, seconds=10.0)])
        return len(found.slower), len(found.faster)

    assert [times(now) for now in (11.9, 12.1, 8.1, 7.9)] == [(0, 0), (1, 0), (0, 0), (0, 1)]


def test_the_page_lists_outcomes_before_metrics_and_times(tmp_path):
    earlier = [make_run(seed, metrics={"a": 1 + seed / 10}, seconds=10) for seed in range(3)]
    now = [make_run(seed, metrics={"a": 2 + seed / 10}, seconds=20) for seed in range(2)]
    now.append(make_run(2, Outcome.OUT_OF_MEMORY, versions={"torch": "2.7"}))
    found = page_of(tmp_path, now, earlier=earlier).find(id="comparison")
    assert [text(heading) for heading in found.find_all("h3")] == [
        "Ok then, failed now", "Metrics", "Slower or faster by more than 20 %",
    ]  # fmt: skip
    outcomes, metrics, times = found.find_all("table")
    assert lines_of(outcomes)[1][2:4] == ["✔ ok", "▲ out-of-memory"]
    assert "▲ higher +1" in lines_of(metrics)[1]
    assert "slower +100 %" in lines_of(times)[1]
    assert "torch 2.6 then, 2.6, 2.7 now" in text(found)


def test_a_student_has_a_line_and_an_exercise_a_column(tmp_path):
    def run(student: str, state: Outcome | str, *verdicts: str) -> RunRecord:
        names = ("misses_and_false_alarms", "defect_share")
        found = [
            {"exercise": name, "outcome": verdict, "message": "Why."}
            for name, verdict in zip(names, verdicts, strict=False)
        ]
        return make_run(0, state, lesson="00_start_here", student=student, exercises=tuple(found))

    runs = [
        run("Zoë", Outcome.OK, "correct", "not_attempted"),
        run("ann", Outcome.ERROR, "incorrect"),
        run("Bob", Outcome.OK, "error", "perfect"),
        run("Cid", "running", "correct", "correct"),
        run("Dee", "to do"),
        make_run(0, lesson="00_start_here"),
    ]
    (table,) = page_of(tmp_path, runs).find(id="students").find_all("table")
    head, *lines, foot = lines_of(table)
    assert head == ["student", "correct", "runs ok", *(
        f"00 {name}"
        for name in ("misses_and_false_alarms", "defect_share")
    )]  # fmt: skip
    assert lines == [
        ["ann", "0 / 2", "0 / 1", "✘ incorrect", "? not checked"],
        ["Bob", "0 / 2", "1 / 1", "⚠ error", "? not checked"],
        ["Cid", "0 / 2", "0 / 1", "? not checked", "? not checked"],
        ["Dee", "0 / 2", "0 / 1", "? not checked", "? not checked"],
        ["Zoë", "1 / 2", "1 / 1", "✔ correct", "○ not attempted"],
    ]
    assert foot == ["correct", "1", "", "1 / 5", "0 / 5"]


def test_in_the_report_of_a_class_the_students_come_first_and_what_went_wrong_is_told(tmp_path):
    failed = make_run(1, Outcome.TIMEOUT, student='"Zoë"', message='cell 4 <b> "took" long')
    page = page_of(tmp_path, [make_run(0), make_run(0, student='"Zoë"'), failed])
    names = [each["id"] for each in page.find_all("section")]
    assert names == ["students", "lessons", "runs", "figures", "failures"]
    (line,) = page.find(id="students").find_all("tbody")[0].find_all("tr")
    assert text(line.find_all("td")[1]) == "1 / 2"
    assert line.find_all("td")[1]["title"] == '90_tiny: timeout: cell 4 <b> "took" long'
    assert "title" not in line.find_all("td")[0]


def test_of_several_runs_of_a_lesson_the_least_verdict_counts():
    verdicts = ({"exercise": "q", "outcome": "correct", "message": ""},)
    good = make_run(0, student="Zoë", exercises=verdicts)
    (student,) = mark_table([good, make_run(1, student="Zoë")]).students
    assert [mark.verdict for mark in student.marks if mark] == [UNKNOWN]
    (student,) = mark_table([good, make_run(1, student="Zoë", exercises=verdicts)]).students
    assert student.correct == 1


def test_an_exercise_of_a_lesson_that_was_not_handed_in_is_left_empty():
    def run(student: str, lesson: str) -> RunRecord:
        verdict = {"exercise": f"q{lesson}", "outcome": "correct", "message": ""}
        return make_run(0, student=student, lesson=lesson, exercises=(verdict,))

    table = mark_table([run("a", "91"), run("b", "91"), run("b", "92")])
    assert table.columns == (("91", "q91"), ("92", "q92"))
    first, second = table.students
    assert first.marks[1] is None
    assert (first.correct, first.asked) == (1, 1)
    assert (second.correct, second.asked) == (2, 2)
    assert table.correct() == [2, 1]
