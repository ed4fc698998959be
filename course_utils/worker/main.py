"""Execute the notebook of a request, and report how it goes.

The process reads one line of JSON from its standard input (see `runs.run`) and writes one line of
JSON per event to its standard output. When its standard input closes before the end, whoever
started it is gone, and it ends too, with all that it has started.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import nbformat
import psutil
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from course_utils.worker import failure
from course_utils.worker.client import SlowCell, StuckCellError
from course_utils.worker.execute import UnwrittenError, execute, unexecuted_cells


def main() -> int:
    """Execute the notebook of the request; 0 only when every cell ran without an error."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the events

    def send(event: str, **values: Any) -> None:
        events.write(json.dumps({"event": event, **values}) + "\n")

    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    end = _end_of(request, send)
    send("end", **end)
    return 0 if end["outcome"] == "ok" else 1


def _end_of(request: dict[str, Any], send: Callable[..., None]) -> dict[str, Any]:
    slow: list[SlowCell] = []
    try:
        notebook = execute(request, send, slow)
    except (PapermillExecutionError, StuckCellError) as error:
        if isinstance(error, PapermillExecutionError) and not slow:
            return failure.of_errors(nbformat.read(request["output"], as_version=4))
    except UnwrittenError as error:
        return {"outcome": "error", "message": f"the notebook could not be written: {error}"}
    except DeadKernelError:
        return {"outcome": "killed", "message": "the kernel died"}
    if slow:  # with an error or, where the interrupts were swallowed, without
        return failure.of_slow_cells(slow, request["cell_seconds"])
    not_run = unexecuted_cells(notebook)
    if not_run:
        return {"outcome": "error", "message": f"{len(not_run)} cells were never executed"}
    return {"outcome": "ok"}


def _end_with_parent() -> None:
    sys.stdin.read()
    # The kernel watches this process and would follow, but not while its cell hangs.
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(1)
