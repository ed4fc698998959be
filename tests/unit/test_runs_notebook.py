"""One notebook in a process of its own: the verdict, the limits, what is left behind."""

import sys
from pathlib import Path

import nbformat
import psutil
import pytest
from tiny_notebooks import METRIC, write_lesson

from course_utils.runs import Limits, Outcome, RunRecord, run_notebook


def run(folder: Path, *code: str) -> RunRecord:
    source = write_lesson(folder / "lessons", "90_tiny", *code)
    return run_notebook(source, folder / "done.ipynb", workdir=folder / "work")


def printed(result: RunRecord) -> str:
    notebook = nbformat.read(result.notebook, as_version=4)
    return "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )


def gone(pid: int) -> bool:
    """Tell whether a process has ended, or ends within seconds of having been told to."""
    try:
        psutil.Process(pid).wait(timeout=10)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_a_run_has_its_own_parameters_directory_and_environment(tmp_path: Path) -> None:
    here = Path.cwd()
    seen: list[tuple[int, int]] = []
    code = "import os, sys; print(seed, os.getcwd(), sys.prefix, os.environ['COURSE_PROFILE'])"
    source = write_lesson(tmp_path, "90_tiny", code)
    result = run_notebook(
        source,
        tmp_path / "done.ipynb",
        {"seed": 7},
        workdir=tmp_path / "work",
        environment={"COURSE_PROFILE": "smoke"},
        on_cell=lambda cell, cells: seen.append((cell, cells)),
    )
    assert result.outcome == Outcome.OK
    assert result.message == ""
    assert printed(result).split() == ["7", str(tmp_path / "work"), sys.prefix, "smoke"]
    assert seen == [(1, 3), (2, 3), (3, 3)]  # parameters, injected parameters, the code
    assert Path.cwd() == here


def test_a_relative_data_root_is_meant_from_where_the_run_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_DATA_ROOT", "sets")
    result = run(tmp_path, "import os; print(os.environ['COURSE_DATA_ROOT'])")
    assert printed(result).strip() == str(tmp_path / "sets")


def test_an_error_is_recorded_with_its_cell_and_the_end_of_its_traceback(tmp_path: Path) -> None:
    result = run(tmp_path, "def share(n):\n    return 1 / n", "share(0)", "print('never')")
    assert result.outcome == Outcome.ERROR
    assert result.failure is not None
    assert result.failure.source == "share(0)"
    assert result.failure.error == "ZeroDivisionError: division by zero"
    assert "return 1 / n" in result.failure.excerpt
    assert "\x1b" not in result.failure.excerpt
    assert "never" not in printed(result)


def test_a_notebook_that_leaves_early_is_no_success(tmp_path: Path) -> None:
    """papermill takes `sys.exit(0)` for a good end and skips the rest."""
    result = run(tmp_path, "import sys; sys.exit(0)", "print('never')")
    assert result.outcome == Outcome.ERROR
    assert "never executed" in result.message


def test_ctrl_c_ends_the_kernel_and_passes_through(tmp_path: Path) -> None:
    source = write_lesson(
        tmp_path / "lessons",
        "90_tiny",
        f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))",
        "while True: pass",
    )

    def interrupt(cell: int, cells: int) -> None:
        if cell == cells:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_notebook(source, tmp_path / "done.ipynb", workdir=tmp_path / "work", on_cell=interrupt)
    assert gone(int((tmp_path / "pid").read_text()))
    assert not (tmp_path / "done.ipynb").exists()


def test_metrics_and_the_last_verdict_on_each_exercise_are_recorded(tmp_path: Path) -> None:
    odd = (
        "for kind in ('metric', 'exercise'):\n"
        "    for bundle in (5, [1], {'value': 1}, {'name': 3, 'exercise': None}):\n"
        "        data = {f'application/vnd.course.{kind}+json': bundle, 'text/plain': ''}\n"
        "        display(data, raw=True)"
    )
    judged = (
        "for outcome in ('wrong', 'correct'):\n"
        "    bundle = {'exercise': 'iou', 'outcome': outcome}\n"
        "    data = {'application/vnd.course.exercise+json': bundle, 'text/plain': ''}\n"
        "    display(data, raw=True)"
    )
    record = run(tmp_path, METRIC, odd, judged)
    assert (record.outcome, record.lesson, record.attempt) == (Outcome.OK, "90_tiny", 1)
    assert record.metrics == ({"name": "iou", "value": 0.0, "unit": "share"},)
    assert record.exercises == ({"exercise": "iou", "outcome": "correct"},)


@pytest.mark.parametrize("name", ["seconds", "memory_gb", "written_gb", "cell_seconds"])
@pytest.mark.parametrize("value", [-1, 0, float("nan")])
def test_a_limit_that_is_not_above_zero_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"the limit {name} must be a number above 0, got {value}"):
        Limits(**{name: value})
