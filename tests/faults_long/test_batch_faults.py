"""`course batch` in real processes that are killed, hang, eat memory or print without end.

After each fault nothing is green that was not, nothing runs on, and a second call does the rest.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from batch_place import Place, end, wait_for
from tiny_notebooks import METRIC

DASK = [sys.executable, "-m", "dask"]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals")

# Each misbehaves until the gate is open. ctypes.PyDLL keeps the lock of the interpreter.
UNTIL_OPEN = """import ctypes, os, pathlib, signal, subprocess, sys, time
if not pathlib.Path({gate!r}).exists():
    """
FAULTS = {
    "10_good": "pass",
    "20_kernel_dies": "os.kill(os.getpid(), signal.SIGKILL)",
    "30_worker_dies": "os.kill(os.getppid(), signal.SIGKILL)",
    "40_hangs": "ctypes.PyDLL(None).pause()",
    "50_eats": "hoard = [bytearray(os.urandom(1) * 50_000_000) for _ in range(80)]",
    "60_prints": "for _ in range(200): sys.stdout.write('x' * 999_999 + chr(10))",
}
WAIT = """import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
pathlib.Path({folder!r}, f"begun-{{seed}}-{{os.getpid()}}-{{os.getppid()}}").touch()
while not pathlib.Path({gate!r}).exists():
    time.sleep(0.05)
child.kill()
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.end_all()


@pytest.fixture
def waiting(place: Place) -> Place:
    """Three runs that have begun when they say so and wait for the gate."""
    place.lesson("10_waits", WAIT.format(folder=str(place.folder), gate=str(place.gate)))
    place.plan(
        "executor: {kind: processes, workers: 2}\nseeds: [0, 1, 2]\nruns: [{lesson: 10_waits}]\n"
    )
    return place


def test_notebooks_that_take_everything_down(place: Place) -> None:
    for name, fault in FAULTS.items():
        place.lesson(name, UNTIL_OPEN.format(gate=str(place.gate)) + fault, METRIC)
    place.plan(
        "executor: {kind: processes, workers: 2}\nlimits: {memory_gb: 1}\nruns:\n"
        "  - {lesson: 40_hangs, limits: {seconds: 5}}\n"
        "  - lessons: [10_good, 20_kernel_dies, 30_worker_dies, 50_eats, 60_prints]\n"
    )
    status, text = end(place.batch())
    wanted = {
        "10_good": (1, "ok"),
        "20_kernel_dies": (1, "killed"),
        "30_worker_dies": (1, "killed"),
        "40_hangs": (1, "timeout"),
        "50_eats": (1, "out-of-memory"),
        "60_prints": (1, "ok"),
    }
    assert {lesson: row for (lesson, _), row in place.states().items()} == wanted, text
    assert status == 1
    assert "Traceback" not in text
    assert "run.log" not in text, "that file is gone"
    notebooks = list((place.folder / "out/notebooks").iterdir())
    assert len(notebooks) == len(FAULTS)
    assert all(path.stat().st_size < 3e6 for path in notebooks)
    assert list((place.folder / "tmp").glob("course-run-*")) == []
    assert place.running() == []

    place.gate.touch()
    again = ("retry", "plan.yml", "--outcome", "killed", "--outcome", "out-of-memory")
    status, text = end(place.batch(*again))
    for name in ("20_kernel_dies", "30_worker_dies", "50_eats"):
        wanted[name] = (2, "ok")
    assert {lesson: row for (lesson, _), row in place.states().items()} == wanted, text
    assert status == 1, "one has still timed out"


def test_a_batch_is_stopped_killed_and_started_twice(waiting: Place) -> None:
    keys = [("10_waits", seed) for seed in range(3)]
    first = waiting.batch()
    wait_for(lambda: len(waiting.begun()) == 2, shown=waiting.states)
    status, text = end(waiting.batch())
    assert (status, text.count("another process is working in")) == (2, 1), text
    first.send_signal(signal.SIGINT)
    status, text = end(first)
    assert (status, text.count("stopped. What has ended")) == (130, 1), text
    assert "Traceback" not in text
    assert waiting.running() == []
    assert [waiting.states()[key] for key in keys] == [
        (1, "cancelled"),
        (1, "cancelled"),
        (0, "to do"),
    ]

    second = waiting.batch()
    wait_for(lambda: sum(map(len, waiting.begun().values())) == 4, shown=waiting.states)
    second.kill()
    second.wait()
    wait_for(lambda: waiting.running() == [], shown=waiting.running)
    assert [waiting.states()[key] for key in keys] == [(2, "running"), (2, "running"), (0, "to do")]

    waiting.gate.touch()
    status, text = end(waiting.batch())
    assert [waiting.states()[key] for key in keys] == [(3, "ok"), (3, "ok"), (1, "ok")], text
    assert status == 0
    assert {seed: len(times) for seed, times in waiting.begun().items()} == {0: 3, 1: 3, 2: 1}


@pytest.fixture
def small_disk(place: Place) -> Iterator[Callable[[str], None]]:
    """The batch's folder on a disk of its own; call it with another size to change that."""
    out = place.folder / "out"
    out.mkdir()

    def mount(options: str) -> int:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(out)]
        return subprocess.run(command, check=False, capture_output=True).returncode

    if not shutil.which("mount") or mount("size=1500k"):
        pytest.skip("needs the right to mount a disk")
    yield lambda size: mount(f"remount,size={size}")
    place.end_all()
    subprocess.run(["umount", str(out)], check=True)


