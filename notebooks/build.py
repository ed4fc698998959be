"""Developer tool behind `make notebooks`: text source -> executed notebook.

    python notebooks/build.py            # every lesson
    python notebooks/build.py 01 02      # these
    python notebooks/build.py --text-only 01    # the words alone: outputs stay as they are

The text in `source/` is what we edit. A notebook is executed at laptop profile on the CPU, in a
process of its own, without the real data sets, whose pictures may not be passed on, and replaces
the old one only when every cell ran. Cells tagged hide-input are folded. With `--text-only` nothing
runs: the code cells keep their outputs, and those whose code differs are printed, for a person to
decide whether the outputs still belong to them.
"""

import argparse
import difflib
import hashlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from course_utils.io import write_atomic
from course_utils.runs import Limits, Outcome, run_notebook

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "source"
TAG = "nbval-check-output"
FOLDED = "hide-input"
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "name": "python", "pygments_lexer": "ipython3"}
TIMEOUT = 2700  # seconds; a lesson at laptop profile may take 10 minutes on 4 cores


def build(source: Path, target: Path, profile: str = "laptop") -> str:
    """Execute one source into `target`; return "" or one sentence about what went wrong."""
    notebook = from_source(source)
    wrong = contradiction(notebook)
    if wrong:
        return wrong
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as scratch:
        draft, done = Path(scratch, source.with_suffix(".ipynb").name), Path(scratch, "done.ipynb")
        nbformat.write(notebook, draft)
        result = run_notebook(
            draft,
            done,
            workdir=Path(scratch, "work"),
            limits=Limits(seconds=TIMEOUT),
            environment={
                "COURSE_PROFILE": profile,
                "COURSE_DEVICE": "cpu",
                # Without real sets: their pictures may not be stored in a notebook.
                "COURSE_DATA_ROOT": str(Path(scratch, "data")),
            },
            on_cell=lambda cell, cells: print(f"\r  cell {cell} of {cells} ", end="", flush=True),
        )
        print(f"\r  {result.seconds:.0f} s{' ' * 20}")
        if result.outcome != Outcome.OK:
            failure = result.failure
            shown = f"\n{failure.source}\n\n{failure.excerpt}" if failure else ""
            return f"{result.outcome}: {result.message}{shown}"
        _write(nbformat.read(done, as_version=4), target)
    return ""


def keep_outputs(source: Path, target: Path) -> str:
    """Put an edited source into an executed notebook; return "" or what went wrong.

    Outputs stay with the code cells in their order. Prints how the code of each cell has changed.
    """
    notebook, executed = from_source(source), nbformat.read(target, as_version=4)
    wrong = contradiction(notebook)
    if wrong:
        return wrong
    cells, before = (
        [cell for cell in one.cells if cell.cell_type == "code"] for one in (notebook, executed)
    )
    if len(cells) != len(before):
        return (
            f"{len(before)} code cells were executed, {len(cells)} are there now: "
            "leave out --text-only"
        )
    for number, (cell, old) in enumerate(zip(cells, before, strict=True), start=1):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
        if cell.source != old.source:
            print(f"  code cell {number} has changed:")
            was, now = old.source.splitlines(), cell.source.splitlines()
            changes = list(difflib.unified_diff(was, now, n=0, lineterm=""))
            print(*(f"    {line}" for line in changes[2:]), sep="\n")
    _write(notebook, target)
    return ""


def from_source(source: Path) -> NotebookNode:
    """Read a py:percent file as a notebook without outputs; the same text gives the same file."""
    notebook = jupytext.read(source, fmt="py:percent")
    about = notebook.metadata.get("course", {})
    notebook.metadata = NotebookNode(
        {"course": about, "kernelspec": KERNEL, "language_info": LANGUAGE}
    )
    seen: set[str] = set()
    for cell in notebook.cells:
        cell.id = _identity(cell.source, seen)
        cell.metadata = NotebookNode(
            {key: cell.metadata[key] for key in ("tags", "jupyter") if key in cell.metadata}
        )
        if FOLDED in cell.metadata.get("tags", []):
            cell.metadata.jupyter = NotebookNode({"source_hidden": True})
    return notebook


def contradiction(notebook: NotebookNode) -> str:
    """Return what the header says wrongly of the notebook, or ""."""
    about = notebook.metadata.course
    wanted = ("title", "summary", "minutes_reading", "minutes_exercises", "compared_cells")
    missing = [key for key in wanted if key not in about]
    if missing:
        return f"the header lacks course.{', course.'.join(missing)}"
    tagged = sum(TAG in cell.metadata.get("tags", []) for cell in notebook.cells)
    if tagged != about.compared_cells:
        return f"{tagged} cells are tagged {TAG}, the header says {about.compared_cells}"
    return ""


def stable(notebook: NotebookNode) -> NotebookNode:
    """Drop what differs from run to run without meaning anything: times, widget states, paths."""
    notebook.metadata = NotebookNode(
        {"course": notebook.metadata.course, "kernelspec": KERNEL, "language_info": LANGUAGE}
    )
    for cell in notebook.cells:
        cell.metadata = NotebookNode(
            {key: cell.metadata[key] for key in ("tags", "jupyter") if key in cell.metadata}
        )
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if WIDGET not in out.get("data", {})]
    return notebook


def _write(notebook: NotebookNode, target: Path) -> None:
    write_atomic(target, nbformat.writes(stable(notebook)).rstrip("\n") + "\n")


def _identity(text: str, seen: set[str]) -> str:
    """Name a cell by its text, so that editing one cell leaves the others' names alone."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    name, number = digest, 1
    while name in seen:
        number += 1
        name = f"{digest}-{number}"
    seen.add(name)
    return name


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the chosen lessons; 1 if any of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="numbers or names; all if none")
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--text-only", action="store_true", help="run nothing, keep the outputs")
    given = parser.parse_args(arguments)
    sources = sorted(SOURCE.glob("[0-9][0-9]_*.py"))
    chosen = [path for path in sources if not given.lessons or _named(path, given.lessons)]
    if not chosen:
        known = ", ".join(path.stem for path in sources) or "none yet"
        parser.error(f"no such lesson: the sources are {known}")
    bad = 0
    for source in chosen:
        print(source.stem)
        target = FOLDER / f"{source.stem}.ipynb"
        if given.text_only:
            wrong = keep_outputs(source, target)
        else:
            wrong = build(source, target, given.profile)
        if wrong:
            bad += 1
            print(f"  not built: {wrong}", file=sys.stderr)
    return 1 if bad else 0


def _named(path: Path, names: Sequence[str]) -> bool:
    stems = [Path(name).stem for name in names]
    return path.stem in stems or path.stem.split("_")[0] in stems


if __name__ == "__main__":
    sys.exit(main())
