"""Faults and limits of a run, each with a real kernel: what is ended, what is told, what stays."""

import importlib
import os
import select
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import nbformat
import psutil
import pytest
from tiny_notebooks import METRIC, write_lesson

from course_utils.lessons import METRIC_MIME
from course_utils.runs import Limits, Outcome, RunRecord, run_notebook, worker_process
from course_utils.runs.process_tree import ProcessTree
from course_utils.runs.run import LARGEST_BUNDLE, MOST_BUNDLES, read_results
from course_utils.runs.worker_process import folder_bytes
from course_utils.worker.client import (
    ERROR_LIMIT,
    MESSAGE_SIZE,
    PRINTED_LIMIT,
    SHOWN_LIMIT,
    Client,
)
from course_utils.worker.failure import OUT_OF_MEMORY

resource = pytest.importorskip("resource")  # none on Windows

# Starts a child that would live for ever, and notes the numbers of both.
BEAR = """import ctypes, os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
open({pids!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
print("begun", flush=True)"""
# Deaf to polite signals, and no Python thread of the process runs any more.
HANG = """open({fifo!r}, "w").close()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
ctypes.PyDLL(None).pause()"""
PRINT_A_LOT = f"""for _ in range(50_000):
    print("x" * 999)
{METRIC}"""
# Speaks as a worker does, without a kernel.
STAND_IN = """import json, os, signal, sys
events = sys.stdout
def tell(**values):
    print(json.dumps(values), flush=True)
"""
FILL_A_FILE = """written = 0
try:
    with open("../large", "wb", buffering=0) as file:
        for _ in range(6):
            written += file.write(bytes(1_000_000))
except OSError as error:
    print(written, error.strerror)"""


def run(folder: Path, *code: str, **settings: Any) -> RunRecord:
    source = write_lesson(folder / "lessons", "90_tiny", *code)
    return run_source(folder, source, **settings)


def run_source(folder: Path, source: Path, **settings: Any) -> RunRecord:
    given = {name: settings.pop(name) for name in vars(Limits()) if name in settings}
    limits, work = Limits(**{"seconds": 120, **given}), folder / "work"
    return run_notebook(
        source, folder / "done.ipynb", {"seed": 1}, workdir=work, limits=limits, **settings
    )


