"""The child process that executes one notebook: `python -P worker.py`.

It imports nothing of the course, so that it starts fast.

It reads one line of JSON from its standard input (see `run.run_notebook`) and writes one line of
JSON per event to its standard output. When its standard input closes before the end, whoever
started it is gone, and it ends too, with all that it has started.
"""

import contextlib
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# What others load if it is there, and a notebook never needs: checks of addresses and dates (one of
# them takes longer than all the rest, 1.4 s), and remote disks. None makes an import of it fail.
if __name__ == "__main__":
    for unneeded in ("rfc3987_syntax", "rfc3986_validator", "isoduration", "pyarrow"):
        sys.modules[unneeded] = None  # type: ignore[assignment]

import nbformat  # noqa: E402
import papermill  # noqa: E402
import psutil  # noqa: E402
from nbclient.exceptions import DeadKernelError  # noqa: E402
from papermill.clientwrap import PapermillNotebookClient  # noqa: E402
from papermill.engines import Engine, papermill_engines  # noqa: E402
from papermill.exceptions import PapermillExecutionError  # noqa: E402
from papermill.iorw import papermill_io  # noqa: E402
from papermill.log import logger  # noqa: E402

PRINTED_LIMIT = 1_000_000  # characters of text that one cell may print; the rest is dropped
MESSAGE_SIZE = 100  # characters that each piece of print costs in the file beside its text
FLOOD_TIMEOUT = 600  # seconds to wait for what a cell has printed, once it has ended
ERROR_LIMIT = 2_000  # characters of an error's text
EXCERPT_LINES = 14
OUT_OF_MEMORY = re.compile(
    r"(MemoryError|_ArrayMemoryError|OutOfMemoryError): "  # Python, NumPy, torch on a GPU
    r"|CUDA error: out of memory"
    r"|DefaultCPUAllocator: (can't allocate|not enough) memory"  # torch: a RuntimeError
    r"|\[Errno 12\]"  # the system: no memory for a process or a file mapping
    r"|Insufficient memory"  # OpenCV
)
# A kernel that is told to end says so from one thread while another stops all output; when they
# meet, both wait for each other until somebody kills it, three seconds later (ipykernel 7). So the
# second gives the first .05 s.
WAIT_AT_END = "__import__('atexit').register(__import__('time').sleep, 0.05)"
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
        failure = _describe(error)
        short = OUT_OF_MEMORY.search(failure["error"])
        send("end", outcome="out-of-memory" if short else "error", failure=failure)
        return 1
    except UnwrittenError as error:
        send("end", outcome="error", message=f"the notebook could not be written: {error}")
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
    papermill_io.register(request["output"], WholeFiles())
    _register_engine(send, request["largest_file"])
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
        part = Path(f"{path}.part")
        try:
            part.write_text(text, encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)  # gives its room back to whoever else writes
            raise UnwrittenError(str(error)) from error

    def pretty_path(self, path: str) -> str:
        return path


class Client(PapermillNotebookClient):
    """papermill's client; of what a cell prints it keeps the first `PRINTED_LIMIT` characters.

    All else that a cell shows is kept, pictures and metrics among it.
    """

    def __init__(self, manager: Any, *, largest_file: int | None, **options: Any) -> None:
        super().__init__(manager, **options)
        self._largest_file = largest_file
        self._room, self._left_out = PRINTED_LIMIT, 0

    def start_new_kernel(self, **options: Any) -> None:
        with _files_at_most(self._largest_file):  # the kernel inherits it
            super().start_new_kernel(**options)

    def execute_cell(self, cell: Any, *args: Any, **options: Any) -> Any:
        self._room, self._left_out = PRINTED_LIMIT, 0
        try:
            return super().execute_cell(cell, *args, **options)
        finally:
            if self._left_out:
                note = f"\n[{self._left_out:,} more characters were printed: left out]\n"
                cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text=note))

    def process_message(self, message: Any, cell: Any, index: int) -> Any:
        kind, content = message["msg_type"], message["content"]
        in_a_widget = self.output_hook_stack[message["parent_header"].get("msg_id")]
        if kind == "clear_output" and not in_a_widget:
            self._room, self._left_out = PRINTED_LIMIT, 0
        elif kind == "stream":
            kept = content["text"][: max(0, self._room)]
            self._left_out += len(content["text"]) - len(kept)
            self._room -= len(content["text"]) + MESSAGE_SIZE
            if not kept:
                return None
            content["text"] = kept
        return super().process_message(message, cell, index)


@contextlib.contextmanager
def _files_at_most(size: int | None) -> Iterator[None]:
    """Limit the files of processes that are started meanwhile; not on Windows."""
    try:
        import resource
    except ModuleNotFoundError:
        size = None
    if size is None:
        yield
        return
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    lowest = min(limit for limit in (size, before, most) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_FSIZE, (lowest, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def _register_engine(send: Callable[..., None], largest_file: int | None) -> None:
    class ReportingEngine(Engine):
        """papermill's engine with the client above; it also tells which cell has started."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            code = [i for i, cell in enumerate(nb_man.nb.cells) if cell.cell_type == "code"]
            start = nb_man.cell_start

            def cell_start(cell: Any, cell_index: int, **values: Any) -> None:
                start(cell, cell_index, **values)  # writes the notebook: tell only after that
                if cell_index in code:
                    send("cell", cell=code.index(cell_index) + 1, cells=len(code))

            nb_man.cell_start = cell_start
            client = Client(
                nb_man,
                largest_file=largest_file,
                kernel_name=kernel_name,
                startup_timeout=options["start_timeout"],
                extra_arguments=[f"--IPKernelApp.exec_lines={WAIT_AT_END}"],
                iopub_timeout=FLOOD_TIMEOUT,
                timeout=None,
                log=logger,
            )
            return client.execute()

    papermill_engines.register("course", ReportingEngine)


def _describe(error: PapermillExecutionError) -> dict[str, Any]:
    lines = _COLOUR.sub("", "\n".join(error.traceback)).rstrip().splitlines()
    return {
        "cell": error.exec_count or 0,
        "source": error.source,
        "error": f"{error.ename}: {error.evalue}"[:ERROR_LIMIT],
        "excerpt": "\n".join(line[:ERROR_LIMIT] for line in lines[-EXCERPT_LINES:]),
    }


def _end_with_parent() -> None:
    sys.stdin.read()
    # The kernel watches this process and would follow, but not while its cell hangs.
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(1)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # all is written and told; tidying up takes a tenth of a second
