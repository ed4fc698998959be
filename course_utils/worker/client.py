"""The client of a kernel: papermill's, with limits of what a cell prints, shows, uses, how long."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import nbformat
from nbclient.util import ensure_async
from papermill.clientwrap import PapermillNotebookClient

PRINTED_LIMIT = 1_000_000  # characters of text that one cell may print; the rest is dropped
SHOWN_LIMIT = 50_000_000  # characters of pictures and tables that one notebook may show; likewise
MESSAGE_SIZE = 100  # characters that each piece of print costs in the file beside its text
ERROR_LIMIT = 20_000  # characters of an error, and of a line of its traceback
INTERRUPTS = 3  # so often a cell that takes too long is interrupted: code may swallow the first
INTERRUPT_EVERY = 5  # seconds, or the cell's own limit where that is less


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


class Client(PapermillNotebookClient):  # type: ignore[misc]  # papermill has no types
    """papermill's client; of what a cell prints it keeps the first `PRINTED_LIMIT` characters.

    All else that a cell shows is kept, pictures and metrics among it. A cell that takes longer
    than `cell_seconds` is interrupted and appended to `slow`; `StuckCellError` if that is in vain.
    """

    def __init__(
        self,
        manager: Any,
        *,
        largest_file: int | None = None,
        memory: int | None = None,
        cell_seconds: float | None = None,
        slow: list[SlowCell] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(manager, **options)
        self.interrupt_on_timeout = True
        self.timeout_func = lambda cell: cell_seconds  # of cells alone, and not only whole seconds
        self._limits = {"RLIMIT_FSIZE": largest_file, "RLIMIT_DATA": memory}
        self._shown_left = SHOWN_LIMIT
        self._slow = [] if slow is None else slow
        self._left, self._left_out = PRINTED_LIMIT, 0
        self._interrupted = self._stuck = False

    def start_new_kernel(self, **options: Any) -> None:
        """Start a kernel whose files, and whose memory, cannot outgrow their limits."""
        with _at_most(self._limits):  # the kernel inherits them
            super().start_new_kernel(**options)

    def execute_cell(self, cell: Any, index: int, **options: Any) -> Any:
        """Execute a cell; note in its output what was cut or interrupted."""
        self._left, self._left_out = PRINTED_LIMIT, 0
        self._interrupted = self._stuck = False
        try:
            return super().execute_cell(cell, index, **options)
        finally:
            if self._left_out:
                _note(cell, f"{self._left_out:,} more characters were printed or shown: left out")
            if self._interrupted:
                _note(cell, f"interrupted after {self.timeout_func(cell):g} s, the limit of a cell")  # type: ignore[no-untyped-call]
                code = [each for each in self.nb.cells[: index + 1] if each.cell_type == "code"]
                self._slow.append(SlowCell(len(code), cell, self._stuck))

    def process_message(self, message: Any, cell: Any, index: int) -> Any:
        """Take what the kernel says, and drop text beyond the limit."""
        kind, content = message["msg_type"], message["content"]
        in_a_widget = self.output_hook_stack[message["parent_header"].get("msg_id")]
        if kind == "clear_output" and not in_a_widget:
            self._left, self._left_out = PRINTED_LIMIT, 0
        elif kind == "stream":
            kept = content["text"][: max(0, self._left)]
            self._left_out += len(content["text"]) - len(kept)
            self._left -= len(content["text"]) + MESSAGE_SIZE
            if not kept:
                return None
            content["text"] = kept
        elif kind == "error":
            content["evalue"] = content["evalue"][:ERROR_LIMIT]
            content["traceback"] = [line[:ERROR_LIMIT] for line in content["traceback"][-100:]]
        elif "data" in content:
            size = len(json.dumps(content["data"], default=str))
            if size > self._shown_left:
                self._left_out += size
                return None
            self._shown_left -= size
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
def _at_most(limits: Mapping[str, int | None]) -> Iterator[None]:
    """Limit what each process that is started meanwhile may use; not on Windows.

    `limits` are by names of the module `resource`; None changes nothing.
    """
    try:
        import resource
    except ModuleNotFoundError:
        yield
        return
    before = {}
    for name, limit in limits.items():
        kind = getattr(resource, name)
        before[kind] = now, most = resource.getrlimit(kind)
        known = [each for each in (limit, now, most) if each not in (None, resource.RLIM_INFINITY)]
        resource.setrlimit(kind, (min(known, default=resource.RLIM_INFINITY), most))
    try:
        yield
    finally:
        for kind, values in before.items():
            resource.setrlimit(kind, values)