def cells(result: RunRecord) -> list[nbformat.NotebookNode]:
    notebook = nbformat.read(result.notebook, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def all_gone(pids: Path) -> bool:
    """Tell whether the kernel and its child have ended, or end soon: one is told to, or sees it."""
    numbers = [int(pid) for pid in pids.read_text().split()]
    assert len(numbers) == 2
    running = []
    for number in numbers:
        try:
            running.append(psutil.Process(number))
        except psutil.NoSuchProcess:
            continue
    left = psutil.wait_procs(running, timeout=20)[1]
    for process in left:
        process.kill()
    return not left


@pytest.fixture(scope="module")
def generous(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """A run that prints 50 MB, reports a metric, and writes 6 MB to a file where 3 are allowed."""
    folder = tmp_path_factory.mktemp("generous")
    return run(folder, PRINT_A_LOT, FILL_A_FILE, memory_gb=8, written_gb=0.003)


def test_what_a_cell_prints_is_cut_and_the_rest_is_counted(generous: RunRecord) -> None:
    assert (generous.outcome, generous.message) == (Outcome.OK, "")
    assert Path(generous.notebook).stat().st_size < 2 * PRINTED_LIMIT
    *_, chatty, _ = cells(generous)
    kept = sum(output.text.count("x") + output.text.count("\n") for output in chatty.outputs[:-2])
    assert 0.9 * PRINTED_LIMIT < kept <= PRINTED_LIMIT
    assert f"[{50_000_000 - kept:,} more characters" in chatty.outputs[-1].text


def test_a_metric_after_too_much_print_is_kept(generous: RunRecord) -> None:
    *_, chatty, _ = cells(generous)
    bundles = [output.data for output in chatty.outputs if output.output_type == "display_data"]
    assert [data["application/vnd.course.metric+json"]["value"] for data in bundles] == [0.25]


def test_one_file_cannot_outgrow_the_limit_between_two_looks(generous: RunRecord) -> None:
    assert printed(cells(generous)[-1]) == "3000001 File too large\n"


def test_the_highest_memory_is_recorded(generous: RunRecord) -> None:
    """A kernel and a worker take more than 0.05 GB together, in any version of Python."""
    assert 0.05 < generous.peak_memory_gb < 2


@pytest.fixture
def client() -> Client:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print()")])
    manager = SimpleNamespace(nb=notebook, autosave_cell=lambda: None)
    client = Client(manager)
    client.clear_before_next_output = False  # as when a cell starts
    return client


def send(client: Client, kind: str, **content: Any) -> nbformat.NotebookNode:
    header = {"msg_id": "1", "msg_type": kind}
    cell = client.nb.cells[0]
    message = {"msg_type": kind, "header": header, "parent_header": header, "content": content}
    client.process_message(message, cell, 0)
    return cell


def test_very_many_small_prints_fill_the_file_no_more_than_a_few_large_ones(
    client: Client,
) -> None:
    for _ in range(20_000):
        cell = send(client, "stream", name="stdout", text=".")
    assert len(cell.outputs) == pytest.approx(PRINTED_LIMIT / MESSAGE_SIZE, rel=0.02)
    assert len(nbformat.writes(client.nb)) < 3 * PRINTED_LIMIT


def test_a_cell_that_clears_its_output_may_print_again(client: Client) -> None:
    for turn in range(3):
        cell = send(client, "stream", name="stdout", text=str(turn) * PRINTED_LIMIT)
        cell = send(client, "stream", name="stdout", text="too much")
        assert printed(cell) == str(turn) * PRINTED_LIMIT
        send(client, "clear_output", wait=turn == 1)


def test_memory_of_a_kernels_child_counts_and_ends_the_run(tmp_path: Path) -> None:
    take = "import signal; a = b'x' * 500_000_000; signal.pause()"
    bear = BEAR.format(pids=str(tmp_path / "pids")).replace("import signal; signal.pause()", take)
    result = run(tmp_path, bear, "signal.pause()", memory_gb=0.5)
    assert result.outcome == Outcome.OUT_OF_MEMORY
    assert "the limit is 0.5 GB, in cell" in result.message
    assert result.peak_memory_gb > 0.5
    assert all_gone(tmp_path / "pids")


def test_a_memory_error_in_a_cell_keeps_the_cell(tmp_path: Path) -> None:
    result = run(tmp_path, "print('before')", "room = bytearray(1 << 62)", "print('never')")
    assert result.outcome == Outcome.OUT_OF_MEMORY
    assert "no memory left in cell 4: MemoryError" in result.message
    assert result.failure is not None
    assert result.failure.source == "room = bytearray(1 << 62)"
    assert [printed(cell) for cell in cells(result)[-3:]] == ["before\n", "", ""]


@pytest.mark.parametrize(
    ("error", "short"),
    [
        ("MemoryError: ", True),
        ("_ArrayMemoryError: Unable to allocate 8.00 EiB for an array", True),
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.", True),
        ("AcceleratorError: CUDA error: out of memory", True),
        (
            "RuntimeError: [enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: "
            "can't allocate memory: you tried to allocate 4611686018427387904 bytes.",
            True,
        ),
        ("OSError: [Errno 12] Cannot allocate memory", True),
        ("ValueError: the memory bank is empty", False),
        ("OSError: [Errno 28] No space left on device", False),
    ],
)
def test_errors_for_want_of_memory_are_known_by_their_text(error: str, short: bool) -> None:
    assert bool(OUT_OF_MEMORY.search(error)) is short


def test_torch_and_numpy_say_what_is_looked_for() -> None:
    import numpy as np
    import torch

    for allocate in (lambda: np.ones(1 << 59), lambda: torch.empty(1 << 58)):
        with pytest.raises((MemoryError, RuntimeError)) as told:
            allocate()
        assert OUT_OF_MEMORY.search(f"{told.type.__name__}: {told.value}")


def test_pages_that_processes_share_count_once_where_the_limit_is_near() -> None:
    """Forked children of a process that holds 200 MB seem to hold 200 MB each."""
    code = (
        "import os, signal; a = b'x' * 200_000_000\n"
        "if all(os.fork() for _ in range(3)): print('ready', flush=True)\n"
        "signal.pause()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    tree = ProcessTree(holder.pid)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        tree.look()
        assert tree.resident_bytes() > 800e6
        if sys.platform == "linux":
            assert 200e6 < tree.resident_bytes(limit=500e6) < 400e6
    finally:
        tree.kill()
        holder.communicate()


def test_many_files_together_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "MEASURE_EVERY", 0.1)
    result = run(
        tmp_path,
        BEAR.format(pids=str(tmp_path / "pids")),
        "os.mkdir('deep')\nfor i in range(3): open(f'deep/{i}', 'wb').write(bytes(700_000))",
        "signal.pause()",
        written_gb=0.002,
    )
    assert result.outcome == Outcome.ERROR
    assert "wrote 0.0021 GB in its working directory, the limit is 0.002 GB" in result.message
    assert printed(cells(result)[2]) == "begun\n"
    assert all_gone(tmp_path / "pids")


def test_what_was_written_last_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a run keeps to its limit must not depend on when somebody looks."""
    monkeypatch.setattr(worker_process, "MEASURE_EVERY", 3600)
    code = "for i in range(3): open(str(i), 'wb').write(bytes(700_000))"
    result = run(tmp_path, code, written_gb=0.002)
    assert result.outcome == Outcome.ERROR
    assert "wrote 0.0021 GB" in result.message


def test_the_size_of_a_folder_leaves_out_what_a_link_points_to(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(10_000))
    (tmp_path / "work" / "deep").mkdir(parents=True)
    (tmp_path / "work" / "a").write_bytes(bytes(300))
    (tmp_path / "work" / "deep" / "b").write_bytes(bytes(20))
    assert folder_bytes(tmp_path / "work") == 320
    (tmp_path / "work" / "link").symlink_to(tmp_path / "data")
    (tmp_path / "work" / "links").symlink_to(tmp_path)
    assert 320 < folder_bytes(tmp_path / "work") < 2_000
    assert folder_bytes(tmp_path / "absent") == 0


@pytest.mark.parametrize(
    ("victim", "told"), [("os.getpid()", "the kernel died"), ("os.getppid()", "status -9")]
)
def test_who_is_killed_takes_the_rest_along(tmp_path: Path, victim: str, told: str) -> None:
    """The kernel's child is born a moment before: no look has seen it."""
    bear = BEAR.format(pids=str(tmp_path / "pids"))
    result = run(tmp_path, f"{bear}\nos.kill({victim}, signal.SIGKILL)\nsignal.pause()")
    assert result.outcome == Outcome.KILLED
    assert told in result.message
    assert "in cell 3 of 3" in result.message
    assert all_gone(tmp_path / "pids")


def test_a_cell_that_hangs_in_c_ends_with_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    clock, passed = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock() + passed[0])

    def an_hour_later_when_it_hangs(cell: int, cells: int) -> None:
        if cell == cells:
            assert select.select([fifo], [], [], 60)[0]
            passed[0] = 3600

    bear = BEAR.format(pids=str(tmp_path / "pids"))
    hang = HANG.format(fifo=str(tmp_path / "fifo"))
    result = run(tmp_path, bear, hang, seconds=3600, on_cell=an_hour_later_when_it_hangs)
    os.close(fifo)
    assert result.outcome == Outcome.TIMEOUT
    assert "limit of 3600 s, in cell 4 of 4" in result.message
    assert printed(cells(result)[2]) == "begun\n"
    assert all_gone(tmp_path / "pids")


def run_on(folder: Path, *code: str, **settings: Any) -> RunRecord:
    """Run cells that may fail, and those after them nevertheless; but for those `# strict`."""
    source = write_lesson(folder / "lessons", "90_tiny", *code)
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        if not cell.source.startswith("# strict"):
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "raises-exception"]
    nbformat.write(notebook, source)
    return run_source(folder, source, **settings)


