"""A notebook through papermill: an engine that reports which cell starts, and whole files."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.engines import Engine, papermill_engines
from papermill.iorw import papermill_io
from papermill.log import logger

from course_utils.config import python_path
from course_utils.worker.client import Client, SlowCell

FLOOD_TIMEOUT = 600  # seconds to wait for what a cell has printed, once it has ended
# A kernel that is told to end says so from one thread while another stops all output; when they
# meet, both wait for each other until somebody kills it, three seconds later (ipykernel 7). So the
# second gives the first .05 s.
WAIT_AT_END = "__import__('atexit').register(__import__('time').sleep, 0.05)"


def execute(
    request: dict[str, Any], send: Callable[..., None], slow: list[SlowCell]
) -> nbformat.NotebookNode:
    """Run papermill with the request's notebook, output, parameters and working directory.

    Cells that took longer than the request allows are appended to `slow`.
    """
    # Only for the kernel: this process looks for its modules where it did before.
    os.environ["PIP_TARGET"] = packages = request["packages"]
    os.environ["PYTHONPATH"] = os.pathsep.join([packages, *python_path()])
    papermill_io.register(request["output"], WholeFiles())
    _register_engine(send, slow, request)
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


class UnwrittenError(OSError):
    """The executed notebook could not be written: the disk is full, for example."""


class WholeFiles:
    """Writes the executed notebook for papermill: a reader finds the last whole one, or this."""

    def write(self, text: str, path: str) -> None:
        """Replace the file at `path`."""
        part = Path(f"{path}.part")
        try:
            part.write_text(text, encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)  # gives its space back to whoever else writes
            raise UnwrittenError(str(error)) from error

    def pretty_path(self, path: str) -> str:
        """Return how papermill's log calls the file."""
        return path


def _register_engine(
    send: Callable[..., None], slow: list[SlowCell], request: dict[str, Any]
) -> None:
    class ReportingEngine(Engine):  # type: ignore[misc]  # papermill has no types
        """papermill's engine with the client above; it also reports which cell has started."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            code = [i for i, cell in enumerate(nb_man.nb.cells) if cell.cell_type == "code"]
            start = nb_man.cell_start

            def cell_start(cell: Any, cell_index: int, **values: Any) -> None:
                start(cell, cell_index, **values)  # writes the notebook: report only after that
                if cell_index in code:
                    send("cell", cell=code.index(cell_index) + 1, cells=len(code))

            nb_man.cell_start = cell_start
            client = Client(
                nb_man,
                largest_file=request["largest_file"],
                memory=request["memory"],
                cell_seconds=request["cell_seconds"],
                slow=slow,
                kernel_name=kernel_name,
                startup_timeout=options["start_timeout"],
                extra_arguments=[f"--IPKernelApp.exec_lines={WAIT_AT_END}"],
                iopub_timeout=FLOOD_TIMEOUT,
                log=logger,
            )
            return client.execute()

    papermill_engines.register("course", ReportingEngine)
