"""pytest plugin: what nbval lets pass silently becomes a failure.

    pytest -p nbval_guard --nbval-lax NOTEBOOK      (with this folder on PYTHONPATH)

nbval compares a tagged cell with nothing when the stored output was lost, marks every cell after a
time-out as expected to fail, waits out the whole time limit of a cell whose kernel has died, and
does not know how many comparisons there should have been. The guard fails the session when

- a tagged cell was never executed, never compared, or has nothing stored that could be compared;
- the kernel died;
- fewer cells were compared than the notebook's metadata declare (`course.compared_cells`).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

NOT_COMPARED = {"image/png", "image/jpeg", "application/vnd.jupyter.widget-view+json"}
POLL_EVERY = 1.0  # seconds between two looks at whether the kernel is alive
GUARD = pytest.StashKey["Guard"]()


class Guard:
    """What was seen of each notebook in this session."""

    def __init__(self) -> None:
        self.notebooks: dict[Path, IPyNbFile] = {}
        self.tagged: dict[Path, list[IPyNbCell]] = {}
        self.compared: set[str] = set()
        self.died: dict[Path, str] = {}

    def problems(self) -> list[str]:
        """Return a sentence for everything that nbval did not say."""
        found = [f"{path.name}: the kernel died in {cell}" for path, cell in self.died.items()]
        for path, notebook in self.notebooks.items():
            for cell in self.tagged[path]:
                if not _has_stored_output(cell):
                    found.append(f"{path.name}, {cell.name}: tagged, but no output is stored")
                elif cell.nodeid not in self.compared:
                    found.append(f"{path.name}, {cell.name}: tagged, but never compared")
            declared = notebook.nb.metadata.get("course", {}).get("compared_cells")
            count = sum(cell.nodeid in self.compared for cell in self.tagged[path])
            if declared is None:
                found.append(f"{path.name}: the metadata lack course.compared_cells")
            elif count < declared:
                found.append(f"{path.name}: {count} cells were compared, {declared} are declared")
        return found


def pytest_configure(config: pytest.Config) -> None:
    config.stash[GUARD] = Guard()


@pytest.hookimpl(tryfirst=True)  # before -k and --deselect take cells away
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    guard = config.stash[GUARD]
    for item in items:
        if not isinstance(item, IPyNbCell):
            continue
        guard.notebooks[item.path] = item.parent
        tagged = guard.tagged.setdefault(item.path, [])
        if item.options["check"]:
            tagged.append(item)
            item.compare_outputs = _counting(item, guard)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    if not isinstance(item, IPyNbCell):
        return (yield)
    guard = item.config.stash[GUARD]
    kernel = item.parent.kernel
    if kernel is not None and kernel.is_alive():
        kernel.await_reply = _impatient(kernel)
    try:
        return (yield)
    finally:
        if kernel is not None and not kernel.is_alive():
            guard.died.setdefault(item.path, item.name)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    if session.config.stash[GUARD].problems() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    guard = config.stash[GUARD]
    problems = guard.problems()
    terminalreporter.section("nbval guard", sep="-")
    for problem in problems:
        terminalreporter.write_line(f"GUARD {problem}", red=True)
    terminalreporter.write_line(
        f"{len(guard.compared)} tagged cells compared, {len(problems)} problems"
    )


def _counting(item: IPyNbCell, guard: Guard) -> Callable[..., bool]:
    compare = item.compare_outputs

    def compare_outputs(*args: Any, **kwargs: Any) -> bool:
        guard.compared.add(item.nodeid)
        return compare(*args, **kwargs)

    return compare_outputs


def _impatient(kernel: Any) -> Callable[..., None]:
    """Wait for a reply in short steps, so that a dead kernel is found at once."""
    wait = type(kernel).await_reply

    def await_reply(msg_id: str, timeout: float | None = None) -> None:
        start = monotonic()
        while True:
            try:
                return wait(kernel, msg_id, timeout=POLL_EVERY)
            except Empty:
                if not kernel.is_alive():
                    raise RuntimeError("Kernel died while it executed this cell") from None
                if timeout is not None and monotonic() - start >= timeout:
                    raise

    return await_reply


def _has_stored_output(item: IPyNbCell) -> bool:
    if item.cell.execution_count is None:
        return False
    kinds: set[str] = set()
    for output in item.cell.outputs:
        kinds |= set(output.get("data", {})) or {output.output_type}
    return bool(kinds - NOT_COMPARED)