def test_after_a_cell_that_takes_too_long_those_that_may_be_run_are_run(tmp_path: Path) -> None:
    """Whether it tells of its interrupt or not; but none after one that may not fail."""
    endless = "while True: pass"
    quiet = "import time\ntry:\n    time.sleep(999)\nexcept BaseException:\n    print('caught')"
    strict = f"# strict\n{endless}"
    code = endless, quiet, "print('next')", strict, "print('never')"
    result = run_on(tmp_path, *code, cell_seconds=1)
    assert result.outcome == Outcome.TIMEOUT
    assert result.message == "cells 3, 4 and 6 took longer than 1 s and had to be interrupted"
    assert result.failure is not None
    assert result.failure.source == endless
    assert "KeyboardInterrupt" in result.failure.excerpt
    first, second, third, _, last = cells(result)[-5:]
    assert [output.output_type for output in first.outputs] == ["error", "stream"]
    assert "[interrupted after 1 s, the limit of a cell]" in printed(first)
    assert printed(second).startswith("caught\n\n[interrupted after 1 s")
    assert printed(third) == "next\n"
    assert (last.outputs, last.execution_count) == ([], None)


def test_a_cell_that_heeds_no_interrupt_ends_the_run_with_what_was_done(tmp_path: Path) -> None:
    deaf = "signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    signal.pause()"
    bear = BEAR.format(pids=str(tmp_path / "pids"))
    result = run_on(tmp_path, bear, deaf, "print('never')", cell_seconds=1)
    assert result.outcome == Outcome.TIMEOUT
    assert "cell 4 did not end even then, and what follows it was not run" in result.message
    assert result.failure is not None
    assert (result.failure.cell, result.failure.source) == (4, deaf)
    *_, before, stuck, never = cells(result)
    assert printed(before) == "begun\n"
    assert "[interrupted after 1 s" in printed(stuck)
    assert (never.outputs, never.execution_count) == ([], None)
    assert all_gone(tmp_path / "pids")