def test_a_full_disk_stops_the_batch_and_costs_nothing_that_was_done(
    place: Place, small_disk: Callable[[str], None]
) -> None:
    begin = f"open({str(place.folder)!r} + f'/begun-{{seed}}-0-0', 'a').write('x')"
    place.lesson("10_prints", begin, "print('x' * 150_000)", METRIC)
    place.plan("executor: {kind: processes, workers: 2}\nseeds: 0-5\nruns: [{lesson: 10_prints}]\n")
    status, text = end(place.batch())
    assert (status, text.count("has space left")) == (2, 1), text
    assert "Traceback" not in text
    assert place.running() == []
    done = {row.seed for row in place.latest() if row.outcome == "ok"}
    assert 0 < len(done) < 6
    for row in place.latest():
        if row.outcome == "ok":
            nbformat.read(place.folder / "out" / row.notebook, as_version=4)
        else:
            assert row.outcome is None

    small_disk("50m")
    status, text = end(place.batch())
    assert status == 0, text
    assert {row.outcome for row in place.latest()} == {"ok"}
    for seed in range(6):
        times = len((place.folder / f"begun-{seed}-0-0").read_text())
        assert times == 1 if seed in done else 1 <= times <= 2, seed


def test_a_corrupt_notebook_is_found_before_anything_starts(waiting: Place) -> None:
    waiting.lesson("20_corrupt", "print(1)")
    path = waiting.folder / "notebooks/20_corrupt.ipynb"
    path.write_bytes(path.read_bytes()[:-100])
    waiting.plan("runs: [{lesson: 10_waits}, {lesson: 20_corrupt}]\n")
    status, text = end(waiting.batch())
    assert status == 2
    assert "20_corrupt" in text
    assert "Traceback" not in text
    assert not (waiting.folder / "out").exists()
    assert waiting.begun() == {}


def start_scheduler(place: Place) -> tuple[subprocess.Popen[str], str]:
    address = place.folder / "scheduler.json"
    place_options = "--host", "127.0.0.1", "--port", "0", "--no-dashboard"
    scheduler = place.start(*DASK, "scheduler", *place_options, "--scheduler-file", str(address))
    wait_for(address.exists)
    wait_for(lambda: '"address"' in address.read_text())
    text = address.read_text()
    return scheduler, "tcp://127.0.0.1:" + text.split("tcp://127.0.0.1:")[1].split('"')[0]


def start_worker(place: Place, address: str, **environment: str) -> subprocess.Popen[str]:
    options = "--no-nanny", "--nthreads", "1", "--no-dashboard"
    return place.start(*DASK, "worker", address, *options, **environment)


def test_a_dask_worker_and_then_its_scheduler_are_killed(waiting: Place) -> None:
    waiting.plan("seeds: [0, 1, 2]\nruns: [{lesson: 10_waits}]\n")
    scheduler, address = start_scheduler(waiting)
    workers = [start_worker(waiting, address) for _ in range(2)]
    batch = waiting.batch("plan.yml", "--scheduler", address)
    begun = wait_for(lambda: len(waiting.begun()) == 2 and waiting.begun(), shown=waiting.states)
    seeds = sorted(begun)

    first = psutil.Process(begun[seeds[0]][0][1]).ppid()  # of the worker process of that run
    (worker,) = (one for one in workers if one.pid == first)
    worker.kill()
    lost, other = ("10_waits", seeds[0]), ("10_waits", seeds[1])
    wait_for(lambda: waiting.states()[lost] == (1, "killed"), shown=waiting.states)
    wait_for(lambda: not psutil.pid_exists(begun[seeds[0]][0][0]))
    assert waiting.states()[other] == (1, "running")

    scheduler.kill()
    status, text = end(batch)
    assert (status, text.count("was lost: start it again")) == (2, 1), text
    assert "Traceback" not in text
    wait_for(lambda: waiting.running() == [], shown=waiting.running)
    rows = waiting.states()
    assert rows.pop(lost) == (1, "killed")
    assert set(rows.values()) == {(1, "running"), (0, "to do")}

    waiting.gate.touch()
    status, text = end(waiting.batch("plan.yml", "--workers", "2"))
    rows = waiting.states()
    assert rows.pop(lost) == (1, "killed"), "only on request"
    assert sorted(rows.values()) == [(1, "ok"), (2, "ok")], text
    assert status == 1


def test_a_dask_worker_that_has_another_package_is_told(waiting: Place) -> None:
    broken = waiting.folder / "broken/course_utils"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("")
    _, address = start_scheduler(waiting)
    start_worker(waiting, address, PYTHONPATH=str(broken.parent))
    status, text = end(waiting.batch("plan.yml", "--scheduler", address))
    assert (status, text.count("it needs the same course_utils")) == (2, 1), text
    assert "Traceback" not in text
    assert {state for _, state in waiting.states().values()} == {"to do"}


def test_a_batch_that_is_killed_leaves_nothing_running_on_a_cluster(waiting: Place) -> None:
    _, address = start_scheduler(waiting)
    start_worker(waiting, address)
    batch = waiting.batch("plan.yml", "--scheduler", address)
    begun = wait_for(waiting.begun, shown=waiting.states)
    batch.kill()
    batch.wait()
    ((kernel, worker),) = (pids for times in begun.values() for pids in times)
    wait_for(lambda: not psutil.pid_exists(kernel) and not psutil.pid_exists(worker))
    assert len(waiting.running()) == 2, "scheduler and worker wait for the next batch"
    assert "ok" not in {outcome for _, outcome in waiting.states().values()}
