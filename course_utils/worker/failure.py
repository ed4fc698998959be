"""Which cell failed first, and what is reported of it."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import nbformat

from course_utils.worker.client import SlowCell

ERROR_LIMIT = 2_000  # characters of an error's text
EXCERPT_LINES = 14
OUT_OF_MEMORY = re.compile(
    r"(MemoryError|_ArrayMemoryError|OutOfMemoryError): "  # Python, NumPy, torch on a GPU
    r"|CUDA error: out of memory"
    r"|DefaultCPUAllocator: (can't allocate|not enough) memory"  # torch: a RuntimeError
    r"|\[Errno 12\]"  # the system: no memory for a process or a file mapping
    r"|Insufficient memory"  # OpenCV
)
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


def of_errors(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """Return the end of a run by errors: its outcome and failure are those of the first."""
    errors = [(cell, error) for cell in notebook.cells if (error := _error_of(cell))]
    cell, error = errors[0]
    failure = {
        "cell": cell.execution_count or 0,
        "source": cell.source,
        "error": f"{error.ename}: {error.evalue}"[:ERROR_LIMIT],
        "excerpt": _last_lines(error.traceback),
    }
    later = len(errors) - 1
    message = f"cell {failure['cell']}: {failure['error']}"
    if later:
        message += f", and {later} later cell{'s' if later > 1 else ''}"
    if OUT_OF_MEMORY.search(failure["error"]):
        return {
            "outcome": "out-of-memory",
            "message": f"no memory left in {message}",
            "failure": failure,
        }
    return {"outcome": "error", "message": message, "failure": failure}


def _error_of(cell: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """Return the first error of a cell that ends a run for papermill."""
    for output in cell.get("outputs", []):
        is_error = output.output_type == "error"
        if is_error and not (output.ename == "SystemExit" and output.evalue in ("", "0")):
            return output
    return None


def of_slow_cells(slow: Sequence[SlowCell], cell_seconds: float) -> dict[str, Any]:
    """Return the end of a run in which cells took longer than `cell_seconds`."""
    numbers = [str(each.position) for each in slow]
    which = f"cell {numbers[0]}"
    if len(slow) > 1:
        which = f"cells {', '.join(numbers[:-1])} and {numbers[-1]}"
    message = f"{which} took longer than {cell_seconds:g} s and had to be interrupted"
    if slow[-1].stuck:
        message += f"; cell {numbers[-1]} did not end even then, and what follows it was not run"
    cell = slow[0].cell
    errors = [output for output in cell.outputs if output.output_type == "error"]
    traceback = errors[-1].traceback if errors else []
    failure = {
        "cell": cell.execution_count or slow[0].position,
        "source": cell.source,
        "error": f"interrupted after {cell_seconds:g} s",
        "excerpt": _last_lines(traceback),
    }
    return {"outcome": "timeout", "message": message, "failure": failure}


def _last_lines(traceback: Iterable[str]) -> str:
    lines = _COLOR.sub("", "\n".join(traceback)).rstrip().splitlines()
    return "\n".join(line[:ERROR_LIMIT] for line in lines[-EXCERPT_LINES:])
