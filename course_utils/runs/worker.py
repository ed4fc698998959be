"""The child process that executes one notebook: `python -P worker.py`.

It imports nothing of the course, so that it starts fast.

It reads one line of JSON from its standard input (see `run.run_notebook`) and writes one line of
JSON per event to its standard output. When its standard input closes before the end, whoever
started it is gone, and it ends too, with all that it has started.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What others load if it is there, and a notebook never needs: checks of addresses and dates (one of
# them takes longer than all the rest, 1.4 s), and remote disks. None makes an import of it fail.
if __name__ == "__main__":
    for unneeded in ("rfc3987_syntax", "rfc3986_validator", "isoduration", "pyarrow"):
        sys.modules[unneeded] = None  # type: ignore[assignment]

import nbformat
import papermill
import psutil
from nbclient.exceptions import DeadKernelError
from nbclient.util import ensure_async
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import papermill_io
from papermill.log import logger

PRINTED_LIMIT = 1_000_000  # characters of text that one cell may print; the rest is dropped
MESSAGE_SIZE = 100  # characters that each piece of print costs in the file beside its text
FLOOD_TIMEOUT = 600  # seconds to wait for what a cell has printed, once it has ended
INTERRUPTS = 3  # so often a cell that takes too long is told to end: code may swallow the first
INTERRUPT_EVERY = 5  # seconds, or the cell's own limit where that is less
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
    slow: list[SlowCell] = []
    try:
        notebook = execute(request, send, slow)
    except (PapermillExecutionError, StuckCellError) as error:
        if slow or isinstance(error, StuckCellError):
            return _end_with_slow_cells(slow, request["cell_seconds"], send)
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
    if slow:  # and they swallowed their interrupts, so that there was no error
        return _end_with_slow_cells(slow, request["cell_seconds"], send)
    not_run = unexecuted_cells(notebook)
    if not_run:
        send("end", outcome="error", message=f"{len(not_run)} cells were never executed")
        return 1
    send("end", outcome="ok")
    return 0


def execute(
    request: dict[str, Any], send: Callable[..., None], slow: "list[SlowCell]"
) -> nbformat.NotebookNode:
    """Run papermill with the request's notebook, output, parameters and working directory.

    Cells that took longer than the request allows are appended to `slow`.
    """
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


@dataclass(frozen=True)
class SlowCell:
    """A cell that was interrupted, having taken too long."""

    position: int
    """Among the code cells, from 1."""
    cell: nbformat.NotebookNode
    stuck: bool
    """It did not end when it was interrupted, so that the run ended with it."""


class StuckCellError(Exception):
    """A cell that took too long did not end when it was interrupted."""


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

    All else that a cell shows is kept, pictures and metrics among it. A cell that takes longer
    than `cell_seconds` is interrupted and appended to `slow`; `StuckCellError` if that is in vain.
    """

    def __init__(
        self,
        manager: Any,
        *,
        largest_file: int | None,
        cell_seconds: float | None = None,
        slow: list[SlowCell] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(manager, **options)
        self.interrupt_on_timeout = True
        self.timeout_func = lambda cell: cell_seconds  # of cells alone, and not only whole seconds
        self._largest_file = largest_file
        self._slow = [] if slow is None else slow
        self._room, self._left_out = PRINTED_LIMIT, 0
        self._interrupted = self._stuck = False

    def start_new_kernel(self, **options: Any) -> None:
        with _files_at_most(self._largest_file):  # the kernel inherits it
            super().start_new_kernel(**options)

    def execute_cell(self, cell: Any, index: int, **options: Any) -> Any:
        self._room, self._left_out = PRINTED_LIMIT, 0
        self._interrupted = self._stuck = False
        try:
            return super().execute_cell(cell, index, **options)
        finally:
            if self._left_out:
                _note(cell, f"{self._left_out:,} more characters were printed: left out")
            if self._interrupted:
                _note(cell, f"interrupted after {self.timeout_func(cell):g} s, the limit of a cell")
                code = [each for each in self.nb.cells[: index + 1] if each.cell_type == "code"]
                self._slow.append(SlowCell(len(code), cell, self._stuck))

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

    # nbclient calls this, and would wait for as long again after each of endless interrupts.
    async def _async_handle_timeout(self, timeout: float, cell: Any = None) -> None:
        self._interrupted = True
        for _ in range(INTERRUPTS):
            await ensure_async(self.km.interrupt_kernel())
            again = time.monotonic() + min(timeout, INTERRUPT_EVERY)
            while time.monotonic() < again:
                if await ensure_async(self.kc.shell_channel.msg_ready()):
                    return
                await asyncio.sleep(0.05)
        self._stuck = True
        await ensure_async(self.km.shutdown_kernel(now=True))  # deaf to politer ways, too
        raise StuckCellError


def _note(cell: Any, text: str) -> None:
    cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text=f"\n[{text}]\n"))


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


def _register_engine(
    send: Callable[..., None], slow: list[SlowCell], request: dict[str, Any]
) -> None:
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
                largest_file=request["largest_file"],
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


def _end_with_slow_cells(
    slow: list[SlowCell], cell_seconds: float, send: Callable[..., None]
) -> int:
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
    send("end", outcome="timeout", message=message, failure=failure)
    return 1


def _describe(error: PapermillExecutionError) -> dict[str, Any]:
    return {
        "cell": error.exec_count or 0,
        "source": error.source,
        "error": f"{error.ename}: {error.evalue}"[:ERROR_LIMIT],
        "excerpt": _last_lines(error.traceback),
    }


def _last_lines(traceback: Iterable[str]) -> str:
    lines = _COLOUR.sub("", "\n".join(traceback)).rstrip().splitlines()
    return "\n".join(line[:ERROR_LIMIT] for line in lines[-EXCERPT_LINES:])


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
