"""The lesson machinery in a real kernel: what a notebook stores, and what a person gets."""

import base64
import io

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from course_utils.lessons import EXERCISE_MIME, LESSON_MIME, METRIC_MIME, read_metrics

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
EXPLORE = """
def line(gamma):
    if gamma == 5:
        raise ArithmeticError("five is too much")
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, gamma])
    return figure

explore(line, alt="A line", fallback=[{"gamma": 1}, {"gamma": 2}], gamma=(0, 5, 1))
"""
CURVES = """
from types import SimpleNamespace
import torch
from torch import nn
from course_utils.lessons.live import LiveCurves
from course_utils.training import fit
batch = SimpleNamespace(image=torch.rand(2, 1, 8, 8), mask=torch.zeros(2, 1, 8, 8))
with LiveCurves(alt="Both fall.") as curves:
    for name in ("small", "large"):
        fit(nn.Conv2d(1, 1, 3, padding=1), [batch], nn.BCEWithLogitsLoss(), steps=6, device="cpu",
            evaluate=lambda model: {"IoU": 0.5}, evaluate_every=2,
            on_evaluation=curves.run(name))"""
CELLS = {
    "start": """
from matplotlib.figure import Figure
from course_utils.lessons import exercise, explore, quiz, record_metric, start_lesson
lesson = start_lesson("00_start_here", profile="smoke", seed=3)""",
    "metric": "record_metric('val/iou', 0.123456)",
    "question": "exercise('defect_share')",
    "stub": "exercise('defect_share').check(...)",
    "wrong": "exercise('defect_share').check(lambda mask: (mask > 0).sum())",
    "right": "verdict = exercise('defect_share').check(lambda mask: (mask > 0).mean())",
    "defined": "def lazy(mask, prediction):\n    pixels = mask.size\n    return 1 / 0",
    "error": "exercise('accuracy_and_recall').check(lazy)",
    "hint": "exercise('defect_share').hint()",
    "quiz": "quiz('00')",
    "explore": EXPLORE,
    "same metric in another cell": """
try:
    record_metric('val/iou', 0.2)
except ValueError as error:
    print(error)""",
    "curves": CURVES,
}
PERSON_CELLS = {
    "sliders": EXPLORE,
    "metric": "record_metric('val/iou', 0.3)",
    "error at the first drawing": """
try:
    explore(line, alt="A line", fallback=[{"gamma": 5}], gamma=(0, 5, 1))
except ArithmeticError as error:
    print("raised:", error)""",
    "error while moving": """
from ipywidgets import IntSlider, Output, Widget
from course_utils.lessons.sliders import slider_panel
panel = slider_panel(line, alt="A line", start={"gamma": 1}, sliders={"gamma": (0, 5, 1)})
display(panel)
panel.children[0].children[0].value = 5
print("went on")""",
    "prediction": """
from course_utils.lessons import predict
guess = predict("How many?", ["one", "two"])""",
    "reveal": """
guess.chosen = "two"
guess.reveal("two", "Count them.")""",
    "curves": CURVES,
}


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook whose first cells a machine runs, and whose last cells a person runs.

    Beside it stand the kinds of the messages that each cell sent.
    """
    sources = [*CELLS.values(), *PERSON_CELLS.values()]
    built = new_notebook(cells=[new_code_cell(source) for source in sources])
    folder = str(tmp_path_factory.mktemp("notebook"))
    client = NotebookClient(
        built, kernel_name="python3", timeout=60, resources={"metadata": {"path": folder}}
    )
    kinds = [[] for _ in built.cells]
    process = client.process_message

    def noting(message, cell, place):
        kinds[place].append(message["msg_type"])
        return process(message, cell, place)

    client.process_message = noting
    with client.setup_kernel():
        for place, cell in enumerate(built.cells):
            client.kc.allow_stdin = place >= len(CELLS)
            client.execute_cell(cell, place)
    client.set_widgets_metadata()
    return built, kinds


@pytest.fixture
def notebook(executed):
    return executed[0]


def outputs(notebook, name):
    return notebook.cells[list(CELLS).index(name)].outputs


def person_outputs(notebook, name):
    return notebook.cells[len(CELLS) + list(PERSON_CELLS).index(name)].outputs


def only(found):
    assert len(found) == 1, found
    return found[0]["data"]


def test_the_header_tells_people_and_machines_what_is_running(notebook):
    data = only(outputs(notebook, "start"))
    assert "Lesson 00 · Start here" in data["text/html"]
    record = data[LESSON_MIME]
    assert record["lesson"] == "00_start_here"
    assert (record["profile"], record["dataset"], record["seed"]) == ("smoke", "synthetic", 3)
    assert record["parameters"] == {}
    assert {"python", "torch", "torchvision", "numpy", "course-utils"} <= set(record["versions"])


def test_a_person_answers_a_prediction_with_buttons_and_sees_it_again(notebook):
    assert WIDGET_MIME in only(person_outputs(notebook, "prediction"))
    assert "You said <strong>two</strong>." in only(person_outputs(notebook, "reveal"))["text/html"]


def test_metrics_are_stored_unrounded_and_shown_rounded(notebook):
    data = only(outputs(notebook, "metric"))
    assert data["text/plain"] == "val/iou = 0.1235"
    assert data[METRIC_MIME] == {"name": "val/iou", "value": 0.123456, "unit": None}


def test_only_a_person_may_record_a_metric_again(notebook):
    assert "recorded already" in outputs(notebook, "same metric in another cell")[0]["text"]
    batch = new_notebook(cells=notebook.cells[: len(CELLS)])
    assert read_metrics(batch) == {"val/iou": 0.123456}
    assert only(person_outputs(notebook, "metric"))["text/plain"] == "val/iou = 0.3"


@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("stub", "not_attempted", "come back later"),
        ("wrong", "incorrect", "number"),
        ("right", "correct", "5 of 80"),
        ("error", "error", "line 3 of the cell, in lazy: return 1 / 0\nZeroDivisionError"),
    ],
)
def test_a_check_shows_one_card_and_stores_its_outcome(notebook, name, outcome, said):
    data = only(outputs(notebook, name))
    assert data[EXERCISE_MIME]["outcome"] == outcome
    assert said in data[EXERCISE_MIME]["message"]
    assert "<strong>" in data["text/html"]


def test_question_hint_and_quiz_are_shown_once(notebook):
    assert "between 0 and 1" in only(outputs(notebook, "question"))["text/html"]
    assert "Hint 1 of 3" in only(outputs(notebook, "hint"))["text/plain"]
    assert only(outputs(notebook, "quiz"))["text/html"].count("<details") == 12


def test_a_machine_gets_the_fixed_figures_with_alternative_text(notebook):
    found = outputs(notebook, "explore")
    assert "JupyterLab" in found[0]["data"]["text/html"]
    figures = [output for output in found if "image/png" in output["data"]]
    texts = [figure["metadata"]["image/png"]["alt"] for figure in figures]
    assert texts == ["A line (gamma = 1)", "A line (gamma = 2)"]
    assert not any(WIDGET_MIME in output["data"] for output in found)


def test_a_person_gets_sliders_and_each_error_where_the_figure_would_be(notebook):
    assert WIDGET_MIME in only(person_outputs(notebook, "sliders"))
    (shown,) = person_outputs(notebook, "error at the first drawing")
    assert shown["text"] == "raised: five is too much\n"
    state = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    panels = [w["state"]["outputs"] for w in state.values() if w["model_name"] == "OutputModel"]
    errors = [shown for panel in panels for shown in panel if shown["output_type"] == "error"]
    assert "five is too much" in errors[0]["evalue"]
    figures = [shown for panel in panels for shown in panel if "image/png" in shown.get("data", {})]
    assert len(figures) == 1  # the one of the cell before


def test_curves_are_one_stored_figure_with_and_without_a_person(executed, notebook):
    for found in (outputs(notebook, "curves"), person_outputs(notebook, "curves")):
        (output,) = found
        assert output["metadata"]["image/png"]["alt"] == "Both fall."
        assert output["data"]["text/plain"] == "Both fall."
        png = Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"])))
        assert png.width == 900
    machine, person = executed[1][len(CELLS) - 1], executed[1][-1]
    assert [kinds.count("display_data") for kinds in (machine, person)] == [1, 1]
    assert "update_display_data" not in machine
    assert "update_display_data" in person