def test_a_hanging_kernel_does_not_outlive_a_killed_caller(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    bear = BEAR.format(pids=str(tmp_path / "pids"))
    source = write_lesson(tmp_path, "90_tiny", bear, HANG.format(fifo=str(tmp_path / "fifo")))
    code = (
        "import os, signal\n"
        "from course_utils.runs import run_notebook\n"
        "def on_cell(cell, cells):\n"
        "    if cell == cells:\n"
        "        open('fifo').read()  # until the kernel opens it\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"run_notebook({str(source)!r}, 'done.ipynb', workdir='work', on_cell=on_cell)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert all_gone(tmp_path / "pids")


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        ('events.write(\'{"event": "end", "outc\'); sys.exit(0)', Outcome.KILLED),
        ("tell(event='end', outcome='ok'); sys.exit(0)", Outcome.OK),
        ("tell(event='end', outcome='ok'); sys.exit(1)", Outcome.KILLED),
        (
            "tell(event='end', outcome='ok'); events.close(); os.close(1); signal.pause()",
            Outcome.TIMEOUT,
        ),
        ("sys.exit(0)", Outcome.KILLED),
        ("print('{}', flush=True); signal.pause()", Outcome.KILLED),
        ("print('no JSON', flush=True); signal.pause()", Outcome.KILLED),
        ("tell(event='cell', cell='x', cells=[]); signal.pause()", Outcome.KILLED),
        ("tell(event='end', outcome='too-much-memory'); sys.exit(0)", Outcome.KILLED),
        ("tell(event='end', outcome='error', failure={'cell': 1}); sys.exit(0)", Outcome.KILLED),
        ("events.buffer.write(b'\\xff\\n'); events.flush(); signal.pause()", Outcome.KILLED),
        ("events.write('[' * 2_000_000); events.flush(); signal.pause()", Outcome.KILLED),
    ],
)
def test_a_run_is_ok_when_the_worker_says_so_and_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, outcome: Outcome
) -> None:
    (tmp_path / "worker.py").write_text(STAND_IN + end)
    monkeypatch.setattr(worker_process, "WORKER", (str(tmp_path / "worker.py"),))
    result = run(tmp_path, seconds=1 if outcome == Outcome.TIMEOUT else 60)
    assert result.outcome == outcome
    assert [cell.outputs for cell in cells(result)] == [[]]


def test_a_person_can_end_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{os.getpid()}}')\n"
    (tmp_path / "worker.py").write_text(
        STAND_IN + work + "tell(event='cell', cell=3, cells=4); signal.pause()"
    )
    monkeypatch.setattr(worker_process, "WORKER", (str(tmp_path / "worker.py"),))
    cancel = Event()
    result = run(tmp_path, on_cell=lambda cell, cells: cancel.set(), cancel=cancel)
    assert result.outcome == Outcome.CANCELLED
    assert result.message == "stopped by hand, in cell 3 of 4"
    assert all_gone(tmp_path / "pids")


