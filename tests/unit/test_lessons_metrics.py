"""A recorded metric is one finite number with a unique name, and can be read back."""

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output

from course_utils.lessons import METRIC_MIME, metrics, read_metrics, record_metric, record_metrics
from course_utils.runs.run import read_results


@pytest.fixture(autouse=True)
def _new_run():
    metrics.forget_metrics()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3, "3"),
        (0.123456, "0.1235"),
        (np.float32(0.5), "0.5"),
        (np.int64(12345678), "12345678"),
        (torch.tensor(1e-7), "1e-07"),
        (np.array(2.0), "2"),
    ],
)
def test_one_number_is_taken_and_shown_with_four_digits(capsys, value, shown):
    record_metric("m", value)
    assert capsys.readouterr().out == f"m = {shown}\n"
    record_metric("test/time", value, unit="s", note="one run")
    assert capsys.readouterr().out == f"test/time = {shown} s  (one run)\n"


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), True, np.bool_(True), torch.tensor(True), "1", None, [1.0],
     np.zeros(1), 1j],
)  # fmt: skip
def test_anything_but_one_finite_number_is_refused(value):
    with pytest.raises(ValueError, match="one finite number"):
        record_metric("m", value)
    record_metric("m", 1)  # the name was not used up


@pytest.mark.parametrize("name", ["", "IoU", "dice score", "ä", "a\n", None])
def test_names_that_are_no_slugs_are_refused(name):
    with pytest.raises(ValueError, match="must be made of"):
        record_metric(name, 1)


@pytest.mark.parametrize(
    ("present", "executions", "allowed"),
    [
        (True, ("1", "2"), True),  # a person runs a cell again
        (True, ("1", "1"), False),  # a loop in one cell
        (False, ("1", "2"), False),  # two cells of a batch
    ],
)
def test_only_a_person_who_runs_a_cell_again_may_reuse_a_name(
    monkeypatch, present, executions, allowed
):
    monkeypatch.setattr(metrics, "is_interactive", lambda: present)
    for number, execution in enumerate(executions):
        monkeypatch.setattr(metrics, "execution_id", lambda execution=execution: execution)
        if number == 1 and not allowed:
            with pytest.raises(ValueError, match="recorded already"):
                record_metric("m", number)
        else:
            record_metric("m", number)


def notebook_with(*recorded):
    outputs = [
        new_output("display_data", {METRIC_MIME: {"name": n, "value": v, "unit": None}})
        for n, v in recorded
    ]
    other = new_output("stream", text="not a metric")
    return new_notebook(cells=[new_code_cell(outputs=[other, *outputs])])


@given(st.dictionaries(st.from_regex(r"[a-z0-9_./-]+", fullmatch=True), st.floats(-1e9, 1e9)))
def test_metrics_are_read_back_as_recorded(recorded):
    assert read_metrics(notebook_with(*recorded.items())) == recorded


def test_metrics_are_read_from_a_file(tmp_path):
    nbformat.write(notebook_with(("iou", 0.25)), tmp_path / "n.ipynb")
    assert read_metrics(tmp_path / "n.ipynb") == {"iou": 0.25}
    with pytest.raises(FileNotFoundError):
        read_metrics(tmp_path / "absent.ipynb")
    with pytest.raises(ValueError, match="'iou' twice"):
        read_metrics(notebook_with(("iou", 0.25), ("iou", 0.5)))


def test_several_metrics_are_one_line_and_read_back_as_each(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(metrics, "show_bundle", shown.append)
    record_metrics({"a/iou": 0.25, "b/iou": np.float32(0.5)}, note="test")
    assert shown[0]["text/plain"] == "a/iou = 0.25, b/iou = 0.5  (test)"
    output = new_output("display_data", shown[0])
    notebook = new_notebook(cells=[new_code_cell(outputs=[output])])
    assert read_metrics(notebook) == {"a/iou": 0.25, "b/iou": 0.5}
    assert [metric["name"] for metric in read_results(notebook)[0]] == ["a/iou", "b/iou"]


def test_of_several_metrics_none_is_recorded_if_one_is_refused():
    with pytest.raises(ValueError, match="one finite number"):
        record_metrics({"a": 1, "b": float("nan")})
    record_metrics({"a": 1})
