"""The guard says what nbval keeps quiet about."""

import subprocess
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbval_session import run_nbval

TAG = {"tags": ["nbval-check-output"]}


def fact(source: str = "print(6 * 7)", stored: str | None = "42\n", count: int | None = 1):
    """A tagged cell that prints 42, with what is stored for it."""
    outputs = [] if stored is None else [new_output("stream", name="stdout", text=stored)]
    return new_code_cell(source, metadata=TAG, outputs=outputs, execution_count=count)


def write(folder: Path, name: str, *cells, declared: int | None = 1) -> Path:
    course = {} if declared is None else {"course": {"compared_cells": declared}}
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=list(cells), metadata=course), path)
    return path


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> subprocess.CompletedProcess[str]:
    return run_nbval(write(tmp_path_factory.mktemp("clean"), "clean", fact()))


@pytest.fixture(scope="module")
def quiet_faults(tmp_path_factory) -> subprocess.CompletedProcess[str]:
    """Notebooks that nbval on its own calls good."""
    folder = tmp_path_factory.mktemp("quiet")
    picture = new_output("display_data", data={"image/png": "iVBORw0KGgo="})
    skipped = fact()
    skipped.metadata = {"tags": ["nbval-check-output", "nbval-skip"]}
    return run_nbval(
        write(folder, "lost_tag", new_code_cell("1 + 1", execution_count=1)),
        write(folder, "unrun", fact(stored=None, count=None)),
        write(folder, "no_output", fact("x = 1", stored=None), fact(), declared=1),
        write(
            folder,
            "picture_only",
            new_code_cell(
                "from IPython.display import display\n"
                "display({'image/png': 'iVBORw0KGgo='}, raw=True)",
                metadata=TAG,
                outputs=[picture],
                execution_count=1,
            ),
        ),
        write(folder, "skipped", skipped),
        write(folder, "undeclared", fact(), declared=None),
    )


@pytest.fixture(scope="module")
def loud_faults(tmp_path_factory) -> subprocess.CompletedProcess[str]:
    folder = tmp_path_factory.mktemp("loud")
    death = new_code_cell("import os; os._exit(3)")
    return run_nbval(
        write(folder, "changed", fact(stored="41\n")),
        write(folder, "deleted", fact(stored=None)),
        write(folder, "death", fact(), death, fact(), declared=2),
    )


def test_a_clean_notebook_passes(clean) -> None:
    assert clean.returncode == 0, clean.stdout
    assert "1 tagged cells compared, 0 problems" in clean.stdout


def test_faults_that_nbval_passes_fail_the_session(quiet_faults) -> None:
    assert " failed" not in quiet_faults.stdout
    assert quiet_faults.returncode == 1


@pytest.mark.parametrize(
    ("notebook", "message"),
    [
        ("lost_tag", "0 cells were compared, 1 are declared"),
        ("unrun", "tagged, but no output is stored"),
        ("no_output", "tagged, but no output is stored"),
        ("picture_only", "tagged, but no output is stored"),
        ("skipped", "tagged, but never compared"),
        ("undeclared", "the metadata lack course.compared_cells"),
    ],
)
def test_each_quiet_fault_is_named(quiet_faults, notebook: str, message: str) -> None:
    lines = [line for line in quiet_faults.stdout.splitlines() if line.startswith("GUARD")]
    assert any(f"{notebook}.ipynb" in line and message in line for line in lines), lines


@pytest.mark.parametrize("notebook", ["changed", "deleted"])
def test_a_stored_output_that_differs_fails(loud_faults, notebook: str) -> None:
    failed = [line for line in loud_faults.stdout.splitlines() if line.startswith("FAILED")]
    assert any(notebook in line for line in failed), loud_faults.stdout


def test_a_dead_kernel_fails_at_once_and_is_named(loud_faults) -> None:
    assert "GUARD death.ipynb: the kernel died in Cell 1" in loud_faults.stdout
    assert "GUARD death.ipynb: 1 cells were compared, 2 are declared" in loud_faults.stdout
    assert loud_faults.returncode == 1


def test_a_deselected_tagged_cell_fails_the_session(tmp_path: Path) -> None:
    notebook = write(tmp_path, "deselected", fact(), fact(), declared=2)
    session = run_nbval(notebook, options=("--deselect", f"{notebook.name}::Cell 1"))
    assert "deselected.ipynb, Cell 1: tagged, but never compared" in session.stdout
    assert session.returncode == 1
