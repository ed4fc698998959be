"""The child process that executes one notebook: `python -P worker.py`.

It imports nothing of the course, so that it starts fast.

It reads one line of JSON from its standard input (see `run.run_notebook`) and writes one line of
JSON per event to its standard output. When its standard input closes before the end, whoever
started it is gone, and it ends too.
"""

import json
import os
import re
import sys
import threading
from collections.abc import Callable
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

EXCERPT_LINES = 14
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def main() -> int:
    """Execute the notebook of the request; 0 only when every cell ran without an error."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the events

    def send(event: str, **values: Any) -> None:
        events.write(json.dumps({"event": event, **values}) + "\n")

    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        notebook = execute(request, send)
    except PapermillExecutionError as error:
        send("end", outcome="error", failure=_describe(error))
        return 1
    except DeadKernelError:
        send("end", outcome="killed", message="the kernel died")
        return 1
    not_run = unexecuted_cells(notebook)
    if not_run:
        send("end", outcome="error", message=f"{len(not_run)} cells were never executed")
        return 1
    send("end", outcome="ok")
    return 0


def execute(request: dict[str, Any], send: Callable[..., None]) -> nbformat.NotebookNode:
    """Run papermill with the request's notebook, output, parameters and working directory."""
    _register_engine(send)
    result: nbformat.NotebookNode = papermill.execute_notebook(
        request["source"],
        request["output"],
        parameters=request["parameters"],
        cwd=request["workdir"],
        engine_name="course",
        kernel_name="python3",
        progress_bar=False,
        start_timeout=request["start_timeout"],
        autosave_cell_every=0,
    )
    return result


def unexecuted_cells(notebook: nbformat.NotebookNode) -> list[int]:
    """Return the positions (from 0) of code cells that hold code and were not executed."""
    return [
        index
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None
    ]


def _register_engine(send: Callable[..., None]) -> None:
    class ReportingEngine(NBClientEngine):
        """papermill's own engine; it also tells which cell has started."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
            code = [i for i, cell in enumerate(nb_man.nb.cells) if cell.cell_type == "code"]
            start = nb_man.cell_start

            def cell_start(cell: Any, cell_index: int, **values: Any) -> None:
                start(cell, cell_index, **values)  # writes the notebook: tell only after that
                if cell_index in code:
                    send("cell", cell=code.index(cell_index) + 1, cells=len(code))

            nb_man.cell_start = cell_start
            return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)

    papermill_engines.register("course", ReportingEngine)


def _describe(error: PapermillExecutionError) -> dict[str, Any]:
    lines = _COLOUR.sub("", "\n".join(error.traceback)).rstrip().splitlines()
    return {
        "cell": error.exec_count or 0,
        "source": error.source,
        "error": f"{error.ename}: {error.evalue}",
        "excerpt": "\n".join(lines[-EXCERPT_LINES:]),
    }


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)  # the kernel watches this process and follows


if __name__ == "__main__":
    sys.exit(main())
