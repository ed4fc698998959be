"""Small lessons for tests of what runs, renders and lists lessons."""

from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

METRIC = """from IPython.display import display
bundle = {"name": "iou", "value": 0.25 * seed, "unit": "share"}
display({"application/vnd.course.metric+json": bundle, "text/plain": "iou"}, raw=True)"""


def write_lesson(folder: Path, name: str, *code: str, **about: Any) -> Path:
    """Write a lesson with a title, a parameters cell and the given code cells."""
    course = {
        "title": f"Lesson {name}",
        "summary": "What it is for.",
        "minutes_reading": 5,
        "minutes_exercises": 3,
        "compared_cells": 0,
        **about,
    }
    parameters = 'profile = "auto"\ndataset = "synthetic"\nseed = 0\ngamma = 2.0'
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# A title\n\nThe loss is $x^2$."),
            new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            *(new_code_cell(source) for source in code),
        ],
        metadata={
            "course": course,
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        },
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path