def test_a_notebook_that_writes_into_the_pipe_of_events_costs_only_its_own_run(
    tmp_path: Path,
) -> None:
    code = """import glob, os
for path in glob.glob(f"/proc/{os.getppid()}/fd/*"):
    if os.readlink(path).startswith("pipe:"):
        try:
            os.write(os.open(path, os.O_WRONLY | os.O_NONBLOCK), b"{}\\n")
        except OSError:
            pass"""
    result = run(tmp_path, code, "import time; time.sleep(60)")
    assert result.outcome == Outcome.KILLED
    assert "something else wrote where only the worker reports, in cell" in result.message


def test_what_a_notebook_installs_goes_with_its_run(tmp_path: Path) -> None:
    wheel = tmp_path / "tiny_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        about = "tiny_thing-1.0.dist-info"
        archive.writestr("tiny_thing.py", "WHERE = __file__")
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        archive.writestr(f"{about}/RECORD", "")
    install = f"%pip install --quiet --no-index {wheel}"
    result = run(tmp_path, install, "import tiny_thing; print(tiny_thing.WHERE)")
    assert result.outcome == Outcome.OK, result.message
    assert printed(cells(result)[-1]).startswith(str(tmp_path / "work"))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("tiny_thing")


@pytest.mark.skipif(sys.platform != "linux", reason="only there does the system count so")
def test_the_system_ends_what_takes_memory_between_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "POLL_EVERY", 3600)
    result = run(tmp_path, "room = bytearray(3 * 10**9)", memory_gb=0.5)
    assert result.outcome == Outcome.OUT_OF_MEMORY
    assert result.message.startswith("no memory left in cell 3: MemoryError")
    assert result.failure is not None


def test_what_a_notebook_shows_is_cut_and_an_error_stays_an_error(client: Client) -> None:
    data = {"text/plain": "x" * (SHOWN_LIMIT // 2 - 100)}
    for _ in range(5):
        cell = send(client, "display_data", data=data, metadata={}, transient={})
    assert len(cell.outputs) == 2
    cell = send(client, "error", ename="E", evalue="x" * 10**6, traceback=["y" * 10**6] * 999)
    assert cell.outputs[-1].output_type == "error"
    assert len(nbformat.writes(client.nb)) < SHOWN_LIMIT + 100 * ERROR_LIMIT + 10**6


def test_only_small_bundles_are_results() -> None:
    bundles = [{"name": "small", "value": 1}, {"name": "large", "value": "x" * LARGEST_BUNDLE}]
    shown = [nbformat.v4.new_output("display_data", {METRIC_MIME: each}) for each in bundles]
    cell = nbformat.v4.new_code_cell("", outputs=shown * (2 * MOST_BUNDLES))
    metrics, _ = read_results(nbformat.v4.new_notebook(cells=[cell]))
    assert metrics == (bundles[0],) * MOST_BUNDLES


def test_a_full_disk_is_an_error_and_keeps_what_was_written_before(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: the executed notebook needs more."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))
    try:
        result = run(tmp_path, "print('small')", "print('x' * 300_000)", "print('never')")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert result.outcome == Outcome.ERROR
    assert "the notebook could not be written: [Errno 27] File too large" in result.message
    assert [printed(cell) for cell in cells(result)[1:]] == ["", "small\n", "", ""]
    assert [path.name for path in tmp_path.glob("work.*")] == []


@pytest.mark.parametrize(
    "content", [b"", b'{"cells": [', b"[]", b"{}", b"\xff\xfe\x00", b'{"cells": 3, "nbformat": 4}']
)
def test_a_file_that_is_no_notebook_is_refused_before_anything_starts(
    tmp_path: Path, content: bytes
) -> None:
    source, work = tmp_path / "90_torn.ipynb", tmp_path / "work"
    source.write_bytes(content)
    with pytest.raises(ValueError, match=r"90_torn\.ipynb is not a notebook"):
        run_notebook(source, tmp_path / "done.ipynb", workdir=work)
    assert not work.exists()
