"""The tool behind `make notebooks`: edited words leave the outputs of a notebook where they are."""

import runpy
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

BUILD = runpy.run_path(str(Path(__file__).parents[2] / "notebooks" / "build.py"))
SOURCE = """\
# ---
# jupyter:
#   course:
#     title: One
#     summary: Of one cell.
#     minutes_reading: 1
#     minutes_exercises: 1
#     compared_cells: 0
# ---

# %% [markdown]
# # New words

# %%
print(6 * seven)
"""


def executed(path: Path, *sources: str) -> Path:
    """Write a notebook whose code cells have run."""
    cells = [
        new_code_cell(source, execution_count=i, outputs=[new_output("stream", text="42\n")])
        for i, source in enumerate(sources, start=1)
    ]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_new_words_keep_the_outputs_and_changed_code_is_shown(tmp_path, capsys):
    source, target = tmp_path / "90_one.py", executed(tmp_path / "90_one.ipynb", "print(6 * 7)")
    source.write_text(SOURCE)
    assert BUILD["keep_outputs"](source, target) == ""
    words, code = nbformat.read(target, as_version=4).cells
    assert words.source == "# New words"
    assert (code.source, code.execution_count) == ("print(6 * seven)", 1)
    assert code.outputs[0].text == "42\n"
    shown = capsys.readouterr().out
    assert "code cell 1 has changed" in shown
    assert "-print(6 * 7)\n    +print(6 * seven)" in shown
    assert BUILD["keep_outputs"](source, target) == ""
    assert capsys.readouterr().out == ""


def test_outputs_of_another_number_of_cells_are_not_kept(tmp_path):
    source, target = tmp_path / "90_one.py", executed(tmp_path / "90_one.ipynb", "a = 6", "a * 7")
    source.write_text(SOURCE)
    before = target.read_bytes()
    assert "2 code cells were executed, 1 are there now" in BUILD["keep_outputs"](source, target)
    assert target.read_bytes() == before
